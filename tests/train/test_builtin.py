"""The encoder in the package: whole, small, fast, and as good on an unseen world as its card says. No torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="running a model needs onnxruntime: pip install 'sluice[train]'")

import sluice
from sluice.synth import generate
from sluice.train.score import Pairs, Towers, pairs_of, told_apart

BUILTIN = Path(sluice.__file__).parent / "models" / "builtin"
UNSEEN = 77  # the seed of a world on which nothing was chosen


@pytest.fixture(scope="module")
def towers() -> Towers:
    return Towers(BUILTIN)


@pytest.fixture(scope="module")
def scores() -> dict:
    return json.loads((BUILTIN / "evidence" / "scores.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def pairs(towers: Towers, tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    world = generate(tmp_path_factory.mktemp("world"), 400, UNSEEN)
    return pairs_of(world.folder, towers)


def test_the_files_are_those_that_the_training_wrote() -> None:
    written = json.loads((BUILTIN / "evidence" / "training.json").read_text("utf-8"))["sha256"]
    assert written == {name: hashlib.sha256((BUILTIN / name).read_bytes()).hexdigest() for name in written}


def test_the_folder_takes_at_most_8_mb() -> None:
    assert sum(path.stat().st_size for path in BUILTIN.rglob("*") if path.is_file()) <= 8e6


def test_it_says_what_it_knows_and_that_it_is_no_encoder_for_photographs() -> None:
    said = json.loads((BUILTIN / "encoder.json").read_text("utf-8"))
    assert said["world"] and said["languages"] == ["en", "de", "fr", "es", "zh"]
    assert "no encoder for photographs" in (BUILTIN / "CARD.md").read_text("utf-8")


def test_its_scores_are_met_again_on_a_world_nobody_chose_anything_on(pairs: Pairs, scores: dict) -> None:
    stated = scores["told_apart"]["demo"]["all"]
    told = told_apart(pairs.all, stated["threshold"])
    assert told.mismatched > stated["mismatched"] - 0.04
    assert told.swapped > stated["swapped"] - 0.08
    assert told.false_alarms < stated["false_alarms"] + 0.01


def test_mismatched_captions_are_caught_and_few_true_ones_with_them(pairs: Pairs, scores: dict) -> None:
    stated = scores["told_apart"]["demo"]
    told = told_apart(pairs.all, stated["all"]["threshold"])
    assert told.mismatched >= 0.9
    alone = stated["share_wrong"] / 2  # were there no swaps, only mismatched captions
    assert alone * told.mismatched / (alone * told.mismatched + (1 - alone) * told.false_alarms) >= 0.8
    assert stated["all"]["precision"] >= 0.95  # on the world of the card, five times as large


def test_swapped_attributes_are_caught_at_the_same_precision(pairs: Pairs, scores: dict) -> None:
    stated = scores["told_apart"]["demo"]["all"]
    assert stated["swapped"] >= 0.6 and stated["precision"] >= 0.95
    assert told_apart(pairs.all, stated["threshold"]).swapped >= 0.7


@pytest.mark.parametrize("code", ["en", "de", "fr", "es", "zh"])
def test_retrieval_among_few_pairs_is_near_perfect_in_every_language(pairs: Pairs, code: str) -> None:
    assert min(pairs.languages[code].recall_at(10)) > FLOOR_AT_10
    assert min(pairs.languages[code].recall_at(1)) > FLOOR_AT_1


def test_a_vector_does_not_depend_on_its_company(towers: Towers) -> None:
    images = list(np.random.default_rng(1).integers(0, 256, (5, 60, 90, 3), dtype=np.uint8))
    alone = np.concatenate([towers.images([image]) for image in images])
    assert np.abs(towers.images(images) - alone).max() < 1e-5


FLOOR_AT_10, FLOOR_AT_1 = 0.99, 0.95
