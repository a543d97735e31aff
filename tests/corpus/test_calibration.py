"""Calibration: what a cosine is worth depends on the pairs alone, not on their order, nor on the axes of the space."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.corpus.calibration import FEWEST, Calibration, LanguageCalibration, Pairs, calibrate
from sluice.corpus.drawing import draw_keys, level


def pairs_of(count, dim=16, seed=0, languages=("en",), noise=0.5):
    """Pairs whose texts are their images with some noise."""
    random = np.random.default_rng(seed)
    images = unit(random.normal(size=(count, dim)))
    texts = unit(images + noise * random.normal(size=(count, dim)))
    ids = [f"{row:032x}" for row in range(count)]
    spoken = [languages[row % len(languages)] for row in range(count)]
    return Pairs(images, texts, ids, [0] * count, [f"text {row}" for row in range(count)], spoken)


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def taken(pairs, rows):
    """The same pairs in another order."""
    lists = ([values[row] for row in rows] for values in (pairs.ids, pairs.places, pairs.written, pairs.languages))
    return Pairs(pairs.images[rows], pairs.texts[rows], *lists)


cosines = st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=30)


@given(mismatched=st.lists(st.floats(-1, 1, width=32), min_size=FEWEST, max_size=300), asked=cosines)
def test_a_higher_cosine_is_never_more_often_reached_by_chance(mismatched, asked):
    known = np.sort(np.float32(mismatched))
    calibration = Calibration("toy", 0, {"en": LanguageCalibration(known, known)})
    asked = np.sort(np.float32(asked))
    share = calibration.false_accept(asked, ["en"] * len(asked))
    assert (np.diff(share) <= 0).all()
    counted = [(1 + sum(one >= cosine for one in known)) / (len(known) + 1) for cosine in asked]
    assert share == pytest.approx(counted)


@given(
    mismatched=st.lists(st.floats(-1, 1, width=32), min_size=FEWEST, max_size=300),
    share=st.sampled_from([0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 0.9]),
)
def test_the_threshold_of_a_share_is_the_least_cosine_that_lets_no_more_through(mismatched, share):
    known = np.sort(np.float32(mismatched))
    calibration = Calibration("toy", 0, {"en": LanguageCalibration(known, known)})
    threshold = calibration.threshold_for(share, "en")
    if threshold is None:
        assert share < 1 / (len(known) + 1)
        return
    below = np.nextafter(np.float32(threshold), np.float32(-2))
    at, under = calibration.false_accept(np.float32([threshold, below]), ["en", "en"])
    assert at <= np.float32(share)
    assert under > np.float32(share)


@settings(max_examples=20)
@given(order=st.permutations(range(130)))
def test_the_order_of_the_pairs_says_nothing(order):
    pairs = pairs_of(130)
    assert calibrate(taken(pairs, list(order)), "toy", 3).dump() == calibrate(pairs, "toy", 3).dump()


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_turning_the_space_changes_nothing(seed):
    pairs = pairs_of(130)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(16, 16)))[0].astype(np.float32)
    turned = Pairs(pairs.images @ turn, pairs.texts @ turn, pairs.ids, pairs.places, pairs.written, pairs.languages)
    one, other = calibrate(pairs, "toy").languages["en"], calibrate(turned, "toy").languages["en"]
    assert one.true == pytest.approx(other.true, abs=1e-5)
    assert one.mismatched == pytest.approx(other.mismatched, abs=1e-5)


def test_pairs_of_one_sample_or_of_equal_texts_are_no_mismatch():
    pairs = pairs_of(200, noise=0)
    same_text = Pairs(pairs.images, pairs.texts, pairs.ids, pairs.places, ["a dog"] * 200, pairs.languages)
    assert len(calibrate(same_text, "toy").languages["en"].mismatched) == 0
    same_sample = Pairs(pairs.images, pairs.texts, ["s"] * 200, list(range(200)), pairs.written, pairs.languages)
    assert len(calibrate(same_sample, "toy").languages["en"].mismatched) == 0
    assert calibrate(pairs, "toy").languages["en"].mismatched.max() < 0.999


def test_a_language_is_judged_by_itself_and_one_with_few_pairs_not_at_all():
    pairs = pairs_of(360, languages=("en", "en", "de-AT", "fr", "en", "de"))
    calibration = calibrate(pairs, "toy")
    assert {name: known.enough for name, known in calibration.languages.items()} == {
        "de": True,
        "en": True,
        "fr": False,
    }
    share = calibration.false_accept(np.float32([0.4] * 5), ["en", "DE", "fr", None, "it"])
    assert np.isnan(share).tolist() == [False, False, True, True, True]
    assert share[1] == pytest.approx(
        (1 + np.count_nonzero(calibration.languages["de"].mismatched >= np.float32(0.4)))
        / (1 + len(calibration.languages["de"].mismatched))
    )
    assert calibration.threshold_for(0.01, "fr") is None
    assert "fr: 60 true pairs" in str(calibration)
    assert "not calibrated" in str(calibration)


def test_a_pair_without_a_vector_is_left_out_and_has_no_share():
    pairs = pairs_of(201)
    pairs.images[7] = np.nan
    calibration = calibrate(pairs, "toy")
    assert len(calibration.languages["en"].true) == 200
    assert np.isnan(calibration.false_accept(np.float32([np.nan]), ["en"])).all()


@settings(max_examples=10)
@given(seed=st.integers(0, 100))
def test_what_is_written_comes_back_to_the_bit(seed):
    calibration = calibrate(pairs_of(120, seed=seed, languages=("en", None)), "toy", seed)
    again = Calibration.load(calibration.dump())
    assert again.dump() == calibration.dump()
    for language, known in calibration.languages.items():
        assert np.array_equal(again.languages[language].true, known.true)
        assert np.array_equal(again.languages[language].mismatched, known.mismatched)


def test_a_seed_and_a_purpose_draw_anew():
    rows = [[f"{row}" for row in range(50)]]
    drawn = [draw_keys(purpose, seed, *rows).tolist() for purpose, seed in (("a", 0), ("a", 1), ("b", 0))]
    assert len({tuple(keys) for keys in drawn}) == 3


@given(counts=st.lists(st.integers(0, 500), min_size=1, max_size=8), most=st.integers(0, 1500))
def test_the_level_draws_as_many_as_there_may_be(counts, most):
    drawn = sum(min(count, level(counts, most)) for count in counts)
    assert drawn <= most
    assert drawn > min(sum(counts), most) - len(counts)
