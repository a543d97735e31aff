"""Tokenizers from their files: counts known by hand, files told apart, and what a bad one says."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import pytest

from sluice.errors import MissingExtraError, RecipeError
from sluice.models.tokenizer import PATTERNS, load_tokenizer

TEXTS = ["a red bus", "", "the red red bus", "ein Büs"]


def words_file(folder: Path) -> Path:
    """A tokenizer of words that asks for what counting must not do: truncation, padding, tokens at both ends."""
    tokenizers = pytest.importorskip("tokenizers")
    vocabulary = {word: number for number, word in enumerate(["[UNK]", "[CLS]", "[SEP]", "a", "the", "red", "bus"])}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    made.enable_truncation(2)
    made.enable_padding(length=20)
    made.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def ranks_file(folder: Path, *merged: str) -> Path:
    """A file of tiktoken: all bytes, and some merges."""
    tokens = [bytes([byte]) for byte in range(256)] + [word.encode() for word in merged]
    lines = [f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens)]
    (folder / "ranks.tiktoken").write_text("".join(lines))
    return folder / "ranks.tiktoken"


def test_a_file_of_tokenizers_counts_the_words_of_the_text_alone(tmp_path: Path) -> None:
    assert load_tokenizer(words_file(tmp_path))(TEXTS) == [3, 0, 4, 2]


def test_a_file_of_tiktoken_merges_bytes_within_what_its_pattern_splits(tmp_path: Path) -> None:
    pytest.importorskip("tiktoken")
    assert load_tokenizer(ranks_file(tmp_path), "cl100k_base")(TEXTS) == [len(text.encode()) for text in TEXTS]
    merged = load_tokenizer(ranks_file(tmp_path, "re", "red", " red", "12", "123"), "cl100k_base")
    assert merged(["a red bus", "red", "1234", "a redder"]) == [1 + 1 + 4, 1, 2, 1 + 1 + 3]
    # Qwen splits numbers into digits first, so none are merged.
    assert load_tokenizer(ranks_file(tmp_path, "12", "123"), "qwen")(["1234"]) == [4]
    assert load_tokenizer(ranks_file(tmp_path, "re", "red"), r"\w|\W")(["red"]) == [3]


def test_the_patterns_are_those_that_tiktoken_brings(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tiktoken")
    import tiktoken_ext.openai_public as published

    monkeypatch.setattr(published, "load_tiktoken_bpe", lambda *_, **__: {})
    for name in ("r50k_base", "cl100k_base", "o200k_base"):
        assert PATTERNS[name] == getattr(published, name)()["pat_str"]


def test_a_sentencepiece_model_counts_its_pieces(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    lines = iter(["a red bus", "the red red bus", "ein Büs"] * 20)
    with (tmp_path / "spiece.model").open("wb") as model:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines, model_writer=model, model_type="char", vocab_size=20, minloglevel=2
        )
    # A piece a character, and one for the space that it puts before a text.
    assert load_tokenizer(tmp_path / "spiece.model")(TEXTS) == [10, 0, 16, 8]


@pytest.mark.parametrize(
    ("held", "pattern", "told"),
    [
        (b'{"version": "1.0"}', None, "the package tokenizers cannot load it"),
        (b"IQ== 0\nIg== 1\n", None, "give `pattern`: r50k_base, cl100k_base, o200k_base, llama3, qwen, or a regular"),
        (b"IQ== 0\nIg== 1\n", "qwen", "254 of the 256 bytes have no rank .*it is cut"),
        (b"IQ== 0\nIg==\n", "qwen", "line 2: expected a token in base64 and its rank"),
        (b"just words", None, "no tokenizer of tokenizers, tiktoken or SentencePiece"),
        (b"", None, "no tokenizer of tokenizers, tiktoken or SentencePiece"),
        (b'{"version": "1.0"}', "qwen", "leave `pattern` out"),
    ],
)
def test_a_file_that_is_no_tokenizer_says_so(tmp_path: Path, held: bytes, pattern: str | None, told: str) -> None:
    for package in ("tokenizers", "tiktoken", "sentencepiece"):
        pytest.importorskip(package)
    (tmp_path / "file").write_bytes(held)
    with pytest.raises(RecipeError, match=told):
        load_tokenizer(tmp_path / "file", pattern)


def test_a_pattern_that_is_none_says_so(tmp_path: Path) -> None:
    pytest.importorskip("tiktoken")
    with pytest.raises(RecipeError, match=r"`pattern` is none of r50k_base.*no regular expression"):
        load_tokenizer(ranks_file(tmp_path), "cl100k(base")


@pytest.mark.parametrize(
    ("package", "held", "pattern"),
    [("tokenizers", b"{}", None), ("tiktoken", b"IQ== 0\n", "qwen"), ("sentencepiece", b"\n\x0a", None)],
)
def test_a_missing_package_says_what_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, held: bytes, pattern: str | None
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / "file").write_bytes(held)
    with pytest.raises(MissingExtraError, match=r"counting tokens.*pip install 'sluice\[tokens\]'"):
        load_tokenizer(tmp_path / "file", pattern)
