"""What moves with the pixels: a rectangle is painted, steps are done, and the box is where the paint is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.errors import SampleFailure
from sluice.load.augment import (
    Augment,
    CenterCrop,
    ColourJitter,
    Example,
    Flip,
    MultiResolution,
    PadOrResize,
    RandAugment,
    RandomResizedCrop,
    Resize,
    Said,
)
from sluice.load.augment.moving import GRAY, mirrored, transformed
from sluice.load.augment.rand import MOVING, OPERATIONS, strength, varied

BACK, PAINT = (GRAY, 40, 200), (255, 30, 20)  # in red, what lies beside an image is as its background


def painted(width: int, height: int, box: tuple[int, int, int, int], **more: Any) -> Example:
    """A blue image with a red rectangle in `box`, which is its only box and its only mask."""
    pixels = np.full((height, width, 3), BACK, np.uint8)
    masks = np.zeros((1, height, width), np.uint8)
    left, top, right, bottom = box
    pixels[top:bottom, left:right] = PAINT
    masks[0, top:bottom, left:right] = 1
    return Example("a", pixels, boxes=np.array([box], np.float64), labels=("red",), masks=masks, **more)


def edges(found: npt.NDArray[np.bool_]) -> list[int] | None:
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] if len(rows) else None


def paint(example: Example) -> list[int] | None:
    """Where at least half of a px is red."""
    return edges(example.pixels[:, :, 0] > (BACK[0] + PAINT[0]) / 2)


@st.composite
def scenes(draw: Any, least: int = 6, **more: Any) -> Example:
    width, height = draw(st.integers(24, 90)), draw(st.integers(24, 90))
    left, top = draw(st.integers(0, width - least)), draw(st.integers(0, height - least))
    right, bottom = draw(st.integers(left + least, width)), draw(st.integers(top + least, height))
    return painted(width, height, (left, top, right, bottom), **more)


KEYS = st.integers(0, 2**64 - 1)
CROPS = st.builds(
    RandomResizedCrop,
    size=st.integers(16, 80),
    scale=st.sampled_from([(0.08, 1.0), (0.3, 0.5), (0.9, 1.0)]),
)
STRAIGHT = (
    CROPS
    | st.builds(Flip)
    | st.builds(MultiResolution, sides=st.just((32, 48, 64)))
    | st.builds(PadOrResize, size=st.integers(16, 80), enlarge=st.booleans())
    | st.builds(CenterCrop, size=st.integers(16, 80))
    | st.builds(Resize, side=st.integers(16, 80), of=st.sampled_from(["shorter", "longer"]))
)


def near(found: list[int] | None, box: Any, by: float) -> bool:
    return found is not None and bool(np.abs(np.array(found) - box).max() <= by)


def whole_area(example: Example) -> float:
    """What the first box would have, were none of it cut away."""
    return float(np.prod(example.boxes[0, 2:] - example.boxes[0, :2]) / example.seen[0])


@settings(max_examples=200)
@given(scenes(), st.lists(STRAIGHT, max_size=4), KEYS)
def test_after_any_straight_chain_the_box_is_where_the_paint_is(scene: Example, steps: list[Any], key: int) -> None:
    off = 0.0  # px that the paint may be off: a step rounds by a px at most, and scales what was off before it
    for count in range(1, len(steps) + 1):  # the steps before are drawn alike
        before = Augment(steps=tuple(steps[: count - 1]))(scene, key)
        moved = Augment(steps=tuple(steps[:count]))(scene, key)
        assert (moved.boxes[:, :2] >= 0).all() and (moved.boxes[:, 2:] <= (moved.width, moved.height)).all()
        assert len(moved.boxes) == len(moved.labels) == len(moved.relevant) == len(moved.seen)
        assert moved.masks is not None and moved.masks.shape[1:] == moved.pixels.shape[:2]
        if not len(moved.boxes):
            return
        off = off * 1.2 * (whole_area(moved) / whole_area(before)) ** 0.5 + 1
        width, height = moved.boxes[0, 2:] - moved.boxes[0, :2]
        if min(width, height) < 4:
            return  # so narrow paint is smeared away by scaling down
        assert near(paint(moved), moved.boxes[0], off + 0.5), (paint(moved), moved.boxes, off)
        assert near(edges(moved.masks[0] > 0), moved.boxes[0], off), (edges(moved.masks[0] > 0), moved.boxes, off)


@settings(max_examples=100)
@given(scenes(12), st.integers(24, 80), st.integers(24, 80), KEYS)
def test_a_crop_that_distorts_scales_boxes_along_both_sides(scene: Example, width: int, height: int, key: int) -> None:
    moved = Augment(steps=(RandomResizedCrop(size=(height, width), scale=(0.3, 1)),))(scene, key)
    if len(moved.boxes) and (moved.boxes[0, 2:] - moved.boxes[0, :2]).min() >= 4:
        assert near(paint(moved), moved.boxes[0], 1.5)
        assert moved.masks is not None and near(edges(moved.masks[0] > 0), moved.boxes[0], 1)


@settings(max_examples=100)
@given(scenes(relevant=np.array([True])), CROPS | st.builds(CenterCrop, size=st.integers(16, 80)), KEYS)
def test_a_crop_never_cuts_what_is_asked_about(scene: Example, crop: Any, key: int) -> None:
    moved = Augment(steps=(crop,))(scene, key)
    assert moved.labels == ("red",)
    assert moved.seen[0] == pytest.approx(1)  # nothing of its area was cut away
    assert (moved.width, moved.height) == (crop.size, crop.size)


@settings(max_examples=100)
@given(st.integers(24, 90), st.integers(24, 90), st.data(), KEYS)
def test_a_crop_keeps_the_union_of_all_relevant_boxes_and_drops_others(
    width: int, height: int, data: Any, key: int
) -> None:
    def box() -> list[int]:
        left, top = data.draw(st.integers(0, width - 4)), data.draw(st.integers(0, height - 4))
        return [left, top, data.draw(st.integers(left + 2, width)), data.draw(st.integers(top + 2, height))]

    boxes = np.array([box() for _ in range(4)], np.float64)
    relevant = np.array([True, False, True, False])
    scene = Example("a", np.zeros((height, width, 3), np.uint8), (), boxes, tuple("abcd"), relevant)
    moved = Augment(steps=(RandomResizedCrop(size=32, scale=(0.1, 0.3)),))(scene, key)
    kept = dict(zip(moved.labels, moved.seen.tolist(), strict=True))
    assert kept["a"] == pytest.approx(1) and kept["c"] == pytest.approx(1)
    assert all(seen >= 0.25 - 1e-9 for seen in kept.values())


@given(scenes(), st.sampled_from(["a ball", "a ball to the left of a cup"]))
def test_flipped_twice_it_is_as_it_was_and_boxes_mirror(scene: Example, text: str) -> None:
    scene = replace(scene, texts=(Said(text, language="en"),))
    flip = Flip(share=1, when_text="rewrite")
    once = flip.flipped(scene)
    assert once is not None and once.masks is not None and scene.masks is not None
    assert once.boxes[0].tolist() == paint(once) == edges(once.masks[0] > 0)
    left, _, right, _ = scene.boxes[0]
    assert once.boxes[0, [0, 2]].tolist() == [scene.width - right, scene.width - left]
    twice = flip.flipped(once)
    assert twice is not None and twice.masks is not None
    assert (twice.pixels == scene.pixels).all() and (twice.masks == scene.masks).all()
    assert (twice.boxes == scene.boxes).all() and twice.texts == scene.texts


@settings(max_examples=100)
@given(scenes(8), st.sampled_from(MOVING), st.integers(1, 30), st.sampled_from([-1, 1]))
def test_a_box_holds_the_paint_after_shears_moves_and_turns(scene: Example, name: str, m: int, sign: int) -> None:
    moved = varied(scene, name, strength(name, m, scene.width, scene.height), sign, visible=0)
    found = paint(moved)
    if found is None or not len(moved.boxes):
        assert found is None or min(found[2] - found[0], found[3] - found[1]) <= 2
        return
    left, top, right, bottom = moved.boxes[0] + np.array([-1, -1, 1, 1])
    assert left <= found[0] and top <= found[1] and found[2] <= right and found[3] <= bottom
    assert moved.masks is not None
    if name.startswith("translate"):  # and no more than the paint
        assert near(found, moved.boxes[0], 1)
        assert near(edges(moved.masks[0] > 0), moved.boxes[0], 1)


def test_a_quarter_turn_is_that_of_numpy() -> None:
    scene = painted(40, 40, (4, 8, 20, 12))
    turned = transformed(scene, (0, -1, 40, 1, 0, 0))
    assert (turned.pixels == np.rot90(scene.pixels, -1)).all()
    assert turned.masks is not None and scene.masks is not None
    assert (turned.masks[0] == np.rot90(scene.masks[0], -1)).all()
    assert turned.boxes.tolist() == [[28, 4, 32, 20]]


@settings(max_examples=60)
@given(scenes(relevant=np.array([True])), KEYS, st.integers(0, 30))
def test_rand_augment_never_moves_what_is_asked_about_out_of_the_image(scene: Example, key: int, m: int) -> None:
    moved = Augment(steps=(RandAugment(n=4, m=m),))(scene, key)
    assert moved.labels == ("red",) and moved.seen[0] == pytest.approx(1)
    assert moved.pixels.shape == scene.pixels.shape


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_of_the_14_changes_something_but_identity(name: str) -> None:
    noise = np.random.default_rng(1).integers(30, 200, (40, 50, 3), dtype=np.uint8)
    scene = Example("a", noise)
    moved = varied(scene, name, strength(name, 20, 50, 40), 1, 0.25)
    assert (moved.pixels.shape, moved.pixels.dtype) == (noise.shape, np.uint8)
    assert (moved.pixels == noise).all() == (name == "identity")
    assert len(OPERATIONS) == 14


@given(scenes(), st.integers(16, 100), st.integers(16, 100), st.booleans())
def test_a_letterbox_shows_the_whole_image_undistorted(scene: Example, width: int, height: int, enlarge: bool) -> None:
    moved = Augment(steps=(PadOrResize(size=(height, width), enlarge=enlarge),))(scene, 0)
    assert (moved.width, moved.height) == (width, height)
    inner = edges((moved.pixels != GRAY).any(axis=2))
    assert inner is not None
    across, down = (inner[2] - inner[0]) / scene.width, (inner[3] - inner[1]) / scene.height
    assert abs(across - down) <= max(1 / scene.width, 1 / scene.height)
    assert enlarge or max(across, down) <= 1
    assert abs(inner[0] - (width - inner[2])) <= 1 and abs(inner[1] - (height - inner[3])) <= 1
    assert moved.seen[0] == pytest.approx(1)


@given(KEYS)
def test_multi_resolution_draws_each_side_and_keeps_the_shape(key: int) -> None:
    moved = Augment(steps=(MultiResolution(sides=(30, 60)),))(painted(60, 40, (0, 0, 9, 9)), key)
    assert (moved.width, moved.height) in {(30, 20), (60, 40)}


def test_colour_jitter_leaves_places_alone_and_can_be_rare() -> None:
    scene = painted(40, 30, (5, 6, 20, 20))
    jitter = Augment(steps=(ColourJitter(),))
    assert len({jitter(scene, key).pixels.tobytes() for key in range(8)}) == 8
    assert (jitter(scene, 1).boxes == scene.boxes).all()
    assert Augment(steps=(ColourJitter(share=0),))(scene, 1).pixels is scene.pixels
    same = ColourJitter(brightness=0, contrast=0, saturation=0, hue=0)
    assert (Augment(steps=(same,))(scene, 1).pixels == scene.pixels).all()


def test_what_shows_less_than_a_quarter_is_dropped_and_counts_from_its_first_area() -> None:
    scene = painted(100, 100, (0, 0, 100, 100))
    halved = Augment(steps=(CenterCrop(size=(100, 60)), CenterCrop(size=(100, 30))))(scene, 0)
    assert halved.seen.tolist() == [pytest.approx(0.3)]
    dropped = Augment(steps=(CenterCrop(size=(100, 60)), CenterCrop(size=(100, 20))))(scene, 0)
    assert dropped.labels == () and len(dropped.boxes) == 0


def test_the_crop_without_boxes_covers_shares_and_shapes_as_declared() -> None:
    scene = Example("a", np.zeros((300, 400, 3), np.uint8), boxes=np.array([[0.0, 0, 400, 300]]))
    crop = Augment(steps=(RandomResizedCrop(size=32, scale=(0.2, 0.6), visible=0),))
    shares = np.array([crop(scene, key).seen[0] for key in range(400)])
    assert 0.19 < shares.min() < 0.25 and 0.55 < shares.max() < 0.61
    assert abs(shares.mean() - 0.4) < 0.02


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"boxes": np.array([[3.0, 0, 1, 2]])}, "left, top, right, bottom"),
        ({"boxes": np.array([[0.0, 0, 1, np.nan]])}, "four finite numbers"),
        ({"boxes": np.zeros((2, 4)), "labels": ("a",)}, "2 boxes, 1 labels"),
        ({"masks": np.zeros((1, 2, 2))}, "do not lie on an image"),
    ],
)
def test_an_example_that_cannot_be_is_a_failure_of_its_sample(more: dict[str, Any], words: str) -> None:
    with pytest.raises(SampleFailure, match=words):
        Example("a", np.zeros((5, 5, 3), np.uint8), **more)


def test_mirroring_twice_is_exact_for_boxes_between_px() -> None:
    boxes = np.array([[0.25, 1, 3.5, 2]])
    scene = Example("a", np.zeros((4, 7, 3), np.uint8), boxes=boxes)
    assert (mirrored(mirrored(scene)).boxes == boxes).all()
