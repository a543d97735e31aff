"""placeholder until the card lands"""


def write_card(file, layout, facts): ...
