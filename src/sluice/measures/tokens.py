"""`text.tokens`: how many tokens a text has for the model to be trained, so that budgets need no pass over the data."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from sluice.errors import RecipeError, SampleFailure
from sluice.measures.base import Batch, Columns, measure
from sluice.measures.base import text as text_view
from sluice.models.digest import content_hash
from sluice.models.tokenizer import CountTokens, load_tokenizer


@measure("text.tokens", version=1, reads=text_view(), writes={"tokens": pa.int32()}, files=("tokenizer",))
def tokens(batch: Batch, *, tokenizer: str | None = None, pattern: str | None = None) -> Columns:
    """Tokens of a text under the tokenizer of your model. Runs only where a recipe gives it a `tokenizer`.

    The file is a `tokenizer.json` of Hugging Face, a file of tiktoken (which needs a `pattern`) or a SentencePiece
    model; the values are named by what it holds. docs/batching.md says what becomes of them.

    - `tokens`: of the text alone, without those for its beginning and end.
    """
    if tokenizer is None:
        raise RecipeError("text.tokens needs `tokenizer`: the path of a file, relative to the recipe")
    for text in batch.text:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise SampleFailure("decode", f"it is no valid Unicode: {error.reason}") from error
    count = _loaded(tokenizer, content_hash({"file": Path(tokenizer)}), pattern)
    return {"tokens": count(batch.text)}


@lru_cache(maxsize=8)
def _loaded(path: str, held: str, pattern: str | None) -> CountTokens:
    """The tokenizer at `path`, read once as long as its content hash is `held`."""
    return load_tokenizer(Path(path), pattern)
