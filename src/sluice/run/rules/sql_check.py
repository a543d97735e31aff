"""From the text of a condition to SQL that may be run: parsed once, walked, and written anew from what is allowed.

DuckDB parses the text into a tree (`json_serialize_sql`); `check` walks the tree and writes each node it knows as
fully bracketed SQL. Nothing of the text itself reaches the database again, so there is nothing to smuggle: what
is not in `language` cannot be written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sluice.run.rules import language
from sluice.run.rules.like import like_sql
from sluice.run.rules.sandbox import literal
from sluice.run.rules.sql_parse import Node, RefusedError, parse

_SYNTAX: Final = frozenset(
    {"class", "type", "query_location", "query_location_length", "is_operator", "qualified_name"}
)
_EMPTY: Final[tuple[object, ...]] = (None, "", [], False, {"type": "ORDER_MODIFIER", "orders": []})
_NUMBER: Final = re.compile(r"-?[0-9_]*\.?[0-9_]*([eE][+-]?[0-9_]+)?")


@dataclass
class Checked:
    """An expression as SQL of ours, and what it takes for granted (inner things first)."""

    sql: str = ""
    constants: list[str] = field(default_factory=list[str])  # casts of constants: must not fail
    columns: list[str] = field(default_factory=list[str])  # that it reads, in order of appearance
    conditions: list[str] = field(default_factory=list[str])  # must be BOOLEAN
    comparisons: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])  # must be of one kind each


def check(text: str, columns: Sequence[str]) -> Checked:
    """The condition `text` over `columns` as safe SQL; `RefusedError` says why it is none.

    >>> check("sharpness < 100 and not alpha", ["sharpness", "alpha"]).sql
    '(("sharpness" < 100) AND (NOT "alpha"))'
    """
    writer = _Writer(text, columns)
    writer.checked.sql = writer.write(parse(text), 0)
    writer.checked.conditions.append(writer.checked.sql)
    return writer.checked


def quoted(name: str) -> str:
    """A name as SQL: in double quotes, those inside it doubled."""
    return '"' + name.replace('"', '""') + '"'


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "", cutoff: float = 0.6) -> str:
    """A hint in brackets with up to three names like `name`; `otherwise` where none is.

    >>> did_you_mean("sharpnes", ["sharpness", "text"])
    ' (did you mean "sharpness"?)'
    """
    import difflib  # only where something is amiss

    by_lower = {candidate.lower(): candidate for candidate in known}
    near = [f'"{by_lower[match]}"' for match in difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=cutoff)]
    if not near:
        return otherwise
    return f" (did you mean {' or '.join([', '.join(near[:-1]), near[-1]] if near[1:] else near)}?)"


class _Writer:
    """Writes one tree as SQL, and notes down what it meets."""

    def __init__(self, text: str, columns: Sequence[str]) -> None:
        self.text = text
        self.checked = Checked()
        self.names: dict[str, list[str]] = {}
        for column in columns:
            self.names.setdefault(column.lower(), []).append(column)

    def write(self, node: Node, depth: int) -> str:
        if depth > language.MAX_DEPTH:
            raise RefusedError(f"is nested more than {language.MAX_DEPTH} deep: split it into several rules")
        kind = str(node.get("class"))
        known = _NODES.get(kind)
        if known is None:
            raise RefusedError(_WHY_NOT.get(kind, f"uses {kind.lower()}, which a rule may not"))
        reads, write = known
        for key, value in node.items():
            # What we do not write must not be there: DISTINCT, FILTER, ORDER BY, an alias, another schema, ...
            if key not in reads and key not in _SYNTAX and value not in _EMPTY:
                raise RefusedError(f"uses {key.replace('_', ' ')}, which a rule may not")
        written = write(self, node, depth + 1)
        if len(written) > language.MAX_WRITTEN:
            raise RefusedError("is too large once written out: split it into several rules")
        return written

    def _all(self, nodes: Iterable[Node], depth: int) -> list[str]:
        return [self.write(node, depth) for node in nodes]

    def _column(self, node: Node, _depth: int) -> str:
        path: list[str] = node["column_names"]
        if len(path) != 1:
            raise RefusedError(f'uses "{".".join(path)}": a column is named alone, without a table or a field')
        name = path[0]
        found = self.names.get(name.lower(), [])
        if len(found) > 1:
            raise RefusedError(
                f'uses column "{name}", but {" and ".join(found)} differ in letter case only: rename one'
            )
        if not found:
            compared = re.search(rf'[=>(,]\s*"?{re.escape(name)}\b', self.text)
            otherwise = f"a text is written in single quotes: '{name}'" if compared else "docs/rules.md lists them"
            known = [column for same in self.names.values() for column in same]
            raise RefusedError(f'uses unknown column "{name}"{did_you_mean(name, known, f" ({otherwise})")}')
        if found[0] not in self.checked.columns:
            self.checked.columns.append(found[0])
        return quoted(found[0])

    def _constant(self, node: Node, _depth: int) -> str:
        kind, text = node["literal"]["kind"], str(node["literal"]["text"])
        if kind == "STRING" and "\0" not in text:
            return literal(text)
        if kind in ("INTEGER", "NUMERIC") and _NUMBER.fullmatch(text):
            return f"({text})" if text.startswith("-") else text
        if kind == "BOOLEAN" and text.lower() in ("true", "false"):
            return text.lower()
        if kind == "NULL_LITERAL":
            return "NULL"
        raise RefusedError("holds a constant that is no number, text, true, false or NULL")

    def _comparison(self, node: Node, depth: int) -> str:
        sides = self.write(node["left"], depth), self.write(node["right"], depth)
        self.checked.comparisons.append(sides)
        return f"({sides[0]} {_named(language.COMPARISONS, node)} {sides[1]})"

    def _between(self, node: Node, depth: int) -> str:
        value, lower, upper = self._all((node["input"], node["lower"], node["upper"]), depth)
        self.checked.comparisons.append((value, lower, upper))
        return f"({value} BETWEEN {lower} AND {upper})"

    def _conjunction(self, node: Node, depth: int) -> str:
        parts = self._all(node["children"], depth)
        self.checked.conditions.extend(parts)
        return f"({f' {_named(language.CONJUNCTIONS, node)} '.join(parts)})"

    def _case(self, node: Node, depth: int) -> str:
        branches = [(self.write(b["when_expr"], depth), self.write(b["then_expr"], depth)) for b in node["case_checks"]]
        self.checked.conditions.extend(when for when, _ in branches)
        written = " ".join(f"WHEN {when} THEN {then}" for when, then in branches)
        otherwise = self.write(node["else_expr"], depth)
        self.checked.comparisons.append((*(then for _, then in branches), otherwise))
        return f"(CASE {written} ELSE {otherwise} END)"

    def _cast(self, node: Node, depth: int) -> str:
        kind = node["type_expr"]
        name = str(kind.get("type_name", "")).upper()
        name = language.CAST_ALIASES.get(name, name)
        if name not in language.CAST_TYPES or kind.get("children") or kind.get("schema") or kind.get("catalog"):
            raise RefusedError(f"casts to {name}: a rule may cast to {', '.join(language.CAST_TYPES)}")
        value = self.write(node["child"], depth)
        if name == "BOOLEAN" and not kind.get("query_location_length"):  # the parser's own, for IS [NOT] TRUE
            self.checked.conditions.append(value)
            return value
        written = f"TRY_CAST({value} AS {name})"  # what cannot be cast is NULL, row by row
        if node["child"]["class"] == "CONSTANT" and value != "NULL":
            self.checked.constants.append(written)
        return written

    def _operator(self, node: Node, depth: int) -> str:
        kind = node["type"]
        if kind not in _OPERATORS:
            raise RefusedError(f"uses {str(kind).removeprefix('OPERATOR_').lower()}, which a rule may not")
        values = self._all(node["children"], depth)
        if kind == "OPERATOR_NOT":
            self.checked.conditions.extend(values)
        if kind in ("COMPARE_IN", "OPERATOR_COALESCE", "ARRAY_CONSTRUCTOR"):
            self.checked.comparisons.append(tuple(values))
        return _OPERATORS[kind](values)

    def _function(self, node: Node, depth: int) -> str:
        name, arguments = str(node["function_name"]).lower(), node["arguments"]
        if any(argument["name"] for argument in arguments):
            raise RefusedError(f"calls {name}() with named arguments: give them in order")
        operands = [argument["expression"] for argument in arguments]
        if node["is_operator"] and name in language.LIKES:
            return self._like(name, operands, depth)
        if node["is_operator"]:
            return self._arithmetic(name, operands, depth)
        if name == "row":
            raise RefusedError("holds several expressions: join conditions with AND or OR")
        if name not in language.CALLS:
            raise RefusedError(
                f"calls {name}(), which a rule may not"
                + did_you_mean(name, language.CALLS, "; docs/rules.md lists what it may", cutoff=0.7)
            )
        for place in language.CONSTANT_ARGUMENTS.get(name, ()):
            if place < len(operands) and operands[place]["class"] != "CONSTANT":
                raise RefusedError(f"calls {name}() with a pattern that is no constant: write {language.CALLS[name]}")
        values = self._all(operands, depth)
        if name == "replace":
            _check_replace(operands)
        if name == "if":
            self.checked.conditions.extend(values[:1])
        if name in language.OF_ONE_KIND:
            self.checked.comparisons.append(tuple(values[language.OF_ONE_KIND[name] :]))
        call = f"{language.WRITTEN_AS.get(name, name)}({', '.join(values)})"
        if name in language.ONLY_ABOVE and values:  # an error in one row would cost DuckDB a second look at thousands
            return f"(CASE WHEN {values[0]} {language.ONLY_ABOVE[name]} THEN {call} END)"
        return f"nullif({call}, 'nan'::DOUBLE)" if name in language.GIVES_NAN else call

    def _arithmetic(self, name: str, operands: Sequence[Node], depth: int) -> str:
        if len(operands) not in language.OPERATORS.get(name, ()):
            raise RefusedError(f"uses the operator {name}, which a rule may not")
        values = self._all(operands, depth)
        written = f"({values[0]} {name} {values[1]})" if len(values) == 2 else f"({name} {values[0]})"
        return f"nullif({written}, 'nan'::DOUBLE)" if name in language.GIVES_NAN else written

    def _like(self, name: str, operands: Sequence[Node], depth: int) -> str:
        literals = [node["literal"] if node["class"] == "CONSTANT" else {} for node in operands[1:]]
        if any(literal.get("kind") != "STRING" for literal in literals):
            raise RefusedError("uses LIKE with a pattern that is no constant text: use contains() or starts_with()")
        negated, any_case = language.LIKES[name]
        pattern, escape = literals[0]["text"], literals[1]["text"] if literals[1:] else ""
        value = self.write(operands[0], depth)
        self.checked.comparisons.append((value, "''"))
        try:
            written = like_sql(value, pattern, escape, any_case)
        except ValueError as error:
            raise RefusedError(f"uses LIKE with {error}") from error
        return f"(NOT {written})" if negated else written


_NODES: Final[dict[str, tuple[frozenset[str], Callable[[_Writer, Node, int], str]]]] = {
    "COLUMN_REF": (frozenset({"column_names"}), _Writer._column),
    "CONSTANT": (frozenset({"literal"}), _Writer._constant),
    "COMPARISON": (frozenset({"left", "right"}), _Writer._comparison),
    "BETWEEN": (frozenset({"input", "lower", "upper"}), _Writer._between),
    "CONJUNCTION": (frozenset({"children"}), _Writer._conjunction),
    "CASE": (frozenset({"case_checks", "else_expr"}), _Writer._case),
    "CAST": (frozenset({"child", "type_expr", "try_cast"}), _Writer._cast),
    "OPERATOR": (frozenset({"children"}), _Writer._operator),
    "FUNCTION": (frozenset({"function_name", "arguments"}), _Writer._function),
}

_OPERATORS: Final[dict[str, Callable[[list[str]], str]]] = {
    "OPERATOR_NOT": lambda values: f"(NOT {values[0]})",
    "OPERATOR_IS_NULL": lambda values: f"({values[0]} IS NULL)",
    "OPERATOR_IS_NOT_NULL": lambda values: f"({values[0]} IS NOT NULL)",
    "OPERATOR_COALESCE": lambda values: f"coalesce({', '.join(values)})",
    "COMPARE_IN": lambda values: f"({values[0]} IN ({', '.join(values[1:])}))",
    "ARRAY_EXTRACT": lambda values: f"{values[0]}[{values[1]}]",
    "ARRAY_CONSTRUCTOR": lambda values: f"[{', '.join(values)}]",
}

_WHY_NOT: Final[dict[str, str]] = {
    "SUBQUERY": "holds a query: a rule sees one row and nothing else",
    "WINDOW": "uses a window function: a rule sees one row and nothing else",
    "STAR": "uses *: name the columns that it reads",
    "PARAMETER": "holds a parameter: write the value itself",
    "LAMBDA": "holds a lambda, which a rule may not",
    "COLLATE": "uses COLLATE: compare lower(text) instead",
}


def _named(names: Mapping[str, str], node: Node) -> str:
    kind = str(node["type"])
    if kind not in names:
        raise RefusedError(f"uses {kind.lower()}, which a rule may not")
    return names[kind]


def _check_replace(operands: Sequence[Node]) -> None:
    """Nested replacements by something longer would grow a text without bound."""
    sizes = [len(str(node["literal"]["text"]).encode("utf-8", "surrogatepass")) for node in operands[1:3]]
    if len(sizes) == 2 and not sizes[0] >= max(sizes[1], 1):
        raise RefusedError("calls replace() with something longer than what it replaces")
