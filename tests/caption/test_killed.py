"""A process that captions is killed at random, twenty times: the captions are the same, and nothing is paid twice."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import sqlite3
import time
from pathlib import Path
from zlib import crc32

import numpy as np

from sluice.caption.base import CaptionRequest
from sluice.caption.cache import AnswerCache
from sluice.caption.config import ChatConfig
from sluice.caption.load import load_captioner
from support.chat_api import TOKENS_IN, TOKENS_OUT, Act, ChatApi, chat_api, right, says, status

COUNT, CONCURRENCY, KILLS = 240, 6, 20
_PRELOAD = ["sluice.caption.load", "sluice.caption.chat", "sluice.caption.picture", "support.chat_api"]


def _caption_all(
    url: str, cache_path: Path, out: Path, first: int = 0, count: int = COUNT, tokens: int = 10**9
) -> None:
    fields = {"name": "c", "type": "chat", "url": url, "model": "m", "max_tokens": TOKENS_OUT, "image_tokens": 0}
    limits = {"concurrency": CONCURRENCY, "timeout": 20, "longest_wait": 0.01}
    cache = AnswerCache(cache_path)
    captioner = load_captioner(
        ChatConfig.model_validate({**fields, "limits": limits, "budget": {"tokens": tokens}}), cache, scope="run"
    )
    asked = (CaptionRequest(str(n), pixels=lambda n=n: np.full((2, 2, 3), n, np.uint8)) for n in range(first, count))
    rows = [
        [one.id, one.captions and one.captions[0].text, one.failure and one.failure.kind, one.spent.cost]
        for one in captioner.caption(asked)
    ]
    cache.close()
    out.write_text(json.dumps(rows))


def _plan(body: dict[str, object], times: int) -> Act:
    """Some trouble that is the same for a payload however often it is asked."""
    fate = crc32(json.dumps(body).encode()) % 10
    if fate == 0:
        return says("I'm sorry, but I can't help with that.")
    return status(500) if fate == 1 and times == 1 else right


def _start(*arguments: object) -> multiprocessing.process.BaseProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    process = context.Process(target=_caption_all, args=arguments)
    process.start()
    return process


def _stored(path: Path) -> int:
    if not path.exists():
        return 0
    with sqlite3.connect(path) as database:
        return database.execute("SELECT count(*) FROM answers").fetchone()[0]


def _killed_over_and_over(api: ChatApi, folder: Path, chance: random.Random) -> int:
    """Start, kill within the work, twenty times, then let it end. Gives how many requests were in flight at kills."""
    lost = 0
    cache, out = folder / "answers.sqlite", folder / "captions.json"
    for _ in range(KILLS):
        before = sum(api.answered.values())
        process = _start(api.url, cache, out)
        enough = before + chance.randint(1, COUNT // KILLS - 2)
        while sum(api.answered.values()) < enough and process.is_alive():
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.01))
        assert process.is_alive(), "it ended before it could be killed"
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        while api.in_flight:
            time.sleep(0.001)
        lost += sum(api.answered.values()) - before
    lost -= _stored(cache)
    process = _start(api.url, cache, out)
    process.join()
    assert process.exitcode == 0
    return lost


def test_a_captioner_killed_twenty_times_says_the_same_and_pays_once(tmp_path: Path) -> None:
    with chat_api(_plan) as quiet:
        _caption_all(quiet.url, tmp_path / "quiet.sqlite", tmp_path / "quiet.json")
    with chat_api(_plan, delay=0.01) as api:
        unstored = _killed_over_and_over(api, tmp_path, random.Random(3))
        assert (tmp_path / "captions.json").read_text() == (tmp_path / "quiet.json").read_text()
        assert len(api.answered) == COUNT
        # A service that heeds the keys charges for each payload once, though answers were lost on their way
        assert len(api.billed) == COUNT
        assert sorted(name for name, _ in api.billed.values()) == sorted(api.answered)
        # One that does not charges twice only for what was in flight when the process died
        assert sum(api.answered.values()) - COUNT == unstored <= KILLS * CONCURRENCY
        cache = AnswerCache(tmp_path / "answers.sqlite")
        spent = cache.spent("run/c")
        cache.close()
    assert spent.requests - spent.unknown <= len(api.requests) <= spent.requests
    assert spent.tokens >= COUNT * (TOKENS_IN + TOKENS_OUT)


def test_a_process_that_joins_late_sets_aside_what_others_know_a_question_takes(tmp_path: Path) -> None:
    each, cache, out = TOKENS_IN + TOKENS_OUT, tmp_path / "late.sqlite", tmp_path / "late.json"
    with chat_api(delay=0.2) as api:
        _caption_all(api.url, cache, out, 0, 2, 6 * each)
        _caption_all(api.url, cache, out, 2, 12, 6 * each)  # by its own guess of 110 tokens, five more would fit
        assert api.tokens == 6 * each
    assert [kind for _, _, kind, _ in json.loads(out.read_text())].count(None) == 4


def test_processes_that_share_a_cache_ask_for_nothing_twice_and_keep_one_budget(tmp_path: Path) -> None:
    with chat_api(delay=0.01) as api:
        cache = tmp_path / "answers.sqlite"
        processes = [_start(api.url, cache, tmp_path / f"{n}.json", n * 20, n * 20 + 80) for n in range(3)]
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0, 0]
        assert set(api.asked.values()) == {1}
        assert len(api.requests) == 120

    with chat_api(delay=0.01) as api:
        cap = 50 * (TOKENS_IN + TOKENS_OUT)
        processes = [
            _start(api.url, tmp_path / "capped.sqlite", tmp_path / f"{n}.json", n * 80, n * 80 + 80, cap)
            for n in range(3)
        ]
        for process in processes:
            process.join()
        in_flight = len(processes) * CONCURRENCY * (TOKENS_IN + TOKENS_OUT)
        assert 40 * (TOKENS_IN + TOKENS_OUT) <= api.tokens <= cap + in_flight
        rows = [row for n in range(3) for row in json.loads((tmp_path / f"{n}.json").read_text())]
        assert len(rows) == 240
        assert {kind for _, _, kind, _ in rows} == {None, "budget"}
        assert sum(kind is None for _, _, kind, _ in rows) == len(api.requests)
