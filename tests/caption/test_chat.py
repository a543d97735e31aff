"""The captioner of chat services against a server of our own with every fault: nothing lost, nothing paid twice."""

from __future__ import annotations

import base64
import io
import json
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sluice.caption.base import CaptionOutcome, CaptionRequest
from sluice.caption.cache import AnswerCache
from sluice.caption.chat import ChatCaptioner
from sluice.caption.chat_service import ChatService
from sluice.caption.config import ChatConfig
from sluice.caption.load import load_captioner
from sluice.errors import SluiceError
from sluice.models.http_post import Poster
from support.chat_api import (
    TOKENS_IN,
    TOKENS_OUT,
    Act,
    ChatApi,
    caption_of,
    chat_api,
    cut_json,
    drip,
    hang,
    hang_up,
    image_in,
    right,
    says,
    sends,
    status,
    whole,
)

KEY = "sk-very-secret-0123456789"
PRICE = {"input": 1.0, "output": 4.0}
COST = (TOKENS_IN * 1.0 + TOKENS_OUT * 4.0) / 1e6


def png(number: int, side: int = 8) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 255, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def requests(count: int) -> list[CaptionRequest]:
    return [CaptionRequest(f"image-{number}", png(number)) for number in range(count)]


def config(api: ChatApi, **changes: Any) -> ChatConfig:
    limits = {"concurrency": 4, "timeout": 5, "longest_wait": 120, **changes.pop("limits", {})}
    fields = {"type": "chat", "name": "c", "url": api.url, "model": "captions-1", "price": PRICE}
    return ChatConfig.model_validate({**fields, "limits": limits, **changes})


def build(
    asked: ChatConfig, cache: AnswerCache, sleeps: list[float] | None = None, again: bool = False
) -> ChatCaptioner:
    """A captioner whose waits between tries take no time."""
    waits = [] if sleeps is None else sleeps
    poster = Poster(
        f"{asked.url}/chat/completions",
        key_variable=asked.key_variable,
        timeout=asked.limits.timeout,
        tries=asked.limits.tries,
        longest_wait=asked.limits.longest_wait,
        sleep=waits.append,
    )
    service = ChatService(asked, cache, scope="test", again=again, poster=poster)
    service._pace._sleep = lambda seconds: None
    service._pace.pause = lambda seconds: None  # type: ignore[method-assign]
    return ChatCaptioner(asked, service)


def texts(outcomes: Iterable[CaptionOutcome]) -> dict[str, str]:
    return {
        one.id: one.captions[0].text if one.failure is None else f"{one.failure.failure_class}/{one.failure.kind}"
        for one in outcomes
    }


@pytest.fixture
def cache(tmp_path: Path) -> Any:
    opened = AnswerCache(tmp_path / "answers.sqlite")
    yield opened
    opened.close()


def test_each_image_gets_its_caption_in_order_with_what_it_took(cache: AnswerCache) -> None:
    with chat_api() as api:
        asked = requests(20)
        captioner = build(config(api, seed=7), cache)
        outcomes = list(captioner.caption(asked))
        sent = {image_in(body): caption_of(body) for body in api.requests}
    assert [one.id for one in outcomes] == [one.id for one in asked]
    assert Counter(one.captions[0].text for one in outcomes) == Counter(sent.values())
    for one in outcomes:
        assert (one.spent.attempts, one.spent.tokens_in, one.spent.tokens_out) == (1, TOKENS_IN, TOKENS_OUT)
        assert one.spent.cost == pytest.approx(COST)
        assert one.spent.seconds > 0
        assert not one.cached
    body = api.requests[0]
    assert (body["model"], body["temperature"], body["seed"], body["max_tokens"]) == ("captions-1", 0, 7, 400)
    identity = captioner.identity
    assert (identity.model, identity.prompt, identity.prompt_version, identity.seed) == ("captions-1", "short", "1", 7)
    assert (captioner.spent.requests, captioner.spent.tokens) == (20, 20 * (TOKENS_IN + TOKENS_OUT))
    assert captioner.spent.money == pytest.approx(20 * COST)


