"""The language of rules, as data: what of SQL an expression may hold. What is not named here is refused.

Everything is a pure function of the values of one row: nothing random, nothing that knows the time, the
machine or another row, and nothing whose result can outgrow the row (`repeat`, `format`, `range`) or takes
more than linear time in it (`levenshtein`, backtracking patterns). `docs/rules.md` shows the table of
functions; a test keeps the two the same.
"""

from __future__ import annotations

from typing import Final

MAX_CHARACTERS: Final = 20_000  # of one expression
MAX_WRITTEN: Final = 100_000  # characters of the SQL it becomes: a guarded argument is written twice
MAX_DEPTH: Final = 100  # expressions within expressions, brackets within brackets

# How each function is called, by the kind of value it is about.
FUNCTIONS: Final[dict[str, tuple[str, ...]]] = {
    "texts": (
        "length(text)",
        "len(text)",
        "strlen(text)",
        "lower(text)",
        "upper(text)",
        "trim(text)",
        "ltrim(text)",
        "rtrim(text)",
        "left(text, count)",
        "right(text, count)",
        "substring(text, start, count)",
        "substr(text, start, count)",
        "reverse(text)",
        "contains(text, part)",
        "starts_with(text, start)",
        "ends_with(text, end)",
        "position(part in text)",
        "strpos(text, part)",
        "replace(text, 'from', 'to')",
        "translate(text, from, to)",
        "concat(text, text)",
        "split_part(text, separator, number)",
        "string_split(text, separator)",
        "regexp_matches(text, 'pattern')",
        "regexp_full_match(text, 'pattern')",
        "regexp_extract(text, 'pattern', group)",
        "regexp_extract_all(text, 'pattern')",
        "strip_accents(text)",
        "nfc_normalize(text)",
        "unicode(text)",
        "md5(text)",
    ),
    "numbers": (
        "abs(number)",
        "sign(number)",
        "round(number, digits)",
        "floor(number)",
        "ceil(number)",
        "trunc(number)",
        "mod(number, number)",
        "sqrt(number)",
        "cbrt(number)",
        "pow(number, number)",
        "power(number, number)",
        "exp(number)",
        "ln(number)",
        "log2(number)",
        "log10(number)",
        "isinf(number)",
        "isfinite(number)",
        "bit_count(number)",
        "xor(number, number)",
    ),
    "any values": (
        "coalesce(value, value)",
        "ifnull(value, value)",
        "nullif(value, value)",
        "if(condition, value, value)",
        "greatest(value, value)",
        "least(value, value)",
    ),
    "lists": (
        "list_contains(list, value)",
        "list_min(list)",
        "list_max(list)",
        "list_sum(list)",
        "list_avg(list)",
    ),
    "dates": (
        "year(date)",
        "month(date)",
        "day(date)",
        "extract(part from date)",
    ),
}

# Names DuckDB's parser gives to syntax above: `extract(...)`, `[1, 2]`.
_BY_SYNTAX: Final = ("date_part", "list_value")

CALLS: Final[dict[str, str]] = {
    **{call.partition("(")[0]: call for calls in FUNCTIONS.values() for call in calls},
    **{name: name for name in _BY_SYNTAX},
}
"""Name of a function -> how it is called."""

WRITTEN_AS: Final = {"position": "strpos"}  # the same function; `position` has a syntax of its own

# Functions whose arguments, from this one on, must be of one kind: texts, numbers, ...
OF_ONE_KIND: Final = {"nullif": 0, "greatest": 0, "least": 0, "list_value": 0, "if": 1}

# A backtracking or per-row pattern could take for ever: these arguments (counted from 0) are constants.
CONSTANT_ARGUMENTS: Final[dict[str, tuple[int, ...]]] = {
    "regexp_matches": (1, 2),
    "regexp_full_match": (1, 2),
    "regexp_extract": (1, 2, 3),
    "regexp_extract_all": (1, 2, 3),
    "replace": (1, 2),
}

# What may give "not a number" from numbers; that counts as NULL, as everything that could not be worked out.
GIVES_NAN: Final = frozenset({"pow", "power", "^", "**"})

# Functions that are NULL where their argument is not like this.
ONLY_ABOVE: Final = {"ln": "> 0", "log2": "> 0", "log10": "> 0", "sqrt": ">= 0"}

OPERATORS: Final[dict[str, frozenset[int]]] = {  # operator -> how many operands it may have
    **dict.fromkeys(("*", "/", "//", "%", "^", "**", "||", "&", "|", "<<", ">>"), frozenset({2})),
    **dict.fromkeys(("+", "-"), frozenset({1, 2})),
    "~": frozenset({1}),
}

LIKES: Final[dict[str, tuple[bool, bool]]] = {  # DuckDB's name -> (negated, letter case ignored)
    "~~": (False, False),
    "!~~": (True, False),
    "~~*": (False, True),
    "!~~*": (True, True),
    "like_escape": (False, False),
    "not_like_escape": (True, False),
    "ilike_escape": (False, True),
    "not_ilike_escape": (True, True),
}

COMPARISONS: Final[dict[str, str]] = {
    "COMPARE_EQUAL": "=",
    "COMPARE_NOTEQUAL": "<>",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
    "COMPARE_DISTINCT_FROM": "IS DISTINCT FROM",
    "COMPARE_NOT_DISTINCT_FROM": "IS NOT DISTINCT FROM",
}

CONJUNCTIONS: Final[dict[str, str]] = {"CONJUNCTION_AND": "AND", "CONJUNCTION_OR": "OR"}

_INTEGERS: Final = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
)
CAST_TYPES: Final = (*_INTEGERS, "FLOAT", "DOUBLE", "VARCHAR", "BOOLEAN", "DATE", "TIMESTAMP")

CAST_ALIASES: Final[dict[str, str]] = {
    "INT": "INTEGER",
    "INT1": "TINYINT",
    "INT2": "SMALLINT",
    "INT4": "INTEGER",
    "INT8": "BIGINT",
    "BOOL": "BOOLEAN",
    "TEXT": "VARCHAR",
    "STRING": "VARCHAR",
    "REAL": "FLOAT",
    "DATETIME": "TIMESTAMP",
}
