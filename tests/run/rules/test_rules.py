"""What rules say, and how they complain."""

import json
import math
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.errors import RecipeError, RunError
from sluice.run.rules.rule import CompiledRule, Rule, Setting, compile_rule, evaluate, observed, parse_setting

SCHEMA = pa.schema(
    [
        ("sharpness", pa.float32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("urls", pa.int16()),
        ("phash", pa.uint64()),
        ("alpha", pa.bool_()),
        ("format", pa.string()),
        ("text", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("taken", pa.date32()),
        ('odd "name"', pa.int32()),
    ]
)
WHERE = "recipe.yaml:14: filter.reject.blurry"

COMPLAINTS = {
    "sharpnes < 100": 'uses unknown column "sharpnes" (did you mean "sharpness"?)',
    "WIDHT < 64": 'uses unknown column "WIDHT" (did you mean "width"?)',
    "zebra < 64": 'uses unknown column "zebra" (docs/rules.md lists them)',
    'format = "jpeg"': "uses unknown column \"jpeg\" (a text is written in single quotes: 'jpeg')",
    "format IN (jpeg, png)": "uses unknown column \"jpeg\" (a text is written in single quotes: 'jpeg')",
    "lenght(text) < 3": 'calls lenght(), which a rule may not (did you mean "length"?)',
    "now() > taken": "calls now(), which a rule may not; docs/rules.md lists what it may",
    "width": 'is a number, not true or false: compare it, as in "sharpness < 100"',
    "alpha AND width": 'takes "width" for a condition, but it is a number, not true or false: '
    'compare it, as in "sharpness < 100"',
    "text < 100": 'compares "text" (a text) with 100 (a number): compare like with like',
    "width IN (1, 'x')": "compares \"width\" (a number) with 'x' (a text): compare like with like",
    "alpha = 1": 'compares "alpha" (true or false) with 1 (a number): compare like with like',
    "taken > 'yesterday'": "compares \"taken\" (a date) with 'yesterday' (a text): compare like with like",
    "taken > 'tomorrow'::DATE": "casts a constant that cannot be cast: CAST('tomorrow' AS DATE)",
    "coalesce(width, 'none') = 'none'": "compares \"width\" (a number) with 'none' (a text): compare like with like",
    "length(width) < 3": "cannot work out length of (a number): write length(text)",
    "log10() < width": "cannot work out log10 of (): write log10(number)",
    "sharpness & 1 = 1": "cannot work out & of (a real number, a number)",
    "tags[text] = 'a'": "cannot work out array_extract of (a list, a text)",
    "width + text > 1": "cannot work out + of (a number, a text)",
    "text::DECIMAL > 1": "casts to DECIMAL: a rule may cast to TINYINT, SMALLINT, INTEGER, BIGINT, HUGEINT, UTINYINT, "
    "USMALLINT, UINTEGER, UBIGINT, FLOAT, DOUBLE, VARCHAR, BOOLEAN, DATE, TIMESTAMP",
    "regexp_matches(text, '[a')": "cannot be worked out: missing ]: [a",
    "regexp_matches(text, format)": "calls regexp_matches() with a pattern that is no constant: "
    "write regexp_matches(text, 'pattern')",
    "text LIKE format": "uses LIKE with a pattern that is no constant text: use contains() or starts_with()",
    "text LIKE 'a!' ESCAPE '!'": "uses LIKE with a pattern that ends in its escape character",
    "replace(text, 'a', 'bb') = 'bb'": "calls replace() with something longer than what it replaces",
    "rows.width < 3": 'uses "rows.width": a column is named alone, without a table or a field',
    "width > (SELECT 1)": "holds a query: a rule sees one row and nothing else",
    "width < 64, height < 64": "holds several expressions: join conditions with AND or OR",
    "width < 64 -- tiny": "holds an SQL comment: write comments in the recipe, after a #",
    "width <": "cannot be read as SQL: it ends too early",
    "width < 64 AND AND alpha": 'cannot be read as SQL: syntax error at or near "AND"',
    "": 'is empty: write a condition, such as "sharpness < 100"',
    "true": "reads no column, so it would say the same of every sample",
    "NULL": "reads no column, so it would say the same of every sample",
}


@pytest.mark.parametrize("when", COMPLAINTS)
def test_a_complaint_says_where_what_and_how_to_mend_it(when: str) -> None:
    with pytest.raises(RecipeError) as complaint:
        compile_rule(Rule("blurry", when, "rejected"), SCHEMA, WHERE)
    assert str(complaint.value) == f"{WHERE} {COMPLAINTS[when]}"


def test_without_a_place_a_complaint_names_the_rule() -> None:
    with pytest.raises(RecipeError, match=r"^rule 'blurry' is empty"):
        compile_rule(Rule("blurry", " ", "rejected"), SCHEMA)


def rule(when: str, schema: pa.Schema = SCHEMA) -> CompiledRule:
    return compile_rule(Rule("r", when, "rejected"), schema)


def said(when: str, **columns: list[object]) -> list[bool | None]:
    rows = pa.table({name: pa.array(values, SCHEMA.field(name).type) for name, values in columns.items()})
    answer: list[bool | None] = evaluate([rule(when, rows.schema)], rows)["rule_0"].to_pylist()
    return answer


def test_the_columns_of_a_rule_are_named_once_in_order_as_the_schema_has_them() -> None:
    assert rule("Height > 1 and WIDTH > 1 and height < 9").columns == ("height", "width")
    assert rule('"odd ""NAME""" > 1').columns == ('odd "name"',)


def test_a_column_that_differs_from_another_in_letter_case_only_is_refused() -> None:
    with pytest.raises(RecipeError, match="A and a differ in letter case only"):
        rule("a > 1", pa.schema([("A", pa.int32()), ("a", pa.int32()), ("b", pa.int32())]))


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("width / 0 > 1", [None]),
        ("width % 0 = 1", [None]),
        ("text::INTEGER > 1", [None]),
        ("CAST(text AS DOUBLE) > 1", [None]),
        ("sqrt(-width) > 1", [None]),
        ("ln(width - 7) > 1", [None]),
        ("pow(-width, 0.5) < 1", [None]),
        ("sharpness / sharpness > 0", [True]),
        ("width * height > 0", [True]),
        ("urls * 10000 > 0", [True]),
        ("width * width * width * width * width * width * width > 0", [None]),
        ("tags[9] = 'x'", [None]),
    ],
)
def test_what_cannot_be_worked_out_is_null_and_stops_nothing(when: str, expected: list[bool | None]) -> None:
    columns: dict[str, list[object]] = {
        "width": [2**31 - 1],
        "height": [2**31 - 1],
        "sharpness": [2.0],
        "urls": [30],
    }
    if "- 7" in when:
        columns["width"] = [7]
    assert said(when, **columns, text=["x"], tags=[["x"]]) == expected