PASSING: dict[str, tuple[Act, str, bool]] = {  # what happens, the kind that it is if it stays, whether it may cost
    "429": (status(429, '{"error": {"message": "slow down"}}'), "rate", False),
    "429 with a time": (status(429, Retry_After="3"), "rate", False),
    "500": (status(500, "<html>oops</html>"), "server", False),
    "503": (status(503), "server", False),
    "cut JSON": (cut_json, "json", True),
    "no answer at all": (hang_up, "connection", True),
    "no JSON": (lambda api, handler, body: api.send(handler, body, "x"), "schema", True),
    "another schema": (sends({"captions": ["a dog"]}), "schema", True),
    "no choice": (sends({"choices": []}), "schema", True),
    "no message": (sends({"choices": [{"finish_reason": "stop"}]}), "schema", True),
    "a number for a text": (sends({"choices": [{"message": {"content": 7}}]}), "schema", True),
    "an empty text": (says(" \n"), "empty", True),
    "no text": (sends({"choices": [{"message": {"content": None}}]}), "empty", True),
}
FINAL: dict[str, tuple[Act, str]] = {
    "a refusal": (says("I'm sorry, but I can't help with that."), "refused"),
    "a refusal of its own field": (
        sends({"choices": [{"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}]}),
        "refused",
    ),
    "a filter": (says("A", finish="content_filter"), "refused"),
    "a cut answer": (says("A dog on a", finish="length"), "cut"),
    "a refused input": (status(400, '{"error": {"message": "too large"}}'), "rejected"),
    "413": (status(413), "rejected"),
}


@pytest.mark.parametrize("fault", PASSING)
def test_a_passing_fault_is_tried_again_and_nothing_is_lost(fault: str, cache: AnswerCache) -> None:
    act = PASSING[fault][0]
    sleeps: list[float] = []
    with chat_api(lambda body, times: act if times <= 2 else right) as api:
        outcomes = list(build(config(api), cache, sleeps).caption(requests(3)))
        expected = sorted({caption_of(body) for body in api.requests})
    assert sorted(texts(outcomes).values()) == expected
    assert [one.spent.attempts for one in outcomes] == [3, 3, 3]
    assert set(api.asked.values()) == {3}
    assert len(sleeps) == 6
    if fault == "429 with a time":
        assert set(sleeps) == {3.0}
    else:
        assert all(0.5 <= wait <= 1.5 for wait in sleeps)


@pytest.mark.parametrize("fault", [*PASSING, *FINAL])
def test_a_fault_that_stays_is_a_failure_with_a_kind(fault: str, cache: AnswerCache) -> None:
    act, kind, tries = (*PASSING[fault][:2], 3) if fault in PASSING else (*FINAL[fault], 1)
    with chat_api(lambda body, times: act) as api:
        captioner = build(config(api), cache)
        outcomes = list(captioner.caption(requests(2)))
        assert texts(outcomes) == {f"image-{number}": f"api/{kind}" for number in range(2)}
        assert set(api.asked.values()) == {tries}
        assert [one.spent.attempts for one in outcomes] == [tries, tries]
        assert all(one.failure is not None and one.failure.message for one in outcomes)
        assert captioner.spent.requests == 2 * tries


@pytest.mark.parametrize("act", [hang, drip])
def test_an_answer_that_never_ends_ends_at_the_deadline(act: Act, cache: AnswerCache) -> None:
    with chat_api(lambda body, times: act) as api:
        began = time.monotonic()
        outcomes = list(build(config(api, limits={"timeout": 0.4, "tries": 2}), cache).caption(requests(3)))
        assert time.monotonic() - began < 5
    assert set(texts(outcomes).values()) == {"api/timeout"}


def test_retry_after_is_obeyed_as_a_date_and_a_longer_wait_than_allowed_fails_at_once(cache: AnswerCache) -> None:
    sleeps: list[float] = []
    date = formatdate(time.time() + 30, usegmt=True)
    plan = lambda body, times: status(429, Retry_After=date if times == 1 else "3600")  # noqa: E731
    with chat_api(plan) as api:
        (outcome,) = build(config(api), cache, sleeps).caption(requests(1))
    assert len(sleeps) == 1 and 25 < sleeps[0] <= 30
    assert outcome.failure is not None
    assert "it asks for 3600 s, and longest_wait is 120 s" in outcome.failure.message
    assert outcome.spent.attempts == 2


def test_where_one_is_told_to_wait_all_wait(tmp_path: Path) -> None:
    with chat_api(lambda body, times: status(429, Retry_After="1") if len(api.requests) == 1 else right) as api:
        cache = AnswerCache(tmp_path / "a.sqlite")
        captioner = load_captioner(config(api, limits={"concurrency": 1}), cache)
        assert not [one for one in captioner.caption(requests(1)) if one.failure]
        list(captioner.caption([CaptionRequest("other", png(99))]))
        cache.close()
        began = api.arrived[0][0]
        assert all(when - began >= 1 for when, _ in api.arrived[1:])


def test_a_second_run_pays_for_nothing_and_says_the_same(cache: AnswerCache) -> None:
    with chat_api() as api:
        first = list(build(config(api), cache).caption(requests(10)))
        second = list(build(config(api), cache).caption(requests(10)))
        assert len(api.requests) == 10
    assert all(one.cached for one in second)
    assert [(one.captions, one.spent) for one in first] == [(one.captions, one.spent) for one in second]


def test_the_same_image_many_times_is_paid_once(cache: AnswerCache) -> None:
    same = [CaptionRequest(f"copy-{number}", png(1)) for number in range(30)]
    with chat_api(delay=0.05) as api:
        captioner = build(config(api), cache)
        outcomes = list(captioner.caption(same))
        assert len(api.requests) == 1
    assert len({one.captions[0].text for one in outcomes}) == 1
    assert Counter(one.cached for one in outcomes) == {True: 29, False: 1}
    assert captioner.spent.requests == 1


def test_what_is_asked_otherwise_is_asked(cache: AnswerCache) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"seed": 1},
        {"temperature": 0.5},
        {"kind": "dense"},
        {"max_tokens": 50},
        {"model": "captions-2"},
        {"revision": "2"},
        {"max_side": 100},
        {"prompt": {"name": "mine", "text": "What is it?"}},
    ]
    with chat_api() as api:
        captioners = [build(config(api, **change), cache) for change in changes]
        for captioner in captioners:
            assert not next(iter(captioner.caption(requests(1)))).cached
        assert len(api.requests) == len(changes)
        other = build(config(api, limits={"concurrency": 1}, price=None, key_variable=None), cache)
        assert next(iter(other.caption(requests(1)))).cached
    assert len({one.identity.fingerprint for one in captioners}) == len(changes)
    assert other.identity.fingerprint == captioners[0].identity.fingerprint


def test_an_answer_that_was_none_is_paid_once_and_asked_anew_only_on_request(cache: AnswerCache) -> None:
    refuse = says("I cannot assist with this request.")
    with chat_api(lambda body, times: refuse if times == 1 else right) as api:
        first = texts(build(config(api), cache).caption(requests(3)))
        assert texts(build(config(api), cache).caption(requests(3))) == first
        assert set(first.values()) == {"api/refused"}
        assert len(api.requests) == 3
        better = texts(build(config(api), cache, again=True).caption(requests(3)))
        assert all(text.startswith("A photograph") for text in better.values())
        assert texts(build(config(api), cache).caption(requests(3))) == better
        assert len(api.requests) == 6
        assert len(api.billed) == 6, "a service that heeds keys is asked anew, not for the same answer"


def test_what_failed_for_free_is_asked_again_by_the_next_run(cache: AnswerCache) -> None:
    with chat_api(lambda body, times: status(500) if times <= 3 else right) as api:
        assert set(texts(build(config(api), cache).caption(requests(2))).values()) == {"api/server"}
        assert all(one.failure is None for one in build(config(api), cache).caption(requests(2)))


def test_every_fault_at_once_and_the_books_agree(cache: AnswerCache) -> None:
    """160 images, half with some trouble that passes or stays: each has one outcome, and our count is the service's."""
    chance = random.Random(5)
    acts = [*[act for act, _, _ in PASSING.values()], *[act for act, _ in FINAL.values()], drip, hang]
    fate: dict[str, list[Act]] = {}

    def plan(body: dict[str, Any], times: int) -> Act:
        acts_of = fate.setdefault(image_in(body), chance.choices(acts, k=chance.choice([0, 0, 0, 1, 2, 3])))
        return acts_of[times - 1] if times <= len(acts_of) else right

    asked = requests(160)
    with chat_api(plan) as api:
        captioner = build(config(api, limits={"concurrency": 32, "timeout": 2.0}), cache)
        outcomes = list(captioner.caption(asked))
        assert [one.id for one in outcomes] == [one.id for one in asked]
        assert 0 < sum(one.failure is None for one in outcomes) < 160
        assert sum(one.spent.attempts for one in outcomes) == len(api.requests) == captioner.spent.requests
        assert max(api.asked.values()) <= 3
        rights = [one for one in outcomes if one.failure is None]
        assert sum(one.spent.cost or 0 for one in rights) <= captioner.spent.money
        assert captioner.spent.tokens >= api.tokens
        known = sum((one.spent.tokens_in or 0) + (one.spent.tokens_out or 0) for one in outcomes)
        assert known <= captioner.spent.tokens
        assert api.most_in_flight <= 2 * 32  # one that is answered, or was given up, may be in the server a while yet
        asked_so_far = len(api.requests)
        again = list(build(config(api), cache).caption([one for one in asked if one.id in {r.id for r in rights}]))
        assert texts(again) == texts(rights)
        assert len(api.requests) == asked_so_far


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize(
    ("budget", "cap"),
    [
        ({"money": 30 * COST}, lambda spent: spent.money <= 30 * COST * (1 + 1e-9)),
        ({"tokens": 30 * (TOKENS_IN + TOKENS_OUT)}, lambda spent: spent.tokens <= 30 * (TOKENS_IN + TOKENS_OUT)),
        ({"requests": 30}, lambda spent: spent.requests <= 30),
    ],
)
def test_the_budget_is_never_passed_and_what_is_left_is_said(
    concurrency: int, budget: dict[str, float], cap: Callable[[Any], bool], cache: AnswerCache
) -> None:
    plan = lambda body, times: status(500) if image_in(body) < "4" and times == 1 else right  # noqa: E731
    with chat_api(plan) as api:
        asked = config(api, budget=budget, max_tokens=TOKENS_OUT, limits={"concurrency": concurrency})
        captioner = build(asked, cache)
        outcomes = list(captioner.caption(requests(100)))
        assert cap(captioner.spent)
        assert api.tokens == captioner.spent.tokens
        done = [one for one in outcomes if one.failure is None]
        assert len(outcomes) == 100
        assert 15 <= len(done) <= 30
        unasked = [one for one in outcomes if one.failure is not None]
        assert {one.failure.kind for one in unasked if one.failure} == {"budget"}
        assert captioner.stopped is not None
        assert f"{len(unasked)} questions were left unasked" in captioner.stopped
        before = len(api.requests)
        more = list(build(asked, cache).caption(requests(100)))  # the next run has the answers, and no more budget
        assert texts(more) == texts(outcomes)
        assert len(api.requests) == before


def test_a_service_that_counts_more_than_expected_passes_the_budget_by_what_is_in_flight_at_most(
    cache: AnswerCache,
) -> None:
    with chat_api(lambda body, times: says("A dog.", tokens=(9000, 900)), delay=0.02) as api:
        asked = config(api, budget={"tokens": 50_000}, max_tokens=20, image_tokens=10, limits={"concurrency": 4})
        captioner = build(asked, cache)
        list(captioner.caption(requests(60)))
        assert captioner.spent.tokens <= 50_000 + 4 * 9_900
        assert api.tokens == captioner.spent.tokens


def test_no_more_than_allowed_are_in_flight_and_tokens_keep_their_pace(tmp_path: Path) -> None:
    with chat_api(delay=0.02) as api:
        cache = AnswerCache(tmp_path / "a.sqlite")
        list(build(config(api, limits={"concurrency": 3}), cache).caption(requests(30)))
        assert api.most_in_flight == 3
        cache.close()


def test_a_wrong_key_stops_and_the_key_is_told_to_nobody(
    cache: AnswerCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setenv("CAPTION_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    messages: list[str] = []
    for code in (400, 500, 401):
        text = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}."}})
        with chat_api(lambda body, times, code=code, text=text: status(code, text)) as api:
            captioner = build(config(api, key_variable="CAPTION_KEY"), cache)
            if code == 401:
                with pytest.raises(SluiceError, match=r"provided: \*\*\*\..* check the key in CAPTION_KEY") as caught:
                    list(captioner.caption(requests(9)))
                messages.append(str(caught.value))
            else:
                messages += [str(one) for one in captioner.caption(requests(2))]
            assert api.headers[0]["Authorization"] == f"Bearer {KEY}"
            messages += [repr(captioner.identity), repr(vars(captioner)), repr(vars(captioner._service))]
    assert "***" in "".join(messages)
    assert KEY not in "".join(messages) + caplog.text
    assert all(KEY.encode() not in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


def test_a_reader_that_leaves_early_loses_no_answer_in_flight(cache: AnswerCache) -> None:
    with chat_api(delay=0.02) as api:
        captioner = build(config(api), cache)
        stream = captioner.caption(requests(200))
        for _ in range(5):
            next(stream)
        stream.close()  # type: ignore[attr-defined]
        asked = len(api.requests)
        assert asked < 60
        assert captioner.spent.requests == asked == sum(api.answered.values())
        outcomes = list(captioner.caption(requests(200)))
        assert all(one.failure is None for one in outcomes)
        assert len(api.requests) == 200


def test_boxes_and_pairs_are_read_and_checked(cache: AnswerCache) -> None:
    good = {"caption": "A dog.", "boxes": [{"label": "dog", "box": [0, 10, 500.5, 1000]}]}
    bad = {"caption": "A dog.", "boxes": [{"label": "dog", "box": [0, 10, 500, 1001]}]}
    answers = {1: json.dumps(bad), 2: json.dumps(good)[:-9], 3: f"```json\n{json.dumps(good)}\n```"}
    with chat_api(lambda body, times: says(answers[times])) as api:
        (outcome,) = build(config(api, kind="grounded", response_format="json_schema"), cache).caption(requests(1))
        assert api.requests[0]["response_format"]["json_schema"]["schema"]["required"] == ["caption", "boxes"]
    assert (outcome.captions[0].text, outcome.spent.attempts) == ("A dog.", 3)
    assert json.loads(outcome.captions[0].data or "") == {"boxes": good["boxes"]}
    assert (outcome.spent.tokens_in, outcome.spent.tokens_out) == (3 * TOKENS_IN, 3 * TOKENS_OUT)


def test_images_go_as_they_are_and_large_ones_scaled(cache: AnswerCache) -> None:
    small, large = png(1), png(2, side=300)
    asked = [CaptionRequest("small", small), CaptionRequest("large", large), CaptionRequest("bad", b"<html>")]
    with chat_api() as api:
        outcomes = list(build(config(api, max_side=100, limits={"concurrency": 1}), cache).caption(asked))
        urls = [body["messages"][0]["content"][1]["image_url"]["url"] for body in api.requests]
    assert base64.b64decode(urls[0].removeprefix("data:image/png;base64,")) == small
    with Image.open(io.BytesIO(base64.b64decode(urls[1].removeprefix("data:image/jpeg;base64,")))) as seen:
        assert seen.size == (100, 100)
    assert texts(outcomes)["bad"] == "decode/decode"


def test_a_prompt_uses_the_samples_fields_and_its_language(cache: AnswerCache) -> None:
    prompt = {"name": "alt", "version": "3", "text": "Improve {alt}.[ Write in {language}.]", "system": "Be brief."}
    asked = [
        CaptionRequest("a", png(1), fields={"alt": "a dog"}, language="de"),
        CaptionRequest("b", png(1), fields={"alt": "a dog"}),
        CaptionRequest("c", png(1)),
    ]
    with chat_api() as api:
        captioner = build(config(api, prompt=prompt, limits={"concurrency": 1}), cache)
        outcomes = list(captioner.caption(asked))
        said = [body["messages"][1]["content"][0]["text"] for body in api.requests]
        assert {body["messages"][0]["content"] for body in api.requests} == {"Be brief."}
    assert said == ["Improve a dog. Write in German.", "Improve a dog."]
    assert outcomes[2].failure is not None
    assert (outcomes[2].failure.kind, captioner.identity.prompt_version) == ("field", "3")
    assert outcomes[0].captions[0].language == "de"


def test_a_service_that_counts_nothing_is_charged_the_worst(cache: AnswerCache) -> None:
    answer = whole("A dog.")
    del answer["usage"]
    with chat_api(lambda body, times: sends(answer)) as api:
        captioner = build(config(api, budget={"tokens": 10_000}), cache)
        outcomes = list(captioner.caption(requests(20)))
        assert all(one.spent.tokens_in is None and one.spent.cost is None for one in outcomes)
        assert captioner.spent.unknown == captioner.spent.requests == len(api.requests)
        assert captioner.spent.tokens <= 10_000
        assert captioner.stopped is not None
