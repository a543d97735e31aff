"""How good an encoder is, on a world that it has not seen: retrieval, mismatched captions, swapped attributes.

    held_out = pairs_of(folder_of_a_world, towers)
    threshold = choose(pairs_of(another_world, towers))
    report(held_out, threshold)

Needs onnxruntime only. All cosines are raw; a threshold is chosen on another world than the one it is reported on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from sluice.errors import MissingExtraError, RunError
from sluice.media.decode import decode
from sluice.media.header import read_header
from sluice.media.limits import Limits
from sluice.models.hashed_words import HashedWords, tokens
from sluice.synth.grammar import captions, swapped
from sluice.synth.scene import LANGUAGES, Scene
from sluice.table.read import read_table
from sluice.train.batches import normalised
from sluice.train.drawn import fitted

Vectors: TypeAlias = npt.NDArray[np.float32]  # (n, dim), of length 1

PRECISION: Final = 0.95
_SWAPS: Final = "attribute_swapped_caption"
_MISMATCHES: Final = "mismatched_caption"
_READ: Final = 256  # px of the longer side, as a run decodes for its measures
_BATCH: Final = 64


class Towers:
    """A model folder as `export` writes it, run by onnxruntime on one thread."""

    def __init__(self, folder: Path) -> None:
        try:
            import onnxruntime  # pyright: ignore[reportMissingImports] - an extra
        except ImportError as error:
            raise MissingExtraError("scoring an encoder", "train") from error
        self.said: dict[str, Any] = json.loads((folder / "encoder.json").read_text("utf-8"))
        settings = dict(self.said["tokenizer"])
        del settings["type"]
        settings |= {name: tuple(settings[name]) for name in ("characters", "ngrams")}
        self._words = HashedWords(**settings)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._sessions = {
            kind: onnxruntime.InferenceSession(str(folder / self.said[kind]["file"]), options)
            for kind in ("image", "text")
        }

    def images(self, images: Sequence[npt.NDArray[np.uint8]]) -> Vectors:
        """The vectors of RGB pictures (h, w, 3) of any size."""
        side = int(self.said["preprocess"]["width"])
        parts = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
        squares = (np.stack([fitted(Image.fromarray(one), side) for one in part]) for part in parts)
        return np.concatenate([self._run("image", normalised(square)) for square in squares])

    def texts(self, texts: Sequence[str]) -> Vectors:
        """The vectors of texts."""
        parts = (texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH))
        return np.concatenate([self._run("text", tokens(part, self._words)) for part in parts])

    def _run(self, kind: str, given: npt.NDArray[Any]) -> Vectors:
        session, said = self._sessions[kind], self.said[kind]
        vectors: Vectors = np.asarray(session.run([said["output"]], {said["input"]: given})[0], dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@dataclass(frozen=True)
class Planted:
    """The mean cosine of each sample's captions, by what was done to it."""

    good: npt.NDArray[np.float32]
    mismatched: npt.NDArray[np.float32]
    swapped: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Cosines:
    """Of one language: a caption each for the same pictures, true; of another picture; with colours exchanged."""

    true: npt.NDArray[np.float32]
    mismatched: npt.NDArray[np.float32]
    swapped: npt.NDArray[np.float32]  # of the pictures with two groups, as planted ones are
    ranks_of_text: npt.NDArray[np.int64]  # for each picture: how many captions of the others come before its own
    ranks_of_image: npt.NDArray[np.int64]

    def recall_at(self, k: int) -> tuple[float, float]:
        """R@k, image to text and text to image."""
        return float((self.ranks_of_text < k).mean()), float((self.ranks_of_image < k).mean())


@dataclass(frozen=True)
class Pairs:
    """All that is measured on one world."""

    planted: Planted
    languages: Mapping[str, Cosines]

    @property
    def all(self) -> Planted:
        """The made pairs of all languages together."""
        each = self.languages.values()
        return Planted(
            np.concatenate([one.true for one in each]),
            np.concatenate([one.mismatched for one in each]),
            np.concatenate([one.swapped for one in each]),
        )


