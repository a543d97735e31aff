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

from sluice.corpus.calibration import Calibration, Pairs, calibrate, language_of
from sluice.corpus.drawing import draw_keys, level
from sluice.errors import RunError
from sluice.run.embedding import KEPT_COLUMNS, EncoderFacts, UnitVectors, kept_of
from sluice.run.quality_rows import numbered, text_language, unknown_to, without_left_out
from sluice.run.rules.rule import CompiledRule
from sluice.run.stage import decided_by
from sluice.table.commit import write_bytes
from sluice.table.ids import fingerprint
from sluice.table.layout import FILTERED, Layout
from sluice.table.read import UnitReader

if TYPE_CHECKING:
    from sluice.run.ledger import Run

MOST: Final = 20_000  # rows that are drawn
_NEEDED: Final = ("id", "ordinal", "image_item", "text_item", "images", "text", "declared_language", "language")
_CLIP: Final = ("vitb32", "vitl14", "clipvitbasepatch32", "clipvitlargepatch14")
_CLIPS: Final = re.compile(
    r"\balignment\s*(?:<=?|>=?)\s*(0?\.(?:28|20?)0*)(?![\d.])|(?<![\d.])(0?\.(?:28|20?)0*)\s*(?:<=?|>=?)\s*alignment\b",
    re.IGNORECASE,
)


def calibrate_run(layout: Layout, encoder: EncoderFacts, units: int, seed: int) -> Calibration:
    """Bring the run's calibration up to date: on captions of the source, whatever is generated later."""
    of = fingerprint("calibration/1", decided_by(layout, FILTERED), encoder.store, str(seed))
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
    raise RunError(f"{run.layout.root}: 03_quality_checked has not calibrated its encoder yet; `sluice run` does")


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
    keys: list[npt.NDArray[np.uint64]] = []
    spoken: list[str] = []
    for _, rows, languages in _entered(layout, encoder, units):
        keys.append(_keys(rows, seed))
        spoken += languages
    every = np.concatenate([np.zeros(0, np.uint64), *keys])
    told = np.array(spoken, dtype=object)
    by_language = {language: np.sort(every[told == language]) for language in sorted(set(spoken))}
    most = level([len(found) for found in by_language.values()], MOST) if by_language else 0
    last = {language: found[min(most, len(found)) - 1] for language, found in by_language.items() if most}
    images, texts, tables = [np.zeros((0, encoder.dim), np.float16)], [np.zeros((0, encoder.dim), np.float16)], []
    heard: list[str] = []
    for (unit, rows, languages), own in zip(_entered(layout, encoder, units), keys, strict=True):
        chosen = [row for row, language in enumerate(languages) if language in last and own[row] <= last[language]]
        if chosen:
            drawn = rows.take(pa.array(chosen))
            vectors = UnitVectors(layout, encoder.store, unit)
            images.append(vectors.of(drawn.column("id"), drawn.column("image_item"))[0])
            texts.append(vectors.of(drawn.column("id"), drawn.column("text_item"))[0])
            tables.append(drawn)
            heard += [languages[row] for row in chosen]
    columns = pa.concat_tables(tables).to_pydict() if tables else {name: [] for name in _NEEDED}
    places = list(zip(columns["image_item"], columns["text_item"], strict=True))
    return Pairs(np.concatenate(images), np.concatenate(texts), columns["id"], places, columns["text"], heard)


def _entered(layout: Layout, encoder: EncoderFacts, units: int) -> Iterator[tuple[int, pa.Table, list[str]]]:
    """By unit, the pairs of image and text that entered the stage, and the language of each."""
    stored = pq.read_schema(layout.rows).names
    with (
        UnitReader(layout.rows, [name for name in _NEEDED if name in stored]) as reader,
        UnitReader(layout.verdicts(FILTERED), KEPT_COLUMNS) as verdicts,
    ):
        for unit in range(units):
            kept = kept_of(verdicts, unit)
            rows = without_left_out(numbered(reader.read(unit), kept, 0), kept)
            left = np.ones(len(rows), np.bool_)
            for name in ("image_item", "text_item"):
                left &= rows.column(name).is_valid().to_numpy()
            if encoder.identity.languages is not None:
                left[[row for row, _ in unknown_to(rows, encoder.identity.languages)]] = False
            rows = rows.filter(pa.array(left))
            yield unit, rows, [language_of(language) for language in text_language(rows).to_pylist()]


def _keys(rows: pa.Table, seed: int) -> npt.NDArray[np.uint64]:
    ids, images, texts = (rows.column(name).to_pylist() for name in ("id", "image_item", "text_item"))
    return draw_keys("calibration", seed, ids, images, texts)
