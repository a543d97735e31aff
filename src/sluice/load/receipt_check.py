"""`sluice receipt`: the receipts of a training held against its packs: every id as often as it is to be, or said.

A batch may have been served twice: by a process that was killed after its last checkpoint, and by the one that went on
from there. Of such only one is counted, and it is said which.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import RunError
from sluice.load.cache import DiskCache
from sluice.load.folder import PackFolder
from sluice.load.receipt import ORDER, PREFIX
from sluice.load.receipt_told import EpochReceipt, Odd, Receipt
from sluice.load.store import open_store
from sluice.table.duck import connect
from sluice.wording import counted

if TYPE_CHECKING:
    import duckdb

_MANY: Final = 1_000  # ids named of one epoch; past these only their number

_CHOSEN: Final = """
    CREATE TEMP TABLE batches AS
        SELECT epoch, step, world, rank, process, bool_or(last) AS last FROM rows WHERE kind = 'batch' GROUP BY ALL;
    CREATE TEMP TABLE chosen AS
        WITH worlds AS (
            SELECT epoch, step, world FROM batches GROUP BY epoch, step, world
            QUALIFY 1 = row_number()
                OVER (PARTITION BY epoch, step ORDER BY count(DISTINCT rank) / world DESC, world DESC))
        SELECT epoch, step, world, rank, max(process) AS process, bool_or(last) AS last
        FROM batches SEMI JOIN worlds USING (epoch, step, world) GROUP BY ALL;
    CREATE TEMP TABLE counted AS SELECT rows.* FROM rows SEMI JOIN chosen USING (epoch, step, world, rank, process);
"""
# A bad sample counts where it was wanted, its replacement does not; every rank tells of those that are too long.
_SERVED: Final = """
    CREATE TEMP TABLE served AS
        WITH told AS (SELECT epoch, step, min(rank) AS rank FROM chosen GROUP BY ALL),
        each AS (
            SELECT epoch, source, id, 1 AS times FROM counted WHERE kind = 'sample' AND id IS NOT NULL
            UNION ALL SELECT epoch, source, id, 1 FROM counted WHERE role = 'wanted'
            UNION ALL SELECT epoch, source, replaced_by, -1 FROM counted
                WHERE role = 'wanted' AND replaced_by IS NOT NULL
            UNION ALL SELECT epoch, source, id, 1 FROM counted SEMI JOIN told USING (epoch, step, rank)
                WHERE role = 'too_long')
        SELECT epoch, source, id, sum(times)::BIGINT AS times FROM each GROUP BY ALL;
"""
_ODD: Final = """
    WITH epochs AS (SELECT DISTINCT epoch FROM chosen),
    packs AS (SELECT source, sum(repeats) AS size FROM pack GROUP BY source),
    passes AS (
        SELECT epoch, source, size, coalesce(sum(times), 0)::BIGINT AS total
        FROM (SELECT * FROM epochs CROSS JOIN packs) LEFT JOIN served USING (epoch, source) GROUP BY ALL),
    bounds AS (
        SELECT epoch, source,
            CASE WHEN list_contains($exact, epoch) THEN 1 ELSE total // size END AS low,
            CASE WHEN list_contains($exact, epoch) THEN 1 ELSE (total + size - 1) // size END AS high
        FROM passes)
    SELECT epoch, source, id, coalesce(times, 0), coalesce(low * repeats, 0), coalesce(high * repeats, 0)
    FROM (SELECT epoch, source, id, repeats, low, high FROM bounds JOIN pack USING (source)) wanted
        FULL JOIN served USING (epoch, source, id)
    WHERE NOT coalesce(times BETWEEN low * repeats AND high * repeats, low * repeats = 0 AND times IS NULL, false)
    ORDER BY epoch, source, id
