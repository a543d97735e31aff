"""Image tokens: against the published code of the models, written here again as it is published."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.errors import RecipeError
from sluice.load.image_tokens import NEXT_GRIDS, AnyRes, Fixed, Given, Native, image_rule

# width, height; what transformers 4.57.6 counts: LlavaNextProcessor (tiles of 336 px, patches of 14, without the
# class token) and smart_resize / 28^2 with its own limits, and with 256 to 1280 tokens.
PUBLISHED = [
    (640, 480, 2340, 391, 391),
    (336, 336, 1176, 144, 256),
    (300, 310, 1176, 121, 272),
    (1, 1, 1176, 4, 256),
    (1920, 1080, 1948, 1222, 1222),
    (1080, 1920, 1968, 1222, 1222),
    (4000, 300, 1014, 1170, 1170),
    (300, 4000, 1080, 1170, 1170),
    (1000, 1000, 2928, 1225, 1225),
    (672, 336, 1752, 288, 288),
    (56, 56, 1176, 4, 256),
    (28, 5000, 648, 179, 428),
    (2048, 1536, 2340, 1230, 1230),
    (100, 70, 1416, 8, 280),
    (333, 1001, 2376, 432, 432),
    (8000, 6000, 2340, 1230, 1230),
]
WIDTHS, HEIGHTS = (np.array([row[place] for row in PUBLISHED]) for place in (0, 1))

sides = st.integers(1, 9000)
sizes = st.lists(st.tuples(sides, sides), min_size=1, max_size=30)


def columns(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    found = np.array(pairs, np.int64)
    return found[:, 0], found[:, 1]


def smart_resize(height: int, width: int, factor: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """As Qwen2-VL's image processor has it."""
    h_bar, w_bar = round(height / factor) * factor, round(width / factor) * factor
    if h_bar * w_bar > max_pixels:
        beta = math.sqrt((height * width) / max_pixels)
        h_bar = max(factor, math.floor(height / beta / factor) * factor)
        w_bar = max(factor, math.floor(width / beta / factor) * factor)
    elif h_bar * w_bar < min_pixels:
        beta = math.sqrt(min_pixels / (height * width))
        h_bar, w_bar = math.ceil(height * beta / factor) * factor, math.ceil(width * beta / factor) * factor
    return h_bar, w_bar


def llava_next(height: int, width: int, tile: int, patch: int, grids: tuple[tuple[int, int], ...]) -> int:
    """select_best_resolution, then the features of the tiles without their padding, a newline a row, and the base."""
    best, most, least = (0, 0), 0, float("inf")
    for grid_width, grid_height in grids:
        scale = min(grid_width / width, grid_height / height)
        effective = min(int(width * scale) * int(height * scale), width * height)
        wasted = grid_width * grid_height - effective
        if effective > most or (effective == most and wasted < least):
            best, most, least = (grid_width, grid_height), effective, wasted
    side = tile // patch
    across, down = best[0] // tile * side, best[1] // tile * side
    if width / height > across / down:
        down -= (down - int(round(height * (across / width), 7))) // 2 * 2
    else:
        across -= (across - int(round(width * (down / height), 7))) // 2 * 2
    return side * side + across * down + down


def test_every_size_costs_what_the_published_code_says() -> None:
    assert AnyRes().count(WIDTHS, HEIGHTS).tolist() == [row[2] for row in PUBLISHED]
    assert Native().count(WIDTHS, HEIGHTS).tolist() == [row[3] for row in PUBLISHED]
    qwen = Native(min_pixels=256 * 784, max_pixels=1280 * 784)
    assert qwen.count(WIDTHS, HEIGHTS).tolist() == [row[4] for row in PUBLISHED]


@given(sizes)
def test_anyres_chooses_and_counts_as_llava_next_does(pairs: list[tuple[int, int]]) -> None:
    rule = AnyRes()
    expected = [llava_next(height, width, 336, 14, NEXT_GRIDS) for width, height in pairs]
    assert rule.count(*columns(pairs)).tolist() == expected


@given(sizes, st.sampled_from([(14, 2), (16, 2), (14, 1)]), st.sampled_from([(3136, 1003520), (200704, 12845056)]))
def test_native_resizes_as_qwen2_vl_does(
    pairs: list[tuple[int, int]], cells: tuple[int, int], limits: tuple[int, int]
) -> None:
    rule = Native(*cells, *limits)
    widths, heights = rule.resized(*columns(pairs))
    expected = [smart_resize(height, width, rule.cell, *limits) for width, height in pairs]
    assert list(zip(heights.tolist(), widths.tolist(), strict=True)) == expected


@given(sizes)
def test_native_stays_between_its_limits_where_the_model_takes_the_image(pairs: list[tuple[int, int]]) -> None:
    rule = Native()
    widths, heights = columns(pairs)
    taken = ~rule.refuses(widths, heights)
    # The smaller side is a cell at least, so an image of the utmost aspect may pass the upper limit by little.
    shape = np.maximum(widths, heights) / np.minimum(widths, heights)
    counted = rule.count(widths, heights)[taken & (shape < 20)]
    assert (counted >= 4).all() and (counted <= 1280).all()


def test_an_image_too_long_for_the_model_is_told_apart() -> None:
    widths, heights = np.array([2000, 2001, 10, 0]), np.array([10, 10, 2001, 0])
    assert Native().refuses(widths, heights).tolist() == [False, True, True, False]


def test_no_image_costs_no_tokens() -> None:
    nothing, numbers = np.zeros(2, np.int64), np.array([100, -1])
    for rule in (Fixed(), AnyRes(), Native(), Given()):
        assert rule.count(nothing, nothing, numbers).tolist() == [0, 0]
        assert not rule.refuses(nothing, nothing).any()


def test_a_budget_of_its_own_is_held_between_its_bounds() -> None:
    one = np.ones(5, np.int64)
    assert Given(64, 400).count(one, one, np.array([0, 64, 200, 400, 4000])).tolist() == [64, 64, 200, 400, 400]
    with pytest.raises(RecipeError, match="need a column of numbers"):
        Given().count(one, one)


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("nativ", {}, "there are: fixed, anyres, native, given"),
        ("native", {"pach": 14}, "no setting 'pach'"),
        ("native", {"min_pixels": 10_000, "max_pixels": 5_000}, "`max_pixels` is 10000 or more"),
        ("anyres", {"grids": [(300, 336)]}, "whole tiles of 336 px"),
        ("given", {"low": 500}, "`high` is low"),
        ("fixed", {"tokens": 0}, "`tokens` is 1 or more"),
    ],
)
def test_a_rule_that_makes_no_sense_is_told(name: str, settings: dict[str, object], told: str) -> None:
    with pytest.raises(RecipeError, match=told.replace("(", r"\(")):
        image_rule(name, settings)


def test_rules_of_equal_settings_are_equal() -> None:
    assert image_rule("anyres", {"grids": [[672, 336]]}) == AnyRes(grids=((672, 336),))
    assert repr(image_rule("native")) == repr(Native())
