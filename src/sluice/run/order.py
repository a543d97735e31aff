"""The order of preference in which a cluster keeps its best member: `pixels desc, characters desc, id`."""

from __future__ import annotations

import re
from typing import Final

import pyarrow as pa

from sluice.errors import RecipeError
from sluice.run.sql_check import RefusedError, check, quoted

_TERM: Final = re.compile(r"^(?P<value>.*?)(?:\s+(?P<way>asc|desc))?\s*$", re.IGNORECASE | re.DOTALL)


def compile_order(text: str, schema: pa.Schema, where: str = "keep") -> str:
    """`text` as a safe ORDER BY list over the columns of `schema`; what could not be measured comes last.

    >>> compile_order("Pixels desc, id", pa.schema([("pixels", pa.int64()), ("id", pa.string())]))
    '"pixels" DESC NULLS LAST, "id" ASC NULLS LAST'
    """
    terms: list[str] = []
    for term in _terms(text):
        match = _TERM.match(term.strip())
        assert match is not None  # every string matches
        names = {name.lower(): name for name in schema.names}
        value = match["value"].strip()
        try:
            sql = quoted(names[value.lower()]) if value.lower() in names else check(value, schema.names).sql
        except RefusedError as error:
            raise RecipeError(f"{where} {error}") from error
        terms.append(f"{sql} {(match['way'] or 'asc').upper()} NULLS LAST")
    return ", ".join(terms)


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
