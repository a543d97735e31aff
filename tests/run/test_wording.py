"""What commands print counts things as a person would: one line, two lines."""

import re

import pyarrow as pa
import pytest

from sluice.run.status import StageStatus, Status
from sluice.run.takedown_command import TakenDown
from sluice.run.verifying import Verification
from sluice.synth.score import score
from support.recipes import write_recipe


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (TakenDown(1, 1, 1, (), 1), "1 line names 1 sample, 1 of them new; 1 shard rewritten"),
        (TakenDown(2, 1200, 0, (), 0), "2 lines name 1,200 samples, 0 of them new; 0 shards rewritten"),
        (Verification(1, 1, 1, ("gone",)), "1 shard, 1 row, 1 byte re-read: 1 problem\n"),
        (Verification(2, 2, 2, ("gone", "bent")), "2 shards, 2 rows, 2 bytes re-read: 2 problems\n"),
        (Status("run", False, (), {"parquet": 1, "webdataset": 2}), "parquet: 1 shard\n\nwebdataset: 2 shards"),
        (Status("run", True, (StageStatus("00_raw", "done", {}, {}, None, None),)), "(working now"),
    ],
)
def test_one_thing_is_one_and_two_are_more(result, said):
    assert said in str(result)


def test_a_world_of_one_sample_is_counted_as_one():
    truth = pa.table({"key": ["a"], "defect": [None], "partner": pa.nulls(1, pa.string())})
    verdicts = pa.table({"key": ["a"], "verdict": ["kept"], "rules": [[]]})
    assert score(truth, verdicts).text().startswith("1 sample: 1 to keep")


def test_a_run_of_one_sample_says_no_plural_of_one(tmp_path, corpus, launcher):
    image = tmp_path / "images" / "one.jpg"
    image.parent.mkdir()
    image.write_bytes((corpus / "part0" / "0000.jpg").read_bytes())
    image.with_suffix(".txt").write_text("a caption of the only picture there is")
    recipe = write_recipe(tmp_path / "recipe.yaml", image.parent, filter={"reject": {"tiny": "min_side < 2"}})
    run = tmp_path / "run"
    said = []
    for command in (
        ("run", recipe),
        ("recipe", "check", recipe),
        ("plan", recipe),
        ("status", run),
        ("verify", run),
        ("why", run, "one.jpg"),
    ):
        done = launcher.run(*command)
        assert done.code == 0, done.err
        said += [*done.out.splitlines(), *done.err.splitlines()]
    words = "lines|samples|shards|rows|bytes|units|pieces|measures|rules|problems|bits"
    assert [line for line in said if re.search(rf"(?<![\d.,])1 ({words})\b(?!/)", line)] == []
