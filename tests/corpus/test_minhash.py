"""Texts as n-grams, their signatures, and the pairs that share most of them, against plain sets."""

from __future__ import annotations

import os
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice import native
from sluice.corpus import minhash
from sluice.corpus.concepts import fold
from sluice.corpus.minhash import Bands, bands_for, near_texts
from sluice.corpus.ngrams import Grams, distinct, folded

WORDS = ["red", "cube", "a", "on", "the", "Straße", "日本", "é", "e\u0301", "\U0001f600", "ﬁne", "X1", "İ", "ß"]
GAPS = [" ", "  ", "\t", "\n ", "\u00a0", "\u3000", "\x1f"]
SAID = st.lists(st.sampled_from(WORDS), max_size=12).flatmap(
    lambda words: st.lists(st.sampled_from(GAPS), min_size=len(words) + 1, max_size=len(words) + 1).map(
        lambda gaps: "".join(gap + word for gap, word in zip(gaps, [*words, ""], strict=True))
    )
)
TEXTS = st.lists(SAID | st.text(max_size=20) | st.none(), max_size=12)
UNITS = st.sampled_from(["character", "word"])


def with_numpy(call):
    """What `call` gives without the kernels."""
    before = os.environ.get("SLUICE_KERNELS")
    os.environ["SLUICE_KERNELS"] = "numpy"
    native.kernels.cache_clear()
    try:
        return call()
    finally:
        del os.environ["SLUICE_KERNELS"]
        if before is not None:
            os.environ["SLUICE_KERNELS"] = before
        native.kernels.cache_clear()


def gram_set(text: str, unit: str, n: int) -> set[tuple[str, ...]]:
    parts = list(text) if unit == "character" else text.split()
    size = min(n, len(parts))
    return {tuple(parts[i : i + size]) for i in range(len(parts) - size + 1)} if parts else set()


def index(one: set, other: set) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0


@settings(max_examples=150, deadline=None)
@given(texts=TEXTS, unit=UNITS, n=st.integers(1, 6))
def test_the_kernel_and_numpy_give_the_same_numbers_and_they_are_those_of_sets(texts, unit, n) -> None:
    assert native.kernels() is not None
    grams = Grams(unit, n)
    one, other = np.repeat(np.arange(len(texts)), len(texts)), np.tile(np.arange(len(texts)), len(texts))

    def numbers():
        as_compared = folded(pa.array(texts, pa.string()))
        keys = grams.band_keys(as_compared, 3, 5)
        return as_compared, keys, grams.jaccard(as_compared, one, other)

    (kernel, keys, jaccard), (plain, plain_keys, plain_jaccard) = numbers(), with_numpy(numbers)
    assert kernel.data.tobytes() == plain.data.tobytes()
    assert kernel.offsets.tolist() == plain.offsets.tolist()
    assert (keys == plain_keys).all()
    assert (jaccard == plain_jaccard).all()
    said = [kernel[text] for text in range(len(texts))]
    assert said == [fold(text or "") for text in texts]
    sets = [gram_set(text, unit, n) for text in said]
    expected = [index(sets[i], sets[j]) for i, j in zip(one.tolist(), other.tolist(), strict=True)]
    assert jaccard.tolist() == np.float32(expected).tolist()


def test_bands_of_a_part_are_those_of_the_whole() -> None:
    texts = folded(["a red cube on a table", "two dogs", "ein roter Würfel"])
    whole = Grams().band_keys(texts, 6, 7)
    parts = [Grams().band_keys(texts, 2, 7, first_band=first) for first in (0, 2, 4)]
    assert (whole == np.concatenate(parts)).all()


def test_a_slice_of_a_column_is_folded_alone() -> None:
    column = pa.array(["nobody", "A  b", None, "É"]).slice(1)
    for texts in (folded(column), with_numpy(lambda: folded(column))):
        assert [texts[number] for number in range(3)] == ["a b", "", "é"]


