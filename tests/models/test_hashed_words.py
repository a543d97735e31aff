"""The tokenizer of the built-in encoder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.models.hashed_words import HashedWords, pieces, tokens
from sluice.synth import imagine
from sluice.synth.tongues import TONGUES

PLAIN = HashedWords()
LATIN = st.lists(st.text(st.characters(categories=["L"], max_codepoint=0x24F), min_size=1, max_size=12), max_size=12)


def fnv1a(data: bytes) -> int:
    """FNV-1a as its authors state it, 32 bit."""
    value = 2_166_136_261
    for byte in data:
        value = (value ^ byte) * 16_777_619 % 2**32
    return value


def test_published_fnv1a_values_are_met() -> None:
    # from the authors' own test vectors (Fowler, Noll, Vo): "", "a", "foobar"
    assert [fnv1a(text) for text in (b"", b"a", b"foobar")] == [0x811C9DC5, 0xE40C292C, 0xBF9CF968]
    one = replace(PLAIN, buckets=2**32 - 1, length=2)
    assert tokens(["a foobar"], one).tolist() == [[0xE40C292C + 1, 0xBF9CF968 + 1]]


def test_golden_values_hold_forever() -> None:
    texts = ["A red ball to the left of a blue cube.", "Dans un pré, on voit trois balles.", "草地上有一个红色的球。"]
    settings = HashedWords(length=12, characters=(1,))
    assert tokens(texts, settings).tolist() == GOLDEN


@given(LATIN)
def test_order_is_kept_and_padding_follows(words: list[str]) -> None:
    text = " ".join(words)
    row = tokens([text], PLAIN)[0]
    alone = [tokens([piece], PLAIN)[0, 0] for piece in pieces(text, PLAIN)]
    assert row[: len(alone)].tolist() == alone[: PLAIN.length]
    assert not row[len(alone) :].any()


@given(st.text(max_size=400))
def test_any_text_becomes_ids_within_the_buckets(text: str) -> None:
    row = tokens([text], PLAIN)
    assert row.shape == (1, PLAIN.length) and row.dtype == np.int64
    assert row.min() >= 0 and row.max() <= PLAIN.buckets
    filled = row[0] != 0
    assert not (filled[1:] & ~filled[:-1]).any()  # nothing after padding has begun


@given(st.lists(st.text(max_size=60), min_size=1, max_size=5))
def test_a_text_is_the_same_in_any_company(texts: list[str]) -> None:
    assert (tokens(texts, PLAIN) == np.concatenate([tokens([text], PLAIN) for text in texts])).all()


def test_exchanged_words_give_other_tokens() -> None:
    one, other = tokens(["a red ball and a blue cube", "a blue ball and a red cube"], PLAIN)
    assert sorted(one) == sorted(other) and (one != other).any()


def test_case_and_punctuation_do_not_matter() -> None:
    assert (tokens(["A RED BALL!"], PLAIN) == tokens(["a red ball"], PLAIN)).all()


def test_chinese_is_read_by_characters_and_pairs() -> None:
    assert list(pieces("红球, OK", PLAIN)) == ["红", "红球", "球", "ok"]
    assert list(pieces("红球", replace(PLAIN, characters=(1,)))) == ["红", "球"]


def test_ngrams_follow_their_word() -> None:
    assert list(pieces("red", replace(PLAIN, ngrams=(3,)))) == ["red", "<re", "red", "ed>"]


def test_no_text_at_all_is_all_padding() -> None:
    assert not tokens(["", "…!"], PLAIN).any()


@pytest.mark.parametrize("code", TONGUES)
def test_no_caption_of_a_world_is_cut(code: str) -> None:
    settings = HashedWords(length=48, characters=(1,))
    for seed in range(300):
        for text in TONGUES[code].sentences(imagine(np.random.default_rng(seed))):
            assert len(list(pieces(text, settings))) <= settings.length, text


GOLDEN = [
    [9505, 14497, 341, 8114, 6517, 600, 5910, 9505, 14671, 13239, 0, 0],
    [6219, 8750, 11253, 4234, 1983, 13597, 1788, 0, 0, 0, 0, 0],
    [7492, 793, 12794, 8427, 10699, 4631, 7083, 6662, 6508, 6889, 0, 0],
]
