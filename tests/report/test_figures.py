"""What the page says in figures, against numpy and by properties."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from report.reported import Reported
from sluice.report.clusters import clusters
from sluice.report.columns import SHOWN, Shown
from sluice.report.composition import shares, size_buckets
from sluice.report.examples import choose
from sluice.report.facts import Stages, funnel
from sluice.report.histograms import _bars, _Fine, _log_bars, histogram
from sluice.report.html import tag
from sluice.report.lots import drawn, lots
from sluice.report.plots import ticks
from sluice.report.tables import REPEATED, VERDICTS, Column, Tables, open_tables
from sluice.report.thresholds import Threshold, loosened, thresholds
from sluice.table.layout import FILTERED, FINAL, RAW


@pytest.fixture(scope="module")
def tables(reported: Reported):
    with open_tables(reported.layout) as opened:
        yield opened


@pytest.fixture(scope="module")
def values(reported: Reported) -> dict[str, np.ndarray]:
    """Columns of the first row of each sample, with its verdict: samples here have one image."""
    rows = pq.read_table(reported.layout.rows)
    ordinal = rows.column("ordinal").to_numpy()
    first = np.flatnonzero(np.diff(ordinal, prepend=-1))
    found = {name: rows.column(name).to_numpy()[first] for name in ("id", "sharpness", "min_side", "brightness")}
    verdicts = pq.read_table(reported.layout.verdicts(FILTERED))
    assert verdicts.column("id").to_pylist() == found["id"].tolist()
    return {**found, "verdict": np.array(verdicts.column("verdict").to_pylist())}


@pytest.mark.parametrize("name", ["sharpness", "min_side", "brightness"])
def test_a_histogram_counts_what_numpy_counts(tables: Tables, values: dict[str, np.ndarray], name: str) -> None:
    column = next(column for column in tables.columns if column.name == name)
    data = histogram(tables, column, SHOWN[name], [])
    assert data is not None
    bars = len(data.counts[0])
    measured = values[name][~np.isnan(values[name].astype(float))].astype(float)
    positions = np.log10(measured) if data.log else measured
    edges = data.low + data.step * np.arange(bars + 1)
    inside = np.clip(positions, edges[0], edges[-1] - data.step / 2)
    assert np.sum(data.counts, axis=0).tolist() == np.histogram(inside, edges)[0].tolist()
    assert data.measured + data.unmeasured == len(values[name])
    kept = values["verdict"] == "kept"
    assert sum(data.counts[0]) == kept.sum()


@pytest.mark.parametrize("name", ["sharpness", "min_side", "brightness"])
def test_quantiles_are_within_a_tenth_of_a_percent(tables: Tables, values: dict[str, np.ndarray], name: str) -> None:
    column = next(column for column in tables.columns if column.name == name)
    data = histogram(tables, column, SHOWN[name], [])
    assert data is not None
    measured = np.sort(values[name][~np.isnan(values[name].astype(float))].astype(float))
    for share, said in ((0.05, data.p5), (0.5, data.median), (0.95, data.p95)):
        exact = measured[int(share * (len(measured) - 1))]
        assert said == pytest.approx(exact, rel=2e-3)


def test_thresholds_outside_the_data_stand_on_the_axis(tables: Tables) -> None:
    column = next(column for column in tables.columns if column.name == "brightness")
    data = histogram(tables, column, SHOWN["brightness"], [Threshold("brightness", 1000.0, "far")])
    assert data is not None
    assert data.low + data.step * len(data.counts[0]) >= 1000


def test_a_column_without_a_value_has_no_histogram(tables: Tables) -> None:
    class Empty(Tables):
        def read(self, names: list[str], grain: str) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
            yield pa.record_batch({name: pa.nulls(2, pa.float32()) for name in names}), np.zeros(2, np.uint8)

    empty = Empty(**{field.name: getattr(tables, field.name) for field in fields(tables)})
    assert histogram(empty, Column("nothing", "image", False), Shown("nothing", "Nothing"), []) is None


def test_each_sample_image_and_text_has_its_verdict_at_its_first_row(tables: Tables) -> None:
    """Rows and verdicts are joined by their places; here by their ids, one by one."""
    verdicts = {one["id"]: one for one in pq.read_table(tables.layout.verdicts(FILTERED)).to_pylist()}
    seen: set[tuple[str, str, int | None]] = set()
    expected: dict[str, list[int]] = {"sample": [], "image": [], "text": []}
    for row in pq.read_table(tables.layout.rows, columns=["id", "image_item", "text_item"]).to_pylist():
        decided = verdicts[row["id"]]
        for grain, codes in expected.items():
            item = row.get(f"{grain}_item")
            thing = (grain, row["id"], item)
            first = thing not in seen and (grain == "sample" or item is not None)
            seen.add(thing)
            code = VERDICTS.index(decided["verdict"])
            if grain == "text" and code == 0 and item in (decided["captions_left_out"] or []):
                code = 1
            codes.append(code if first else REPEATED)
    assert {grain: codes.tolist() for grain, codes in tables.places.items()} == expected
    assert any(one["captions_left_out"] for one in verdicts.values() if one["verdict"] == "kept")
    stored = tables.duck.execute("SELECT * FROM place").fetchnumpy()
    assert {grain: codes.tolist() for grain, codes in stored.items()} == expected


@given(
    st.lists(
        st.one_of(st.integers(-5000, 5000), st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=300
    ),
    st.floats(0, 1),
    st.integers(1, 300),
)
def test_a_quantile_is_that_of_the_sorted_values(values: list[float], share: float, cut: int) -> None:
    fine = _Fine()
    for part in (values[:cut], values[cut:]):
        if part:
            fine.add(np.array(part, np.float64))
    exact = sorted(values)[int(share * (len(values) - 1))]
    assert fine.quantile(share) == pytest.approx(exact, rel=5e-4, abs=1e-300)
    if exact == int(exact) and abs(exact) <= 4096:
        assert fine.quantile(share) == exact


@given(st.lists(st.booleans(), max_size=400), st.integers(0, 2**40), st.integers(0, 9))
def test_lots_are_drawn_from_what_is_wanted_and_by_the_seed(wanted: list[bool], seed: int, most: int) -> None:
    mask = np.array(wanted, np.bool_)
    found = drawn(mask, seed, most)
    assert len(set(found)) == len(found) == min(most, sum(wanted))
    assert all(wanted[place] for place in found)
    places = np.flatnonzero(mask)
    assert found == places[np.argsort(lots(places, seed))][:most].tolist()


def test_borderline_examples_are_those_nearest_to_the_threshold(tables: Tables, values: dict[str, np.ndarray]) -> None:
    chosen = choose(tables, "tiny", [Threshold("min_side", 96.0, "tiny")], 0, 2)
    side, verdict = values["min_side"].astype(float), values["verdict"]
    rejected = np.sort(side[(side < 96) & (verdict != "failed")])[::-1]
    kept = np.sort(side[verdict == "kept"])
    assert [pick.label for pick in chosen.borderline] == [f"min_side {value:.0f}" for value in rejected[:2]]
    assert [pick.label for pick in chosen.passed] == [f"min_side {value:.0f}" for value in kept[:2]]
    assert all(pick.kept for pick in chosen.passed)


def test_typical_examples_lie_around_the_median(tables: Tables, values: dict[str, np.ndarray]) -> None:
    chosen = choose(tables, "blurry", [Threshold("sharpness", 100.0, "blurry")], 0, 1)
    blurred = values["sharpness"][(values["sharpness"] < 100) & (values["verdict"] != "failed")]
    said = float(chosen.typical[0].label.split()[-1])
    below, above = np.quantile(blurred, [0.2, 0.8])
    assert below <= said <= above


def test_the_funnel_ends_where_the_stages_say(tables: Tables) -> None:
    stages = Stages.read(tables.layout)
    steps = funnel(tables, stages)
    assert steps[0].left == stages.count(RAW, "in")
    assert next(step.left for step in steps if step.name == "not held") == stages.count(FILTERED, "kept")
    assert steps[-1].left == stages.count(FINAL, "kept")


def test_clusters_show_their_keeper_and_count_all_members(tables: Tables, reported: Reported) -> None:
    verdicts = pq.read_table(reported.layout.verdicts(FILTERED))
    members = [one for one in verdicts.to_pylist() if one["cluster"] and one["cluster"] != one["id"]]
    found = clusters(tables, 0, 36)
    assert found.members == len(members) > 0
    assert found.count == len({one["cluster"] for one in members})
    assert all(cluster.keeper.kept and cluster.others for cluster in found.shown)
    assert sum(1 + len(cluster.others) for cluster in found.shown) <= 36


def test_an_image_with_several_captions_is_counted_once_and_each_caption_too(tables: Tables) -> None:
    rows = pq.read_table(tables.layout.rows, columns=["id", "image_item", "text_item"]).to_pylist()
    images = {(row["id"], row["image_item"]) for row in rows}
    texts = {(row["id"], row["text_item"]) for row in rows}
    assert len(texts) > len(images)
    assert sum(share.total for share in size_buckets(tables)) == len(images)
    assert sum(share.total for share in shares(tables, "declared_language", "text")) == len(texts)
    for label in ("source", "licence"):
        assert sum(share.total for share in shares(tables, label, "sample")) == tables.entered
    assert len(shares(tables, "licence", "sample")) <= 11


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.booleans())
def test_bars_cover_their_range_and_are_few(low: float, span: float, whole: bool) -> None:
    low, high = (float(int(low)), float(int(low + span))) if whole else (low, low + span)
    start, step, bars = _bars(low, high, whole=whole)
    assert 1 <= bars <= 60
    assert start <= low + max(1e-6 * max(1, abs(low)), 1e-8 * step)
    assert high <= start + bars * step + 1e-6 * max(1, abs(high))
    assert not whole or (step == int(step) and start == int(start))


@given(st.floats(1e-6, 1e12), st.floats(1, 1e9))
def test_logarithmic_bars_cover_their_range_or_six_decades(low: float, factor: float) -> None:
    start, step, bars = _log_bars(low, low * factor)
    right = np.log10(low * factor)
    assert 1 <= bars <= 60
    assert start + bars * step >= right - 1e-9
    assert start <= max(np.log10(low), right - 6) + 1e-9


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e5))
def test_ticks_stand_inside_their_axis(low: float, span: float) -> None:
    found = ticks(low, low + span, log=False)
    assert 1 <= len(found) <= 12
    assert all(low - 1e-6 * span <= at <= low + span * (1 + 1e-6) for at, _ in found)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("sharpness < 100", [("sharpness", 100.0)]),
        ('("sharpness" < 100)', [("sharpness", 100.0)]),
        ("words < 3 OR words > 200", [("words", 3.0), ("words", 200.0)]),
        ("brightness BETWEEN 10 AND 20.5", [("brightness", 10.0), ("brightness", 20.5)]),
        ("1e3 >= bytes", [("bytes", 1000.0)]),
        ("aspect > -.5", [("aspect", -0.5)]),
        ("NOT sharpness >= 1_000", [("sharpness", 1000.0)]),
        ("licence = 'words < 3'", []),
        ("2 * sharpness < 100", []),
        ("sharpness < 100 * contrast", []),
        ("file_name_like", []),
        ("bytes < 1e999", []),
    ],
)
def test_thresholds_are_the_constants_that_bare_columns_meet(sql: str, expected: list[tuple[str, float]]) -> None:
    assert [(line.column, line.value) for line in thresholds("rule", sql)] == expected


def test_a_loosened_rule_is_one_to_try() -> None:
    assert loosened("licence = 'a < 3' AND words < 8") == "licence = 'a < 3' AND words < 6"
    assert loosened("mojibake") is None


@given(st.text(), st.text())
def test_whatever_text_is_put_in_comes_out_as_text(content: str, attribute: str) -> None:
    class Read(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.data: list[str] = []
            self.tags: list[str] = []
            self.title: str | None = None

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.tags.append(tag)
            self.title = dict(attrs).get("title")

        def handle_data(self, data: str) -> None:
            self.data.append(data)

    read = Read()
    read.feed(tag("p", content, title=attribute))
    read.close()
    assert read.tags == ["p"]
    visible = [c if c in "\t\n\r" or (ord(c) >= 32 and ord(c) != 127) else "\ufffd" for c in content]
    assert "".join(read.data) == "".join(visible)
    assert read.title is not None and len(read.title) == len(attribute)


def test_the_data_block_cannot_be_ended_by_a_text(reported: Reported) -> None:
    block = reported.html.split('id="plots">', 1)[1].split("</script>", 1)[0]
    assert "<" not in block
    assert any(plot["kind"] == "histogram" for plot in json.loads(block))
