"""A small world with hostile captions, carried through a run and reported once for all tests of this room."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from report.reported import FILTER, HOSTILE, Reported, report_of
from sluice.synth import generate


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """160 samples with planted defects; every fifth good caption is replaced by a hostile one."""
    folder = tmp_path_factory.mktemp("world")
    generate(folder / "data", count=160, seed=5)
    table = folder / "data" / "captions.jsonl"
    rows = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    for place, row in enumerate(rows):
        if place % 5 == 0:
            row["captions"] = [HOSTILE[place // 5 % len(HOSTILE)], *row["captions"]]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def reported(world: Path) -> Reported:
    """The report of that world."""
    source = {"type": "table", "path": str(world / "data" / "captions.jsonl"), "name": "world"}
    packs = [{"format": "webdataset"}, {"format": "parquet"}]
    return report_of(world, {"sources": [source], "filter": FILTER, "pack": packs, "split": {"train": 0.9, "val": 0.1}})
