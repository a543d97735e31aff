"""Augmentation in the loader: drawn by seed, epoch and sample alone, so it resumes exactly; off for evaluation."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pack.making import pair
from pack.packing import pack
from sluice.errors import RecipeError, RunError, SampleFailure
from sluice.load.augment import Augment, Example, Examples, Flip, PadOrResize, RandomResizedCrop, Said
from sluice.load.augment.declared import Augmented, Recorded
from sluice.load.augment.steps import DRAWS, Step
from sluice.load.augment.windows import draw_window
from sluice.load.decode import Pixels
from sluice.load.draws import draw_key
from sluice.load.loader import Loader, Share
from sluice.load.philox import uniform
from sluice.load.reading import Sample
from sluice.load.store import LocalStore
from sluice.pack.base import PackImage, PackText
from sluice.pack.manifest import AUGMENT_FILE, read_manifest
from sluice.run.shards import write_augment
from sluice.table.refs import Ref, RefReader

STEPS: list[Any] = [
    {"type": "random_resized_crop", "size": 32, "scale": [0.35, 1]},
    {"type": "flip", "share": 0.5},
    {"type": "colour_jitter"},
    {"type": "rand_augment", "n": 1},
]
BOX = [10, 6, 30, 24]


def pixels_of(seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    noise = np.random.default_rng(seed).integers(0, 90, (40, 50, 3), dtype=np.uint8)
    noise[BOX[1] : BOX[3], BOX[0] : BOX[2], 0] = 255
    return noise


@pytest.fixture(scope="module")
def boxed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of 20 images with one box each, packed as a measured value; every fifth is for `val`, two are repeated."""
    final, images = tmp_path_factory.mktemp("boxed"), tmp_path_factory.mktemp("images")
    made = []
    for seed in range(20):
        path = images / f"{seed}.png"
        Image.fromarray(pixels_of(seed)).save(path)
        data = path.read_bytes()
        ref = Ref("file", str(path), size=len(data))
        image = PackImage(0, ref, "png", 50, 40, hashlib.sha256(data).hexdigest())
        texts = (PackText(1, "caption", "ein Haus", "de"), PackText(2, "question", "How many houses are there?"))
        columns = {"boxes": json.dumps([{"bbox": BOX, "label": "house"}, {"bbox": [0, 0, 8, 8], "label": "sky"}])}
        split = "val" if seed % 5 == 4 else "train"
        more: dict[str, Any] = {"repeats": 3} if seed in (0, 7) else {}
        made.append(pair(images, seed, split, images=(image,), texts=texts, columns=columns, **more))
    with RefReader(max_bytes=2**27) as reader:
        pack(final, made, reader.read, formats=("webdataset",), max_samples=5)
    return final


def loader(source: Any, **more: Any) -> Loader:
    settings: dict[str, Any] = {"seed": 5, "window": 8, "augment": STEPS, **more}
    return Loader(source, 4, **settings)


def told(values: list[Any]) -> list[tuple[str, str, list[Any], tuple[Said, ...]]]:
    """All of some examples that can be compared."""
    return [(one.id, hashlib.sha256(one.pixels.tobytes()).hexdigest(), one.boxes.tolist(), one.texts) for one in values]


def epoch(source: Any, number: int = 0, **more: Any) -> list[Any]:
    return [told(batch.values) for batch in loader(source, **more).batches(number, 0, Share())]


@settings(max_examples=12)
@given(stop=st.integers(0, 4), world=st.integers(1, 3), workers=st.integers(1, 3), threads=st.integers(1, 3))
def test_stopped_anywhere_it_goes_on_with_the_same_pixels(
    boxed: Path, stop: int, world: int, workers: int, threads: int
) -> None:
    expected = epoch(boxed)
    one = loader(boxed)
    served = [told(batch.values) for _, batch in zip(range(stop), one, strict=False)]
    state = json.loads(json.dumps(one.state_dict()))
    parts: dict[int, list[Any]] = {}
    for rank in range(world):
        other = loader(boxed, rank=rank, world=world, threads=threads)
        other.load_state_dict(state)
        for worker in range(workers):
            for batch in other.batches(*other.position, Share(rank, world, worker, workers)):
                parts.setdefault(batch.step, []).append(told(batch.values))
    for step in sorted(parts):
        served.append([one for part in parts[step] for one in part])
    assert served == expected


