"""Receipts on disk: what a training was served, over kills, resumes and other numbers of ranks, against its packs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.errors import RunError
from sluice.load.decode import Pixels
from sluice.load.loader import Loader
from sluice.load.receipt_check import check_receipts
from sluice.load.receipt_told import Receipt
from sluice.pack.manifest import MANIFEST_FILE, read_manifest
from support.commands import cli


def serve(packs: Any, folder: Path, steps: int | None, state: Any = None, world: int = 1, **settings: Any) -> Any:
    """Ranks that each serve so many steps of the epoch at hand and write their receipt; the state then."""
    for rank in range(world):
        loader = Loader(packs, 4, window=8, rank=rank, world=world, **settings)
        if state is not None:
            loader.load_state_dict(state)
        for number, _ in enumerate(loader, 1):
            if number == steps:
                break
        loader.write_receipt(folder)
        assert loader.write_receipt(folder) is None  # nothing new
    return loader.state_dict()  # pyright: ignore[reportPossiblyUnboundVariable]


def change(folder: Path, keep: Any) -> None:
    """Receipts whose rows were tampered with: `keep` says of each row whether it stays."""
    for path in folder.glob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.filter(pa.array([keep(row) for row in table.to_pylist()])), path)


@settings(deadline=None, max_examples=8)
@given(
    stops=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(1, 3)), max_size=3),
    world=st.integers(1, 5),
)
def test_over_kills_and_resumes_on_other_ranks_every_id_is_there_once(
    packs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory, stops: Any, world: int
) -> None:
    folder = tmp_path_factory.mktemp("receipts")
    state, again = None, 0
    for steps, lost, ranks in stops:
        state = serve(packs[0], folder, steps, state, ranks)
        if lost and state["epoch"] == 0:  # killed after `lost` steps that no checkpoint has
            loader = Loader(packs[0], 4, window=8)
            loader.load_state_dict(state)
            done = sum(1 for _ in zip(range(lost), loader, strict=False))
            loader.write_receipt(folder)
            again += done
        assert check_receipts(folder).fine
        if state["epoch"]:
            return
    serve(packs[0], folder, None, state, world)
    found = check_receipts(folder)
    assert found.fine, str(found)
    (epoch,) = found.epochs[:1]
    assert (epoch.ended, epoch.samples, epoch.steps) == (True, 22, 6)
    assert bool(epoch.twice) == bool(again)


def checked(folder: Path, packs: Sequence[Path] = ()) -> Receipt:
    found = check_receipts(folder, packs)
    assert found.to_json()["fine"] == found.fine
    return found


def test_what_was_served_twice_or_never_is_named(packs: tuple[Path, Path], tmp_path: Path) -> None:
    serve(packs[0], tmp_path / "whole", None, world=2)
    for name in ("lost", "rank", "swapped"):
        shutil.copytree(tmp_path / "whole", tmp_path / name)
    change(tmp_path / "lost", lambda row: row["step"] not in (2, 3))
    assert checked(tmp_path / "lost").epochs[0].missing == ("steps 2-3",)
    assert checked(tmp_path / "lost").odd_in_all == 8
    change(tmp_path / "rank", lambda row: (row["step"], row["rank"]) != (4, 1))
    assert checked(tmp_path / "rank").epochs[0].missing == ("rank 1 of 2: steps 4",)
    path = next((tmp_path / "swapped").glob("rank-00001*"))
    table = pq.read_table(path)
    ids = table.column("id").to_pylist()
    first, second = [at for at, id in enumerate(ids) if id][:2]
    was, ids[first] = ids[first], ids[second]
    pq.write_table(table.set_column(table.schema.get_field_index("id"), "id", pa.array(ids)), path)
    odd = checked(tmp_path / "swapped").odd
    assert {(one.id, one.times) for one in odd} == {(was, 0), (ids[second], 2)}
    done = cli("receipt", tmp_path / "swapped")
    assert (done.code, f"{was} was served 0 times" in done.out) == (3, True)
    done = cli("receipt", tmp_path / "whole", "--json", "--pack", packs[0])
    assert (done.code, json.loads(done.out)["epochs"][0]["by_rank"]) == (0, {"0": 11, "1": 11})
    (row,) = [json.loads(line) for line in cli("receipt", tmp_path / "whole", "--id", was).out.splitlines()]
    never = cli("receipt", tmp_path / "whole", "--id", "nobody")
    assert (never.code, never.out) == (1, "") and "never served" in never.err
    assert (row["epoch"], row["rank"]) == (0, 1)


def test_bad_samples_count_where_they_were_wanted(packs: tuple[Path, Path], tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    shutil.copytree(packs[0], pack)
    rows = [row for row in read_manifest(pack).to_pylist() if row["format"] == "webdataset"]
    for row in rows[2:4]:  # two that follow each other: one is also tried in place of the other
        with (pack / row["shard"]).open("r+b") as file:
            file.seek(row["image_offset"])
            file.write(b"garbage" * 10)
    (pack / rows[5]["shard"]).write_bytes(b"")  # a block without any good one
    serve(pack, tmp_path / "receipts", None, world=3, decode=Pixels(16))
    found = checked(tmp_path / "receipts")
    assert found.fine, str(found)
    wanted = {(one["id"], one["replaced_by"]) for one in found.bad if one["role"] == "wanted"}
    assert wanted == {
        *((row["id"], rows[4]["id"]) for row in rows[2:4]),
        *((row["id"], None) for row in rows[5:10]),
    }
    assert f"{rows[4]['id']} came in its place" in str(found)


def test_mixtures_repeats_and_dropped_ends_are_held_to_what_was_asked(packs: tuple[Path, Path], tmp_path: Path) -> None:
    both = {packs[0]: 1.0, packs[1]: 1.0}  # the lesser one begins again, and again
    serve(both, tmp_path / "mixed", None, world=2)
    assert checked(tmp_path / "mixed").fine
    serve(packs[0], tmp_path / "dropped", None, last="drop")
    found = checked(tmp_path / "dropped")
    assert (found.fine, found.dropped) == (True, 2)
    pack = tmp_path / "repeated"
    shutil.copytree(packs[1], pack)
    table = read_manifest(pack)
    repeats = pa.array([1 + at % 3 for at in range(len(table))], pa.int32())
    pq.write_table(table.set_column(table.schema.get_field_index("repeats"), "repeats", repeats), pack / MANIFEST_FILE)
    serve(pack, tmp_path / "times", 2)
    assert checked(tmp_path / "times").fine  # not at its end
    serve(pack, tmp_path / "times", None)  # the whole of it: two steps twice
    found = checked(tmp_path / "times")
    assert (found.fine, found.epochs[0].twice) == (True, ("rank 0 of 1: steps 0-1",))


def test_receipts_that_do_not_fit_are_refused(packs: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no receipts"):
        check_receipts(tmp_path)
    serve(packs[0], tmp_path / "a", 1)
    with pytest.raises(RunError, match="is not the pack that was served"):
        check_receipts(tmp_path / "a", [packs[1]])
    with pytest.raises(RunError, match="1 pack: give --pack as often"):
        check_receipts(tmp_path / "a", [packs[0], packs[1]])
    serve(packs[0], tmp_path / "a", 1, seed=9)
    with pytest.raises(RunError, match="other settings"):
        check_receipts(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "rank-00000.parquet").write_bytes(b"no")
    with pytest.raises(RunError, match="is no receipt"):
        check_receipts(tmp_path / "b")
