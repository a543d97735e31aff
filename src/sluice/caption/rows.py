"""Outcomes as tables: `captions/<captioner>@<fingerprint>/unit-00000.parquet` and `failures.parquet`.

| column | of | |
| --- | --- | --- |
| `id` | both | the request's |
| `ordinal` | captions | 0 for the first caption of an image |
| `text`, `kind`, `language` | captions | the language is the one asked for |
| `data` | captions | boxes or question-answer pairs, as JSON |
| `failure_class`, `failure_kind`, `message` | failures | the class is what `sluice retry --class` takes |
| `captioner`, `model`, `revision`, `prompt`, `prompt_version`, `temperature`, `seed`, `fingerprint` | both | who |
| `tokens_in`, `tokens_out`, `cost`, `seconds`, `attempts` | both | what it took, all tries together |

A caption that was answered before has the numbers of then: a run that was killed and started again writes the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import pyarrow as pa

from sluice.caption.base import CaptionerIdentity, CaptionOutcome

_WHO: Final = {
    "captioner": pa.string(),
    "model": pa.string(),
    "revision": pa.string(),
    "prompt": pa.string(),
    "prompt_version": pa.string(),
    "temperature": pa.float32(),
    "seed": pa.int64(),
    "fingerprint": pa.string(),
}
_TOOK: Final = {
    "tokens_in": pa.int32(),
    "tokens_out": pa.int32(),
    "cost": pa.float64(),
    "seconds": pa.float32(),
    "attempts": pa.int16(),
}
CAPTIONS: Final = pa.schema(
    {
        "id": pa.string(),
        "ordinal": pa.int16(),
        "text": pa.string(),
        "kind": pa.string(),
        "language": pa.string(),
        "data": pa.string(),
        **_WHO,
        **_TOOK,
    }
)
FAILURES: Final = pa.schema(
    {
        "id": pa.string(),
        "failure_class": pa.string(),
        "failure_kind": pa.string(),
        "message": pa.string(),
        **_WHO,
        **_TOOK,
    }
)


def tables(identity: CaptionerIdentity, outcomes: Iterable[CaptionOutcome]) -> tuple[pa.Table, pa.Table]:
    """The captions and the failures; what an image took stands with its first caption, so that sums are right.

    >>> from sluice.caption.base import Caption, Spent
    >>> who = CaptionerIdentity("vlm", "m", "1", "short", "short", "1", 0.0, 0, "0123456789abcdef")
    >>> captions, failures = tables(who, [CaptionOutcome("a", (Caption("A dog.", "short"),), spent=Spent(1, 90, 9))])
    >>> captions.select(["id", "text", "model", "tokens_in"]).to_pylist(), failures.num_rows
    ([{'id': 'a', 'text': 'A dog.', 'model': 'm', 'tokens_in': 90}], 0)
    """
    who = {
        "captioner": identity.name,
        "model": identity.model,
        "revision": identity.revision,
        "prompt": identity.prompt,
        "prompt_version": identity.prompt_version,
        "temperature": identity.temperature,
        "seed": identity.seed,
        "fingerprint": identity.fingerprint,
    }
    captions: list[Mapping[str, Any]] = []
    failures: list[Mapping[str, Any]] = []
    for one in outcomes:
        took = {name: getattr(one.spent, name) for name in _TOOK}
        if one.failure is not None:
            failure = one.failure
            fields = {"failure_class": failure.failure_class, "failure_kind": failure.kind, "message": failure.message}
            failures.append({"id": one.id, **fields, **who, **took})
        for ordinal, caption in enumerate(one.captions):
            fields = {"text": caption.text, "kind": caption.kind, "language": caption.language, "data": caption.data}
            captions.append({"id": one.id, "ordinal": ordinal, **fields, **who, **({} if ordinal else took)})
    return pa.Table.from_pylist(captions, CAPTIONS), pa.Table.from_pylist(failures, FAILURES)