def test_another_epoch_seed_turn_or_repeat_draws_anew(boxed: Path) -> None:
    def by_id(batches: list[Any]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for id, digest, *_ in [one for batch in batches for one in batch]:
            found.setdefault(id, []).append(digest)
        return found

    first = by_id(epoch(boxed))
    assert sorted(map(len, first.values()))[-3:] == [1, 3, 3]
    assert all(len(set(digests)) == len(digests) for digests in first.values())
    for other in (by_id(epoch(boxed, 1)), by_id(epoch(boxed, seed=6))):
        assert other.keys() == first.keys()
        assert sum(other[id][0] in first[id] for id in first) == 0
    twice = by_id(epoch(boxed, samples=40))  # the source begins again within the epoch
    assert any(len(digests) == 2 for digests in twice.values())
    assert all(len(set(digests)) == len(digests) for digests in twice.values())


@given(st.integers(0, 2**63), st.integers(0, 2**63))
def test_a_key_draws_the_same_bytes_and_another_key_others(one: int, other: int) -> None:
    scene = Example("a", pixels_of(3), boxes=np.array([BOX], np.float64))
    augment = Augment.of(STEPS)
    assert told([augment(scene, one)]) == told([augment(scene, one)])
    if one != other:
        assert told([augment(scene, one)]) != told([augment(scene, other)])


def test_each_step_has_numbers_of_its_own_whatever_comes_after_it() -> None:
    scene = Example("a", pixels_of(3))
    crop, flip = RandomResizedCrop(size=32), Flip(share=1)
    alone, followed = Augment(steps=(crop,)), Augment(steps=(crop, flip))
    for key in range(5):
        assert (followed(scene, key).pixels == alone(scene, key).pixels[:, ::-1]).all()


def test_evaluation_is_not_augmented_unless_its_split_is_named(boxed: Path) -> None:
    steps = [{"type": "pad_or_resize", "size": 50}, *STEPS]
    plain = [one for batch in loader(boxed, split="val", augment=steps) for one in batch.values]
    assert len(plain) == 4
    for one in plain:
        assert (one.pixels[5:45] == pixels_of(int(key_of(one.id, boxed)))).all()
        assert one.boxes[0].tolist() == [10, 11, 30, 29]
    named = Augment.of(steps).on("val")
    drawn = [one for batch in loader(boxed, split="val", augment=named) for one in batch.values]
    assert all(one.pixels.shape == (32, 32, 3) for one in drawn)
    first, second = (sorted(chain.from_iterable(epoch(boxed, number, split="val"))) for number in (0, 1))
    assert [one[:3] for one in first] == [one[:3] for one in second]


def key_of(id: str, folder: Path) -> str:
    return next(row["key"] for row in read_manifest(folder).to_pylist() if row["id"] == id)


def test_an_example_has_the_texts_the_boxes_and_what_is_asked_about(boxed: Path) -> None:
    (example, *_) = next(iter(Loader(boxed, 4, decode=Examples()))).values
    assert example.texts == (
        Said("ein Haus", "caption", "de"),
        Said("How many houses are there?", "question", "de"),  # nobody states another
    )
    assert example.labels == ("house", "sky")
    assert example.relevant.tolist() == [True, False]
    for batch in loader(boxed):
        for one in batch.values:
            assert "house" in one.labels and one.seen[0] == pytest.approx(1)


def sample(value: Any, **document: Any) -> Sample:
    sink = io.BytesIO()
    Image.fromarray(pixels_of(1)).save(sink, "PNG")
    return Sample("a", (sink.getvalue(),), None, {"json": json.dumps({"boxes": value, **document}).encode()})


def test_boxes_are_read_in_each_form_and_bad_ones_fail_their_sample() -> None:
    assert Examples(form="xywh")(sample([[10, 6, 20, 18]])).boxes.tolist() == [BOX]
    assert Examples(share=True)(sample([[0.2, 0.15, 0.6, 0.6], None])).boxes.tolist() == [BOX]
    flagged = Examples()(sample([{"bbox": BOX, "relevant": True}, {"bbox": [-5, 0, 9, 9], "category": "cat"}]))
    assert flagged.relevant.tolist() == [True, False] and flagged.labels == ("", "cat")
    assert flagged.boxes[1].tolist() == [0, 0, 9, 9] and flagged.seen.tolist() == [1, 1]
    assert Examples()(sample(None, has_text=True)).has_text
    asked = Examples()(sample([BOX], texts=[{"role": "question", "text": "What is it?"}]))
    assert asked.relevant.tolist() == [True]  # it names none: all might be meant
    for bad in ("no list", [[1, 2, 3]], [{"label": "x"}], [[9, 9, 1, 1]], 7):
        with pytest.raises(SampleFailure, match=r"is no list of boxes|a box is left"):
            Examples()(sample(bad))
    assert Examples(relevant=first)(sample([BOX, BOX])).relevant.tolist() == [True, False]
    with pytest.raises(SampleFailure, match="1 flags of relevance"):
        Examples(relevant=one_flag)(sample([BOX, BOX]))


def first(example: Example) -> Any:
    return np.arange(len(example.labels)) == 0


def one_flag(example: Example) -> Any:
    return np.ones(1, np.bool_)


def test_a_smaller_scale_of_a_jpeg_moves_the_boxes_along() -> None:
    sink = io.BytesIO()
    Image.fromarray(pixels_of(1)).resize((500, 400)).save(sink, "JPEG")
    large = Sample("a", (sink.getvalue(),), None, {"json": json.dumps({"boxes": [[100, 60, 300, 240]]}).encode()})
    small = Examples(side=60)(large)
    assert 60 <= small.width < 200
    scale = np.array([small.width / 500, small.height / 400] * 2)
    assert small.boxes[0].tolist() == pytest.approx((np.array([100, 60, 300, 240]) * scale).tolist())
    left, top, right, bottom = small.boxes[0].round().astype(int).tolist()
    assert small.pixels[top + 1 : bottom - 1, left + 1 : right - 1, 0].min() > 200


def test_a_bad_box_costs_its_sample_alone(boxed: Path) -> None:
    one = loader(boxed, decode=Examples(form="xywh", boxes="id"))
    assert [batch.ids for batch in one] and {bad.failure_class for bad in one.quarantine} == {"decode"}


def test_declared_in_a_file_a_recipe_or_a_pack_it_is_the_same(boxed: Path, tmp_path: Path) -> None:
    (tmp_path / "steps.json").write_text(json.dumps(STEPS))
    (tmp_path / "recipe.yaml").write_text("name: x\naugment:\n" + "".join(f"  - {json.dumps(one)}\n" for one in STEPS))
    augment = Augment.of(STEPS)
    assert Augment.load(tmp_path / "steps.json") == Augment.load(tmp_path / "recipe.yaml") == augment
    assert Augment.of(list(augment.steps)) == augment == pickle.loads(pickle.dumps(augment))
    decoder = Augmented(Examples(relevant=first), augment)
    assert pickle.loads(pickle.dumps(decoder)) == decoder
    (tmp_path / AUGMENT_FILE).write_bytes(Recorded(augment.steps).to_json())
    assert Recorded.in_pack(LocalStore(tmp_path)) == augment
    assert epoch(boxed, augment=tmp_path / "steps.json") == epoch(boxed)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([{"type": "flip", "shares": 1}], r"steps.yaml: step 0.shares: there is no such field"),
        ([{"type": "flip"}, {"type": "flop"}], r"steps.yaml: step 1: .*'flop'.*'random_resized_crop'"),
        ([{"type": "random_resized_crop"}], r"step 0.size: this field is missing"),
        ([{"type": "random_resized_crop", "size": 9, "scale": [0.5, 0.2]}], r"step 0.scale: .*the lesser first"),
        ([{"type": "random_resized_crop", "size": 9, "scale": [0.5, 2]}], r"step 0.scale: .*at most the whole area"),
        ([{"type": "rand_augment", "m": 31}], r"step 0.m: .*less than or equal to 30"),
        (["flip"], r"step 0: "),
        ({"steps": []}, r"wants a list of steps"),
    ],
)
def test_what_is_declared_wrongly_is_said_with_its_place(tmp_path: Path, steps: Any, words: str) -> None:
    (tmp_path / "steps.yaml").write_text(json.dumps(steps))
    with pytest.raises(RecipeError, match=words):
        Augment.load(tmp_path / "steps.yaml")