def test_real_numbers_are_compared_in_the_precision_of_their_column() -> None:
    assert said("sharpness = 1.1 AND sharpness <= 1.1 AND sharpness IN (1.1)", sharpness=[1.1]) == [True]


@pytest.mark.parametrize(
    "when",
    [
        "-height BETWEEN 1 AND 2",
        "-height IN (1, 2)",
        "-height IS DISTINCT FROM 1",
        "pow(width, height) < 1",
        "ln(-height) < 1",
        "-height > 1 AND -height < 9",
    ],
)
def test_an_error_stays_in_its_row_where_a_condition_needs_a_value_twice(when: str) -> None:
    # DuckDB would work the value out once, outside of what catches the error: the sandbox turns that off.
    schema = pa.schema([("width", pa.int64()), ("height", pa.int64())])
    rows = pa.table({"width": [0, 1], "height": [-(2**63), -1]}, schema)
    assert evaluate([rule(when, schema)], rows)["rule_0"].to_pylist()[1] is not None


def test_an_error_in_one_row_leaves_the_others_alone() -> None:
    assert said("width * width * width > 8", width=[2**31 - 1, 3, None, 2]) == [None, True, None, False]


def test_nan_could_not_be_measured_and_so_is_null() -> None:
    assert said("sharpness < 100", sharpness=[math.nan, None, 1.0, math.inf]) == [None, None, True, False]
    assert said("sharpness IS NULL", sharpness=[math.nan, None, 1.0, math.inf]) == [True, True, False, False]


