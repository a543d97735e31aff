"""Tokenizers from their files: how many tokens a text has under the one that a model reads with.

| file | of | package |
| --- | --- | --- |
| `tokenizer.json` | Hugging Face `tokenizers` | tokenizers |
| ranks in base64, a line each (`*.tiktoken`, and Llama 3's `tokenizer.model`) | tiktoken | tiktoken |
| a protobuf (`*.model`, `spiece.model`) | SentencePiece | sentencepiece |

Which of them a file is, its first bytes tell. Nothing is downloaded. What counts is the text alone: no tokens for its
beginning and end, no padding, nothing cut off.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from sluice.errors import RecipeError
from sluice.models.extras import optional

CountTokens: TypeAlias = Callable[[Sequence[str]], list[int]]

# How each splits a text before it merges bytes, as published with it (tiktoken 0.14, `tiktoken_ext/openai_public.py`;
# Qwen's `tokenization_qwen.py`; Llama 3's `tokenizer.py`): a file of ranks does not say.
_O200K: Final = "|".join(
    [
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+""",
    ]
)
_LLAMA3: Final = (
    r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"""
    r"""| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
)
PATTERNS: Final = {
    "r50k_base": r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s""",
    "cl100k_base": r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"""
    r"""|\s++$|\s*[\r\n]|\s+(?!\S)|\s""",
    "o200k_base": _O200K,
    "llama3": _LLAMA3,
    "qwen": _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}"),
}

_RANKS: Final = re.compile(rb"\A[A-Za-z0-9+/]+=* \d+\s")
_FEATURE: Final = "counting tokens"
_EXTRA: Final = "tokens"


def load_tokenizer(path: Path, pattern: str | None = None) -> CountTokens:
    """What counts the tokens of texts by the tokenizer in the file `path`.

    `pattern` is for tiktoken's files and is needed there: a name of `PATTERNS`, or a regular expression.
    """
    try:
        held = path.read_bytes()
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror or error}") from error
    if _RANKS.match(held):
        return _tiktoken(path, held, pattern)
    if pattern is not None:
        raise RecipeError(f"{path} is no file of tiktoken: it says itself how it splits a text; leave `pattern` out")
    if held.lstrip().startswith(b"{"):
        return _huggingface(path, held)
    return _sentencepiece(path, held)


def _huggingface(path: Path, held: bytes) -> CountTokens:
    library = optional("tokenizers", _FEATURE, _EXTRA)
    try:
        tokenizer = library.Tokenizer.from_buffer(held)
    except Exception as error:  # tokenizers raises bare Exception
        raise RecipeError(f"{path}: the package tokenizers cannot load it: {error}") from error
    tokenizer.no_truncation()  # the file may ask for both
    tokenizer.no_padding()

    # One by one: a batch is counted by a thread for each core, in a worker that has one core to itself.
    return lambda texts: [len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]


def _tiktoken(path: Path, held: bytes, pattern: str | None) -> CountTokens:
    known = ", ".join(PATTERNS)
    if pattern is None:
        raise RecipeError(
            f"{path}: a file of tiktoken does not say how a text is split before its bytes are merged; "
            f"give `pattern`: {known}, or a regular expression"
        )
    library = optional("tiktoken", _FEATURE, _EXTRA)
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(held.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise RecipeError(f"{path}: line {number}: expected a token in base64 and its rank: {error}") from error
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing:
        raise RecipeError(f"{path}: {len(missing)} of the 256 bytes have no rank (first: {missing[0]:#04x}): it is cut")
    try:
        encoding: Any = library.Encoding(
            path.name, pat_str=PATTERNS.get(pattern, pattern), mergeable_ranks=ranks, special_tokens={}
        )
        encoding.encode_ordinary("a")
    except (
        Exception
    ) as error:  # a regular expression that is none: tiktoken raises ValueError, or what Rust panics with
        raise RecipeError(f"`pattern` is none of {known}, and no regular expression: {error}") from error
    return lambda texts: [len(encoding.encode_ordinary(text)) for text in texts]


def _sentencepiece(path: Path, held: bytes) -> CountTokens:
    library = optional("sentencepiece", _FEATURE, _EXTRA)
    try:
        pieces: Any = library.SentencePieceProcessor(model_proto=held)
        known = int(pieces.get_piece_size())
    except Exception as error:  # it raises RuntimeError, and others for files that are none of its own
        raise RecipeError(f"{path}: no tokenizer of tokenizers, tiktoken or SentencePiece: {error}") from error
    if not known:
        raise RecipeError(f"{path}: no tokenizer of tokenizers, tiktoken or SentencePiece: it holds no piece")
    return lambda texts: [len(pieces.encode(text)) for text in texts]
