"""What deciding needs of `recipe.lock.yaml`, without the models of `recipe`: `sluice run` wrote it, checked and whole.

Making those models takes longer than deciding on a million samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from sluice.run.rights_gate import Unknown, rights_rules
from sluice.run.rules.rule import Rule

if TYPE_CHECKING:
    from sluice.corpus.duplicates import Cluster

_EFFECTS: Final[dict[str, Literal["rejected", "held"]]] = {"reject": "rejected", "hold": "held"}
_NULLS: Final = ("held", "rejected", "pass")
_UNKNOWN: Final = ("reject", "hold", "pass")
_CLUSTERS: Final = ("star", "components")


@dataclass(frozen=True)
class LockedNear:
    """`NearConfig` and its like, as far as deciding needs them."""

    cluster: Cluster


@dataclass(frozen=True)
class LockedDuplicates:
    """`DuplicatesConfig`, as far as deciding needs it."""

    bytes: bool
    captions: bool
    boilerplate: int | None
    near: LockedNear | None
    against: Sequence[object]
    text: LockedNear | None = None
    semantic: LockedNear | None = None  # of 03_quality_checked

    @property
    def alike(self) -> LockedNear | None:
        """The step that looks for what is alike."""
        return self.text or self.semantic


NO_DUPLICATES: Final = LockedDuplicates(bytes=False, captions=False, boilerplate=None, near=None, against=())


@dataclass(frozen=True)
class LockedRights:
    """`RightsConfig`, as far as deciding needs it."""

    allow: Sequence[str] | None
    unknown: Unknown


@dataclass(frozen=True)
class LockedFilter:
    """The rules, in the order in which they are judged, and what the recipe asks of the corpus steps."""

    rules: list[Rule]
    duplicates: LockedDuplicates
    alternatives: int | None = None  # captions kept beside the best; None: all that pass


def locked_filter(recipe: Mapping[str, Any]) -> LockedFilter:
    """The filter of a recipe as the lock file has it; KeyError, TypeError or ValueError where that is damaged."""
    config = recipe["filter"]
    rules = rights_rules(_locked_rights(config.get("rights")))
    rules += _rules(config)
    asked = config["duplicates"]
    near, boilerplate = asked["near"], asked["boilerplate"]
    duplicates = LockedDuplicates(
        bool(asked["bytes"]),
        bool(asked["captions"]),
        None if boilerplate is None else int(boilerplate),
        _locked_cluster(near),
        tuple(asked["against"]),
        text=_locked_cluster(asked.get("text")),  # lock files of before have none
    )
    return LockedFilter(rules, duplicates)


def locked_quality(recipe: Mapping[str, Any]) -> LockedFilter | None:
    """The same of `quality`; None where the recipe has none."""
    config = recipe.get("quality")
    if config is None:
        return None
    alternatives = config.get("alternatives")
    duplicates = replace(NO_DUPLICATES, semantic=_locked_cluster(config.get("duplicates")))
    return LockedFilter(_rules(config), duplicates, None if alternatives is None else int(alternatives))


def _rules(config: Mapping[str, Any]) -> list[Rule]:
    return [
        Rule(str(name), _text(rule["when"]), _EFFECTS[part], _one_of(rule["null"], _NULLS))
        for part in _EFFECTS
        for name, rule in config[part].items()
    ]


def _locked_cluster(asked: Mapping[str, Any] | None) -> LockedNear | None:
    return None if asked is None else LockedNear(_one_of(asked["cluster"], _CLUSTERS))


def _locked_rights(rights: Mapping[str, Any] | None) -> LockedRights | None:
    if rights is None:
        return None
    allow = rights["allow"]
    return LockedRights(None if allow is None else tuple(map(_text, allow)), _one_of(rights["unknown"], _UNKNOWN))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no condition")
    return value


def _one_of(value: Any, known: Sequence[str]) -> Any:
    if value not in known:
        raise ValueError(f"{value!r} is none of {', '.join(known)}")
    return value
