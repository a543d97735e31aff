"""Verdicts against the truth of a world: what was planted, caught and missed, and how many good samples were lost.

A defect is caught when its sample is not kept. Of an original and its copy one is to go, and which one is the
filter's choice: the copy is caught when at most one of the two is kept, and the original is lost only when both go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import pyarrow as pa

from sluice.errors import RunError
from sluice.synth.plan import DEFECTS, HARMLESS, NEEDS_MODEL
from sluice.wording import counted, noun

_COPIES: Final = ("near_duplicate", "exact_duplicate")


@dataclass(frozen=True)
class DefectScore:
    """What became of the samples with one defect."""

    defect: str
    planted: int
    caught: int  # for a harmless one: lost
    rules: Mapping[str, int]  # of the caught, how many each rule spoke on
    needs_model: bool
    harmless: bool

    @property
    def missed(self) -> int:
        """Planted and kept."""
        return self.planted - self.caught


@dataclass(frozen=True)
class Score:
    """How well a run told the spoiled samples of a world from the good ones."""

    samples: int
    good: int  # without a defect
    lost: int  # of the good, removed
    lost_by: Mapping[str, int]  # of the lost, how many each rule spoke on
    defects: tuple[DefectScore, ...]

    def precision(self) -> float:
        """Of the samples removed, the share that was to be removed; harmless samples count as good."""
        caught = sum(one.caught for one in self.defects if not one.harmless)
        wrong = self.lost + sum(one.caught for one in self.defects if one.harmless)
        return caught / (caught + wrong) if caught + wrong else 1.0

    def recall(self, *, with_model: bool = False) -> float:
        """Of the samples to be removed, the share that was; `with_model`: even those that only a model can tell."""
        wanted = [one for one in self.defects if not one.harmless and (with_model or not one.needs_model)]
        planted = sum(one.planted for one in wanted)
        return sum(one.caught for one in wanted) / planted if planted else 1.0

    def text(self) -> str:
        """The score as a table for a terminal."""
        wide = max([len("exif_rotated (harmless)"), *(len(one.defect) for one in self.defects)])
        spoiled = sum(one.planted for one in self.defects if not one.harmless)
        lines = [
            f"{counted(self.samples, 'sample')}: {self.samples - spoiled:,} to keep, {spoiled:,} spoiled on purpose",
            "",
            f"{'defect':<{wide}}  planted  caught  missed  caught by",
        ]
        for one in self.defects:
            if one.harmless:
                said = f"{one.planted:7,}       -       -  kept {one.missed:,}: harmless, and to be kept"
                lines.append(f"{one.defect + ' (harmless)':<{wide}}  {said}")
                continue
            by = _named(one.rules)
            lines.append(f"{one.defect:<{wide}}  {one.planted:7,} {one.caught:7,} {one.missed:7,}  {by}".rstrip())
        beyond = sum(one.planted for one in self.defects if one.needs_model)
        lost = f"good samples lost: {self.lost:,} of {self.good:,} ({self.lost / max(self.good, 1):.1%})"
        lines += [
            "",
            f"{lost}: {_named(self.lost_by)}" if self.lost else lost,
            f"precision {self.precision():.1%}   of what was removed, this share was to be removed",
            f"recall    {self.recall():.1%}   of the defects that can be seen without an alignment model",
            f"recall    {self.recall(with_model=True):.1%}   of all defects; {counted(beyond, 'sample')} "
            f"{noun(beyond, 'takes', 'take')} a model that reads image and caption",
        ]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The score as plain JSON values."""
        return {
            **asdict(self),
            "precision": self.precision(),
            "recall": self.recall(),
            "recall_with_model": self.recall(with_model=True),
        }


def score(truth: pa.Table, verdicts: pa.Table) -> Score:
    """Compare `verdicts` (key, verdict, rules) with the `truth` of a world.

    >>> truth = pa.table({"key": ["a", "b"], "defect": [None, "blur"], "partner": pa.nulls(2, pa.string())})
    >>> verdicts = pa.table({"key": ["a", "b"], "verdict": ["kept", "rejected"], "rules": [[], ["blurry"]]})
    >>> score(truth, verdicts).recall()
    1.0
    """
    facts = truth.select(["key", "defect", "partner"]).to_pylist()
    spoken = {row["key"]: row for row in verdicts.select(["key", "verdict", "rules"]).to_pylist()}
    if absent := [fact["key"] for fact in facts if fact["key"] not in spoken]:
        raise RunError(
            f"no verdict on {len(absent):,} of {counted(len(facts), 'sample')} of the world, {absent[0]} for one"
        )
    gone = {key: row["rules"] or ["no rule named"] for key, row in spoken.items() if row["verdict"] != "kept"}
    copy_of = {fact["key"]: fact["partner"] for fact in facts if fact["defect"] in _COPIES}
    original_of = {original: copy for copy, original in copy_of.items()}

    def caught(key: str, defect: str) -> list[str] | None:
        """The rules that removed a spoiled sample, or, of a copy, its original."""
        return gone.get(key, gone.get(copy_of[key]) if defect in _COPIES else None)

    def lost(key: str) -> bool:
        """Whether a good sample is gone and no copy of it was kept in its place."""
        return key in gone and original_of.get(key, key) in gone

    found = {defect: [caught(f["key"], defect) for f in facts if f["defect"] == defect] for defect in DEFECTS}
    good = [fact["key"] for fact in facts if fact["defect"] is None]
    gone_wrongly = [key for key in good if lost(key)]
    return Score(
        samples=len(facts),
        good=len(good),
        lost=len(gone_wrongly),
        lost_by=_counted(gone[key] for key in gone_wrongly),
        defects=tuple(
            DefectScore(
                defect=defect,
                planted=len(fates),
                caught=sum(rules is not None for rules in fates),
                rules=_counted(rules for rules in fates if rules is not None),
                needs_model=defect in NEEDS_MODEL,
                harmless=defect in HARMLESS,
            )
            for defect, fates in found.items()
        ),
    )


def _counted(rules: Iterable[list[str]]) -> dict[str, int]:
    """How many samples each rule spoke on, the most frequent first."""
    return dict(sorted(Counter(rule for spoken in rules for rule in spoken).items(), key=lambda one: (-one[1], one[0])))


def _named(rules: Mapping[str, int]) -> str:
    return ", ".join(f"{rule} {count:,}" for rule, count in rules.items())
