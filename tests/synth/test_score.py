from __future__ import annotations

import json

import pyarrow as pa
import pytest

from sluice.errors import RunError
from sluice.synth import score
from sluice.synth.plan import DEFECTS


def truth(*facts: tuple[str, str | None, str | None]) -> pa.Table:
    return pa.table(
        {
            "key": [fact[0] for fact in facts],
            "defect": pa.array([fact[1] for fact in facts], pa.string()),
            "partner": pa.array([fact[2] for fact in facts], pa.string()),
        }
    )


def verdicts(**gone: tuple[str, str]) -> pa.Table:
    keys = ["a", "b", "c", "d", "e"]
    said = [gone.get(key, ("kept", "")) for key in keys]
    rules = pa.array([[rule] if rule else [] for _, rule in said], pa.list_(pa.string()))
    return pa.table({"key": keys, "verdict": [verdict for verdict, _ in said], "rules": rules})


WORLD = truth(
    ("a", None, None),
    ("b", "near_duplicate", "a"),
    ("c", "blur", None),
    ("d", "mismatched_caption", "a"),
    ("e", None, None),
)


def of(result, defect: str):
    return next(one for one in result.defects if one.defect == defect)


@pytest.mark.parametrize("removed", ["a", "b"])
def test_a_copy_is_caught_whichever_of_the_two_was_kept_and_nothing_is_lost(removed):
    result = score(WORLD, verdicts(**{removed: ("rejected", "near_duplicate")}))
    assert of(result, "near_duplicate").caught == 1
    assert of(result, "near_duplicate").rules == {"near_duplicate": 1}
    assert result.lost == 0


def test_a_copy_is_missed_when_both_are_kept():
    assert of(score(WORLD, verdicts()), "near_duplicate").missed == 1


def test_the_original_is_lost_when_both_go():
    result = score(WORLD, verdicts(a=("rejected", "blurry"), b=("rejected", "near_duplicate")))
    assert (result.lost, dict(result.lost_by)) == (1, {"blurry": 1})
    assert result.precision() == 0.5


def test_held_and_failed_count_as_caught():
    result = score(WORLD, verdicts(c=("failed", "decode"), d=("held", "unsure")))
    assert of(result, "blur").caught == of(result, "mismatched_caption").caught == 1


def test_recall_is_told_with_and_without_what_needs_a_model():
    result = score(WORLD, verdicts(b=("rejected", "near_duplicate"), c=("rejected", "blurry")))
    assert result.recall() == 1.0
    assert result.recall(with_model=True) == pytest.approx(2 / 3)
    assert result.precision() == 1.0


def test_losing_a_harmless_sample_costs_precision_and_not_recall():
    world = truth(*((key, "exif_rotated" if key == "a" else None, None) for key in "abcde"))
    result = score(world, verdicts(a=("rejected", "blurry")))
    assert (result.precision(), result.recall(), result.lost) == (0.0, 1.0, 0)


def test_a_sample_without_a_verdict_is_an_error_and_not_a_success():
    with pytest.raises(RunError, match=r"no verdict on 1 of 6 samples of the world, f for one"):
        score(truth(*((key, None, None) for key in "abcdef")), verdicts())


def test_the_text_names_every_defect_and_says_what_only_a_model_can_tell():
    text = score(WORLD, verdicts(c=("rejected", "blurry"))).text()
    assert all(defect in text for defect in DEFECTS)
    assert "takes a model that reads image and caption" in text
    assert "good samples lost: 0 of 2" in text
    assert max(map(len, text.splitlines())) < 110


def test_the_score_is_plain_json():
    result = score(WORLD, verdicts())
    assert json.loads(json.dumps(result.to_json()))["recall"] == 0.0
