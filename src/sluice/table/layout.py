"""Where everything lies in a run folder: the one place that knows its file names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sluice.errors import RunError

RAW: Final = "00_raw"
FILTERED: Final = "01_filtered"
CAPTIONED: Final = "02_captioned"
CHECKED: Final = "03_quality_checked"
FINAL: Final = "04_final"
BOXES: Final = "boxes"  # no stage: what was found before packing, outside the folder that goes to the trainer
REDACTIONS_FILE: Final = "redactions.parquet"
STAGES: Final = (RAW, FILTERED, CAPTIONED, CHECKED, FINAL)  # a recipe need not have all of them


@dataclass(frozen=True)
class Layout:
    """The paths of the run folder `root`; `store` is the URL of the run where it lies in a store, `root` its copy."""

    root: Path
    store: str | None = None

    @property
    def named(self) -> str:
        """What people call the run: its folder, or its URL."""
        return self.store or str(self.root)

    @property
    def recipe_lock(self) -> Path:
        """The recipe as it ran, defaults filled in."""
        return self.root / "recipe.lock.yaml"

    @property
    def events(self) -> Path:
        """What happened, a JSON object a line; appended to, never rewritten."""
        return self.root / "events.jsonl"

    @property
    def report(self) -> Path:
        """The report, one HTML file."""
        return self.root / "report.html"

    @property
    def state(self) -> Path:
        """What only resuming needs: the lock, the stamps of the source files. Not part of the output."""
        return self.root / ".state"

    @property
    def takedowns(self) -> Path:
        """Samples taken down: the fact, not the content."""
        return self.root / "takedowns.parquet"

    @property
    def audits(self) -> Path:
        """The folder that holds a folder an audit: what a person is to judge, and has judged."""
        return self.root / "audit"

    def stage(self, stage: str) -> Path:
        """The folder of a stage."""
        return self.root / stage

    def stage_file(self, stage: str) -> Path:
        """What says that a stage is done, and with which counts."""
        return self.root / stage / "stage.json"

    def seconds_file(self, stage: str) -> Path:
        """How long a stage took; beside `stage.json`, so that equal runs have equal `stage.json`."""
        return self.root / stage / "seconds.json"

    def stages_done(self) -> list[str]:
        """The stages that are done, in order."""
        return [stage for stage in STAGES if self.stage_file(stage).is_file()]

    def verdicts(self, stage: str) -> Path:
        """What a stage decided on each sample that entered it."""
        return self.root / stage / "verdicts.parquet"

    def failures(self, stage: str) -> Path:
        """Every failure of a stage, with its class."""
        return self.root / stage / "failures.parquet"

    def samples(self, unit: int) -> Path:
        """The raw samples of a unit."""
        return self.root / RAW / "samples" / unit_file(unit)

    def items(self, unit: int) -> Path:
        """The items of a unit's samples."""
        return self.root / RAW / "items" / unit_file(unit)

    @property
    def fetched(self) -> Path:
        """The folder that holds a folder of stores a source of URLs."""
        return self.root / RAW / "fetched"

    def measures(self, stage: str = FILTERED) -> Path:
        """The folder that holds a folder a measure."""
        return self.root / stage / "measures"

    def measured(self, identity: str, unit: int, stage: str = FILTERED) -> Path:
        """A unit's values of the measure `identity` (name@fingerprint)."""
        return self.measures(stage) / identity / unit_file(unit)

    @property
    def rows(self) -> Path:
        """The wide table that the rules of 01_filtered read."""
        return self.rows_of(FILTERED)

    def rows_of(self, stage: str) -> Path:
        """The wide table that the rules of a stage read."""
        return self.root / stage / "rows.parquet"

    @property
    def calibration(self) -> Path:
        """What a cosine of the run's encoder means."""
        return self.root / CHECKED / "calibration.json"

    @property
    def checks(self) -> Path:
        """What was found by the checks of the kept set as a whole."""
        return self.root / CHECKED / "checks.json"

    @property
    def deciding(self) -> str:
        """The last stage before the shards that is done: its verdicts and its rows are what is packed."""
        return next(stage for stage in (CHECKED, CAPTIONED, FILTERED) if self.stage_file(stage).is_file())

    def generated(self, unit: int) -> Path:
        """The captions that 02_captioned made for a unit's samples, as items."""
        return self.root / CAPTIONED / "items" / unit_file(unit)

    def captions(self, captioner: str, unit: int) -> Path:
        """What a captioner (name@fingerprint) said of a unit's samples, and where it failed."""
        return self.root / CAPTIONED / "captions" / captioner / unit_file(unit)

    @property
    def routes(self) -> Path:
        """By sample that entered 02_captioned: whether it is captioned."""
        return self.root / CAPTIONED / "routes.parquet"

    def corpus(self, name: str, stage: str = FILTERED) -> Path:
        """A table of a corpus step."""
        return self.root / stage / "corpus" / f"{name}.parquet"

    @property
    def final(self) -> Path:
        """The folder that goes to the trainer."""
        return self.root / FINAL

    @property
    def named_final(self) -> str:
        """What people call that folder, or its URL."""
        return f"{self.store}/{FINAL}" if self.store else str(self.final)

    @property
    def exports(self) -> Path:
        """The formats that were asked for after the run, beside those of the recipe."""
        return self.root / "exports.json"

    @property
    def manifest(self) -> Path:
        """A row a packed sample."""
        return self.final / "manifest.parquet"

    def boxes(self, identity: str, unit: int) -> Path:
        """What is to be covered in the images of a unit, by who found it (name@fingerprint)."""
        return self.root / BOXES / identity / unit_file(unit)

    @property
    def redactions(self) -> Path:
        """A row an image that was written anew while it was packed."""
        return self.final / REDACTIONS_FILE

    def check(self) -> Layout:
        """This layout, if `root` is a run folder."""
        if not self.root.is_dir():
            raise RunError(f"{self.named}: no such folder; give the run folder that `sluice run` named")
        if not self.recipe_lock.is_file():
            raise RunError(f"{self.named}: not a run folder (it has no {self.recipe_lock.name})")
        return self


def unit_file(unit: int) -> str:
    """The file name of a unit's part of a table.

    >>> unit_file(7)
    'unit-00007.parquet'
    """
    return f"unit-{unit:05d}.parquet"
