"""One small world for the tests that only look at it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sluice.synth import World, generate

COUNT = 240  # four or five of each defect


@dataclass(frozen=True)
class Seen:
    """A world as a test reads it."""

    world: World
    folder: Path
    truth: list[dict[str, Any]]
    rows: dict[str, dict[str, Any]]  # captions.jsonl by path

    def spoiled(self, defect: str | None) -> list[dict[str, Any]]:
        return [fact for fact in self.truth if fact["defect"] == defect]


@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("synth") / "world"
    world = generate(folder, count=COUNT, seed=3, workers=2, masks=True)
    lines = (folder / "captions.jsonl").read_bytes().split(b"\n")[:-1]
    rows = [json.loads(line) for line in lines]
    return Seen(world, folder, pq.read_table(folder / "truth.parquet").to_pylist(), {row["path"]: row for row in rows})