@pytest.mark.parametrize(
    ("when", "text", "expected"),
    [
        ("text LIKE 'IMG%'", "IMG_1.jpg", True),
        ("text LIKE 'IMG_%'", "IMG", False),
        ("text LIKE '_.b'", "\n.b", True),
        ("text LIKE '_.b'", "axb", False),
        ("text LIKE '_'", "ß", True),
        ("text LIKE '100!%%' ESCAPE '!'", "100% dog", True),
        ("text LIKE '100!%%' ESCAPE '!'", "100 dog", False),
        ("text NOT LIKE 'a_c'", "abc", False),
        ("text ILIKE 'straße%'", "STRAßE 1", True),
        ("text ILIKE '_MG.%'", "img.x", True),
        ("text NOT ILIKE '%DOG%'", "a dog", False),
        ("text LIKE 'it''s (a_)%'", "it's (ab) c", True),
        ("text LIKE '\\d_'", "\\da", True),
        ("text ~ '^a.c$'", "abc", True),
        ("text !~ '^a.c$'", "abc", False),
        ("position('c' IN text) = 3", "abc", True),
        ("text[1] = 'a'", "abc", True),
        ("text IN ['abc', 'd']", "abc", True),
        ("length(replace(text, ' ', '')) = 3", "a b c", True),
        ("CASE WHEN text = 'a' THEN false ELSE contains(text, 'b') END", "abc", True),
        ("if(text = 'a', false, true)", "abc", True),
    ],
)
def test_texts_are_matched_as_sql_says(when: str, text: str, expected: bool) -> None:
    assert said(when, text=[text]) == [expected]


@given(pattern=st.text("ab%_.*\\ß[(", max_size=8), text=st.text("abAB.*\\ß[(\n", max_size=8), any_case=st.booleans())
@settings(max_examples=80, deadline=None)
def test_like_agrees_with_duckdb(pattern: str, text: str, any_case: bool) -> None:
    word = "ILIKE" if any_case else "LIKE"
    with duckdb.connect() as database:
        expected = database.execute(f"SELECT ?::VARCHAR {word} ?::VARCHAR", [text, pattern]).fetchall()[0][0]
    assert said(f"text {word} '{pattern}'", text=[text]) == [expected]


# A small grammar of rules with an oracle in Python: three-valued logic, NULL as None.
NUMBERS = ("sharpness", "width", "urls")
COMPARE = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
}
Row = dict[str, object]


def value(row: Row, name: str) -> object:
    found = row[name]
    return None if isinstance(found, float) and math.isnan(found) else found


def lifted(function, *values):
    return None if any(v is None for v in values) else function(*values)


def negation(a: bool | None) -> bool | None:
    return None if a is None else not a


def conjunction(a: bool | None, b: bool | None) -> bool | None:
    return False if a is False or b is False else (None if a is None or b is None else True)


