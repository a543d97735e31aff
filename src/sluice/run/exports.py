"""Formats asked for after a run, beside those of its recipe, and folders that packs of it were exported into."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.errors import RunError
from sluice.run.recipe import PackConfig, Recipe
from sluice.table.commit import write_json
from sluice.table.ids import fingerprint
from sluice.table.layout import Layout


@dataclass(frozen=True)
class Exports:
    """What was exported to one folder."""

    record: Path  # the file that says so
    folder: Path
    packs: tuple[PackConfig, ...] = ()  # sorted by format

    def adding(self, packs: Sequence[PackConfig]) -> Exports:
        """These and `packs`; a format that is named again is as it is named now."""
        formats = {pack.format: pack for pack in (*self.packs, *packs)}
        return Exports(self.record, self.folder, tuple(formats[name] for name in sorted(formats)))

    def keep(self) -> None:
        """Commit it; where nothing was exported there is no such file."""
        if not self.packs:
            self.record.unlink(missing_ok=True)
            return
        packs = [pack.model_dump(mode="json") for pack in self.packs]
        write_json(self.record, {"folder": str(self.folder), "formats": packs})


def of_run(layout: Layout) -> Exports:
    """The formats that lie in the run beside those of its recipe: they are kept up to date like those."""
    return _read(layout.exports, layout.final)


def of_folder(layout: Layout, folder: Path) -> Exports:
    """What was exported into a folder outside of the run."""
    return _read(layout.state / "exports" / fingerprint(str(folder.absolute())) / "exports.json", folder.absolute())


def elsewhere(layout: Layout) -> list[Exports]:
    """All folders outside of the run that hold packs of it."""
    records = sorted((layout.state / "exports").glob("*/exports.json"))
    return [_read(record, Path(_json(record)["folder"])) for record in records]


def packs_of(recipe: Recipe, layout: Layout) -> tuple[PackConfig, ...]:
    """The formats of the recipe, then those exported since that it does not name."""
    named = {pack.format for pack in recipe.pack}
    return (*recipe.pack, *(pack for pack in of_run(layout).packs if pack.format not in named))


def _read(record: Path, folder: Path) -> Exports:
    if not record.is_file():
        return Exports(record, folder)
    try:
        return Exports(record, folder, tuple(PackConfig.model_validate(entry) for entry in _json(record)["formats"]))
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{record}: is damaged ({error}); remove it and export again") from error


def _json(record: Path) -> dict[str, Any]:
    try:
        return json.loads(record.read_bytes())
    except ValueError as error:
        raise RunError(f"{record}: is damaged ({error}); remove it and export again") from error
