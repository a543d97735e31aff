"""The adapter of image-text models: a tiny BLIP that has learned three captions, saved as real ones are."""

from __future__ import annotations

import io
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sluice.caption.base import CaptionRequest
from sluice.caption.batches import OutOfMemoryError
from sluice.caption.cache import AnswerCache
from sluice.caption.config import TransformersConfig
from sluice.caption.image_text import ImageTextCaptioner
from sluice.caption.load import load_captioner
from sluice.errors import RecipeError, SluiceError
from support.tiny_models import BLIP_CAPTIONS, save_blip

_WHY = "needs the dependency group `models`: pip install --group models"
torch: Any = pytest.importorskip("torch", reason=_WHY)
pytest.importorskip("transformers", reason=_WHY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_blip(tmp_path_factory.mktemp("models") / "blip")


@pytest.fixture
def cache(tmp_path: Path) -> Any:
    opened = AnswerCache(tmp_path / "answers.sqlite")
    yield opened
    opened.close()


def requests(count: int) -> list[CaptionRequest]:
    """Images in the three colours, each of another size."""
    colours = list(BLIP_CAPTIONS.values())
    out: list[CaptionRequest] = []
    for number in range(count):
        stream = io.BytesIO()
        Image.new("RGB", (20 + number, 30), colours[number % 3]).save(stream, "PNG")
        out.append(CaptionRequest(str(number), stream.getvalue()))
    return out


def captioner(folder: Path, cache: AnswerCache, **changes: Any) -> ImageTextCaptioner:
    fields = {"type": "transformers", "name": "blip", "path": str(folder), "max_tokens": 12, "batch": 4}
    loaded = load_captioner(TransformersConfig.model_validate({**fields, **changes}), cache)
    assert isinstance(loaded, ImageTextCaptioner)
    return loaded


EXPECTED = list(BLIP_CAPTIONS)


def test_a_model_says_what_it_learned_and_a_second_run_generates_nothing(
    folder: Path, cache: AnswerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    blip = captioner(folder, cache)
    outcomes = list(blip.caption(requests(13)))
    assert [one.captions[0].text for one in outcomes] == [EXPECTED[number % 3] for number in range(13)]
    assert [one.id for one in outcomes] == [str(number) for number in range(13)]
    # the caption's words and [SEP]; some versions of the library count [DEC], which BLIP begins with
    assert all(one.spent.tokens_out in (len(one.captions[0].text.split()) + n for n in (1, 2)) for one in outcomes)
    assert (blip.identity.prompt, blip.notes) == ("none", ())
    assert blip._model is not None
    monkeypatch.setattr(blip._model, "say", lambda *_: pytest.fail("it was generated already"))
    again = list(blip.caption(requests(13)))
    assert all(one.cached for one in again)
    assert [(one.captions, one.spent) for one in again] == [(one.captions, one.spent) for one in outcomes]


def test_a_caption_that_is_cut_or_an_image_that_cannot_be_read_is_a_failure(folder: Path, cache: AnswerCache) -> None:
    asked = [*requests(2), CaptionRequest("bad", b"<html>"), CaptionRequest("none")]
    outcomes = list(captioner(folder, cache, max_tokens=3).caption(asked))
    assert [one.failure and (one.failure.failure_class, one.failure.kind) for one in outcomes] == [
        ("model", "cut"),
        ("model", "cut"),
        ("decode", "decode"),
        ("decode", "decode"),
    ]


def test_a_batch_that_does_not_fit_is_halved_and_noted(
    folder: Path, cache: AnswerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    blip = captioner(folder, cache, batch=8)
    assert blip._model is not None
    inner = blip._model._model
    generate = inner.generate

    def small_memory(**inputs: Any) -> Any:
        if inputs["pixel_values"].shape[0] > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return generate(**inputs)

    monkeypatch.setattr(inner, "generate", small_memory)
    outcomes = list(blip.caption(requests(20)))
    assert [one.captions[0].text for one in outcomes] == [EXPECTED[number % 3] for number in range(20)]
    assert blip._batches.size == 2
    assert "memory ran out 2 times: batches went down from 8 to 2" in blip.notes[0]


def test_an_image_that_does_not_fit_even_alone_is_a_failure_of_its_own(
    folder: Path, cache: AnswerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    blip = captioner(folder, cache)
    assert blip._model is not None
    say = blip._model.say

    def picky(pixels: Any, prompts: Any) -> Any:
        if any(one.shape[1] == 22 for one in pixels):
            raise OutOfMemoryError("CUDA out of memory")
        return say(pixels, prompts)

    monkeypatch.setattr(blip._model, "say", picky)
    outcomes = list(blip.caption(requests(6)))
    assert [one.failure and one.failure.kind for one in outcomes] == [None, None, "memory", None, None, None]


def test_a_prompt_goes_on_as_the_library_itself_goes_on(folder: Path, cache: AnswerCache) -> None:
    import transformers as hf

    prompt = {"name": "begin", "version": "2", "text": "a"}
    blip = captioner(folder, cache, prompt=prompt)
    ours = [one.captions[0].text for one in blip.caption(requests(3))]
    model = hf.BlipForConditionalGeneration.from_pretrained(folder).eval()
    processor = hf.BlipProcessor.from_pretrained(folder)
    theirs: list[str] = []
    for request in requests(3):
        image = Image.open(io.BytesIO(request.image or b""))
        out = model.generate(**processor(images=image, text="a", return_tensors="pt"), max_new_tokens=12)
        theirs.append(processor.decode(out[0], skip_special_tokens=True))
    assert ours == theirs
    assert (blip.identity.prompt, blip.identity.prompt_version) == ("begin", "2")


def test_what_a_model_cannot_do_is_refused_before_anything_runs(folder: Path, cache: AnswerCache) -> None:
    with pytest.raises(RecipeError, match="blip takes no instructions for grounded"):
        captioner(folder, cache, kind="grounded")
    with pytest.raises(SluiceError, match="there is no such folder"):
        captioner(folder / "nowhere", cache)
    with pytest.raises(SluiceError, match="was asked for"):
        captioner(folder, cache, hash="0" * 32)


def test_other_settings_are_another_captioner_with_answers_of_its_own(
    folder: Path, cache: AnswerCache, tmp_path: Path
) -> None:
    prints = set[str]()
    for changes in ({}, {"beams": 2}, {"max_tokens": 11}, {"temperature": 0.5}):
        one = captioner(folder, cache, **changes)
        assert not any(outcome.cached for outcome in one.caption(requests(1)))
        prints.add(one.identity.fingerprint)
    assert len(prints) == 4
    assert captioner(folder, cache, batch=1, threads=2).identity.fingerprint in prints
    with sqlite3.connect(tmp_path / "answers.sqlite") as database:
        assert database.execute("SELECT count(*) FROM answers").fetchone()[0] == 4
