"""What every language of the grammar gives: all the sentences and questions that are true of a scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from sluice.synth.scene import COLOURS, Chart, Group, Relation, Scene

QuestionKind = Literal["count", "colour", "relation", "reading", "yes_no", "chart"]


@dataclass(frozen=True)
class Question:
    """A question on a picture whose answer the scene gives."""

    kind: QuestionKind
    text: str
    answer: str


@dataclass(frozen=True)
class Tongue:
    """A language: `sentences` yields every caption it can make of a scene, `questions` every question."""

    code: str
    sentences: Callable[[Scene], Iterator[str]]
    questions: Callable[[Scene], Iterator[Question]]


def capital(sentence: str) -> str:
    """The sentence with a capital first letter and the rest untouched.

    >>> capital("trois étoiles")
    'Trois étoiles'
    """
    return sentence[:1].upper() + sentence[1:]


def listed(parts: list[str], conjunction: str) -> str:
    """Parts joined as prose.

    >>> listed(["a ball", "a cube", "a star"], " and ")
    'a ball, a cube and a star'
    """
    return conjunction.join((", ".join(parts[:-1]), parts[-1])) if len(parts) > 1 else parts[0]


def largest(chart: Chart) -> tuple[str, int]:
    """Colour and value of the largest bar or slice."""
    value = max(chart.values)
    return chart.colours[chart.values.index(value)], value


def related(scene: Scene) -> Iterator[tuple[Group, Relation, Group]]:
    """Ordered pairs of groups with where the first lies, seen from the second."""
    groups = scene.groups
    for one in groups:
        for other in groups:
            relation = scene.relation(one, other) if one is not other else None
            if relation is not None:
                yield one, relation, other


def asked(relation: Relation) -> tuple[tuple[Relation, bool], ...]:
    """The relation and its opposite, each with whether it holds: what a yes/no question may ask."""
    opposites: dict[Relation, Relation] = {"left": "right", "right": "left", "above": "below", "below": "above"}
    return (relation, True), (opposites[relation], False)


def lone(scene: Scene) -> Iterator[Group]:
    """Groups whose shape no other group of the scene has: `what colour is the ball` has one answer."""
    for group in scene.groups:
        if sum(other.shape == group.shape for other in scene.groups) == 1:
            yield group


def absent_colour(scene: Scene, shape: str) -> str:
    """A colour in which the scene has no thing of this shape."""
    present = {group.colour for group in scene.groups if group.shape == shape}
    turn = sum(map(ord, shape)) + len(scene.things)
    return next(c for c in (*COLOURS[turn % 10 :], *COLOURS) if c not in present)
