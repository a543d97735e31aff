"""Translation by a chat service: the cache, the budget and the failures are those of the captioners."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sluice.caption.augment import Original, back_translated
from sluice.caption.cache import AnswerCache
from sluice.caption.translate import load_translator
from sluice.caption.translate_config import ChatTranslatorConfig, TransformersTranslatorConfig
from sluice.errors import RecipeError, SampleFailure, SluiceError
from support.chat_api import TOKENS_IN, TOKENS_OUT, chat_api, says


@pytest.fixture
def cache(tmp_path: Path) -> Any:
    opened = AnswerCache(tmp_path / "answers.sqlite")
    yield opened
    opened.close()


def _config(url: str, **changes: Any) -> ChatTranslatorConfig:
    fields = {"type": "chat", "name": "t", "url": url, "model": "m", "limits": {"concurrency": 2}}
    return ChatTranslatorConfig.model_validate({**fields, **changes})


def _asked(body: dict[str, Any]) -> str:
    return body["messages"][0]["content"]


def test_texts_are_translated_there_and_back_and_nothing_is_paid_twice(cache: AnswerCache) -> None:
    def plan(body: dict[str, Any], times: int) -> Any:
        return says("Zwei Hunde, 3 Bälle." if "to German" in _asked(body) else "Well, 3 balls and two dogs.")

    with chat_api(plan) as api:
        translator = load_translator(_config(api.url), cache)
        originals = [Original("1", "Two dogs {with} 3 balls.", "en"), Original("2", "Two dogs and 4 balls.", "en")]
        first = list(back_translated(originals, translator, "de"))
        assert [one.text for one in first] == ["Well, 3 balls and two dogs.", None]
        assert first[1].discarded == "the digits 4 became 3"
        assert "Translate this image caption from English to German." in _asked(api.requests[0])
        assert "Two dogs {with} 3 balls." in {_asked(body).splitlines()[-1] for body in api.requests}
        count = len(api.requests)
        assert count == 3, "both came back from one translation, which is asked for once"
        assert list(back_translated(originals, translator, "de")) == first
        assert len(api.requests) == count


def test_a_paraphrase_is_asked_for_in_its_own_language(cache: AnswerCache) -> None:
    with chat_api(lambda body, times: says("Deux chiens.")) as api:
        translator = load_translator(_config(api.url), cache)
        assert translator.translate(["Une paire de chiens."], "fr", "fr") == ["Deux chiens."]
        assert "in other words, in the same language (French)" in _asked(api.requests[0])


def test_failures_and_the_budget_are_said_in_the_place_of_each_text(cache: AnswerCache) -> None:
    with chat_api(lambda body, times: says("I'm sorry, but I can't help with that.")) as api:
        budget = {"tokens": 2 * (TOKENS_IN + TOKENS_OUT) + 10}
        translator = load_translator(_config(api.url, budget=budget, max_tokens=TOKENS_OUT), cache)
        said = translator.translate(["a", " ", "b", "c", "d"], "en", "de")
        assert all(isinstance(one, SampleFailure) for one in said)
        kinds = [str(one).split(":")[1].strip() for one in said]
        assert kinds.count("refused") == 2
        assert kinds[1] == "there is no text to translate"
        assert kinds.count("budget") == 2
        assert api.tokens == 2 * (TOKENS_IN + TOKENS_OUT)


def test_a_direction_without_a_model_is_refused_and_so_is_a_folder_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    fields = {"type": "transformers", "name": "opus", "models": {"en>de": str(tmp_path / "model")}}
    translator = load_translator(TransformersTranslatorConfig.model_validate(fields), None)  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="translator opus has no model for de>en: it has en>de"):
        translator.translate(["x"], "de", "en")
    with pytest.raises(RecipeError, match="paraphrases nothing"):
        translator.translate(["x"], "en", "en")
    fields["models"] = {"en>de": str(tmp_path / "nowhere")}
    with pytest.raises(SluiceError, match="there is no such folder"):
        load_translator(TransformersTranslatorConfig.model_validate(fields), None)  # type: ignore[arg-type]
