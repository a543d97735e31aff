"""What a card admits: limits that follow from what was measured, and from what was not."""

from __future__ import annotations

from collections.abc import Iterator

from sluice.pack.card_facts import CardFacts


def known_limits(facts: CardFacts) -> list[str]:
    """Sentences, each following from the facts; never empty."""
    return [*_rights(facts), *_content(facts), *_repeats(facts), *_missing(facts)]


def count(number: int, thing: str) -> str:
    """A number with its noun.

    >>> count(1, "sample"), count(1_200, "sample")
    ('1 sample', '1,200 samples')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _rights(facts: CardFacts) -> Iterator[str]:
    unknown = facts.licences.get(None, 0)
    if unknown:
        share = 100 * unknown / max(facts.samples, 1)
        yield f"No licence was recognised for {count(unknown, 'sample')} ({share:.1f}%): clear their rights before use."
    yield "Licences are what the sources state; nobody has checked that the sources had the right to state them."


def _content(facts: CardFacts) -> Iterator[str]:
    ran = {measure.name for measure in facts.measures}
    if facts.roles.get("caption") and not any(name.startswith("pair.") for name in ran):
        yield (
            "No model compared captions with their images: a caption that is well formed but describes something "
            "else was not found."
        )
    if not any(name.startswith("safety.") and name != "safety.words" for name in ran):  # that one reads texts
        yield "Nothing looked for unsafe content, faces or other personal data in the images."
    if "text.pii" in ran:
        yield "Personal data in texts was looked for by form and check digits: names and postal addresses were not."
    if "text.language" in ran:
        unsure = facts.languages.get(None, 0)
        told = f" ({count(unsure, 'text')} stayed unsure)" if unsure else ""
        yield f"Languages are detected, not declared, and short texts are often taken for another language{told}."
    if len(facts.sources) == 1:
        yield "Everything comes from one source and has its biases."


def _repeats(facts: CardFacts) -> Iterator[str]:
    found = facts.duplicates
    if found.near is None:
        yield "Near-duplicate images were not looked for."
    else:
        yield (
            f"Near-duplicates are those whose {found.hash} differs in at most {found.distance} of 64 bits: strong "
            "crops, rotations and mirror images pass, and different images of very little structure can be taken "
            "for one."
        )
        if found.distance is not None and found.diameter > 2 * found.distance:
            yield (
                f"The widest near-duplicate cluster is {found.diameter} bits across: its members are near by steps, "
                "not each to each."
            )
    if not found.references:
        yield "The images were not compared with any benchmark's test images: an evaluation on one may be contaminated."


def _missing(facts: CardFacts) -> Iterator[str]:
    held = sum(stage.held for stage in facts.stages)
    failed = sum(facts.failures.values())
    if held:
        yield f"Not in it, but held for review: {count(held, 'sample')}."
    if failed:
        yield f"Not in it, but failed: {count(failed, 'sample')}. What cannot be decoded is not missing at random."
    empty = [split for split, samples in facts.splits.items() if not samples]
    if empty:
        yield f"Splits without a sample: {', '.join(empty)}."
