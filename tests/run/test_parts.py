"""Deciding part by part against deciding on the whole table at once: the same bytes, the same answers."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sluice
from sluice.corpus.duplicates import repeated_captions
from sluice.run import corpus_values
from sluice.run.comparing import compare
from sluice.run.corpus_steps import load_corpus
from sluice.run.judging import Judging, judge, yields
from sluice.run.recording import record, told
from sluice.run.row_parts import EVERY_ROW, ids_of_samples, row_parts
from sluice.run.rules.rule import compile_rule
from sluice.table.layout import FILTERED
from support.recipes import RULES, write_recipe

SIZES = (1, 40, EVERY_ROW)


@pytest.fixture(scope="module", params=[None, {"unit": "character", "n": 3, "jaccard": 0.9}], ids=["", "texts"])
def run(tmp_path_factory, corpus, request):
    """A run whose row table is cut into a row group a unit, as that of a large run is into many."""
    asked = {"reject": RULES, "duplicates": {"boilerplate": 2, **({"text": request.param} if request.param else {})}}
    recipe = write_recipe(tmp_path_factory.mktemp("parts") / "recipe.yaml", corpus, unit=16, filter=asked)
    run = sluice.run(recipe, only=FILTERED)
    path = run.layout.rows
    table = pq.read_table(path)
    unit = table.column("unit").to_numpy()
    with pq.ParquetWriter(path, table.schema) as writer:
        for number in np.unique(unit):
            writer.write_table(table.filter(pa.array(unit == number)))
    return run


def judging(run, part_rows, changed=()):
    schema = pq.read_schema(run.layout.rows)
    rules = [compile_rule(rule, schema) for rule in run.filter.rules if rule.name not in changed]
    corpus = load_corpus(run.layout, run.filter.duplicates)
    return Judging(run.layout, rules, run.filter.duplicates, corpus, part_rows=part_rows)


def test_the_table_has_parts(run):
    parts = row_parts(run.layout.rows, 1)
    assert len(parts) > 3
    assert sum(part.rows for part in parts) == pq.read_metadata(run.layout.rows).num_rows
    assert [part.first_row for part in parts] == np.cumsum([0, *(part.rows for part in parts[:-1])]).tolist()
    assert pa.concat_tables(part.read(["id"]) for part in parts) == pq.read_table(run.layout.rows, columns=["id"])


def test_parts_are_written_down_as_the_whole_is(run):
    entered = json.loads(run.layout.stage_file("00_raw").read_text())["kept"]
    written = []
    for size in SIZES:
        recorded = record(judging(run, size), entered)
        files = [path.read_bytes() for path in (run.layout.verdicts(FILTERED), run.layout.failures(FILTERED))]
        written.append((recorded.facts, recorded.keepers.to_pylist(), files))
    assert written[0] == written[1] == written[2]
    assert written[0][0]["rules"]["near_duplicate"]["samples"], "the corpus has duplicates"
    alike = written[0][0]["rules"].get("near_duplicate_text", {"samples": 0})["samples"]
    assert (alike > 0) == (run.filter.duplicates.alike is not None)


@pytest.mark.parametrize("size", SIZES)
def test_other_rules_are_compared_by_parts_as_by_sets(run, size):
    whole = judging(run, EVERY_ROW, changed={run.filter.rules[0].name})
    judgement = judge(whole.layout, whole.rules, whole.config, whole.corpus)
    verdicts = pq.read_table(run.layout.verdicts(FILTERED), columns=["verdict"]).column("verdict").to_pylist()
    before = {place for place, verdict in enumerate(verdicts) if verdict == "kept"}
    after = set(np.flatnonzero(judgement.kept).tolist())
    assert after != before, "the changed rules change something"
    compared = compare(judging(run, size, changed={run.filter.rules[0].name}))
    for some, expected in ((compared.gained, after - before), (compared.lost, before - after)):
        assert (some.count, list(some.first)) == (len(expected), sorted(expected)[:5])
    assert compared.after["kept"] == len(after)
    assert compared.rules == yields(judgement)


def test_ids_of_samples_are_looked_up_across_parts(run):
    ids = pq.read_table(run.layout.verdicts(FILTERED), columns=["id"]).column("id").to_pylist()
    some = np.arange(0, len(ids), 3)
    assert ids_of_samples(run.layout.rows, some).to_pylist() == [ids[place] for place in some]
    in_parts, at_once = (told(judging(run, rows)).duplicates for rows in (1, EVERY_ROW))
    assert in_parts.members.tolist() == at_once.members.tolist()


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2), st.sampled_from(["a" * 32, "b" * 32, None]), st.booleans(), st.sampled_from("xyz")
        ),
        max_size=30,
    ),
    st.integers(1, 12),
)
@settings(max_examples=60)
def test_values_that_stand_twice_are_found_in_parts(tmp_path_factory, drawn, group):
    """Rows of one or two a sample, each sample a unit; hashes that repeat or are null."""
    path = tmp_path_factory.getbasetemp() / "values.parquet"
    sample = np.cumsum([more > 0 for more, *_ in drawn]) - (1 if drawn and drawn[0][0] > 0 else 0)
    table = pa.table(
        {
            "unit": pa.array(sample, pa.int32()),
            "ordinal": pa.array(sample, pa.int64()),
            "images": pa.array([1] * len(drawn), pa.int16()),
            "texts": pa.array([1] * len(drawn), pa.int16()),
            "captions": pa.array([1] * len(drawn), pa.int16()),
            "sha256": pa.array([value for _, value, *_ in drawn], pa.string()),
            "text_hash": pa.array([value and value[:31] + letter for _, value, _, letter in drawn], pa.string()),
            "alternative": pa.array([flag for *_, flag, _ in drawn], pa.bool_()),
        }
    )
    pq.write_table(table, path, row_group_size=group)
    whole = corpus_values.first_rows(path, "sha256")
    values = whole.column("value").to_pylist()
    several = whole.filter(pa.array([values.count(value) > 1 for value in values], pa.bool_()))
    assert corpus_values.rows_of_repeated(path, "sha256", part_rows=1).to_pylist() == several.to_pylist()
    hashes = pa.array(
        [
            h if flag else None
            for h, flag in zip(*(table.column(c).to_pylist() for c in ("text_hash", "alternative")), strict=True)
        ],
        pa.string(),
    )
    images, repeat = repeated_captions(hashes, sample.astype(np.int64))
    row = np.flatnonzero((images > 1) | repeat)
    found = corpus_values.captions_of_several(path, 1)
    assert found.to_pydict() == {"row": row.tolist(), "images": images[row].tolist(), "repeat": repeat[row].tolist()}
