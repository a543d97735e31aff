"""The calibration of a run's encoder: measured on a seeded sample of what 01_filtered kept, before any rule judges."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.caption.in_order import in_order
from sluice.corpus.calibration import Calibration, Pairs, calibrate, language_of, languages_of
from sluice.corpus.drawing import draw_rows, level
from sluice.errors import RunError
from sluice.run.embedding import KEPT_COLUMNS, EncoderFacts, UnitVectors, kept_of
from sluice.run.quality_rows import numbered, text_language, unknown_to, without_left_out
from sluice.run.rules.rule import CompiledRule
from sluice.run.stage import decided_by
from sluice.table.arrays import numbers, valid
from sluice.table.commit import write_bytes
from sluice.table.ids import fingerprint
from sluice.table.layout import FILTERED, Layout
from sluice.table.read import UnitReader

if TYPE_CHECKING:
    from sluice.run.ledger import Run

MOST: Final = 20_000  # rows that are drawn
_DRAWN_BY: Final = ("id", "ordinal", "image_item", "text_item", "images", "declared_language", "language")
_NEEDED: Final = (*_DRAWN_BY, "text")
_READING: Final = 2  # threads
_CLIP: Final = ("vitb32", "vitl14", "clipvitbasepatch32", "clipvitlargepatch14")
_CLIPS: Final = re.compile(
    r"\balignment\s*(?:<=?|>=?)\s*(0?\.(?:28|20?)0*)(?![\d.])|(?<![\d.])(0?\.(?:28|20?)0*)\s*(?:<=?|>=?)\s*alignment\b",
    re.IGNORECASE,
)


def calibrate_run(layout: Layout, encoder: EncoderFacts, units: int, seed: int) -> Calibration:
    """Bring the run's calibration up to date: on captions of the source, whatever is generated later."""
    of = fingerprint("calibration/2", decided_by(layout, FILTERED), encoder.store, str(seed))
    known = _stored(layout)
    if known is not None and known["of"] == of:
        return Calibration.load(json.dumps(known))
    pairs = _drawn(layout, encoder, units, seed)
    calibration = calibrate(pairs, f"{encoder.identity.name} {encoder.identity.revision}".strip(), seed)
    write_bytes(layout.calibration, (json.dumps({"of": of, **json.loads(calibration.dump())}) + "\n").encode())
    return calibration


def stored_calibration(run: Run) -> Calibration:
    """What the run measured."""
    known = _stored(run.layout)
    if known is not None:
        return Calibration.load(json.dumps(known))
    recipe = run.layout.recipe_lock
    if run.quality is None:
        raise RunError(
            f"{recipe}: the recipe has no `quality`, so no encoder looked at the pairs; add\n"
            "  quality:\n    encoder: {type: ...}\n"
            "to it and run it again: what is measured already stays"
        )
    raise RunError(f"{run.layout.named}: 03_quality_checked has not calibrated its encoder yet; `sluice run` does")


def threshold_warnings(rules: Sequence[CompiledRule], calibration: Calibration) -> Iterator[dict[str, Any]]:
    """What to say of rules that take CLIP's published thresholds (0.28, 0.2) for another encoder."""
    if is_clip(calibration.encoder):
        return
    for rule in rules:
        for found in _CLIPS.finditer(rule.rule.when):
            yield _warning(rule.rule.name, float(found[1] or found[2]), calibration)


def is_clip(name: str) -> bool:
    """Whether an encoder is one of those that 0.28 and 0.2 were published for.

    >>> is_clip("ViT-B-32 datacomp_xl"), is_clip("clip-vit-large-patch14"), is_clip("ViT-B-32-SigLIP2-256")
    (True, True, False)
    """
    plain = re.sub("[^a-z0-9]", "", name.lower())
    return any(clip in plain for clip in _CLIP) and "siglip" not in plain


def _warning(rule: str, threshold: float, calibration: Calibration) -> dict[str, Any]:
    said = f"{rule}: {threshold:g} is a threshold of CLIP ViT-B/32 and L/14, and {calibration.encoder} is neither"
    language = calibration.main
    if language is None:
        return {"rule": rule, "threshold": threshold, "text": f"{said}; there are too few pairs to say what it means"}
    at = calibration.languages[language].at(threshold)
    equal = calibration.threshold_for(0.01, language)
    where = "" if language == "und" else f" in {language!r}"
    said += (
        f": here it lets {at.let_through:.1%} of the mismatched pairs{where} through and keeps {at.kept:.1%} of the "
        f"true ones"
    )
    if equal is not None:
        said += f"; 1% is let through at {equal:.3f}, or write `{rule}: {{false_accept: 1%}}`"
    return {"rule": rule, "threshold": threshold, "calibrated": equal, "text": said}