def test_what_cannot_be_augmented_is_said(boxed: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="give the loader decode=Examples"):
        next(iter(loader(boxed, decode=Pixels(16))))
    with pytest.raises(RunError, match=r"has no augment.json, for its recipe declares no `augment`"):
        loader(boxed, augment="recipe")
    with pytest.raises(RecipeError, match=r"nowhere.yaml: cannot be read"):
        loader(boxed, augment=tmp_path / "nowhere.yaml")


def test_the_steps_of_packs_must_be_alike(packs: tuple[Path, Path], tmp_path: Path) -> None:
    import shutil

    copies = [shutil.copytree(one, tmp_path / str(at)) for at, one in enumerate(packs)]
    state = loader(copies, augment=None).state_dict()
    steps: tuple[Step, ...] = (Flip(share=1),)
    for copy in copies:
        write_augment(copy, steps)
    assert all((one.pixels.ndim == 3) for batch in loader(copies, augment="recipe") for one in batch.values)
    loader(copies, augment="recipe").load_state_dict(state)  # it is no part of the order
    write_augment(copies[1], (PadOrResize(size=3),))
    with pytest.raises(RunError, match="declare different steps"):
        loader(copies, augment="recipe")
    assert write_augment(copies[1], ()) == {} and not (copies[1] / AUGMENT_FILE).exists()


