"""What the card counts, against queries over the whole tables; and quantiles against DuckDB's."""

from collections import Counter

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sluice
from sluice.run.packed_counts import PackedCounts
from support.recipes import write_recipe

VIEWS = """
CREATE VIEW packed AS SELECT id FROM read_parquet('{run}/04_final/verdicts.parquet') WHERE verdict = 'kept';
CREATE VIEW skipped AS SELECT id, unnest(captions_left_out) AS item
    FROM read_parquet('{run}/01_filtered/verdicts.parquet');
CREATE VIEW firsts AS SELECT * FROM read_parquet('{run}/01_filtered/rows.parquet') SEMI JOIN packed USING (id)
    QUALIFY row_number() OVER (PARTITION BY ordinal) = 1;
CREATE VIEW texts AS SELECT r.* FROM read_parquet('{run}/01_filtered/rows.parquet') r SEMI JOIN packed USING (id)
    ANTI JOIN skipped s ON r.id = s.id AND r.text_item = s.item
    WHERE text_item IS NOT NULL QUALIFY row_number() OVER (PARTITION BY ordinal, text_item) = 1;
CREATE VIEW items AS SELECT i.* FROM read_parquet('{run}/00_raw/items/unit-*.parquet') i SEMI JOIN packed USING (id)
    ANTI JOIN skipped s ON i.id = s.id AND i.item = s.item;
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory, corpus):
    return sluice.run(write_recipe(tmp_path_factory.mktemp("counts") / "recipe.yaml", corpus, unit=32))


def test_parts_count_what_queries_over_the_whole_tables_count(finished, monkeypatch):
    from sluice.run import row_parts

    monkeypatch.setattr("sluice.run.packed_counts.row_parts", lambda path: row_parts.row_parts(path, 1))
    counts = PackedCounts.of(finished.layout)
    duck = duckdb.connect()
    duck.execute(VIEWS.format(run=finished.layout.root))

    names = pq.read_schema(finished.layout.rows).names

    def by(table, column, where="true"):
        return dict(duck.sql(f"SELECT {column}, count(*) FROM {table} WHERE {where} GROUP BY 1").fetchall())

    assert counts.sources == by("firsts", "source")
    for name, table, found in (("spdx", "firsts", counts.licences), ("language", "texts", counts.languages)):
        assert found == (by(table, name) if name in names else {})
    assert counts.roles == by("items", "role", "kind = 'text'")
    assert counts.lengths == by("texts", "characters", "alternative AND characters IS NOT NULL")
    images = duck.sql("SELECT count(*) FROM items WHERE kind = 'image' GROUP BY id").fetchall()
    assert (counts.images, counts.most_images) == (sum(n for (n,) in images), max(n for (n,) in images))
    assert counts.lengths, "the corpus has captions"


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_quantiles_of_counts_are_those_of_the_values(lengths):
    counts = PackedCounts(lengths=Counter(lengths))
    shares = [0.05, 0.5, 0.95]
    (found,) = duckdb.execute(f"SELECT quantile_disc(n, {shares}) FROM (SELECT unnest(?) AS n)", [lengths]).fetchone()
    assert counts.quantiles(*shares) == found