def pairs_of(world: Path, towers: Towers, count: int = 1000, seed: int = 0) -> Pairs:
    """Measure a world that `generate` wrote: its own captions, and up to `count` good pictures in each language."""
    truth = read_table(world / "truth.parquet").select(["key", "defect", "scene"]).to_pylist()
    lines = (world / "captions.jsonl").read_text("utf-8").split("\n")[:-1]
    said: dict[str, list[str]] = {row["path"]: row["captions"] for row in map(json.loads, lines)}
    wanted = [one for one in truth if one["defect"] in (None, _SWAPS, _MISMATCHES)]
    if not wanted:
        raise RunError(f"{world} holds no sample that is good or has a wrong caption")
    vectors = towers.images([_read(world / one["key"]) for one in wanted])
    texts = [text for one in wanted for text in said[one["key"]]]
    owners = np.repeat(np.arange(len(wanted)), [len(said[one["key"]]) for one in wanted])
    cosines = (towers.texts(texts) * vectors[owners]).sum(axis=1)
    means = (np.bincount(owners, cosines) / np.bincount(owners)).astype(np.float32)
    defects = np.array([one["defect"] or "" for one in wanted])
    planted = Planted(means[defects == ""], means[defects == _MISMATCHES], means[defects == _SWAPS])
    good = np.flatnonzero(defects == "")[:count]
    scenes = [Scene.from_json(wanted[index]["scene"]) for index in good]
    languages = {code: _cosines(code, scenes, vectors[good], towers, seed) for code in LANGUAGES}
    return Pairs(planted, languages)


def _cosines(code: str, scenes: list[Scene], seen: Vectors, towers: Towers, seed: int) -> Cosines:
    rng = np.random.default_rng((seed, LANGUAGES.index(code)))
    true = towers.texts([captions(scene, code, rng, count=1)[0] for scene in scenes])
    paired = [number for number, scene in enumerate(scenes) if len(scene.groups) == 2 and scene.sign is None]
    false = towers.texts([captions(swapped(scenes[number], rng), code, rng, count=1)[0] for number in paired])
    similar = seen @ true.T
    own = similar.diagonal()
    other = np.roll(np.arange(len(scenes)), 1)
    return Cosines(
        true=own.copy(),
        mismatched=similar[np.arange(len(scenes)), other],
        swapped=(seen[paired] * false).sum(axis=1),
        ranks_of_text=(similar > own[:, None]).sum(axis=1),
        ranks_of_image=(similar > own[None, :]).sum(axis=0),
    )


def _read(path: Path) -> npt.NDArray[np.uint8]:
    data, limits = path.read_bytes(), Limits()
    return decode(data, read_header(data, limits), _READ, "rgb", limits)


@dataclass(frozen=True)
class Told:
    """What a threshold tells apart; a pair whose cosine is below it is called wrong."""

    threshold: float
    false_alarms: float  # share of true pairs called wrong
    mismatched: float  # recall
    swapped: float

    def precision(self, share: float) -> float:
        """Of what is called wrong, the share that is, where `share` of the pairs are wrong, half of them swapped."""
        right = share * (self.mismatched + self.swapped) / 2
        return right / (right + (1 - share) * self.false_alarms) if right else 1.0


def told_apart(cosines: Planted, threshold: float) -> Told:
    """What `threshold` does to these pairs."""
    return Told(
        threshold,
        *(
            float((one < threshold).mean()) if len(one) else 0.0
            for one in (cosines.good, cosines.mismatched, cosines.swapped)
        ),
    )


def choose(pairs: Pairs, share: float, precision: float = PRECISION) -> float:
    """The highest threshold at which the precision holds, where `share` of the pairs are wrong."""
    cosines = pairs.all
    steps = np.quantile(cosines.good, np.linspace(0, 0.2, 401))
    fit = [float(step) for step in steps if told_apart(cosines, float(step)).precision(share) >= precision]
    return max(fit, default=float(cosines.good.min()))


def report(pairs: Pairs, natural: float, balanced: float, share: float) -> dict[str, Any]:
    """Everything that is said of an encoder on one world, as plain JSON values; two thresholds from another world."""
    shares = {"demo": (natural, share), "balanced": (balanced, 0.5)}
    return {
        "recall_at": {
            code: {f"R@{k}": [round(one, 4) for one in cosines.recall_at(k)] for k in (1, 5, 10)}
            for code, cosines in pairs.languages.items()
        },
        "told_apart": {
            name: {"share_wrong": part, "all": _row(pairs.all, threshold, part)}
            | {
                code: _row(Planted(one.true, one.mismatched, one.swapped), threshold, part)
                for code, one in pairs.languages.items()
            }
            for name, (threshold, part) in shares.items()
        },
        "planted": {
            "threshold": round(natural, 4),
            "good_lost": [int((pairs.planted.good < natural).sum()), len(pairs.planted.good)],
            "mismatched_caught": [int((pairs.planted.mismatched < natural).sum()), len(pairs.planted.mismatched)],
            "swapped_caught": [int((pairs.planted.swapped < natural).sum()), len(pairs.planted.swapped)],
        },
    }


def _row(cosines: Planted, threshold: float, share: float) -> dict[str, float]:
    told = told_apart(cosines, threshold)
    return {
        "threshold": round(threshold, 4),
        "precision": round(told.precision(share), 4),
        "false_alarms": round(told.false_alarms, 5),
        "mismatched": round(told.mismatched, 4),
        "swapped": round(told.swapped, 4),
    }
