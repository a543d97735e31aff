"""Consensus, facts, sentences and variations: captions as texts, in several languages."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.caption.augment import Original, back_translated, expanded, of_length, paraphrased
from sluice.caption.base import Spent
from sluice.caption.consensus import consensus
from sluice.caption.content_words import content_words
from sluice.caption.facts import changed, digits, quoted, sides
from sluice.caption.sentences import OutOfBandError, in_band, sentences
from sluice.errors import SampleFailure, SluiceError
from sluice.measures.words import words


@pytest.mark.parametrize(
    ("language", "captions", "agreed", "claims"),
    [
        (
            "en",
            ["Three red balls and a dog.", "A dog plays with three balls.", "The dog's red ball"],
            {"three", "red", "balls", "dog"},
            {1: ("plays",)},
        ),
        (
            "de",
            ["Zwei rote Bälle liegen neben einem Hund", "Ein Hund mit zwei roten Bällen", "Ein blauer Ball"],
            {"zwei", "rote", "bälle", "hund"},
            {0: ("liegen",), 2: ("blauer",)},
        ),
        (
            "fr",
            ["Deux chiens noirs sur l'herbe", "Un chien noir court dans l'herbe"],
            {"chiens", "noirs", "l'herbe"},
            {0: ("deux",), 1: ("court",)},
        ),
        ("es", ["Tres perros negros", "Un perro negro y 3 gatos"], {"tres", "perros", "negros"}, {1: ("gatos",)}),
        ("en-GB", ["A grey cat", "Gray cats"], {"grey", "cat"}, {}),
    ],
)
def test_what_two_say_is_kept_and_what_one_says_is_flagged(
    language: str, captions: list[str], agreed: set[str], claims: dict[int, tuple[str, ...]]
) -> None:
    found = consensus({str(number): text for number, text in enumerate(captions)}, language)
    assert set(found.agreed) == agreed
    assert {int(name): said for name, said in found.claims.items() if said} == claims
    assert all((share < 1) == (int(name) in claims) for name, share in found.support.items())


def test_numbers_that_differ_are_claims_of_each() -> None:
    found = consensus({"a": "Two dogs", "b": "Three dogs", "c": "2 dogs"}, "en")
    assert set(found.agreed) == {"two", "dogs"}
    assert found.claims == {"a": (), "b": ("three",), "c": ()}
    assert found.best == "a"


def test_the_sentences_that_are_agreed_on_whole_are_a_caption() -> None:
    said = {"a": "A red ball. A zebra sleeps.", "b": "The ball is red. There is a dog.", "c": "A dog."}
    assert consensus(said, "en").caption == "The ball is red. There is a dog."
    assert consensus({"a": "A red cup", "b": "A blue cup"}, "en").caption is None


def test_function_words_are_no_claims_in_any_language() -> None:
    empty = {
        "en": "There is an image which shows it from the front",
        "de": "Das ist ein Bild, auf dem man sie nicht sehen kann",
        "fr": "C'est une image qu'on voit dans la scène",
        "es": "Esta es una imagen en la que se ve",
    }
    for language, text in empty.items():
        assert content_words(text, language) == {}, language


def test_a_language_that_is_not_known_is_refused_and_so_is_one_captioner() -> None:
    with pytest.raises(SluiceError, match="en, de, fr, es, and not of zh"):
        consensus({"a": "一只狗", "b": "狗"}, "zh")
    with pytest.raises(SluiceError, match="two captioners"):
        consensus({"a": "A dog"}, "en")


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("2 dogs", "two dogs", "digits"),
        ("a sign says 24", "a sign says 42", "digits"),
        ("in 1,000 pieces", "in 1.000 Teilen", None),
        ('a shop called "Zara"', 'a shop called "Sarah"', "quotation"),
        ('a shop called "Zara"', "a shop called «Zara»", None),
        ('a shop called "Zara"', "a shop called Zara", "quotation"),
        ("it's a dog's ball", "the dog's ball, it's", None),
        ("a dog left of a cat", "a dog right of a cat", "left and right"),
        ("a dog left of a cat, a cup right of it", "a cup right of it, a cat, a dog on the left", "left and right"),
        ("a dog on the left", "a dog", "left and right"),
        ("a bright light", "a light that is bright", None),
    ],
)
def test_a_changed_fact_is_found(before: str, after: str, why: str | None) -> None:
    found = changed(before, after, "en", "en")
    assert found is None if why is None else found is not None and why in found


@pytest.mark.parametrize(
    ("text", "language", "found"),
    [
        ("links ein Rechteck, in der rechten Ecke", "de", "LR"),
        ("à gauche un chien, à droite un chat", "fr", "LR"),
        ("a la izquierda, el brazo derecho", "es", "LR"),
        ("a sinistra e a destra", "it", "LR"),
        ("à esquerda e à direita", "pt", "LR"),
        ("linksboven", "nl", ""),
        ("linkerkant, rechts", "nl", "LR"),
        ("左边的狗，右边的猫", "zh", "LR"),
        ("the leftmost, a right-hand glove", "en", "LR"),
        ("copyright, upright, bright", "en", ""),
    ],
)
def test_sides_are_known_in_nine_languages(text: str, language: str, found: str) -> None:
    assert sides(text, language) == found


def test_sides_that_cannot_be_checked_count_as_changed() -> None:
    assert changed("a dog on the left", "koira vasemmalla", "en", "fi") == "left and right cannot be checked in fi"
    assert changed("a dog", "koira", "en", "fi") is None


@given(st.text(alphabet="ab 1٢３.\"“”'", max_size=30))
def test_what_is_the_same_is_not_changed(text: str) -> None:
    assert changed(text, text) is None
    assert "".join(digits(text)).isascii()
    assert all(one for one in quoted(text))


@given(st.text(alphabet='aB1. !?…。”"\n', max_size=40))
def test_sentences_joined_are_the_text(text: str) -> None:
    assert "".join(sentences(text)) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two! Three? Four…", 4),
        ("Mr. J. Smith meets Dr. Lee. Fine.", 2),
        ("At 3.5 m, i.e. high up. Yes.", 2),
        ('He says "Stop!" and goes. She stays.', 2),
        ("Am 3. mai ist z.B. nichts. Ende.", 2),
        ("狗在跑。猫在睡！", 2),
        ("no end", 1),
        ("", 0),
    ],
)
def test_sentences_end_where_they_end(text: str, count: int) -> None:
    assert len(sentences(text)) == count


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8), st.integers(1, 10), st.integers(10, 40))
def test_a_caption_is_cut_at_ends_of_sentences_only_and_is_as_long_as_it_may_be(
    lengths: list[int], shortest: int, longest: int
) -> None:
    parts = [" ".join(["Word"] * length) + "." for length in lengths]
    fits = [sum(lengths[:number]) for number in range(1, len(lengths) + 1) if sum(lengths[:number]) <= longest]
    if not fits or fits[-1] < shortest:
        with pytest.raises(OutOfBandError):
            in_band(" ".join(parts), shortest, longest)
        return
    cut = in_band(" ".join(parts), shortest, longest)
    assert cut == " ".join(parts[: len(fits)])
    assert shortest <= len(words(cut)) <= longest


class Sayings:
    """A translator that says what a function makes of a text."""

    identity = "sayings@1"
    stopped = None

    def __init__(self, say: Callable[[str, str, str], str | SampleFailure]) -> None:
        self.say = say
        self.calls: list[tuple[int, str, str]] = []

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | SampleFailure]:
        self.calls.append((len(texts), source, target))
        self.took = [Spent(1, 10, 2)] * len(texts)
        return [self.say(text, source, target) for text in texts]


TEXTS = {
    "a": "A dog on the left of 2 cats.",
    "b": 'A shop called "Zara" at night.',
    "c": "A beach.",
    "d": "A red cube.",
}
ORIGINALS = [Original(name, text, "en") for name, text in TEXTS.items()]


def test_a_paraphrase_that_changes_a_fact_is_discarded_and_recorded() -> None:
    said: dict[str, str | SampleFailure] = {
        TEXTS["a"]: "On the right of 2 cats there is a dog.",
        TEXTS["b"]: 'At night, a shop named "Zara".',
        TEXTS["c"]: "a  BEACH.",
        TEXTS["d"]: SampleFailure("api", "rate: HTTP 429"),
    }
    made = list(paraphrased(ORIGINALS, Sayings(lambda text, source, target: said[text])))
    assert [one.origin for one in made] == list("abcd")
    assert [one.text for one in made] == [None, 'At night, a shop named "Zara".', None, None]
    assert made[0].discarded == "left and right (L) became R"
    assert made[2].discarded == "it is the same again"
    assert made[3].failure is not None and made[3].failure.failure_class == "api"
    assert {(one.method, one.maker) for one in made} == {("paraphrase", "sayings@1")}


def test_there_and_back_again_by_language_and_what_fails_on_the_way_is_not_sent_back() -> None:
    def there(text: str, source: str, target: str) -> str | SampleFailure:
        return SampleFailure("model", "cut") if "beach" in text else f"<{text}>"

    out, home = Sayings(there), Sayings(lambda text, source, target: f"Well: {text.strip('<>')}")
    made = list(back_translated([*ORIGINALS, Original("e", "Ein Hund.", "fr")], out, "de", home))
    assert out.calls == [(4, "en", "de"), (1, "fr", "de")]
    assert home.calls == [(3, "de", "en"), (1, "de", "fr")]
    assert made[0].text == f"Well: {TEXTS['a']}"
    assert made[2].failure is not None
    assert [one.origin for one in made] == list("abcde")
    assert made[0].maker == "sayings@1 > de > sayings@1"
    assert (made[0].spent, made[2].spent) == (Spent(2, 20, 4), Spent(1, 10, 2))  # there and back; there alone


def test_expanded_and_cut_captions_name_their_origin() -> None:
    bag = Original("1", "A red bag.", "en", {"material": "wool"})
    plain = Original("2", "A red bag.", "en")
    template = "{caption} It is made of {material}."
    good, bad = expanded([bag, plain], template)
    assert (good.text, good.method, good.maker) == ("A red bag. It is made of wool.", "expand", template)
    assert bad.discarded == "the template needs the field material"
    (same,) = expanded([plain], "{caption}[ It is made of {material}.]")
    assert same.discarded == "it is the same again"
    long = Original("3", "A dog runs over the sand. " * 12, "en")
    (cut,) = of_length([long])
    assert cut.text is not None
    assert len(words(cut.text)) == 48
    assert re.fullmatch(r"(A dog runs over the sand\. ?){8}", cut.text)
