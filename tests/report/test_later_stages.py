"""What 03_quality_checked adds to the report: its columns, and examples of its reasons, each the sample it names."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from report.reported import FILTER, report_of
from sluice.report.examples import said
from sluice.report.facts import Rule
from sluice.report.gather import gather
from sluice.synth import generate
from sluice.table.layout import CHECKED


def test_the_stage_that_aligns_shows_its_columns_and_its_own_examples(tmp_path: Path) -> None:
    generate(tmp_path / "data", count=120, seed=3)
    source = {"type": "table", "path": str(tmp_path / "data" / "captions.jsonl"), "name": "world"}
    quality = {"encoder": {"type": "builtin"}, "reject": {"misaligned": {"when": "alignment < 0.5", "null": "pass"}}}
    reported = report_of(tmp_path, {"sources": [source], "filter": FILTER, "quality": quality})
    facts = gather(reported.layout, reported.run.recipe, [Rule(*rule) for rule in reported.rules])

    shown = {data.shown.name: data for data in (*facts.first, *facts.more)}
    assert {"alignment", "sharpness"} <= set(shown)
    assert len(shown) == len(facts.first) + len(facts.more)  # none twice
    assert [line.rule for line in shown["alignment"].thresholds] == ["misaligned"]
    rows = pq.read_table(reported.layout.rows_of(CHECKED), columns=["alignment"]).column("alignment")
    assert shown["alignment"].measured == len(rows) - rows.null_count

    verdicts = {row["id"]: row for row in pq.read_table(reported.layout.verdicts(CHECKED)).to_pylist()}
    examples = facts.examples["misaligned"]
    assert examples.typical and examples.passed
    for pick in (*examples.typical, *examples.borderline):
        verdict = verdicts[facts.tiles[pick].id]
        assert verdict["verdict"] == "rejected"
        assert pick.label in [said(reason["values"]) for reason in verdict["reasons"]]
    assert all(verdicts[facts.tiles[pick].id]["verdict"] == "kept" for pick in examples.passed)
    assert "cosine of image and caption" in reported.html
