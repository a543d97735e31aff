"""`Run`: a run folder opened to be asked. Reads what stages wrote; measures and changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sluice.errors import RunError
from sluice.run.stored import bring, layout_of
from sluice.table.layout import CAPTIONED, CHECKED, FILTERED, FINAL, RAW, STAGES, Layout

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.run.curve import Curve
    from sluice.run.locked import LockedFilter
    from sluice.run.recipe import Recipe, RecipeFile
    from sluice.run.status import Status
    from sluice.run.what_if import WhatIf
    from sluice.run.why import Story


class Run:
    """A run, opened by its folder.

    run = Run.open("runs/photos")
    run.samples("kept")            # an Arrow table
    print(run.why("beach.jpg"))    # the whole story of a sample
    print(run.what_if(["blurry: sharpness < 150"]))
    """

    def __init__(self, layout: Layout, path: Path, recipe: Mapping[str, Any]) -> None:
        self.layout = layout
        self._path = path  # of the recipe file
        self._recipe = recipe  # as the lock file has it

    @classmethod
    def open(cls, folder: str | Path, *, glance: bool = False) -> Run:
        """The run in `folder`, which may be a URL; RunError if there is none.

        `glance`: of a run in a store, only what `status` reads is brought.
        """
        layout = layout_of(folder)
        bring(layout, all=not glance)
        layout.check()
        try:
            lock = yaml.load(layout.recipe_lock.read_bytes(), Loader=_SafeLoader)
            return cls(layout, Path(lock["recipe_file"]), {**lock["recipe"]})
        except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
            raise _damaged(layout, error) from error

    @cached_property
    def file(self) -> RecipeFile:
        """The recipe as it ran, with where it came from."""
        from sluice.run.recipe import Recipe, RecipeFile

        try:
            return RecipeFile(Recipe.model_validate(self._recipe), self._path, {}, "")
        except ValueError as error:
            raise _damaged(self.layout, error) from error

    @cached_property
    def filter(self) -> LockedFilter:
        """The rules as they ran, and which repeats they left out."""
        from sluice.run.locked import locked_filter

        try:
            return locked_filter(self._recipe)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _damaged(self.layout, error) from error

    @cached_property
    def quality(self) -> LockedFilter | None:
        """The rules of 03_quality_checked as they ran; None where the recipe has no such stage."""
        from sluice.run.locked import locked_quality

        try:
            return locked_quality(self._recipe)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _damaged(self.layout, error) from error

    @property
    def balances(self) -> bool:
        """Whether the recipe draws among what passed every rule."""
        return self._recipe.get("balance") is not None

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that the recipe asks for, in order."""
        absent = {CAPTIONED} if self._recipe.get("captions") is None else set[str]()
        absent |= {CHECKED} if self._recipe.get("quality") is None else set()
        return tuple(stage for stage in STAGES if stage not in absent)

    @property
    def recipe(self) -> Recipe:
        """The recipe as it ran."""
        return self.file.recipe

    def require(self, stage: str) -> None:
        """RunError unless `stage` is done."""
        if not self.layout.stage_file(stage).is_file():
            raise RunError(f"{self.layout.named}: {stage} is not finished; `sluice run {self._path}` goes on with it")

    def samples(self, verdict: str | None = None) -> pa.Table:
        """Every raw sample with its latest verdict, the stage that gave it and the rules that decided it.

        `verdict` keeps only those `kept`, `rejected`, `held` or `failed`.
        """
        from sluice.table.duck import connect

        self.require(RAW)
        done = self.layout.stages_done()
        latest = " UNION ALL ".join(
            f"SELECT id, '{stage}' AS stage, {place} AS place, verdict, rules, cluster FROM read_parquet(?)"
            for place, stage in enumerate(done)
        )
        paths: list[Any] = [str(self.layout.verdicts(stage)) for stage in done]
        where = "WHERE verdict = ?" if verdict else ""
        with connect() as duck:
            return duck.sql(
                f"""
                WITH verdicts AS ({latest}),
                last AS (SELECT id, max_by(struct_pack(stage := stage, verdict := verdict, rules := rules), place)
                                AS v, max(cluster) AS cluster
                         FROM verdicts GROUP BY id),
                raw AS (SELECT *, filename AS unit_file, file_row_number AS row
                        FROM read_parquet(?, filename = true, file_row_number = true))
                SELECT raw.* EXCLUDE (failure_class, failure, filename, file_row_number, unit_file, row),
                       v.stage AS stage, v.verdict AS verdict, v.rules AS rules, last.cluster AS cluster
                FROM raw JOIN last USING (id) {where.replace("verdict", "v.verdict")} ORDER BY unit_file, row
                """,
                params=[
                    *paths,
                    str(self.layout.root / RAW / "samples" / "unit-*.parquet"),
                    *([verdict] if verdict else []),
                ],
            ).to_arrow_table()

    def why(self, query: str) -> Story:
        """The story of the one sample that `query` names: an id or its beginning, a key, a file or shard member."""
        from sluice.run.why import tell

        return tell(self, query)

    def what_if(self, settings: Sequence[str]) -> WhatIf:
        """What the filter would keep with other rules: `'blurry: sharpness < 150'`, `'blurry: off'`."""
        from sluice.run.what_if import what_if

        self.require(FILTERED)
        return what_if(self, settings)

    def curve(self, column: str) -> Curve:
        """The yield at every threshold of `column`."""
        from sluice.run.curve import curve

        self.require(FILTERED)
        return curve(self, column)

    def status(self) -> Status:
        """How far the run is: stages, counts, reasons, seconds, bytes."""
        from sluice.run.status import status

        return status(self.layout, self.stages)

    @property
    def finished(self) -> bool:
        """Whether the last stage is done."""
        return self.layout.stage_file(FINAL).is_file()


def _damaged(layout: Layout, error: Exception) -> RunError:
    return RunError(f"{layout.recipe_lock}: damaged ({error}); `sluice run` writes it anew")


_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
