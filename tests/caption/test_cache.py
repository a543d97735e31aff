"""The file of answers: who asks, what is set aside, what is spent, and what becomes of those that die."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.caption.cache import Amount, Answer, AnswerCache
from sluice.caption.config import Budget
from sluice.errors import SluiceError

ANSWER = Answer('{"text": "a dog"}', True, 2, 100, 20, 0.001, 1.5)


def test_an_answer_is_found_by_all_who_open_the_file(tmp_path: Path) -> None:
    first, second = AnswerCache(tmp_path / "sub" / "a.sqlite"), AnswerCache(tmp_path / "sub" / "a.sqlite")
    assert first.claim("k", "run")
    assert first.set_aside("k", Amount(1, 500, 0.5), Budget()) == "go"
    first.settle("k", Amount(1, 120, 0.001), ANSWER)
    first.release("k")
    assert second.find("k") == ANSWER
    assert second.find("other") is None
    assert second.spent("run") == Amount(1, 120, 0.001)
    assert second.spent("another run") == Amount()
    first.close()
    second.close()


def test_one_asks_and_the_others_wait_until_it_is_done(tmp_path: Path) -> None:
    first, second = AnswerCache(tmp_path / "a.sqlite"), AnswerCache(tmp_path / "a.sqlite")
    assert first.claim("k", "run")
    assert not second.claim("k", "run") and not first.claim("k", "run")
    first.release("k")
    assert second.claim("k", "run")
    second.close()  # who leaves lets go
    assert first.claim("k", "run")
    first.close()


def _asks_and_dies(path: Path) -> None:
    cache = AnswerCache(path)
    assert cache.claim("k", "run")
    assert cache.set_aside("k", Amount(1, 300, 0.25), Budget(requests=2)) == "go"
    os._exit(9)


def test_what_a_killed_asker_had_in_flight_counts_as_spent_and_may_be_asked_again(tmp_path: Path) -> None:
    process = multiprocessing.get_context("forkserver").Process(target=_asks_and_dies, args=(tmp_path / "a.sqlite",))
    process.start()
    process.join()
    assert process.exitcode == 9
    cache = AnswerCache(tmp_path / "a.sqlite")
    assert cache.spent("run") == Amount(1, 300, 0.25, unknown=1)
    assert cache.claim("k", "run")
    assert cache.set_aside("k", Amount(1), Budget(requests=2)) == "go"
    cache.settle("k", None)
    assert cache.set_aside("k", Amount(1), Budget(requests=2)) == "stop"
    cache.close()
    assert list((tmp_path / "a.sqlite.askers").iterdir()) == []


def test_the_last_of_a_budget_waits_for_those_in_flight(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "a.sqlite")
    budget = Budget(tokens=1000)
    for key in "abc":
        assert cache.claim(key, "run")
    assert cache.set_aside("a", Amount(1, 600), budget) == "go"
    assert cache.set_aside("b", Amount(1, 600), budget) == "wait"
    cache.settle("a", Amount(1, 100))
    assert cache.set_aside("b", Amount(1, 600), budget) == "go"
    cache.settle("b", Amount(1, 600))
    assert cache.set_aside("c", Amount(1, 600), budget) == "stop"
    assert cache.set_aside("c", Amount(1, 300), budget) == "go"
    cache.release("c")  # without an end that it told of: what was set aside counts
    assert cache.spent("run") == Amount(3, 1000, 0.0, 1)
    cache.close()


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdef"), st.sampled_from(["ask", "known", "unknown", "leave"]), st.integers(1, 400)
        ),
        max_size=40,
    )
)
def test_whatever_happens_in_whatever_order_the_budget_holds(steps: list[tuple[str, str, int]]) -> None:
    """A model in plain Python beside it: what is spent and set aside never passes the cap."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        cache = AnswerCache(Path(folder) / "a.sqlite")
        budget = Budget(tokens=1000)
        spent, aside, claimed = 0, dict[str, int](), set[str]()
        for key, step, tokens in steps:
            if step == "ask":
                assert cache.claim(key, "run") == (key not in claimed)
                claimed.add(key)
                if key in aside:
                    continue
                state = cache.set_aside(key, Amount(1, tokens), budget)
                others = sum(aside.values())
                expected = "stop" if spent + tokens > 1000 else "wait" if spent + others + tokens > 1000 else "go"
                assert state == expected
                if state == "go":
                    aside[key] = tokens
            elif step == "leave" and key in claimed:
                cache.release(key)
                claimed.discard(key)
                spent += aside.pop(key, 0)
            elif step in ("known", "unknown") and key in aside:
                kept = aside.pop(key)
                took = min(tokens, kept)
                cache.settle(key, Amount(1, took) if step == "known" else None)
                spent += took if step == "known" else kept
            assert cache.spent("run").tokens == spent <= 1000
        cache.close()


def test_a_file_that_is_no_cache_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_text("this is no database, it is a text that is long enough to be looked at")
    with pytest.raises(SluiceError, match=r"a\.sqlite: cannot be used as the cache of captions"):
        AnswerCache(tmp_path / "a.sqlite")
    with sqlite3.connect(tmp_path / "b.sqlite") as database:
        database.execute("PRAGMA user_version=77")
    with pytest.raises(SluiceError, match="another version of Sluice"):
        AnswerCache(tmp_path / "b.sqlite")
    (tmp_path / "file").write_text("")
    with pytest.raises(SluiceError, match="cannot be used"):
        AnswerCache(tmp_path / "file" / "a.sqlite")


def _opens(path: Path) -> None:
    AnswerCache(path).close()


def test_many_processes_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")  # they start together, with nothing to import
    for number in range(3):
        processes = [context.Process(target=_opens, args=(tmp_path / f"{number}.sqlite",)) for _ in range(8)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * 8
