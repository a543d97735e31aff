"""Deciding, against a slow reading of its rules in plain Python; and law 1 on any table."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.run.decide import FAILED, HELD, KEPT, REJECTED, VERDICT_NAMES, RowFacts, Speaker, decide, speaker_of

SAYINGS = st.sampled_from([KEPT, KEPT, HELD, REJECTED])


@st.composite
def worlds(draw):
    """Samples with one to four rows each, some of them captions, some failed; and up to four speakers."""
    rows = [
        (sample, draw(st.booleans()), draw(st.integers(0, 9)) == 0)
        for sample in range(draw(st.integers(0, 6)))
        for _ in range(draw(st.integers(1, 4)))
    ]
    speakers = [
        (f"rule{number}", [draw(SAYINGS) for _ in rows], draw(st.booleans()))
        for number in range(draw(st.integers(0, 4)))
    ]
    return rows, speakers


def facts_of(rows):
    return RowFacts(
        np.array([sample for sample, _, _ in rows], np.int64),
        np.array([caption for _, caption, _ in rows], np.bool_),
        np.array([failed for _, _, failed in rows], np.bool_),
    )


def speakers_of(speakers):
    return [Speaker(name, np.array(says, np.int8), about_text) for name, says, about_text in speakers]


def slow_decide(rows, speakers):
    """(verdict by sample, rules that took part by sample, rows whose caption is left out), one sample at a time."""
    verdicts, rules, left_out = [], [], set()
    for sample in range(rows[-1][0] + 1 if rows else 0):
        mine = [place for place, (owner, _, _) in enumerate(rows) if owner == sample]
        captions = [place for place in mine if rows[place][1]]
        against = dict.fromkeys(captions, KEPT)  # the worst that is said of each caption, by any speaker on texts
        worst, spoke = KEPT, set()
        for name, says, about_text in speakers:
            for place in mine:
                if about_text and place in against:
                    against[place] = max(against[place], says[place])
                elif says[place] > KEPT:
                    worst = max(worst, says[place])
                    spoke.add(name)
        best = min(against.values(), default=KEPT)  # a sample is as good as its best caption
        if best > KEPT:
            worst = max(worst, best)
            spoke |= {name for name, says, about_text in speakers if about_text and any(says[p] for p in captions)}
        else:
            left_out |= {place for place, said in against.items() if said > KEPT}
        verdicts.append(FAILED if any(rows[place][2] for place in mine) else worst)
        rules.append(spoke)
    return verdicts, rules, left_out


@given(worlds())
@settings(max_examples=400)
def test_deciding_agrees_with_a_slow_reading_of_its_rules(world):
    rows, speakers = world
    decision = decide(facts_of(rows), speakers_of(speakers))
    verdicts, rules, left_out = slow_decide(rows, speakers)
    assert decision.severity.tolist() == verdicts
    names = [name for name, _, _ in speakers]
    assert [{names[i] for i in np.flatnonzero(row)} for row in decision.spoke] == rules
    assert set(np.flatnonzero(decision.left_out).tolist()) == left_out


@given(worlds())
def test_law_1_every_sample_gets_one_verdict(world):
    rows, speakers = world
    severity = decide(facts_of(rows), speakers_of(speakers)).severity
    counts = {name: int((severity == number).sum()) for number, name in enumerate(VERDICT_NAMES)}
    assert sum(counts.values()) == len({sample for sample, _, _ in rows})


@given(worlds())
def test_a_kept_sample_keeps_a_caption_if_it_had_one(world):
    rows, speakers = world
    decision = decide(facts_of(rows), speakers_of(speakers))
    for sample, severity in enumerate(decision.severity):
        captions = [place for place, (owner, caption, _) in enumerate(rows) if owner == sample and caption]
        if severity == KEPT and captions:
            assert not all(decision.left_out[captions])


@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_the_rules_changes_no_verdict(world, rng):
    rows, speakers = world
    shuffled = rng.sample(speakers, len(speakers))
    one, other = (decide(facts_of(rows), speakers_of(said)) for said in (speakers, shuffled))
    assert one.severity.tolist() == other.severity.tolist()
    assert one.left_out.tolist() == other.left_out.tolist()


@given(worlds(), st.integers(0, 3))
def test_one_more_rule_never_lets_a_sample_back_in(world, more):
    rows, speakers = world
    fewer = speakers[: max(0, len(speakers) - more)]
    one, other = (decide(facts_of(rows), speakers_of(said)).severity for said in (fewer, speakers))
    assert (other >= one).all()


@given(worlds())
def test_a_rule_on_images_counts_once_though_its_image_stands_beside_several_captions(world):
    rows, _ = world
    of_image = [REJECTED if sample % 2 else KEPT for sample, _, _ in rows]  # the same beside each of its captions
    decision = decide(facts_of(rows), speakers_of([("dark", of_image, False)]))
    for sample, severity in enumerate(decision.severity):
        failed = any(fail for owner, _, fail in rows if owner == sample)
        assert severity == (FAILED if failed else REJECTED if sample % 2 else KEPT)


@given(
    st.lists(st.sampled_from([1, 0, -1]), max_size=20),
    st.sampled_from([HELD, REJECTED]),
    st.sampled_from([KEPT, HELD, REJECTED]),
)
def test_null_means_what_the_rule_says_it_means(results, effect, null):
    speaker = speaker_of("rule", np.array(results, np.int8), effect, null, about_text=False)
    assert speaker.severity.tolist() == [{1: effect, 0: KEPT, -1: null}[result] for result in results]
