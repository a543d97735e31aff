"""What a cosine of an encoder means: how many pairs that do not belong together reach it, and how many that do.

A threshold belongs to an encoder and to a language. Mismatched pairs are made of the data itself: an image with texts
of other samples in the same language. The true pairs are the data as it is, so some of them are wrong, too: that is
what is sought. A language with few pairs has no calibration, and what is in it is not judged by another's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.corpus.drawing import draw_keys
from sluice.corpus.intervals import wilson
from sluice.table.arrays import codes, distinct_numbers
from sluice.table.vectors import cosines

Vectors = npt.NDArray[np.floating[Any]]
Cosines = npt.NDArray[np.float32]

UNDETERMINED: Final = "und"  # BCP 47: the language is not known
FEWEST: Final = 100  # true pairs of a language, and mismatched ones: with fewer a share of 1% cannot be told
_STRANGERS: Final = 10  # texts that an image meets at most
_MISMATCHED: Final = 20_000  # pairs of a language that are enough
_SHARES: Final = (0.1, 0.05, 0.01, 0.001)
_POINTS: Final = 9


@dataclass(frozen=True)
class Pairs:
    """Images and texts that belong together, a row each."""

    images: Vectors  # (rows, dim)
    texts: Vectors  # (rows, dim)
    ids: Sequence[str]  # of samples
    places: Sequence[object]  # of the row in its sample
    written: Sequence[str]  # the texts themselves
    languages: Sequence[str | None]


@dataclass(frozen=True)
class At:
    """What a threshold does: the pairs with at least this cosine."""

    threshold: float
    kept: float  # share of true pairs
    kept_interval: tuple[float, float]  # Wilson, 95%
    let_through: float  # share of mismatched pairs
    let_through_interval: tuple[float, float]


@dataclass(frozen=True)
class LanguageCalibration:
    """The cosines of a language, ascending."""

    true: Cosines
    mismatched: Cosines

    @property
    def enough(self) -> bool:
        """Whether there are pairs enough to judge by."""
        return min(len(self.true), len(self.mismatched)) >= FEWEST

    def at(self, threshold: float) -> At:
        """What `alignment < threshold` would do as a rule that rejects.

        An image meets several texts: for the interval, only as many mismatched pairs count as there are true ones.
        """
        kept = _at_least(self.true, threshold)
        let = _at_least(self.mismatched, threshold) / max(1, len(self.mismatched))
        trials = min(len(self.true), len(self.mismatched))
        share = kept / max(1, len(self.true))
        return At(threshold, share, wilson(kept, len(self.true)), let, wilson(round(let * trials), trials))


@dataclass(frozen=True)
class Calibration:
    """The calibration of an encoder on some data, by language.

    >>> import numpy as np
    >>> even = np.linspace(0, 0.99, 100).astype(np.float32)
    >>> found = Calibration("toy", 0, {"en": LanguageCalibration(even + 1, even)})
    >>> [round(float(share), 3) for share in found.false_accept(np.float32([2, 0.985, 0.5]), ["en", "en", "de"])]
    [0.01, 0.02, nan]
    >>> round(found.threshold_for(0.05, "en"), 3)
    0.95
    """

    encoder: str
    seed: int
    languages: Mapping[str, LanguageCalibration]

    def false_accept(self, cosines: npt.NDArray[Any], languages: Sequence[str | None] | pa.ChunkedArray) -> Cosines:
        """The share of mismatched pairs of its language that have at least each cosine; NaN where that is not known.

        It is (1 + count) / (pairs + 1), so never 0: a sample cannot show that something does not happen.
        """
        result = np.full(len(cosines), np.nan, np.float32)
        tags = languages if isinstance(languages, pa.ChunkedArray) else pa.chunked_array([languages], pa.string())
        spoken, names = languages_of(tags)
        for language, known in self.languages.items():
            if known.enough and language in names:
                rows = np.flatnonzero(spoken == names.index(language))
                pairs = len(known.mismatched)
                less = np.searchsorted(known.mismatched, cosines[rows].astype(np.float32), side="left")
                result[rows] = (1 + pairs - less) / (pairs + 1)
        result[np.isnan(cosines)] = np.nan
        return result

    def threshold_for(self, share: float, language: str | None) -> float | None:
        """The least cosine whose `false_accept` is at most `share`; None where there are too few pairs to tell."""
        known = self.languages.get(language_of(language))
        if known is None or not known.enough:
            return None
        pairs = len(known.mismatched)
        above = int(np.floor(share * (pairs + 1) * (1 + 1e-12))) - 1  # that may have at least this cosine
        if above < 0:
            return None
        if above >= pairs:
            return -1.0
        return float(np.nextafter(known.mismatched[pairs - above - 1], np.float32(np.inf)))

    @property
    def main(self) -> str | None:
        """The calibrated language with the most pairs."""
        usable = [language for language, known in self.languages.items() if known.enough]
        return max(usable, key=lambda language: (len(self.languages[language].true), language), default=None)

    def table(self, language: str) -> tuple[At, ...]:
        """What thresholds over the range of the cosines of `language` do."""
        known = self.languages[language]
        if not known.enough:
            return ()
        low, high = float(np.median(known.mismatched)), float(np.quantile(known.true, 0.9))
        points = np.linspace(low, max(low, high), _POINTS).round(3)
        return tuple(known.at(float(point)) for point in distinct_numbers(points))

    def to_json(self) -> dict[str, Any]:
        """The same for a program: the table of each language, and the threshold for a few shares."""
        return {
            "encoder": self.encoder,
            "seed": self.seed,
            "languages": {
                language: {
                    "pairs": len(known.true),
                    "mismatched": len(known.mismatched),
                    "calibrated": known.enough,
                    "thresholds": [vars(at) for at in self.table(language)],
                    "false_accept": {f"{share:g}": self.threshold_for(share, language) for share in _SHARES},
                }
                for language, known in self.languages.items()
            },
        }

    def dump(self) -> str:
        """The whole calibration as JSON; `load` gives it back bit by bit."""
        languages = {
            language: {"true": _listed(known.true), "mismatched": _listed(known.mismatched)}
            for language, known in self.languages.items()
        }
        return json.dumps({"encoder": self.encoder, "seed": self.seed, "languages": languages}, ensure_ascii=False)

    @staticmethod
    def load(text: str) -> Calibration:
        """What `dump` wrote; KeyError, TypeError or ValueError where it is damaged."""
        values = json.loads(text)
        languages = {
            str(language): LanguageCalibration(
                np.array(known["true"], np.float32), np.array(known["mismatched"], np.float32)
            )
            for language, known in values["languages"].items()
        }
        return Calibration(str(values["encoder"]), int(values["seed"]), languages)

    def __str__(self) -> str:
        return "\n".join(_text(self))


def calibrate(pairs: Pairs, encoder: str, seed: int = 0) -> Calibration:
    """Measure true pairs against mismatched ones, by language; the order of the rows says nothing."""
    spoken = np.array([language_of(language) for language in pairs.languages], dtype=object)
    keys = draw_keys("mismatched", seed, pairs.ids, pairs.places)
    samples, texts = _codes(pairs.ids), _codes(pairs.written)
    known = ~(np.isnan(pairs.images).any(axis=1) | np.isnan(pairs.texts).any(axis=1))
    found: dict[str, LanguageCalibration] = {}
    for language in sorted(set(spoken[known])):
        rows = np.flatnonzero(known & (spoken == language))
        rows = rows[np.argsort(keys[rows], kind="stable")]
        parts: list[Cosines] = []
        for shift in range(1, min(_strangers(len(rows)), len(rows) - 1) + 1):
            others = np.roll(rows, -shift)
            apart = (samples[rows] != samples[others]) & (texts[rows] != texts[others])
            parts.append(cosines(pairs.images, pairs.texts, rows[apart], others[apart]))
        mismatched = np.concatenate([np.zeros(0, np.float32), *parts])
        found[language] = LanguageCalibration(
            np.sort(cosines(pairs.images, pairs.texts, rows, rows)), np.sort(mismatched)
        )
    return Calibration(encoder, seed, found)


def language_of(tag: str | None) -> str:
    """The language of a BCP 47 tag, without region and script.

    >>> language_of("pt-BR"), language_of(None)
    ('pt', 'und')
    """
    return tag.partition("-")[0].lower() if tag else UNDETERMINED


def languages_of(tags: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Of many BCP 47 tags at once: for each the place of its language among those returned, sorted.

    >>> places, names = languages_of(pa.chunked_array([["pt-BR", None, "pt"]]))
    >>> places.tolist(), names
    ([0, 1, 0], ['pt', 'und'])
    """
    encoded = tags.dictionary_encode().unify_dictionaries()
    known: list[str] = encoded.chunk(0).dictionary.to_pylist() if encoded.num_chunks else []
    names = sorted({language_of(tag) for tag in (*known, None)})
    place = np.array([names.index(language_of(tag)) for tag in (*known, None)], np.int64)
    return place[codes(encoded)], names  # -1, where there is no tag, is the last