@st.composite
def conditions(draw, depth: int = 3):
    """SQL and its meaning as a Python function of a row."""
    kind = draw(
        st.sampled_from(["compare", "between", "in", "null", "bool", *["and", "or", "not", "case"] * bool(depth)])
    )
    name = draw(st.sampled_from(NUMBERS))
    low, high = sorted((draw(st.integers(-5, 5)), draw(st.integers(-5, 5))))
    if kind == "compare":
        sign = draw(st.sampled_from(list(COMPARE)))
        return f"{name} {sign} {low}", lambda row: lifted(COMPARE[sign], value(row, name), low)
    if kind == "between":
        return f"{name} BETWEEN {low} AND {high}", lambda row: lifted(lambda v: low <= v <= high, value(row, name))
    if kind == "in":
        texts = draw(st.lists(st.sampled_from(["jpeg", "it's", ""]), min_size=1, max_size=3))
        listed = ", ".join("'" + text.replace("'", "''") + "'" for text in texts)
        return f"format IN ({listed})", lambda row: lifted(lambda v: v in texts, value(row, "format"))
    if kind == "null":
        return f"{name} IS NULL", lambda row: value(row, name) is None
    if kind == "bool":
        return "alpha", lambda row: value(row, "alpha")
    one, is_one = draw(conditions(depth - 1))
    other, is_other = draw(conditions(depth - 1))
    if kind == "and":
        return f"({one}) and ({other})", lambda row: conjunction(is_one(row), is_other(row))
    if kind == "or":
        return (
            f"({one}) OR ({other})",
            lambda row: negation(conjunction(negation(is_one(row)), negation(is_other(row)))),
        )
    if kind == "case":
        return f"CASE WHEN {one} THEN {other} END", lambda row: is_other(row) if is_one(row) else None
    return f"NOT ({one})", lambda row: negation(is_one(row))


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "sharpness": st.none() | st.sampled_from([math.nan, math.inf, -0.0, 2.5]) | st.integers(-5, 5).map(float),
            "width": st.none() | st.integers(-5, 5),
            "urls": st.none() | st.integers(-5, 5),
            "format": st.none() | st.sampled_from(["jpeg", "it's", "", "PNG"]),
            "alpha": st.none() | st.booleans(),
        }
    ),
    max_size=30,
)


@given(rows=ROWS, drawn=st.lists(conditions(), min_size=1, max_size=5))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_rules_say_what_three_valued_logic_says(rows: list[Row], drawn) -> None:
    schema = pa.schema([SCHEMA.field(name) for name in ("sharpness", "width", "urls", "format", "alpha")])
    table = pa.Table.from_pylist(rows, schema)
    answer = evaluate([rule(sql, schema) for sql, _ in drawn], table)
    assert answer.num_rows == len(rows)
    for place, (_, meaning) in enumerate(drawn):
        assert answer[f"rule_{place}"].to_pylist() == [meaning(row) for row in rows]


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Table, Path]:
    """300,000 rows in order, in several row groups."""
    count = 300_000
    rng = np.random.default_rng(7)
    table = pa.table(
        {
            "width": pa.array(np.arange(count, dtype=np.int32)),
            "sharpness": pa.array(rng.random(count, dtype=np.float32) * 300, mask=rng.random(count) < 0.1),
            "text": pa.array([f"caption {place % 977}" for place in range(count)]),
        }
    )
    path = tmp_path_factory.mktemp("rows") / "rows [1]*.parquet"
    pq.write_table(table, path, row_group_size=65_536)
    return table, path


def test_a_file_and_a_table_say_the_same_in_order_whatever_the_threads(big: tuple[pa.Table, Path]) -> None:
    table, path = big
    rules = [rule(when, table.schema) for when in ("width % 1000 = 7", "sharpness < 100", "text LIKE '%_7'")]
    answer = evaluate(rules, table)
    assert np.flatnonzero(answer["rule_0"].to_numpy()).tolist() == list(range(7, table.num_rows, 1000))
    assert answer["rule_1"].null_count == table["sharpness"].null_count
    plain = path.parent / "hive=1" / "it's rows.parquet"  # a name that is no pattern: the query reads it itself
    plain.parent.mkdir(exist_ok=True)
    shutil.copy(path, plain)
    for threads in (1, 2, 5):
        assert evaluate(rules, str(path), threads).equals(answer)
        assert evaluate(rules, plain, threads).equals(answer)


