"""00_raw: what the sources hold, cut into units. No media byte is read or copied, but what lies behind a list of URLs.

Ingest is cheap and deterministic, so a killed one starts over. A source that changed is ingested again; units
whose rows or files changed lose their measurements, all others keep them.
"""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from sluice.run.fetching import Tell, fetch_sources, silent
from sluice.run.recipe import Recipe, RecipeFile
from sluice.run.seen_ids import SeenIds
from sluice.run.stage import LawOfCounts, done, finish, reopen
from sluice.run.takedown import blank_unit, taken_down
from sluice.sources.base import Item, RawSample, Source
from sluice.sources.open import open_source
from sluice.table.commit import piece_writer, table_writer, write_bytes, write_table
from sluice.table.duck import connect
from sluice.table.ids import fingerprint, fingerprint_of, sample_id
from sluice.table.layout import CHECKED, FILTERED, RAW, Layout
from sluice.table.memory import give_back
from sluice.table.read import read_table
from sluice.table.schema import ITEMS, SAMPLES, VERDICTS

_FILES: Final = 8_192  # held at a time as Python's own objects, which take ten times a column's room
_LOOKED_UP: Final = 1_024  # ids at a time
_STAMPS = pa.schema([("uri", pa.string()), ("size", pa.int64()), ("stamp", pa.string())])


def ingest(file: RecipeFile, layout: Layout, tell: Tell = silent) -> None:
    """Bring 00_raw up to date with the sources."""
    for _ in ingesting(file, layout, tell):
        pass


def ingesting(file: RecipeFile, layout: Layout, tell: Tell = silent) -> Sequence[int] | Iterator[int]:
    """Bring 00_raw up to date; its units, each from the moment on that it can be measured.

    A sequence means that there was nothing to do. Else the stage is done when the iterator has come to its end.
    """
    started = time.perf_counter()
    fetch_sources(file, layout, tell)
    sources = [open_source(config, file.base, layout.fetched) for config in file.recipe.sources]
    stamps = _stamps(sources)
    name = _fingerprint(file.recipe, sources, stamps)
    if done(layout, RAW, name) and _same_stamps(layout, stamps):
        return range(unit_count(layout))
    reopen(layout, RAW)
    _forget_changed(layout, stamps)
    _write_stamps(layout, stamps)
    return _writing(sources, file.recipe.unit, layout, name, time.perf_counter() - started)


def _writing(sources: Sequence[Source], size: int, layout: Layout, name: str, spent: float) -> Iterator[int]:
    """Write unit after unit, then the stage's record; `spent` counts the seconds before, others' do not count."""
    give_back()  # what listing the files took
    written = _Written()
    gone = set(taken_down(layout))
    with piece_writer(layout.verdicts(RAW), VERDICTS) as writer:
        blocks = enumerate(_blocks(_unique(sources), size))
        while True:
            started = time.perf_counter()
            number, block = next(blocks, (None, []))
            if number is None:
                break
            unit = _UnitTables(block, number)
            _write_unit(layout, number, *blank_unit(unit.samples, unit.items, gone))
            writer.write(written.add(unit, block))
            spent += time.perf_counter() - started
            yield number
    for extra in range(written.units, unit_count(layout)):
        forget_unit(layout, extra)
        layout.samples(extra).unlink()
        layout.items(extra).unlink()
    finish(layout, RAW, name, written.facts(layout), {"ingest": spent + time.perf_counter() - started})


def unit_count(layout: Layout) -> int:
    """How many units 00_raw has."""
    return len(list((layout.root / RAW / "samples").glob("unit-*.parquet")))


def _fingerprint(recipe: Recipe, sources: Sequence[Source], stamps: pa.Table) -> str:
    configs = [config.model_dump_json() for config in recipe.sources]
    listing = fingerprint_of(
        f"{uri} {size}"
        for batch in stamps.to_batches(max_chunksize=_FILES)
        for uri, size in zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True)
    )
    return fingerprint("ingest/1", str(recipe.unit), *(source.name for source in sources), *configs, listing)


