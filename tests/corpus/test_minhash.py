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
from sluice.corpus.buckets import buckets_of, candidates, hubs_of
from sluice.corpus.concepts import fold
from sluice.corpus.minhash import Bands, bands_for, near_texts
from sluice.corpus.ngrams import Grams, distinct, folded
from sluice.corpus.signatures import signatures
from sluice.native import calling

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
    calling.forget()
    try:
        return call()
    finally:
        del os.environ["SLUICE_KERNELS"]
        if before is not None:
            os.environ["SLUICE_KERNELS"] = before
        calling.forget()


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
        return as_compared, signatures(as_compared, grams, 3, 5), grams.jaccard(as_compared, one, other)

    (kernel, signed, jaccard), (plain, plain_signed, plain_jaccard) = numbers(), with_numpy(numbers)
    assert kernel.data.tobytes() == plain.data.tobytes()
    assert kernel.offsets.tolist() == plain.offsets.tolist()
    assert (signed.keys == plain_signed.keys).all()
    assert (signed.counts == plain_signed.counts).all()
    assert (signed.bits == plain_signed.bits).all()
    assert (jaccard == plain_jaccard).all()
    said = [kernel[text] for text in range(len(texts))]
    assert said == [fold(text or "") for text in texts]
    sets = [gram_set(text, unit, n) for text in said]
    expected = [index(sets[i], sets[j]) for i, j in zip(one.tolist(), other.tolist(), strict=True)]
    assert jaccard.tolist() == np.float32(expected).tolist()
    for least in (0.3, 0.5, 0.8, 1.0):
        may = signed.may(one, other, least)
        assert may[(jaccard >= np.float32(least)) & (signed.counts[one] > 0)].all()


def test_bands_of_a_part_are_those_of_the_whole() -> None:
    texts = folded(["a red cube on a table", "two dogs", "ein roter Würfel"])
    whole = signatures(texts, Grams(), 6, 7)
    parts = [signatures(texts, Grams(), 2, 7, first_band=first).keys for first in (0, 2, 4)]
    assert (whole.keys == np.concatenate(parts)).all()


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
    keys = signatures(texts, grams, 4_000, 1).keys
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
    keys = signatures(texts, grams, 30, 2).keys
    for a in range(len(texts)):
        for b in range(a):
            if (keys[:, a] == keys[:, b]).any() and index(sets[a], sets[b]) >= least:
                assert frozenset((a, b)) in pairs or any({a, b} <= members for members in crowds.values())


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 60), unit=UNITS, least=st.sampled_from([0.3, 0.5, 0.8]))
def test_of_buckets_the_kernel_and_numpy_tell_the_same(seed, n, unit, least) -> None:
    rng = random.Random(seed)
    texts, _ = distinct(folded(made_up(rng, n, 4)))
    grams, nodes = Grams(unit, 2), np.arange(len(texts))

    def told():
        signed = signatures(texts, grams, 1, 1)
        small, large = buckets_of(signed.keys[0], nodes, 5)
        pairs = np.unique(np.concatenate([np.zeros(0, np.uint64), *candidates(small, signed, least)]))
        hubs = [hubs_of(texts, grams, signed, bucket, least) for bucket in [*large, nodes]]
        return pairs.tolist(), [
            (one.group.tolist(), sorted(zip(one.hub.tolist(), one.other.tolist(), one.likeness.tolist(), strict=True)))
            for one in hubs
        ]

    assert told() == with_numpy(told)


def test_texts_that_crowd_together_are_not_compared_all_with_all() -> None:
    base = [f"word{number}" for number in range(60)]
    said = [" ".join([*base[:20], f"number{n}", *base[20:]]) for n in range(20_000)]
    texts, _ = distinct(folded(said))
    found = near_texts(texts, Grams("word", 1), 0.8, Bands(10, 2))
    assert found.crowd.all()
    assert set(found.b.tolist()) | set(found.a.tolist()) == set(range(len(said)))
    assert len(found) < 10 * len(said), "a hub has each of the others once for a bucket"


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