def test_a_file_and_a_table_say_the_same_of_every_type_of_column(tmp_path: Path) -> None:
    nan, inf = float("nan"), float("inf")
    columns = {
        "r4": pa.array([1.5, nan, None, inf, -inf, -nan], pa.float32()),
        "r8": pa.array([1.5, nan, None, inf, -inf, 0.1], pa.float64()),
        "i1": pa.array([-128, 127, None, 0, 1, 2], pa.int8()),
        "i2": pa.array([-(2**15), 2**15 - 1, None, 0, 1, 2], pa.int16()),
        "i4": pa.array([-(2**31), 2**31 - 1, None, 0, 1, 2], pa.int32()),
        "i8": pa.array([-(2**63), 2**63 - 1, None, 0, 1, 2], pa.int64()),
        "u1": pa.array([255, 127, None, 0, 1, 2], pa.uint8()),
        "u2": pa.array([2**16 - 1, 127, None, 0, 1, 2], pa.uint16()),
        "u4": pa.array([2**32 - 1, 127, None, 0, 1, 2], pa.uint32()),
        "u8": pa.array([2**64 - 1, 127, None, 0, 1, 2], pa.uint64()),
        "b": pa.array([True, False, None, True, False, None]),
        "t": pa.array(["a", "", None, "é\0", "b", "c"]),
        "d": pa.array([0, 1, None, -1, 20_000, 2], pa.date32()),
        "s": pa.array([0, 1, None, -1, 2 * 10**15, 2], pa.timestamp("us")),
        "ns": pa.array([0, 1, None, -1, 2 * 10**18, 2], pa.timestamp("ns")),
        "l": pa.array([["a"], [], None, ["b"], ["a", "b"], [None]], pa.list_(pa.string())),
    }
    table = pa.table(columns)
    conditions = [
        *(f"{name} > 1" for name in ("r4", "r8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")),
        *(f"{name} * {name} > 10" for name in ("r4", "r8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")),
        *("b", "t > 'a'", "d > '2000-01-01'", "s > '2000-01-01'"),
    ]
    pq.write_table(table, tmp_path / "rows.parquet")
    pq.write_table(table.append_column("T", columns["i1"]), tmp_path / "cases.parquet")  # T and t: which is meant?
    for whens in (conditions, [*conditions, "ns > '2000-01-01'", "list_contains(l, 'a')"]):
        rules = [rule(when, table.schema) for when in whens]
        answer = evaluate(rules, table)
        assert evaluate(rules, tmp_path / "rows.parquet").equals(answer)
        assert evaluate(rules, tmp_path / "cases.parquet").equals(answer)


def test_the_values_a_rule_saw_are_json_with_short_numbers(big: tuple[pa.Table, Path]) -> None:
    schema = pa.schema(
        [
            *((n, SCHEMA.field(n).type) for n in ("sharpness", "phash", "alpha", "text", "tags", "taken")),
            ("mean", pa.float64()),
        ]
    )
    rows = pa.table(
        {
            "sharpness": [12.1, math.nan, None, math.inf],
            "phash": [2**64 - 1, 0, None, 1],
            "alpha": [True, False, None, True],
            "text": ['a "b"\n', "x" * 300, None, "ß"],
            "tags": [["a", "b"], [], None, [None]],
            "taken": [0, 1, None, 2],
            "mean": [0.1, 100.0, None, 1e300],
        },
        schema,
    )
    reads = rule(
        "alpha AND sharpness < 1 AND phash = 1 AND text = '' AND tags[1] = '' AND taken < '2020-01-01' AND mean < 1",
        schema,
    )
    first, second, third, fourth = map(json.loads, observed(reads, rows))
    assert list(first) == ["alpha", "sharpness", "phash", "text", "tags", "taken", "mean"]
    assert first == {
        "alpha": True,
        "sharpness": 12.1,
        "phash": 2**64 - 1,
        "text": 'a "b"\n',
        "tags": ["a", "b"],
        "taken": "1970-01-01",
        "mean": 0.1,
    }
    assert second["sharpness"] is None
    assert second["text"] == "x" * 200 + "..."
    assert set(third.values()) == {None}
    assert fourth["sharpness"] == "inf"
    assert fourth["mean"] == 1e300
    table, path = big
    both = rule("text = 'x' OR width > 3", table.schema)
    indices = np.array([299_999, 3, 65_536, 3, 0], dtype=np.int64)
    assert observed(both, path, indices) == observed(both, table, indices)
    assert json.loads(observed(both, path, indices)[0]) == {"text": f"caption {299_999 % 977}", "width": 299_999}
    assert observed(both, path, np.array([], dtype=np.int64)) == []


