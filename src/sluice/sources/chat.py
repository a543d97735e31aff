"""Conversations in the forms that datasets use, as text items with a role each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeGuard

from sluice.sources.base import Item, Role
from sluice.sources.texts import Refused

PLACEHOLDER: Final = "<image>"
COLUMNS: Final = ("conversations", "conversation", "messages", "texts")
_ROLES: Final[dict[str, Role]] = {
    "human": "human",
    "user": "human",
    "gpt": "gpt",
    "assistant": "gpt",
    "model": "gpt",
    "system": "system",
}


def is_conversation(value: Any) -> TypeGuard[Sequence[Any]]:
    """Whether `value` is a list of turns, in any of the forms that `turns` reads."""
    if not isinstance(value, list | tuple) or not value or not isinstance(value[0], Mapping):
        return False
    return any(names <= value[0].keys() for names in ({"from", "value"}, {"role", "content"}, {"user", "assistant"}))


def turns(value: Sequence[Any], where: str) -> tuple[list[Item], int]:
    """The turns as text items, verbatim, and how many images they call for; `Refused` where one is malformed.

    Read are `{from, value}` (LLaVA), `{role, content}` (chat templates) and `{user, assistant}` (The Cauldron).

    >>> items, images = turns([{"from": "human", "value": "<image> What is it?"}], "a.json")
    >>> items[0].role, items[0].text, images
    ('human', '<image> What is it?', 1)
    """
    items: list[Item] = []
    images = 0
    for number, turn in enumerate(value):
        for role, text, shown in _turn(turn, f"{where}: turn {number}"):
            items.append(Item("text", role, text))
            images += shown
    return items, images


def _turn(turn: Any, where: str) -> list[tuple[Role, str, int]]:
    if not isinstance(turn, Mapping):
        raise Refused("decode", f"{where}: expected an object, found {type(turn).__name__}")
    if "user" in turn and "assistant" in turn:
        return [
            ("human", *_content(turn["user"], f"{where}, user")),
            ("gpt", *_content(turn["assistant"], f"{where}, assistant")),
        ]
    speaker = turn.get("from", turn.get("role"))
    role = _ROLES.get(speaker.lower()) if isinstance(speaker, str) else None
    if role is None:
        raise Refused("decode", f"{where}: unknown speaker {speaker!r} (known: {', '.join(_ROLES)})")
    return [(role, *_content(turn.get("value", turn.get("content")), where))]


def _content(value: Any, where: str) -> tuple[str, int]:
    """The text, and the images it calls for; parts of kind `image` become placeholders."""
    if isinstance(value, str):
        return value, value.count(PLACEHOLDER)
    if isinstance(value, list | tuple):
        parts = [_part(part, where) for part in value]
        return "\n".join(parts), sum(part.count(PLACEHOLDER) for part in parts)
    raise Refused("decode", f"{where}: expected a text, found {type(value).__name__}")


def _part(part: Any, where: str) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping) and isinstance(part.get("text"), str):
        return part["text"]
    if isinstance(part, Mapping) and part.get("type") in ("image", "image_url"):
        return PLACEHOLDER
    raise Refused("decode", f"{where}: expected a part of type text or image")
