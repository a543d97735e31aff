"""`sluice index`: a manifest for tars that others wrote, from their headers alone, so that the loader reads them.

What was found in a shard is kept beside the manifest and asked again while size and time of the shard stay the same:
a killed or a later index scans what it has not seen.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import RunError
from sluice.load.foreign import sample_id
from sluice.load.scanning import Asked, Refusal, Scanned, scan
from sluice.models.tokenizer import load_tokenizer
from sluice.pack.manifest import INDEXED, MANIFEST_FILE, write_manifest
from sluice.sources.base import SourceFile
from sluice.sources.listing import walk
from sluice.sources.names import Names
from sluice.sources.paths import default_name, key_of
from sluice.table.commit import commit, table_writer, write_table
from sluice.table.compute import pc
from sluice.table.schema import MANIFEST
from sluice.wording import counted

REFUSED_FILE: Final = "refused.parquet"
SPLIT: Final = "train"
_KEPT: Final = ".sluice-index"  # a hidden folder: what was found in each shard
_FACTS: Final = b"sluice.shard"
_VERSION: Final = "2"  # of a scan: raised when the same tar would give other rows
_THREADS: Final = 8
_SHOWN: Final = 20
_OTHER_SPLIT: Final = re.compile(r"(?<![a-z])(val|valid|validation|test|dev|eval)(?![a-z])", re.IGNORECASE)
_REFUSED: Final = pa.schema([(name, pa.string()) for name in ("shard", "key", "failure_class", "failure")])


@dataclass(frozen=True)
class Indexed:
    """What was found below a folder."""

    folder: Path  # that has the manifest
    shards: int
    scanned: int  # of them, those that were not known, or have changed
    samples: Mapping[str, int]  # by split
    refused: tuple[tuple[str, Refusal], ...]
    prefixed: bool  # whether ids are shard and key, since keys come back
    notes: tuple[str, ...]

    @property
    def fine(self) -> bool:
        """Whether nothing was refused."""
        return not self.refused

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        refused = [
            {"shard": shard, "key": key, "class": kind, "message": said} for shard, (key, kind, said) in self.refused
        ]
        return {**vars(self), "folder": str(self.folder), "refused": refused, "fine": self.fine}

    def __str__(self) -> str:
        splits = ", ".join(f"{name}: {count:,}" for name, count in self.samples.items())
        lines = [
            f"{counted(sum(self.samples.values()), 'sample')} ({splits}) in {counted(self.shards, 'shard')}, "
            f"{self.scanned:,} of them scanned now; ids are {'SHARD/KEY' if self.prefixed else 'the keys'}",
            *self.notes,
        ]
        if self.refused:
            lines.append(f"{self.folder / REFUSED_FILE} has {len(self.refused):,} refused:")
            lines += [f"  {kind}: {said}" for _, (_, kind, said) in self.refused[:_SHOWN]]
            lines += [f"  and {len(self.refused) - _SHOWN:,} more"] if len(self.refused) > _SHOWN else []
        lines.append(f"now: sluice.Loader({str(self.folder)!r}, batch=256)")
        return "\n".join(lines)


def index_tars(
    folder: Path | str,
    into: Path | None = None,
    *,
    splits: Sequence[tuple[str, str]] = (),
    measure: bool = False,
    tokenizer: Path | None = None,
    pattern: str | None = None,
) -> Indexed:
    """Write a manifest of the tars below `folder` (a path or a URL) into it, or into the folder `into`.

    `splits` are names and patterns of shards, the first that fits counts; what none fits is `train`. `measure` reads
    the headers of images, `tokenizer` counts the tokens of captions: what budgets of tokens need.
    """
    root = str(folder).rstrip("/") if "://" in str(folder) else str(Path(folder).absolute())
    place = _place(root, into)
    inside = root == str(place)
    asked = Asked(measure, load_tokenizer(tokenizer, pattern) if tokenizer else None)
    counted_by = f"{hashlib.sha256(tokenizer.read_bytes()).hexdigest()} {pattern}" if tokenizer else None
    depth = {"measure": measure, "tokens": counted_by}
    files = sorted((one for one in walk(root) if one.uri.lower().endswith(".tar")), key=lambda one: one.uri)
    if not files:
        raise RunError(f"{root}: there are no tars (.tar) below it")
    shards = [_Shard(file, key_of(file.uri, root), inside, place, default_name(root, "webdataset")) for file in files]
    with ThreadPoolExecutor(_THREADS) as pool:
        states = list(pool.map(lambda shard: shard.brought_up_to_date(asked, depth), shards))
    _forget_others(place, shards)
    refused = [(shard.name, one) for shard, state in zip(shards, states, strict=True) for one in state.refused]
    ordered = sorted(((_split(shard.name, splits), shard) for shard in shards), key=lambda one: (one[0], one[1].called))
    prefixed = _come_back(shards)
    samples: dict[str, int] = {}

    def tables() -> Iterator[pa.Table]:
        for split, shard in ordered:
            rows = shard.rows()
            if len(rows):
                samples[split] = samples.get(split, 0) + len(rows)
                yield _named(rows, split, shard.name if prefixed else None)

    found = sum(state.samples for state in states)
    _keep_refused(place, refused)
    if not found:
        first = f" ({refused[0][1][2]})" if refused else ""
        raise RunError(f"{root}: no sample in {counted(len(files), 'tar')}{first}")
    write_manifest(place, tables(), {INDEXED: json.dumps({"version": _VERSION}).encode()})
    scanned = sum(state.scanned for state in states)
    return Indexed(place, len(files), scanned, samples, tuple(refused), prefixed, _notes(shards, splits))


@dataclass(frozen=True)
class _State:
    scanned: bool
    samples: int
    refused: tuple[Refusal, ...]


@dataclass(frozen=True)
class _Shard:
    file: SourceFile
    name: str  # below the root
    inside: bool  # whether the manifest lies in the root
    place: Path
    source: str

    @property
    def called(self) -> str:
        """What the manifest calls it: a path below its own folder, or a whole one."""
        return self.name if self.inside else self.file.uri

    @property
    def kept(self) -> Path:
        return self.place / _KEPT / f"{self.name}.parquet"

    def brought_up_to_date(self, asked: Asked, depth: Mapping[str, Any]) -> _State:
        """What is known of it, scanned where it has changed or less is known than asked."""
        now = {"version": _VERSION, "called": self.called, "size": self.file.size, "stamp": self.file.stamp}
        before = self._facts()
        same = all(before.get(name) == value for name, value in now.items()) and bool(self.file.stamp)
        if same and all(not wanted or before.get(name) == wanted for name, wanted in depth.items()):
            return _State(False, before["samples"], tuple((one[0], one[1], one[2]) for one in before["refused"]))
        if self.file.uri.startswith("file://"):
            said = f"{self.file.uri}: its name is not valid UTF-8; rename it"
            found = Scanned(MANIFEST.empty_table(), ((None, "io", said),))
        else:
            found = scan(self.file.uri, self.called, self.source, asked)
        facts = {**now, **depth, "samples": len(found.rows), "refused": found.refused}
        rows = found.rows.replace_schema_metadata({_FACTS: json.dumps(facts).encode()})
        with commit(self.kept) as partial, table_writer(partial, rows.schema) as writer:
            writer.write_table(rows)
        return _State(True, len(found.rows), found.refused)

    def rows(self) -> pa.Table:
        """Its rows, without a split."""
        return pq.read_table(self.kept).replace_schema_metadata(None)

    def all_keys(self) -> list[str]:
        """The keys of its samples, and nothing else of the rows."""
        return pq.read_table(self.kept, columns=["key"]).column("key").to_pylist()

    def _facts(self) -> dict[str, Any]:
        try:
            return json.loads((pq.read_metadata(self.kept).metadata or {})[_FACTS])
        except (OSError, pa.ArrowException, KeyError, ValueError):  # not there, or not whole: scanned again
            return {}


def _place(root: str, into: Path | None) -> Path:
    if into is None and "://" in root:
        raise RunError(f"{root}: give --into FOLDER, a folder on this machine that the manifest goes into")
    place = Path(root) if into is None else into.absolute()
    if into is None and not place.is_dir():
        raise RunError(f"{root}: no such folder")
    if place.is_dir() and not os.access(place, os.W_OK):
        raise RunError(f"{place} is read-only or not yours: give --into FOLDER, which the manifest goes into")
    manifest = place / MANIFEST_FILE
    if manifest.exists():
        try:
            ours = INDEXED in (pq.read_schema(manifest).metadata or {})
        except (OSError, pa.ArrowException):
            ours = False
        if not ours:
            raise RunError(f"{manifest} is there already and no index: a pack needs none; else give --into FOLDER")
    return place


def _come_back(shards: Sequence[_Shard]) -> bool:
    """Whether a key is in two shards; hashes say which may be, the keys themselves whether they are."""
    names = Names()
    for shard in shards:
        for key in shard.all_keys():
            names.add(key)
    names.seal()
    if not names.any_repeated:
        return False
    seen: set[str] = set()
    for shard in shards:
        for key in shard.all_keys():
            if names.is_repeated(key):
                if key in seen:
                    return True
                seen.add(key)
    return False


def _named(rows: pa.Table, split: str, shard: str | None) -> pa.Table:
    """The rows with their split, and with the shard in the id where one is given."""
    changed = {"split": pa.repeat(pa.scalar(split), len(rows))}
    if shard is not None:
        prefix = pa.scalar(sample_id(shard, ""))
        changed["id"] = pc.binary_join_element_wise(prefix, rows.column("key"), "")
    return pa.table([changed.get(name, rows.column(name)) for name in MANIFEST.names], schema=MANIFEST)


def _split(name: str, splits: Sequence[tuple[str, str]]) -> str:
    return next((split for split, pattern in splits if fnmatchcase(name, pattern)), SPLIT)


def _notes(shards: Sequence[_Shard], splits: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    names = [shard.name for shard in shards]
    unused = [f"{split}={pattern}" for split, pattern in splits if not any(fnmatchcase(one, pattern) for one in names)]
    odd = [one for one in names if _split(one, splits) == SPLIT and _OTHER_SPLIT.search(one)]
    notes = [f"no shard fits --split {one}" for one in unused]
    if odd:
        notes.append(
            f"{counted(len(odd), 'shard')} of the split {SPLIT} look like another ({odd[0]}): "
            "say so by --split val='*val*'"
        )
    return tuple(notes)


def _keep_refused(place: Path, refused: Sequence[tuple[str, Refusal]]) -> None:
    path = place / REFUSED_FILE
    if refused:
        rows = [dict(zip(_REFUSED.names, (shard, *one), strict=True)) for shard, one in refused]
        write_table(path, pa.Table.from_pylist(rows, _REFUSED))
    else:
        path.unlink(missing_ok=True)


def _forget_others(place: Path, shards: Sequence[_Shard]) -> None:
    """Remove what is kept of shards that are gone."""
    kept = {shard.kept for shard in shards}
    for path in (place / _KEPT).rglob("*.parquet"):
        if path not in kept:
            path.unlink()