@pytest.mark.parametrize("jaccard", [0.3, 0.5, 0.7, 0.8, 0.95])
def test_minima_agree_as_often_as_the_index_says(jaccard: float) -> None:
    rng = random.Random(5)
    both = [f"w{rng.random()}" for _ in range(200)]
    shared = round(200 * jaccard)
    one, other = both[: shared + (200 - shared) // 2], both[:shared] + both[shared + (200 - shared) // 2 :]
    texts = folded([" ".join(one), " ".join(other)])
    grams = Grams("word", 1)
    true = float(grams.jaccard(texts, np.array([0]), np.array([1]))[0])
    keys = grams.band_keys(texts, 4_000, 1)
    assert abs(float((keys[:, 0] == keys[:, 1]).mean()) - true) < 0.03


def made_up(rng: random.Random, n: int, edits: int) -> list[str]:
    """Sentences, most of them made from another one by a few changed words."""
    words = [f"{rng.choice('bcdfgh')}{rng.choice('aeiou')}{number}" for number in range(200)]
    said = [[rng.choice(words) for _ in range(rng.randint(3, 14))]]
    while len(said) < n:
        new = list(rng.choice(said)) if rng.random() < 0.7 else [rng.choice(words) for _ in range(rng.randint(3, 14))]
        for _ in range(rng.randint(0, edits)):
            new[rng.randrange(len(new))] = rng.choice(words)
        said.append(new)
    return [" ".join(one) for one in said]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 80), unit=UNITS, crowd=st.sampled_from([2, 5, 64]))
def test_what_is_found_is_verified_and_what_agrees_on_a_band_is_found(seed, n, unit, crowd) -> None:
    rng = random.Random(seed)
    texts, _ = distinct(folded(made_up(rng, n, 3)))
    grams, bands, least = Grams(unit, 2), Bands(30, 2), 0.5
    before = minhash.CROWD
    minhash.CROWD = crowd
    try:
        found = near_texts(texts, grams, least, bands)
    finally:
        minhash.CROWD = before
    sets = [gram_set(texts[text], unit, 2) for text in range(len(texts))]
    for a, b, likeness in zip(found.a.tolist(), found.b.tolist(), found.similarity.tolist(), strict=True):
        assert likeness == np.float32(index(sets[a], sets[b]))
        assert likeness >= least
    pairs = {frozenset(pair) for pair in zip(found.a.tolist(), found.b.tolist(), strict=True)}
    crowds: dict[int, set[int]] = {}
    for hub, member in zip(found.a[found.crowd].tolist(), found.b[found.crowd].tolist(), strict=True):
        crowds.setdefault(hub, {hub}).add(member)
    keys = grams.band_keys(texts, 30, 2)
    for a in range(len(texts)):
        for b in range(a):
            if (keys[:, a] == keys[:, b]).any() and index(sets[a], sets[b]) >= least:
                assert frozenset((a, b)) in pairs or any({a, b} <= members for members in crowds.values())


def test_texts_that_crowd_together_are_not_compared_all_with_all(monkeypatch) -> None:
    base = [f"word{number}" for number in range(60)]
    said = [" ".join(base[:20] + [f"number{n}"] + base[20:]) for n in range(3_000)]
    texts, _ = distinct(folded(said))
    compared = 0
    plain = Grams.jaccard

    def counting(self, texts, one, other):
        nonlocal compared
        compared += one.size
        return plain(self, texts, one, other)

    monkeypatch.setattr(Grams, "jaccard", counting)
    found = near_texts(texts, Grams("word", 1), 0.8, Bands(10, 2))
    assert compared < 20 * len(said)
    assert len(found) < 20 * len(said)
    assert found.crowd.all()


def test_bands_of_a_threshold_find_what_is_at_it() -> None:
    for jaccard in (0.3, 0.5, 0.8, 0.9, 0.99):
        cut = bands_for(jaccard, 128)
        assert cut.bands * cut.rows <= 128
        assert cut.recall(jaccard) >= 0.99
    assert bands_for(0.8, 128, 16) == Bands(16, 8)


def test_empty_texts_are_like_nobody() -> None:
    texts, _ = distinct(folded(["", " ", None, "a"]))
    assert len(near_texts(texts, Grams(), 0.5, Bands(4, 1))) == 0
    assert len(near_texts(folded([]), Grams(), 0.5, Bands(4, 1))) == 0
