"""`sluice train encoder`: train, write the model folder, score it on worlds it has not seen, write its card."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sluice.errors import MissingExtraError, RunError
from sluice.synth.generate import generate
from sluice.synth.plan import DEFECTS, SPOILED_SHARE
from sluice.table.commit import write_bytes, write_json

CALIBRATION, HELD_OUT = 1001, 1002  # seeds of the worlds on which thresholds are chosen, and scores are taken
EVIDENCE = "evidence"  # folder of what is not the model, and no part of its hash
_WORLD = 2000  # samples of each, as `sluice demo` draws


def train_encoder(
    folder: Path, recipe_name: str, minutes: float | None, seed: int, told: Callable[[str], None], world: int = _WORLD
) -> str:
    """Train into `folder` (weights, encoder.json, CARD.md, evidence/); says what was reached."""
    try:
        from sluice.train.encoder import Progress, recipe, train
        from sluice.train.export import export
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "onnx"):
            raise
        raise MissingExtraError("training an encoder", "train") from error
    if folder.exists() and any(folder.iterdir()) and not (folder / "encoder.json").exists():
        raise RunError(f"{folder} is not empty and holds no encoder: choose another folder")
    chosen = recipe(recipe_name, minutes)
    started = time.monotonic()

    def hear(progress: Progress) -> None:
        if progress.step % 50 == 0 or progress.step == progress.steps:
            spent = time.monotonic() - started
            parts = ", ".join(f"{name} {value:.3f}" for name, value in progress.parts.items())
            told(f"{spent:6.0f} s  step {progress.step:,} of {progress.steps:,}: {parts}")

    trained = train(chosen, seed, told=hear)
    spent = time.monotonic() - started
    revision = f"{recipe_name}-{seed}" if minutes is None else f"{recipe_name}-{seed}-{minutes:g}min"
    export(trained, folder, revision)
    (folder / EVIDENCE).mkdir(exist_ok=True)
    each = max(1, len(trained.losses) // 20)
    write_json(
        folder / EVIDENCE / "training.json",
        {
            "recipe": chosen.to_json(),
            "seed": seed,
            "seconds": round(spent),
            "sha256": {name: _sha256(folder / name) for name in ("encoder.json", "image.onnx", "text.onnx")},
            "losses": [round(loss, 4) for loss in trained.losses[::each]],
        },
    )
    return f"trained in {spent / 60:.1f} minutes\n" + score_encoder(folder, world)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def score_encoder(folder: Path, world: int = _WORLD) -> str:
    """Score the encoder in `folder` on unseen worlds of `world` samples; writes evidence/scores.json and CARD.md."""
    from sluice.train.card import card
    from sluice.train.score import Towers, choose, pairs_of, report

    towers = Towers(folder)
    planted = SPOILED_SHARE / len(DEFECTS)  # of a world: mismatched; as much again is swapped
    share = 2 * planted / (1 - SPOILED_SHARE + 2 * planted)  # wrong among good pairs and wrong ones
    with tempfile.TemporaryDirectory() as scratch:
        pairs = []
        for seed in (CALIBRATION, HELD_OUT):
            written = generate(Path(scratch) / str(seed), world, seed)
            pairs.append(pairs_of(written.folder, towers))
    calibration, held_out = pairs
    scores: dict[str, Any] = {
        "calibration_world": [world, CALIBRATION],
        "held_out_world": [world, HELD_OUT],
        **report(held_out, choose(calibration, share), choose(calibration, 0.5), share),
    }
    (folder / EVIDENCE).mkdir(exist_ok=True)
    write_json(folder / EVIDENCE / "scores.json", scores)
    text = card(json.loads((folder / "encoder.json").read_text("utf-8")), scores)
    write_bytes(folder / "CARD.md", text.encode())
    return text
