"""The order of preference in which a cluster keeps its best member: `pixels desc, characters desc, id`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from sluice.errors import RecipeError
from sluice.run.rules.sql_check import Checked, RefusedError, check, quoted

_TERM: Final = re.compile(r"^(?P<value>.*?)(?:\s+(?P<way>asc|desc))?\s*$", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Order:
    """A checked ORDER BY list."""

    sql: str
    columns: tuple[str, ...]  # that it reads


def compile_order(text: str, schema: pa.Schema, where: str = "keep") -> Order:
    """`text` as a safe ORDER BY list over the columns of `schema`; what could not be measured comes last.

    >>> compile_order("Pixels desc, id", pa.schema([("pixels", pa.int64()), ("id", pa.string())])).sql
    '"pixels" DESC NULLS LAST, "id" ASC NULLS LAST'
    """
    terms: list[str] = []
    columns: list[str] = []
    for term in _terms(text):
        match = _TERM.match(term.strip())
        assert match is not None  # every string matches
        names = {name.lower(): name for name in schema.names}
        value = match["value"].strip()
        try:
            checked = _column(names[value.lower()]) if value.lower() in names else check(value, schema.names)
        except RefusedError as error:
            raise RecipeError(f"{where} {error}") from error
        terms.append(f"{checked.sql} {(match['way'] or 'asc').upper()} NULLS LAST")
        columns += checked.columns
    return Order(", ".join(terms), tuple(dict.fromkeys(columns)))


def _column(name: str) -> Checked:
    return Checked(sql=quoted(name), columns=[name])


def _terms(text: str) -> list[str]:
    """`text` cut at the commas that stand outside of brackets."""
    terms, depth = [""], 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            terms.append("")
        else:
            terms[-1] += character
    return terms
