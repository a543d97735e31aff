"""The choice among captions: the rule said slowly is the oracle."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sluice.caption.choice import ALTERNATIVE, BELOW, CHOSEN, LOST, RAW, Choice, choose

SCORES = st.one_of(st.just(float("nan")), st.sampled_from([0.1, 0.2, 0.25, 0.3, 0.4]), st.floats(-1, 1))
ROWS = st.lists(st.tuples(st.integers(0, 9), SCORES, st.integers(RAW, 2)), max_size=60)


def _choose(rows: list[tuple[int, float, int]], alternatives: int = 1) -> Choice:
    columns = [np.array([row[place] for row in rows]) for place in range(3)]
    return choose(*columns, [row[0] // 4 for row in rows], 0.25, alternatives=alternatives, samples=10)


@given(ROWS, st.integers(0, 3))
def test_the_best_that_passes_wins_and_so_many_are_kept_beside_it(
    rows: list[tuple[int, float, int]], alternatives: int
) -> None:
    choice = _choose(rows, alternatives)
    for sample in range(10):
        mine = [at for at, row in enumerate(rows) if row[0] == sample]
        passing = [at for at in mine if rows[at][1] >= 0.25]
        ranked = sorted(passing, key=lambda at: (-rows[at][1], rows[at][2], at))
        expected = dict.fromkeys(mine, BELOW) | dict.fromkeys(ranked, LOST)
        expected |= dict.fromkeys(ranked[: alternatives + 1], ALTERNATIVE) | dict.fromkeys(ranked[:1], CHOSEN)
        assert {at: int(choice.role[at]) for at in mine} == expected
        assert bool(choice.misaligned[sample]) == (not passing)
        kept = ranked[: alternatives + 1]
        total = sum(math.exp((rows[at][1] - rows[kept[0]][1]) / 0.05) for at in kept)
        for at in mine:
            weight = math.exp((rows[at][1] - rows[kept[0]][1]) / 0.05) / total if at in kept else 0.0
            assert math.isclose(choice.weight[at], weight, abs_tol=1e-6)


@given(ROWS)
def test_a_batch_is_held_as_a_whole_where_its_captions_fit_worse_than_the_raw_ones(
    rows: list[tuple[int, float, int]],
) -> None:
    choice = _choose(rows)
    held = set[int]()
    expected: list[tuple[int, int]] = sorted({(row[2], row[0] // 4) for row in rows if row[2] != RAW})
    assert [(one.captioner, one.unit) for one in choice.batches] == expected
    for batch in choice.batches:
        befores, afters, won = [], [], 0
        for sample in range(10):
            if sample // 4 != batch.unit:
                continue
            raw = [row[1] for row in rows if row[0] == sample and row[2] == RAW and row[1] == row[1]]
            made = [row[1] for row in rows if row[0] == sample and row[2] == batch.captioner and row[1] == row[1]]
            if raw and made:
                befores.append(max(raw))
                afters.append(max(made))
            won += any(
                choice.role[at] == CHOSEN
                for at, row in enumerate(rows)
                if row[0] == sample and row[2] == batch.captioner
            )
        assert (batch.samples, batch.chosen) == (len(befores), won)
        if befores:
            assert math.isclose(batch.before, np.mean(befores), abs_tol=1e-9)
            assert math.isclose(batch.after, np.mean(afters), abs_tol=1e-9)
            if not math.isclose(batch.before, batch.after, abs_tol=1e-9):
                assert batch.held == (batch.after < batch.before)
        else:
            assert math.isnan(batch.before) and not batch.held
        if batch.held:
            held |= {row[0] for row in rows if row[2] == batch.captioner and row[0] // 4 == batch.unit}
    assert set(np.flatnonzero(choice.held).tolist()) == held


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_changes_nothing_but_ties_of_one_captioner(
    rows: list[tuple[int, float, int]], chance: object
) -> None:
    rows = list({(row[0], row[2]): row for row in rows}.values())  # one caption a captioner and sample
    order = list(range(len(rows)))
    chance.shuffle(order)  # type: ignore[attr-defined]
    first, second = _choose(rows), _choose([rows[at] for at in order])
    assert first.role[order].tolist() == second.role.tolist()
    assert first.misaligned.tolist() == second.misaligned.tolist()
    assert [one.held for one in first.batches] == [one.held for one in second.batches]


def test_nothing_to_choose_from() -> None:
    choice = choose([], [], [], [], 0.2, samples=3)
    assert choice.misaligned.all() and not choice.held.any() and choice.batches == ()