GOLDEN_KEYS = [
    13506916110218675905,
    7419910237772916021,
    15297024807151043080,
    12278858210570625617,
    6291605819404582694,
    17722095626291240834,
]
GOLDEN_WINDOWS = [
    (7, 11, 231, 290),
    (71, 29, 367, 365),
    (42, 57, 331, 308),
    (90, 40, 384, 298),
    (96, 88, 344, 279),
    (70, 79, 344, 349),
]


def test_the_draws_are_written_in_stone() -> None:
    """Keys, windows and integer steps are the same on every platform and version; a change of any is seen here."""
    keys = [draw_key(1, 2, 0, 0, f"photo-{number}") for number in range(6)]
    assert keys == GOLDEN_KEYS
    crop = RandomResizedCrop(size=32)
    windows = [
        draw_window((500, 400), crop.scale, crop.ratio, (100.0, 90.0, 180.0, 150.0), numbers(key)) for key in keys
    ]
    assert windows == GOLDEN_WINDOWS
    steps = Augment(steps=(Flip(), PadOrResize(size=60, enlarge=False)))
    scene = Example("photo", (np.arange(40 * 50 * 3) % 251).astype(np.uint8).reshape(40, 50, 3))
    digest = hashlib.sha256(b"".join(steps(scene, key).pixels.tobytes() for key in keys))
    assert digest.hexdigest()[:16] == "6a924563cbcbe582"


def numbers(key: int) -> Any:
    return uniform(key, DRAWS)
