"""What was said of a unit's samples: the table that each captioner's folder holds, and how it reads as items."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from sluice.table.schema import ITEMS

SAID: Final = pa.schema(
    [
        ("id", pa.string()),
        ("item", pa.int16()),  # the number that the caption has in its sample; null for a failure, or where discarded
        ("captioner", pa.string()),  # or `consensus`, or the method of a variation
        ("kind", pa.string()),  # short | dense | ocr | grounded | qa
        ("text", pa.string()),
        ("data", pa.string()),  # JSON: boxes or pairs
        ("language", pa.string()),  # that was asked for
        ("of", pa.int16()),  # of a variation: the item that it is made from
        ("discarded", pa.string()),  # why a text that was made is none
        ("support", pa.float32()),  # in a consensus: the share of what it says that others say too
        ("claims", pa.list_(pa.string())),  # in a consensus: what it alone says
        ("model", pa.string()),
        ("revision", pa.string()),
        ("prompt", pa.string()),
        ("prompt_version", pa.string()),
        ("temperature", pa.float32()),
        ("seed", pa.int64()),
        ("tokens_in", pa.int64()),
        ("tokens_out", pa.int64()),
        ("cost", pa.float64()),
        ("seconds", pa.float64()),  # of the exchange that gave it
        ("attempts", pa.int16()),
        ("failure_class", pa.string()),
        ("failure_kind", pa.string()),
        ("failure", pa.string()),
    ]
)
_ORIGIN: Final = ("captioner", "model", "revision", "prompt_version", "of", "support", "claims")


def said_table(rows: list[dict[str, Any]]) -> pa.Table:
    """`rows` as a table of what was said; what a row does not state is null."""
    return pa.Table.from_pylist(rows, SAID)


def texts_said(said: pa.Table) -> list[dict[str, Any]]:
    """The rows that are texts, no failures and nothing discarded."""
    return [row for row in said.to_pylist() if row["failure_class"] is None and row["text"]]


def as_items(said: pa.Table) -> pa.Table:
    """What was said as items of their samples: captions, and the questions and answers of pairs."""
    rows: list[Mapping[str, Any]] = []
    for row in texts_said(said):
        origin = {name: row[name] for name in _ORIGIN if row[name] is not None}
        data = json.loads(row["data"]) if row["data"] else {}
        texts = [("caption", row["text"])]
        if row["kind"] == "qa":
            texts = [(role, pair[role]) for pair in data.pop("pairs", ()) for role in ("question", "answer")]
        meta = json.dumps({**origin, **data}, ensure_ascii=False)
        for place, (role, text) in enumerate(texts):
            made = {"id": row["id"], "item": row["item"] + place, "kind": "text", "role": role, "text": text}
            rows.append({**made, "language": row["language"], "meta": meta})
    return pa.Table.from_pylist(rows, ITEMS)