def _strangers(rows: int) -> int:
    return max(1, min(_STRANGERS, _MISMATCHED // max(1, rows)))


def _codes(values: Sequence[str]) -> npt.NDArray[np.int64]:
    seen: dict[str, int] = {}
    return np.array([seen.setdefault(value, len(seen)) for value in values], np.int64)


def _at_least(ascending: Cosines, threshold: float) -> int:
    return len(ascending) - int(np.searchsorted(ascending, np.float32(threshold), side="left"))


def _listed(cosines: Cosines) -> list[float]:
    return [float(f"{value:.9g}") for value in cosines.tolist()]  # nine digits tell all float32 apart


def _text(calibration: Calibration) -> list[str]:
    lines = [f"{calibration.encoder}: cosines of true pairs against mismatched ones of the same language"]
    for language, known in calibration.languages.items():
        name = "language not known" if language == UNDETERMINED else language
        lines += ["", f"{name}: {len(known.true):,} true pairs, {len(known.mismatched):,} mismatched"]
        if not known.enough:
            lines.append(f"  not calibrated: it takes {FEWEST}; `false_accept` is NULL, and its rules hold the samples")
            continue
        lines.append(f"{'alignment >=':>14}{'true pairs kept':>30}{'mismatched let through':>30}")
        for at in calibration.table(language):
            kept = f"{at.kept:.1%} ({_range(at.kept_interval)})"
            let = f"{at.let_through:.2%} ({_range(at.let_through_interval)})"
            lines.append(f"{at.threshold:>14.3f}{kept:>30}{let:>30}")
        for share in _SHARES:
            threshold = calibration.threshold_for(share, language)
            said = "too few pairs to tell"
            if threshold is not None:
                said = f"alignment >= {threshold:.4f} keeps {known.at(threshold).kept:.1%} of the true pairs"
            lines.append(f"  false_accept {f'{share:.1%}'.replace('.0%', '%'):>5}: {said}")
    if not calibration.languages:
        lines.append("no pair of image and text has vectors")
    return lines


def _range(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.1%} to {interval[1]:.1%}"