def _stamps(sources: Iterable[Source]) -> pa.Table:
    files = (file for source in sources for file in source.files())
    batches: list[pa.RecordBatch] = []
    while some := list(islice(files, _FILES)):
        columns = [file.uri for file in some], [file.size for file in some], [file.stamp for file in some]
        batches.append(pa.record_batch(list(map(pa.array, columns, _STAMPS.types)), schema=_STAMPS))
    return pa.Table.from_batches(batches, _STAMPS)  # not as one piece: of many files that is twice the room


def _stamp_file(layout: Layout) -> Path:
    return layout.state / "stamps.parquet"


def _same_stamps(layout: Layout, stamps: pa.Table) -> bool:
    path = _stamp_file(layout)
    return path.is_file() and read_table(path).equals(stamps)


def _write_stamps(layout: Layout, stamps: pa.Table) -> None:
    write_table(_stamp_file(layout), stamps)


def _forget_changed(layout: Layout, stamps: pa.Table) -> None:
    """Remove the measurements of units that hold a file which is not what it was."""
    old_file = _stamp_file(layout)
    if not old_file.is_file() or not unit_count(layout):
        return
    with connect() as duck:
        duck.register("new", stamps)
        duck.register("old", read_table(old_file))
        changed = duck.sql(
            "SELECT old.uri FROM old JOIN new USING (uri) "
            "WHERE (old.size, old.stamp) IS DISTINCT FROM (new.size, new.stamp)"
        ).to_arrow_table()
        if not changed.num_rows:
            return
        duck.register("changed", changed)
        for unit in range(unit_count(layout)):
            items = read_table(layout.items(unit), columns=["uri"])
            duck.register("items", items)
            if duck.execute("SELECT 1 FROM items SEMI JOIN changed USING (uri) LIMIT 1").fetchall():
                forget_unit(layout, unit)


def forget_unit(layout: Layout, unit: int) -> None:
    """Remove every measurement of a unit and what was derived from them.

    The fingerprints of what is derived name files by place and size: a file changed in place they do not tell.
    """
    known = [path for measure in layout.measures().glob("*") if (path := layout.measured(measure.name, unit)).is_file()]
    if not known:
        return
    receipts = (layout.state / "receipts").rglob("*.parquet")
    of_corpus = [path for stage in (FILTERED, CHECKED) for path in layout.corpus("any", stage).parent.glob("*.parquet")]
    for path in (*receipts, *of_corpus, layout.rows, *known):
        path.unlink(missing_ok=True)


class _Written:
    """What the units written so far hold."""

    def __init__(self) -> None:
        self.units = 0
        self._law = LawOfCounts()
        self._totals: Counter[str] = Counter()
        self._by_source: Counter[str] = Counter()

    def add(self, unit: _UnitTables, block: Sequence[tuple[str, str, RawSample]]) -> pa.Table:
        """Count a unit in; its verdicts."""
        self.units += 1
        self._totals += unit.totals
        self._by_source += Counter(source for source, _, _ in block)
        (verdicts,) = self._law.counting([unit.verdicts])
        return verdicts

    def facts(self, layout: Layout) -> dict[str, Any]:
        """What `stage.json` says, when the verdicts are written."""
        totals = self._totals
        return {
            **self._law.checked(layout.verdicts(RAW), sum(self._by_source.values()), RAW),
            "units": self.units,
            **{name: totals[name] for name in ("images", "texts", "bytes")},
            "sources": dict(self._by_source),
            "failures": {name.removeprefix("failure:"): n for name, n in sorted(totals.items()) if ":" in name},
        }


def _unique(sources: Iterable[Source]) -> Iterator[tuple[str, str, RawSample]]:
    """(source, key, sample); a key that its source repeats gets `~2`, `~3`, ... so that no sample hides another."""
    seen = SeenIds()
    for source in sources:
        samples = source.samples()
        while some := list(islice(samples, _LOOKED_UP)):
            seen.settle()
            digests = [_digest(source, sample.key) for sample in some]
            for sample, digest, known in zip(some, digests, seen.among(digests), strict=True):
                key = sample.key if not known and seen.add(digest) else _renamed(source, sample.key, seen)
                yield source.name, key, sample


