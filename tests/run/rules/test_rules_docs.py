"""`docs/rules.md` shows the language as it is: run this file as a program to write its table anew."""

import re
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from sluice.run.rules.language import CALLS, CONSTANT_ARGUMENTS, FUNCTIONS, ONLY_ABOVE
from sluice.run.rules.rule import Rule, compile_rule, evaluate

DOCUMENT = Path(__file__).parents[3] / "docs" / "rules.md"
MARK = re.compile(r"(<!-- functions: .* -->\n\n)(?:\|.*\n)*")

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "source", "source_url", "language", "spdx", "text")),
        *((name, pa.int64()) for name in ("words", "min_side", "jpeg_quality", "width")),
        *((name, pa.float32()) for name in ("sharpness", "aspect", "capital_share", "letter_share")),
        *((name, pa.float32()) for name in ("repeated_word_share", "language_confidence")),
        *((name, pa.bool_()) for name in ("file_name_like", "alternative", "refusal", "assistant_talk")),
        *((name, pa.bool_()) for name in ("prompt_leak", "fine_detail")),
        ("pixels", pa.int64()),
        ("pii_kinds", pa.string()),
        ("format", pa.string()),
        ("tags", pa.list_(pa.int64())),
        ("taken", pa.date32()),
    ]
)

# A value of each kind, as the signatures name them.
ARGUMENTS = {
    "text": "text",
    "number": "width",
    "list": "tags",
    "date": "taken",
    "value": "width",
    "condition": "file_name_like",
    **dict.fromkeys(("count", "start", "digits", "group"), "1"),
    **dict.fromkeys(("part", "separator", "from", "to", "end"), "'a'"),
    **{constant: constant for constant in ("'pattern'", "'from'", "'to'")},
    "part in text": "'a' IN text",
    "part from date": "YEAR FROM taken",
}


def table() -> str:
    rows = ["| on | functions |", "| --- | --- |"]
    rows += [f"| {kind} | {', '.join(f'`{call}`' for call in calls)} |" for kind, calls in FUNCTIONS.items()]
    return "\n".join(rows) + "\n"


def test_the_table_of_functions_is_the_one_that_is_enforced() -> None:
    assert MARK.sub(lambda found: found[1] + table(), DOCUMENT.read_text()) == DOCUMENT.read_text()


@pytest.mark.parametrize("call", [call for calls in FUNCTIONS.values() for call in calls])
def test_every_function_works_as_it_is_written(call: str) -> None:
    name, _, inside = call.removesuffix(")").partition("(")
    arguments = [ARGUMENTS[part] for part in inside.split(", ")]
    if name in ("starts_with", "substring", "substr"):
        arguments[1] = "'a'" if name == "starts_with" else "1"
    if name == "split_part":
        arguments[2] = "1"
    rule = compile_rule(Rule("r", f"{name}({', '.join(arguments)}) IS NOT NULL", "held"), SCHEMA)
    row = dict.fromkeys(SCHEMA.names) | {"text": "a", "width": 4, "tags": [1], "taken": 0, "file_name_like": True}
    assert evaluate([rule], pa.Table.from_pylist([row], SCHEMA))["rule_0"].to_pylist() == [name != "nullif"]


def test_what_is_said_of_functions_is_said_of_known_ones() -> None:
    assert set(CONSTANT_ARGUMENTS) | set(ONLY_ABOVE) <= set(CALLS)


def test_every_example_of_the_document_compiles() -> None:
    text = DOCUMENT.read_text()
    filters = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])["filter"]
    whens = [rule if isinstance(rule, str) else rule["when"] for part in filters.values() for rule in part.values()]
    examples = text.split("## Examples\n")[1].split("## ")[0]
    whens += [row.split("`")[1] for row in examples.splitlines() if row.count("`") >= 2]
    assert len(whens) >= 14
    for when in whens:
        compile_rule(Rule("example", when, "rejected"), SCHEMA)


if __name__ == "__main__":
    DOCUMENT.write_text(MARK.sub(lambda found: found[1] + table(), DOCUMENT.read_text()))
