"""What the page says of seconds and bytes, against the files of the run that say so."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from report.reported import FILTER, Reported, report_of
from sluice.report.facts import Stages
from sluice.report.sections.costs import _carried
from sluice.report.spent import Spent, spent
from sluice.table.layout import FILTERED, FINAL, RAW, Layout


def _spent(layout: Layout) -> Spent:
    return spent(layout, Stages.read(layout))


def test_seconds_are_those_of_seconds_json_each_once(reported: Reported) -> None:
    layout = reported.layout
    found = _spent(layout)
    written = {stage: json.loads(layout.seconds_file(stage).read_text()) for stage in (RAW, FILTERED, FINAL)}
    measuring = {part.name: part.seconds for part in found.measuring if part.seconds}
    clock = {name: seconds for _, name, seconds in found.clock}
    assert {*measuring} & {*clock} == set()
    assert {**measuring, **clock} == {n: s for works in written.values() for n, s in works.items() if s or n in clock}
    assert {"read", "decode", "image.quality", "text.basic"} <= {*measuring}
    assert {*clock} == {"ingest", "decide", "pack"}


def test_bytes_are_those_of_the_files_and_the_events(reported: Reported) -> None:
    layout = reported.layout
    found = _spent(layout)
    stored = {part.name: part.stored for part in found.measuring if part.stored is not None}
    on_disk = {
        folder.name.partition("@")[0]: sum(file.stat().st_size for file in folder.iterdir())
        for folder in layout.measures().iterdir()
    }
    assert stored == on_disk
    images = pq.read_table(layout.rows, columns=["id", "bytes"]).to_pylist()
    files = {row["id"]: row["bytes"] for row in images}
    assert found.read == sum(files.values()) > 100_000


def test_each_unit_was_timed(reported: Reported) -> None:
    found = _spent(reported.layout)
    assert found.timed == found.units == 3
    assert "The seconds are those of" not in reported.html


@pytest.fixture
def small(tmp_path: Path, world: Path) -> Reported:
    """A run of its own, to be changed by a test."""
    source = {"type": "table", "path": str(world / "data" / "captions.jsonl"), "name": "world"}
    return report_of(tmp_path, {"sources": [source], "filter": FILTER})


def test_a_run_that_measured_a_part_again_adds_its_seconds(small: Reported, tmp_path: Path, world: Path) -> None:
    for file in small.layout.measures().glob("*/unit-00001.parquet"):
        file.unlink()
    source = {"type": "table", "path": str(world / "data" / "captions.jsonl"), "name": "world"}
    rules = {**FILTER, "reject": {"tiny": "min_side < 100"}}
    before = _spent(small.layout)
    found = _spent(report_of(tmp_path, {"sources": [source], "filter": rules}).layout)
    assert (found.timed, found.units) == (3, 3)
    assert _decode(found) > _decode(before) > 0
    assert before.read is not None and found.read is not None and before.read < found.read < 2 * before.read


def test_a_run_that_only_decided_anew_keeps_the_seconds_of_measuring(
    small: Reported, tmp_path: Path, world: Path
) -> None:
    source = {"type": "table", "path": str(world / "data" / "captions.jsonl"), "name": "world"}
    before = _spent(small.layout)
    again = report_of(tmp_path, {"sources": [source], "filter": {**FILTER, "reject": {"tiny": "min_side < 100"}}})
    found = _spent(again.layout)
    assert found.timed == 3
    assert found.measuring == before.measuring
    assert "The seconds are those of" not in again.html


def test_units_measured_by_runs_that_were_cut_off_are_said_to_have_no_account(
    small: Reported, tmp_path: Path, world: Path
) -> None:
    lines = small.layout.events.read_text().splitlines(keepends=True)
    cut = [line for line in lines if '"01_filtered"' not in line or '"stage_done"' not in line]
    small.layout.events.write_text("".join(cut))
    source = {"type": "table", "path": str(world / "data" / "captions.jsonl"), "name": "world"}
    again = report_of(tmp_path, {"sources": [source], "filter": {**FILTER, "reject": {"tiny": "min_side < 100"}}})
    assert "The seconds are those of 0 units of 3: the others were measured by runs that were cut off" in again.html


def _decode(found: Spent) -> float:
    return next(part.seconds for part in found.measuring if part.name == "decode")


def test_half_a_line_of_events_is_passed_over(small: Reported) -> None:
    whole = _spent(small.layout)
    with small.layout.events.open("a") as events:
        events.write('{"event": "unit_meas')
    assert _spent(small.layout) == whole
    small.layout.events.unlink()
    assert _spent(small.layout).read is None


def test_engines_are_named_and_so_is_what_lost_machines_cost(small: Reported) -> None:
    told = {"event": "unit_measured", "unit": 0, "bytes": 0, "deaths": ["lost: the worker on node a", "crash: SIGSEGV"]}
    lines = [{"event": "run_started", "engine": "local"}, {"event": "run_started", "engine": "ray"}, told]
    small.layout.events.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = _spent(small.layout)
    assert (found.engines, found.lost) == (("local", "ray"), 1)
    said = _carried(found)
    assert "carried by the engines `local` and `ray`. 1 unit had to be done again: a machine went away." in said