def _stored(layout: Layout) -> dict[str, Any] | None:
    """The file; None where there is none, or not a whole one."""
    try:
        known = json.loads(layout.calibration.read_text())
        Calibration.load(json.dumps(known))
        return {"of": "", **known}
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return None  # it is made again


def _drawn(layout: Layout, encoder: EncoderFacts, units: int, seed: int) -> Pairs:
    """The pairs to calibrate on: of each language those with the least keys, small languages whole."""
    names: list[str] = []
    found: list[tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]] = []  # by unit: keys, places in `names`
    for rows in _entered(layout, encoder, units, _DRAWN_BY):
        spoken, here = languages_of(text_language(rows))
        names += [name for name in here if name not in names]
        found.append((_keys(rows, seed), np.array([names.index(name) for name in here])[spoken]))
    last = _last_keys(found, len(names))
    images, texts, tables = [np.zeros((0, encoder.dim), np.float16)], [np.zeros((0, encoder.dim), np.float16)], []

    def vectors_of(drawn: tuple[int, pa.Table]) -> tuple[pa.Table, Any, Any]:
        unit, rows = drawn
        known, ids = UnitVectors(layout, encoder.store, unit), rows.column("id")
        return rows, known.of(ids, rows.column("image_item")), known.of(ids, rows.column("text_item"))

    def drawn() -> Iterator[tuple[int, pa.Table]]:
        for unit, rows in enumerate(_entered(layout, encoder, units, _NEEDED)):
            keys, spoken = found[unit]
            chosen = np.flatnonzero(keys <= last[spoken]) if len(keys) else np.zeros(0, np.int64)
            if len(chosen):
                yield unit, rows.take(pa.array(chosen))

    for rows, of_images, of_texts in in_order(drawn(), vectors_of, _READING):
        tables.append(rows)
        images.append(of_images)
        texts.append(of_texts)
    together = pa.concat_tables(tables) if tables else None
    columns = together.to_pydict() if together else {name: [] for name in _NEEDED}
    heard = [language_of(language) for language in text_language(together).to_pylist()] if together else []
    places = list(zip(columns["image_item"], columns["text_item"], strict=True))
    return Pairs(np.concatenate(images), np.concatenate(texts), columns["id"], places, columns["text"], heard)


def _last_keys(
    found: Sequence[tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]], languages: int
) -> npt.NDArray[np.uint64]:
    """The greatest key that is drawn, by language."""
    keys = np.concatenate([np.zeros(0, np.uint64), *(of_rows for of_rows, _ in found)])
    spoken = np.concatenate([np.zeros(0, np.int64), *(of_rows for _, of_rows in found)])
    counts = np.bincount(spoken, minlength=languages)
    most = max(1, level(counts[counts > 0].tolist(), MOST)) if len(keys) else 1
    last = np.zeros(languages, np.uint64)
    for language in np.flatnonzero(counts):
        own = keys[spoken == language]
        place = min(most, len(own)) - 1
        last[language] = np.partition(own, place)[place]
    return last


def _entered(layout: Layout, encoder: EncoderFacts, units: int, columns: Sequence[str]) -> Iterator[pa.Table]:
    """By unit, the pairs of image and text that entered the stage."""
    stored = pq.read_schema(layout.rows).names
    with (
        UnitReader(layout.rows, [name for name in columns if name in stored]) as reader,
        UnitReader(layout.verdicts(FILTERED), KEPT_COLUMNS) as verdicts,
    ):
        for unit in range(units):
            kept = kept_of(verdicts, unit)
            rows = without_left_out(numbered(reader.read(unit), kept, 0), kept)
            left = valid(rows.column("image_item")) & valid(rows.column("text_item"))
            if encoder.identity.languages is not None:
                left[[row for row, _ in unknown_to(rows, encoder.identity.languages)]] = False
            yield rows if left.all() else rows.filter(pa.array(left))


def _keys(rows: pa.Table, seed: int) -> npt.NDArray[np.uint64]:
    image, text = (numbers(rows.column(name)).astype(np.int64) for name in ("image_item", "text_item"))
    return draw_rows("calibration", seed, rows.column("id"), image, text)