def _renamed(source: Source, key: str, seen: SeenIds) -> str:
    """The first of `key~2`, `key~3`, ... that was not seen, from now on it is."""
    for repeat in count(2):
        name = f"{key}~{repeat}"
        digest = _digest(source, name)
        if not any(seen.among([digest])) and seen.add(digest):
            return name
    raise AssertionError("counting ends nowhere")


def _digest(source: Source, key: str) -> bytes:
    return bytes.fromhex(sample_id(source.name, key))


def _blocks(samples: Iterator[tuple[str, str, RawSample]], size: int) -> Iterator[list[tuple[str, str, RawSample]]]:
    block: list[tuple[str, str, RawSample]] = []
    for sample in samples:
        block.append(sample)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block


class _UnitTables:
    """The tables of one unit."""

    def __init__(self, block: Sequence[tuple[str, str, RawSample]], unit: int) -> None:
        self.totals: Counter[str] = Counter()
        samples: list[tuple[Any, ...]] = []
        items: list[tuple[Any, ...]] = []
        verdicts: list[tuple[Any, ...]] = []
        for source, key, sample in block:
            identity = sample_id(source, key)
            samples.append(_sample_values(identity, source, key, sample))
            verdicts.append(_raw_verdict(identity, unit, sample))
            if sample.failure:
                self.totals[f"failure:{sample.failure[0]}"] += 1
                continue  # a sample that is not whole has no items to measure
            for place, item in enumerate(sample.items):
                items.append(_item_values(identity, place, item))
                self.totals["images" if item.kind == "image" else "texts"] += 1
                if item.ref is not None and item.ref.size:
                    self.totals["bytes"] += item.ref.size
        self.samples = _table(samples, SAMPLES)
        self.items = _table(items, ITEMS)
        self.verdicts = _table(verdicts, VERDICTS)


def _table(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ((),) * len(schema)
    return pa.table(
        [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)], schema=schema
    )


def _sample_values(identity: str, source: str, key: str, sample: RawSample) -> tuple[Any, ...]:
    rights = sample.rights
    failure_class, message = sample.failure or (None, None)
    return (
        identity,
        key,
        source,
        rights.licence,
        rights.author,
        rights.source_url,
        rights.fetched,
        rights.dataset,
        _json(sample.meta),
        failure_class,
        message,
    )


def _item_values(identity: str, place: int, item: Item) -> tuple[Any, ...]:
    ref = item.ref
    where = (ref.container, ref.uri, ref.member, ref.offset, ref.size) if ref else (None, None, None, None, None)
    return (identity, place, item.kind, item.role, item.text, *where, item.language, item.weight, _json(item.meta))


def _raw_verdict(identity: str, unit: int, sample: RawSample) -> tuple[Any, ...]:
    if sample.failure is None:
        return (identity, unit, "kept", [], [], None, None, [])
    failure_class, message = sample.failure
    values = json.dumps({"class": failure_class, "message": message}, ensure_ascii=False)
    reason = {"rule": failure_class, "effect": "failed", "item": None, "values": values}
    return (identity, unit, "failed", [failure_class], [reason], None, None, [])


def _json(value: dict[str, Any] | None) -> str | None:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str) if value else None


def _write_unit(layout: Layout, unit: int, samples: pa.Table, items: pa.Table) -> None:
    """Commit a unit; if it is not what it was, its measurements go first."""
    new = {layout.samples(unit): _parquet(samples), layout.items(unit): _parquet(items)}
    if all(path.is_file() and path.read_bytes() == data for path, data in new.items()):
        return
    forget_unit(layout, unit)
    for path, data in new.items():
        write_bytes(path, data)


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    with table_writer(buffer, table.schema) as writer:
        writer.write_table(table)
    return buffer.getvalue()