"""


def check_receipts(folder: Path, packs: Sequence[Path | str] = ()) -> Receipt:
    """Hold the receipts in `folder` against `packs`, in the order of the loader's; by default those it names."""
    files = _files(folder)
    order = _order(files)
    given = [str(pack) for pack in packs] or [pack["folder"] for pack in order["packs"]]
    if len(given) != len(order["packs"]):
        raise RunError(f"the loader read {counted(len(order['packs']), 'pack')}: give --pack as often, in their order")
    notes: list[str] = []
    with connect() as duck:
        duck.execute("CREATE TEMP TABLE rows AS SELECT * FROM read_parquet(?)", [[str(file) for file in files]])
        duck.execute(_CHOSEN)
        duck.execute(_SERVED)
        epochs = _epochs(duck)
        if packs or all(map(_is_there, given)):
            for source, (path, pack) in enumerate(zip(given, order["packs"], strict=True)):
                _add_pack(duck, source, path, pack, order["settings"]["packs"][source])
            odd, in_all, dropped = _odd(duck, epochs, order["settings"])
        else:
            odd, in_all, dropped = (), 0, 0
            notes.append("the packs are not where they were: give --pack to hold the ids against them")
        bad = _records(
            duck,
            "SELECT DISTINCT epoch, step, source, id, role, failure_class, failure, replaced_by FROM counted "
            "WHERE kind = 'bad' AND role != 'too_long' ORDER BY ALL",
        )
        too_long = len(_records(duck, "SELECT DISTINCT epoch, step, source, id FROM counted WHERE role = 'too_long'"))
    return Receipt(str(folder), tuple(given), epochs, odd, in_all, dropped, bad, too_long, tuple(notes))


def when_served(folder: Path, id: str) -> list[dict[str, Any]]:
    """Each time that a sample was served: epoch, step, rank, world, place and by which process."""
    files = [str(file) for file in _files(folder)]
    query = (
        "SELECT epoch, step, rank, world, place, source, process FROM read_parquet($files) "
        "WHERE kind = 'sample' AND id = $id ORDER BY ALL"
    )
    with connect() as duck:
        return list(_records(duck, query, {"files": files, "id": id}))


def _files(folder: Path) -> list[Path]:
    files = sorted(folder.glob(f"{PREFIX}*.parquet"))
    if not files:
        raise RunError(f"{folder}: there are no receipts; `loader.write_receipt(folder)` writes them")
    return files


def _order(files: Sequence[Path]) -> dict[str, Any]:
    """The packs and the settings that all the receipts have in common."""
    found: dict[str, Any] = {}
    for file in files:
        try:
            order = json.loads((pq.read_schema(file).metadata or {})[ORDER])
        except (OSError, pa.ArrowException, KeyError, ValueError) as error:
            raise RunError(f"{file} is no receipt ({error}): move it away") from error
        found = found or order
        if order["settings"] != found["settings"]:
            raise RunError(f"{file} is of a loader with other settings than {files[0]}: a folder for each training")
    return found


def _is_there(pack: str) -> bool:
    try:
        open_store(pack, DiskCache())
    except RunError:
        return False
    return True


def _add_pack(duck: duckdb.DuckDBPyConnection, source: int, path: str, pack: dict[str, str], known: str) -> None:
    """The ids of a pack and their repeats, in the table `pack`."""
    folder = PackFolder(path, pack["split"], pack["format"])
    if folder.fingerprint != known:
        raise RunError(f"{path} is not the pack that was served: its fingerprint is {folder.fingerprint}, not {known}")
    schema = pa.schema([("id", pa.string()), ("repeats", pa.int64())])

    def batches() -> Iterator[pa.RecordBatch]:
        for block in range(len(folder.blocks)):
            rows = folder.rows(block)
            repeats = np.bincount(folder.rows_taken(block), minlength=len(rows))
            ids = rows.column("id").combine_chunks()
            yield pa.record_batch([ids, pa.array(repeats.astype(np.int64))], schema=schema)

    duck.execute("CREATE TEMP TABLE IF NOT EXISTS pack (source INTEGER, id VARCHAR, repeats BIGINT)")
    duck.register("packed", pa.RecordBatchReader.from_batches(schema, batches()))
    duck.execute("INSERT INTO pack SELECT ?, id, repeats FROM packed", [source])
    duck.unregister("packed")


