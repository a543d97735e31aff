"""Proving a pack: every shard re-read, every member against the manifest, every format against the others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final, TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import RunError
from sluice.pack.base import is_shard
from sluice.pack.checks import Problem, ShardCheck, check_shard
from sluice.pack.formats import index_of
from sluice.pack.held import Shards, ShardsHere
from sluice.pack.indexes import files_beside, index_problems
from sluice.pack.listed import Listed
from sluice.pack.manifest import MANIFEST_FILE, read_checksums
from sluice.table.duck import connect
from sluice.table.schema import MANIFEST

Progress: TypeAlias = Callable[[int, int], None]  # shards checked, shards in all

MANY: Final = 1_000  # problems of one kind said one by one; past these only their number


@dataclass(frozen=True)
class VerifyReport:
    """What re-reading a pack found."""

    shards: int
    samples: int  # rows of the manifest: a sample counts once a format
    bytes: int  # of the shards
    problems: tuple[Problem, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(folder: Path, progress: Progress | None = None, held: Shards | None = None) -> VerifyReport:
    """Check the pack in `folder` (a run's `04_final/`), one shard after the other; `held` says where its shards lie.

    To check shards side by side, map `check_shard` over `shard_checks(folder)` and add what `check_pack(folder)`
    finds. RunError where there is no readable manifest or no checksums: there is nothing to check against.
    """
    held = held or ShardsHere(folder)
    sizes = held.sizes()
    problems = check_pack(folder, sizes)
    total = sum(map(is_shard, read_checksums(folder)))
    shards = samples = size = 0
    for check in shard_checks(folder):
        with held.lent(check.shard) as place:
            problems += check_shard(replace(check, folder=place))
        shards += 1
        samples += check.rows.num_rows
        size += sizes.get(check.shard, 0)
        if progress:
            progress(shards, max(shards, total))
    return VerifyReport(shards, samples, size, tuple(problems))


def shard_checks(folder: Path) -> Iterator[ShardCheck]:
    """A check for every shard that the manifest or the checksums name; the manifest is streamed."""
    checksums = read_checksums(folder)
    seen: set[str] = set()
    for shard, rows in _rows_by_shard(folder / MANIFEST_FILE):
        seen.add(shard)
        yield ShardCheck(folder, shard, rows, checksums.get(shard))
    for shard in sorted(set(filter(is_shard, checksums)) - seen):  # a shard whose samples were all taken down
        yield ShardCheck(folder, shard, MANIFEST.empty_table(), checksums[shard])


def check_pack(folder: Path, sizes: Mapping[str, int] | None = None) -> list[Problem]:
    """What no single shard can tell: strange files, ids missing or twice, formats that differ, splits that leak.

    `sizes` of the files that the pack holds, where these do not all lie in `folder`.
    """
    sizes = ShardsHere(folder).sizes() if sizes is None else sizes
    checksums = read_checksums(folder)
    beside = _beside(folder, checksums)
    problems = [
        Problem(name, None, "its SHA-256 is not the one written down, or it is missing")
        for name, digest in checksums.items()
        if not is_shard(name) and (beside.get(name) or _sha256(folder / name)) != digest
    ]
    strange = sorted(sizes.keys() - checksums.keys())
    problems += [Problem(name, None, "SHA256SUMS does not name it") for name in strange]
    formats = sorted({name.partition("/")[0] for name in checksums if is_shard(name)})
    problems += _check_manifest(folder / MANIFEST_FILE, formats)
    return problems + _check_indexes(folder, checksums, sizes, formats)


def _beside(folder: Path, checksums: Mapping[str, str]) -> dict[str, str]:
    """The SHA-256 of files beside shards, as the shards name them: `check_shard` holds the files against these."""
    found: dict[str, str] = {}
    for name in filter(is_shard, checksums):
        with suppress(OSError, KeyError, TypeError, ValueError):  # a damaged shard, which its own check names
            found.update(files_beside(folder, name))
    return found


def _check_indexes(
    folder: Path, checksums: Mapping[str, str], sizes: Mapping[str, int], formats: list[str]
) -> list[Problem]:
    """The files that list shards, made again from the shards and compared."""
    listing = [format for format in formats if index_of(format) is not None]
    listed: dict[str, list[Listed]] = {format: [] for format in listing}
    for name in sorted(filter(is_shard, checksums)):
        format = name.partition("/")[0]
        if format in listing and name in sizes:
            rows = partial(_rows_of, folder / MANIFEST_FILE, name)
            listed[format].append(Listed(name, rows().num_rows, sizes[name], checksums[name], rows))
    problems: list[Problem] = []
    for format, shards in listed.items():
        try:
            problems += [Problem(name, None, what) for name, what in index_problems(folder, format, shards)]
        except (OSError, KeyError, TypeError, ValueError) as error:
            problems.append(Problem(format, None, f"its shards cannot be listed: {type(error).__name__}: {error}"))
    return problems


def _rows_of(manifest: Path, shard: str) -> pa.Table:
    return pq.read_table(manifest, schema=MANIFEST, filters=[("shard", "=", shard)])


def _rows_by_shard(path: Path) -> Iterator[tuple[str, pa.Table]]:
    shard, waiting = "", [MANIFEST.empty_table()]
    try:
        batches = pq.ParquetFile(path).iter_batches(columns=MANIFEST.names)
        for batch in batches:
            table = pa.Table.from_batches([batch])
            for name in set(MANIFEST.names) - set(table.column_names):  # a manifest of an earlier version
                table = table.append_column(MANIFEST.field(name), pa.nulls(len(table), MANIFEST.field(name).type))
            table = table.select(MANIFEST.names).cast(MANIFEST)
            start = 0
            for name, run in groupby(table["shard"].to_pylist()):
                if name != shard and shard:
                    yield shard, pa.concat_tables(waiting)
                    waiting = []
                shard, rows = name, sum(1 for _ in run)
                waiting.append(table.slice(start, rows))
                start += rows
    except (OSError, pa.ArrowException) as error:
        raise _no_manifest(path, error) from error
    if shard:
        yield shard, pa.concat_tables(waiting)


_QUERIES: Final = {
    "is packed twice in a format": """
        SELECT id, shard || ' and ' || other AS told FROM (
            SELECT id, min(shard) AS shard, max(shard) AS other FROM manifest
            GROUP BY format, id HAVING count(*) > 1)""",
    "is missing from a format": """
        SELECT id, 'it is only in ' || string_agg(DISTINCT format, ', ' ORDER BY format) AS told FROM manifest
        GROUP BY id HAVING count(DISTINCT format) < ?""",
    "is in more than one split": """
        SELECT id, string_agg(DISTINCT split, ', ' ORDER BY split) AS told FROM manifest
        GROUP BY id HAVING count(DISTINCT split) > 1""",
    "has its cluster in more than one split": """
        SELECT min(id) AS id, 'cluster ' || cluster || ' is in '
            || string_agg(DISTINCT split, ', ' ORDER BY split) AS told FROM manifest
        WHERE cluster IS NOT NULL GROUP BY cluster HAVING count(DISTINCT split) > 1""",
    "is not at the same place in every format": """
        SELECT any_value(id) AS id, split || ', place ' || place AS told FROM (
            SELECT id, split,
                row_number() OVER (PARTITION BY format, split ORDER BY shard, "index") - 1 AS place FROM manifest)
        GROUP BY split, place HAVING count(DISTINCT id) > 1 ORDER BY split, place""",
    "is to be taken less than once": """
        SELECT min(id) AS id, 'repeats ' || coalesce(repeats::VARCHAR, 'null') || ', weight '
            || coalesce(weight::VARCHAR, 'null') AS told FROM manifest
        WHERE NOT coalesce(repeats >= 1 AND weight > 0 AND isfinite(weight), false) GROUP BY id, repeats, weight""",
    "has not the same weight and repeats in every format": """
        SELECT id, string_agg(DISTINCT weight || ' x ' || repeats, ', ') AS told FROM manifest
        GROUP BY id HAVING count(DISTINCT (weight, repeats)) > 1""",
    "is out of order in the manifest": """
        SELECT id, shard AS told FROM (
            SELECT *, lag((format, split, shard, "index")) OVER (ORDER BY file_row_number) AS before FROM manifest)
        WHERE before >= (format, split, shard, "index")""",
}


def _check_manifest(path: Path, formats: list[str]) -> list[Problem]:
    problems: list[Problem] = []
    try:
        with connect() as connection:
            source = connection.read_parquet(str(path), file_row_number=True)
            source.create_view("manifest")
            for what, query in _QUERIES.items():
                if what.startswith("is not at the same place") and problems:
                    continue  # one id missing moves all that follow: said already
                parameters = [len(formats)] if "?" in query else []
                found = connection.execute(f"SELECT *, count(*) OVER () FROM ({query}) LIMIT {MANY}", parameters)
                rows = found.fetchall()
                problems += [Problem(MANIFEST_FILE, id, f"{what}: {told}") for id, told, _ in rows]
                if rows and rows[0][2] > MANY:
                    problems.append(Problem(MANIFEST_FILE, None, f"{rows[0][2] - MANY:,} more: {what}"))
    except duckdb.Error as error:
        raise _no_manifest(path, error) from error
    return problems


def _no_manifest(path: Path, error: Exception) -> RunError:
    return RunError(f"{path} is no manifest ({error}): the pack is not finished or damaged; run it again")


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None