def test_rows_without_the_columns_or_without_a_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the table has no column 'width'"):
        evaluate([rule("width > 1")], pa.table({"height": [1]}))
    broken = tmp_path / "rows.parquet"
    broken.write_bytes(b"no parquet")
    with pytest.raises(RunError, match=r"rows\.parquet cannot be read as a Parquet file"):
        evaluate([rule("width > 1")], broken)
    with pytest.raises(RunError, match="cannot be read"):
        observed(rule("width > 1"), tmp_path / "missing.parquet")


TOKENS = [
    *("sharpness", "width", "text", "alpha", "tags", "taken", "'a'", "'it''s'", "1", "-2.5", "1e9", "NULL", "true"),
    *(
        "(",
        ")",
        "[",
        "]",
        ",",
        ";",
        ".",
        "::",
        "=",
        "<",
        "<>",
        "AND",
        "OR",
        "NOT",
        "IN",
        "IS",
        "LIKE",
        "ILIKE",
        "ESCAPE",
    ),
    *("BETWEEN", "CASE", "WHEN", "THEN", "ELSE", "END", "CAST", "AS", "INTEGER", "DATE", "+", "-", "*", "/", "%", "^"),
    *("||", "~", "!", "@", "#", "$", "?", '"', "'", "--", "/*", "*/", "SELECT", "FROM", "DISTINCT", "OVER", "INTERVAL"),
    *("lower(", "length(", "if(", "coalesce(", "list_value(", "regexp_matches(", "replace(", "EXTRACT(", "{", "}", ":"),
    *("->", "\\", "$$"),
]


@given(text=st.lists(st.sampled_from(TOKENS), max_size=12).map(" ".join) | st.text(max_size=20))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_text_is_either_a_rule_or_a_complaint(text: str) -> None:
    try:
        compiled = rule(text)
    except RecipeError:
        return
    assert evaluate([compiled], SCHEMA.empty_table()).num_rows == 0


def test_no_rules_say_nothing() -> None:
    assert evaluate([], pa.table({"width": [1]})).num_columns == 0


def test_a_setting_names_a_rule_and_its_condition_or_turns_it_off() -> None:
    assert parse_setting("blurry: sharpness < 150") == Setting("blurry", "sharpness < 150")
    assert parse_setting(" too wide :width::INT > 9 ") == Setting("too wide", "width::INT > 9")
    assert parse_setting("blurry: OFF") == Setting("blurry", None)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "sharpness < 150",
            "--set 'sharpness < 150' names no rule: write 'NAME: CONDITION', such as 'blurry: sharpness < 150'",
        ),
        (
            "width::INT > 1",
            "--set 'width::INT > 1' names no rule: write 'NAME: CONDITION', such as 'blurry: sharpness < 150'",
        ),
        (": sharpness < 150", "--set ': sharpness < 150' has no name before the colon: write 'NAME: CONDITION'"),
        (
            "blurry:",
            "--set 'blurry:' has no condition: write 'blurry: CONDITION', or 'blurry: off' to leave it out",
        ),
    ],
)
def test_a_setting_that_cannot_be_read_says_how_to_write_it(text: str, complaint: str) -> None:
    with pytest.raises(RecipeError) as error:
        parse_setting(text)
    assert str(error.value) == complaint