def _odd(
    duck: duckdb.DuckDBPyConnection, epochs: Sequence[EpochReceipt], settings: dict[str, Any]
) -> tuple[tuple[Odd, ...], int, int]:
    """The ids that were served too often or not often enough, how many, and how many were dropped by intent.

    A pack alone is served whole in each epoch. Of several, each is served in passes, one after the other, so that no id
    is a pass ahead of another.
    """
    alone = len(settings["packs"]) == 1 and settings["samples"] is None
    exact = [one.epoch for one in epochs if alone and one.ended]
    found = [Odd(*row) for row in duck.execute(_ODD, {"exact": exact}).fetchall()]
    dropped = 0
    if settings["last"] == "drop":
        for epoch in exact:
            here = [one for one in found if one.epoch == epoch]
            lacking = sum(one.least - one.times for one in here)
            if all(one.times < one.least for one in here) and lacking < settings["batch"]:
                dropped += lacking
                found = [one for one in found if one.epoch != epoch]
    return tuple(found[:_MANY]), len(found), dropped


def _epochs(duck: duckdb.DuckDBPyConnection) -> tuple[EpochReceipt, ...]:
    made: list[EpochReceipt] = []
    query = "SELECT epoch, max(step) AS top, count(DISTINCT step) AS steps, bool_or(last) AS ended FROM chosen"
    for epoch in _records(duck, f"{query} GROUP BY epoch ORDER BY epoch"):
        at = {"epoch": epoch["epoch"], "top": epoch["top"]}
        absent = _records(
            duck,
            "SELECT step FROM range(0, $top + 1) steps(step) ANTI JOIN "
            "(SELECT step FROM chosen WHERE epoch = $epoch) USING (step) ORDER BY step",
            at,
        )
        parts = _records(
            duck,
            "SELECT step, any_value(world) AS world, list(rank) AS there FROM chosen WHERE epoch = $epoch "
            "GROUP BY step HAVING count(*) < any_value(world) ORDER BY step",
            {"epoch": epoch["epoch"]},
        )
        twice = _records(
            duck,
            "SELECT batches.step, batches.rank, batches.world FROM batches ANTI JOIN chosen "
            "USING (epoch, step, world, rank, process) WHERE epoch = $epoch ORDER BY ALL",
            {"epoch": epoch["epoch"]},
        )
        ranks = duck.execute(
            "SELECT rank, count(*) FROM counted WHERE kind = 'sample' AND epoch = $epoch GROUP BY rank ORDER BY rank",
            {"epoch": epoch["epoch"]},
        ).fetchall()
        missing = [f"steps {runs}" for runs in _runs([row["step"] for row in absent])]
        lost = {
            (rank, row["world"], row["step"]) for row in parts for rank in set(range(row["world"])) - {*row["there"]}
        }
        again = {(row["rank"], row["world"], row["step"]) for row in twice}
        made.append(
            EpochReceipt(
                epoch["epoch"],
                epoch["steps"],
                sum(count for _, count in ranks),
                dict(ranks),
                bool(epoch["ended"]),
                (*missing, *_by_rank(lost)),
                tuple(_by_rank(again)),
            )
        )
    return tuple(made)


def _by_rank(parts: set[tuple[int, int, int]]) -> list[str]:
    """Ranks, worlds and steps as text.

    >>> _by_rank({(1, 4, 7), (1, 4, 8), (0, 2, 9)})
    ['rank 0 of 2: steps 9', 'rank 1 of 4: steps 7-8']
    """
    return [
        f"rank {rank} of {world}: steps {', '.join(_runs([step for _, _, step in group]))}"
        for (rank, world), group in groupby(sorted(parts), key=lambda part: part[:2])
    ]


def _runs(steps: Sequence[int]) -> list[str]:
    """Numbers in ascending order as runs: `3-5`, `9`."""
    runs: list[list[int]] = []
    for step in steps:
        if runs and step == runs[-1][1] + 1:
            runs[-1][1] = step
        else:
            runs.append([step, step])
    return [str(first) if first == end else f"{first}-{end}" for first, end in runs]


def _records(duck: duckdb.DuckDBPyConnection, query: str, values: Any = None) -> tuple[dict[str, Any], ...]:
    found = duck.execute(query, values) if values is not None else duck.execute(query)
    names = [one[0] for one in found.description or ()]
    return tuple(dict(zip(names, row, strict=True)) for row in found.fetchall())
