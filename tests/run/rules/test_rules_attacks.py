"""A rule sees one row and touches nothing else: a table of attempts, each refused before anything runs."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.errors import RecipeError
from sluice.run.rules.rule import Rule, compile_rule, evaluate
from sluice.run.rules.sandbox import sandbox

SCHEMA = pa.schema([("sharpness", pa.float32()), ("text", pa.string()), ("width", pa.int32()), ("alpha", pa.bool_())])
CANARY = "the canary sang"

ATTACKS = {
    "reads a file": "text = (SELECT content FROM read_text('{canary}'))",
    "reads a file as a function": "text = read_text('{canary}')",
    "reads a blob": "read_blob('{canary}') IS NOT NULL AND alpha",
    "reads a file as a table": "alpha AND EXISTS (FROM '{canary}')",
    "reads a csv": "alpha AND EXISTS (SELECT * FROM read_csv('{canary}'))",
    "reads parquet": "width IN (SELECT 1 FROM read_parquet('{canary}'))",
    "reads json": "alpha AND (SELECT count(*) FROM read_json_auto('{canary}')) > 0",
    "sniffs a csv": "alpha AND EXISTS (SELECT * FROM sniff_csv('{canary}'))",
    "lists files": "alpha AND EXISTS (SELECT * FROM glob('/*'))",
    "lists files as a function": "glob('/*') IS NULL AND alpha",
    "compares with any of a query": "text = ANY (SELECT content FROM read_text('{canary}'))",
    "compares with all of a query": "width > ALL (SELECT 1)",
    "a query in brackets": "(SELECT true)",
    "a query for a rule": "SELECT true FROM rows",
    "a query in IN": "width IN (SELECT 1)",
    "a query in a list": "width IN (ARRAY(SELECT 1))",
    "leaves the brackets": "alpha) FROM read_text('{canary}') WHERE (true",
    "leaves the brackets behind a comment": "alpha) FROM read_text('{canary}') --",
    "leaves the brackets for a union": "alpha) UNION ALL (SELECT true",
    "leaves the brackets for another column": "alpha), (SELECT content FROM read_text('{canary}')",
    "leaves the brackets for a limit": "alpha) LIMIT (1",
    "leaves the brackets for a setting": "alpha); SET memory_limit='1TB'; SELECT (true",
    "a second statement": "alpha; DROP TABLE measured",
    "writes a file": "alpha; COPY (SELECT 1) TO '{planted}'",
    "writes a file in brackets": "(COPY (SELECT 1) TO '{planted}')",
    "exports": "alpha); EXPORT DATABASE '{planted}'; SELECT (true",
    "attaches a database": "alpha); ATTACH '{planted}' AS other; SELECT (true",
    "installs an extension": "alpha); INSTALL httpfs; LOAD httpfs; SELECT (true",
    "loads an extension by function": "load_extension('httpfs') AND alpha",
    "a pragma": "alpha); PRAGMA database_list; SELECT (true",
    "a pragma as a function": "pragma_version() IS NULL AND alpha",
    "sets a setting": "set_config('memory_limit', '1TB') = 'x' AND alpha",
    "reads a setting": "current_setting('home_directory') = text",
    "reads the environment": "getenv('HOME') = text",
    "reads a variable": "getvariable('x') = text",
    "reads the database's name": "current_database() = text",
    "reads the user": "text = current_user",
    "reads the version": "version() = text",
    "reads the catalogue": "alpha AND EXISTS (SELECT * FROM duckdb_tables())",
    "reads another table": "alpha AND EXISTS (SELECT * FROM information_schema.tables)",
    "names the table": "measured.alpha",
    "names the catalogue": "memory.main.measured.alpha",
    "takes the whole row": "measured IS NOT NULL",
    "takes the row's number": "rowid < 5",
    "a star": "* > 1",
    "a star of a table": "measured.* IS NULL",
    "all columns": "COLUMNS(*) > 1",
    "some columns": "COLUMNS('sharp.*') > 1",
    "spread columns": "coalesce(*COLUMNS(*)) > 1",
    "counts rows": "count(*) > 1",
    "sums rows": "sum(width) > 1",
    "sums rows of a list": "list_aggregate([width], 'sum') > 1",
    "a window": "row_number() OVER () < 5",
    "a sum over a window": "sum(width) OVER (ORDER BY sharpness) > 5",
    "an aggregate with a filter": "lower(text) FILTER (WHERE alpha) = 'a'",
    "an aggregate with an order": "lower(text ORDER BY width) = 'a'",
    "distinct": "lower(DISTINCT text) = 'a'",
    "groups": "grouping(width) = 0",
    "unnests": "unnest([true, false]) AND alpha",
    "chance": "random() < 0.5 AND alpha",
    "another chance": "uuid() < text",
    "the time": "now() > TIMESTAMP '2020-01-01' AND alpha",
    "the time as a word": "current_timestamp IS NOT NULL",
    "the date": "today() > DATE '2020-01-01' AND alpha",
    "a sequence": "nextval('s') > width",
    "sleeps": "sleep_ms(100000) IS NULL AND alpha",
    "raises": "error(text) IS NULL",
    "a parameter": "width > ?",
    "a numbered parameter": "width > $1",
    "a named parameter": "width > $limit",
    "a column by its number": "#1 > 1",
    "a lambda": "len(list_filter([width], lambda x: x > 1)) > 0",
    "an arrow lambda": "len(list_transform([width], x -> x + 1)) > 0",
    "a comprehension": "len([x for x in [width]]) > 0",
    "a reduction that explodes": "list_reduce(range(1000000000), lambda a, b: a + b) > width",
    "a struct": "{{'a': width}}.a > 1",
    "a row": "(width, 1) = (1, 1)",
    "a map": "map {{'a': width}}['a'] > 1",
    "a query by a function": "query('SELECT 1') IS NULL AND alpha",
    "a table by a function": "query_table('measured') IS NULL AND alpha",
    "runs JSON": "json_execute_serialized_sql('x') IS NULL AND alpha",
    "reads types": "typeof(width) = 'x'",
    "a function of a schema": "main.lower(text) = 'a'",
    "a function of a catalogue": "system.main.lower(text) = 'a'",
    "a function by method": "text.read_text() = 'a'",
    "a named argument": "lower(s := text) = 'a'",
    "a type of a schema": "width::main.INTEGER > 1",
    "a made-up type": "text::ENUM('a', 'b') = 'a'",
    "JSON": "text::JSON IS NOT NULL",
    "a time zone": "(TIMESTAMP '2020-01-01' AT TIME ZONE 'Europe/Berlin') IS NULL AND alpha",
    "a collation": "text COLLATE de = 'a'",
    "a blob": "X'AB' IS NULL AND alpha",
    "a comment": "alpha -- and more",
    "a long comment": "alpha /* and more */",
    "a comment in a comment": "alpha /* /* */ FROM x */",
    "a text without end": "text = 'abc",
    "an identifier without end": 'text = "abc',
    "a dollar text without end": "text = $$abc",
    "a NUL": "text = 'a\0b'",
    "a text of a terabyte": "repeat('x', 1000000000000) = text",
    "a padded text": "lpad(text, 2000000000, 'x') = 'a'",
    "a formatted bomb": "format('{{:2000000000d}}', width) = text",
    "a printed bomb": "printf('%2000000000d', width) = text",
    "a range of a trillion": "len(range(1000000000000)) > width",
    "a series of a trillion": "len(generate_series(1, 1000000000000)) > width",
    "a list of a trillion": "len(list_resize([width], 1000000000000)) > 1",
    "a text that doubles": "replace(replace(text, 'a', 'aaaaaaaaaa'), 'a', 'aaaaaaaaaa') = 'a'",
    "a text that grows from nothing": "replace(text, '', 'x') = 'a'",
    "a text that grows by pattern": "regexp_replace(text, '.', '\\0\\0\\0\\0', 'g') = 'a'",
    "a pattern out of the data": "regexp_matches(text, text)",
    "a wildcard pattern out of the data": "text LIKE text",
    "a backtracking pattern": "text GLOB '*a*a*a*a*a*a*b'",
    "a pattern bomb": "regexp_matches(text, '(((a{{1000}}){{1000}}){{1000}})')",
    "a quadratic distance": "levenshtein(text, text) > 3",
    "a factorial": "width! > 3",
    "deep brackets": "(" * 5_000 + "alpha" + ")" * 5_000,
    "deep brackets without end": "(" * 5_000,
    "deep negation": "NOT " * 4_000 + "alpha",
    "deep minus": "- " * 4_000 + "width > 1",
    "deep calls": "lower(" * 500 + "text" + ")" * 500 + " = 'a'",
    "deep cases": "CASE WHEN alpha THEN " * 300 + "alpha" + " END" * 300,
    "deep sums": "+".join(["width"] * 3_000) + " > 1",
    "deep casts": "width" + "::INTEGER" * 500 + " > 1",
    "doubling guards": "ln(" * 60 + "sharpness" + ")" * 60 + " > 1",
    "a long rule": " OR ".join(["width > 1"] * 5_000),
}


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    path = tmp_path / "canary" / "canary.txt"
    path.parent.mkdir()
    path.write_text(CANARY)
    return path


def settings() -> list[tuple[object, ...]]:
    with sandbox() as database:
        return database.sql("SELECT name, value FROM duckdb_settings() ORDER BY name").fetchall()


def attempt(name: str, canary: Path) -> str:
    attack = ATTACKS[name]
    return attack.format(canary=canary, planted=canary.parent / "planted") if "{" in attack else attack


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_and_nothing_is_read_or_written(name: str, canary: Path) -> None:
    with pytest.raises(RecipeError, match=r"^recipe\.yaml:3: filter\.reject\.bad ") as refusal:
        compile_rule(Rule("bad", attempt(name, canary), "rejected"), SCHEMA, "recipe.yaml:3: filter.reject.bad")
    assert CANARY not in str(refusal.value)
    assert len(str(refusal.value)) < 500
    assert [path.name for path in canary.parent.iterdir()] == ["canary.txt"]
    assert canary.read_text() == CANARY


def test_no_attack_changes_a_setting_for_the_rules_after_it(canary: Path) -> None:
    before = settings()
    for name in ATTACKS:
        with pytest.raises(RecipeError):
            compile_rule(Rule("bad", attempt(name, canary), "rejected"), SCHEMA)
    assert settings() == before
    good = compile_rule(Rule("wide", "width > 1", "rejected"), SCHEMA)
    rows = pa.Table.from_pylist([{"width": 1}, {"width": 2}], SCHEMA)
    assert evaluate([good], rows)["rule_0"].to_pylist() == [False, True]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('{canary}')",
        "FROM '{canary}'",
        "SELECT * FROM read_csv('{canary}')",
        "SELECT * FROM glob('{canary}')",
        "COPY (SELECT 1) TO '{planted}'",
        "ATTACH '{planted}'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET threads = 1",
        "SET lock_configuration = false",
        "FROM secret",
    ],
)
@pytest.mark.parametrize("reads", [False, True], ids=["closed", "reads one file"])
def test_even_raw_sql_reaches_nothing_from_the_sandbox(statement: str, reads: bool, canary: Path) -> None:
    secret = pa.table({"secret": [1]})  # a variable of ours: DuckDB would find it by its name
    rows = canary.parent.parent / "rows.parquet"
    pq.write_table(pa.table({"width": [1]}), rows)
    with sandbox(reads=rows if reads else None) as database:
        if reads:
            assert database.sql(f"FROM read_parquet('{rows}')").fetchall() == [(1,)]
        with pytest.raises(duckdb.Error):
            database.sql(statement.format(canary=canary, planted=canary.parent / "planted")).fetchall()
    assert [path.name for path in canary.parent.iterdir()] == ["canary.txt"]
    assert secret.num_rows == 1
