"""Formats asked for after a run, beside those of its recipe, and folders that packs of it were exported into."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sluice.errors import RunError
from sluice.run.packing import Place
from sluice.run.recipe import PackConfig, Recipe
from sluice.run.stored import is_url
from sluice.table.commit import write_json
from sluice.table.ids import fingerprint
from sluice.table.layout import Layout


@dataclass(frozen=True)
class Exports:
    """What was exported to one folder; `store` is its URL where that lies in a store, `folder` what is here of it."""

    record: Path  # the file that says so
    folder: Path
    packs: tuple[PackConfig, ...] = ()  # sorted by format
    store: str | None = None

    @property
    def named(self) -> str:
        """What people call the folder."""
        return self.store or str(self.folder)

    @property
    def place(self) -> Place:
        """Where its pack goes."""
        return Place(self.folder, self.record.with_name("receipts"), self.store)

    def adding(self, packs: Sequence[PackConfig]) -> Exports:
        """These and `packs`; a format that is named again is as it is named now."""
        formats = {pack.format: pack for pack in (*self.packs, *packs)}
        return replace(self, packs=tuple(formats[name] for name in sorted(formats)))

    def keep(self) -> None:
        """Commit it; where nothing was exported there is no such file."""
        if not self.packs:
            self.record.unlink(missing_ok=True)
            return
        packs = [pack.model_dump(mode="json") for pack in self.packs]
        write_json(self.record, {"folder": self.named, "formats": packs})


def of_run(layout: Layout) -> Exports:
    """The formats that lie in the run beside those of its recipe: they are kept up to date like those."""
    return _read(layout.exports, layout.final)


def of_folder(layout: Layout, folder: Path | str) -> Exports:
    """What was exported into a folder outside of the run, or behind a URL."""
    url = str(folder) if is_url(str(folder)) else None
    name = url or str(Path(folder).absolute())
    record = layout.state / "exports" / fingerprint(name) / "exports.json"
    return _read(record, record.with_name("pack") if url else Path(name), url)


def elsewhere(layout: Layout) -> list[Exports]:
    """All folders outside of the run that hold packs of it."""
    records = sorted((layout.state / "exports").glob("*/exports.json"))
    return [of_folder(layout, _json(record)["folder"]) for record in records]


def packs_of(recipe: Recipe, layout: Layout) -> tuple[PackConfig, ...]:
    """The formats of the recipe, then those exported since that it does not name."""
    named = {pack.format for pack in recipe.pack}
    return (*recipe.pack, *(pack for pack in of_run(layout).packs if pack.format not in named))


def _read(record: Path, folder: Path, store: str | None = None) -> Exports:
    if not record.is_file():
        return Exports(record, folder, (), store)
    try:
        packs = tuple(PackConfig.model_validate(entry) for entry in _json(record)["formats"])
        return Exports(record, folder, packs, store)
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{record}: is damaged ({error}); remove it and export again") from error


def _json(record: Path) -> dict[str, Any]:
    try:
        return json.loads(record.read_bytes())
    except ValueError as error:
        raise RunError(f"{record}: is damaged ({error}); remove it and export again") from error
