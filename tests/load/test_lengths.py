"""Tokens of packed samples, from the manifest's rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sluice.errors import RecipeError
from sluice.load.image_tokens import Fixed, Given
from sluice.load.lengths import sample_lengths
from sluice.table.schema import MANIFEST


def rows(**columns: list[Any]) -> pa.Table:
    count = len(next(iter(columns.values())))
    return pa.table({field.name: pa.array(columns.get(field.name, [None] * count), field.type) for field in MANIFEST})


def test_a_text_alone_has_no_image_tokens_and_a_template_counts_for_each() -> None:
    packed = rows(text_tokens=[5, 0, 9], width=[64, 64, None], height=[64, 64, None], image_size=[100, 100, None])
    lengths, images = sample_lengths(packed, Fixed(), extra=3)
    assert (lengths.tolist(), images.tolist()) == ([584, 579, 12], [576, 576, 0])
    lengths, images = sample_lengths(packed, Given(), np.array([100, -1, 100]))
    assert (lengths.tolist(), images.tolist()) == ([105, 400, 9], [100, 400, 0])


def test_what_is_not_known_is_said_and_not_taken_for_nothing() -> None:
    with pytest.raises(RecipeError, match=r"1 of 2 samples have no count of text tokens.*text\.tokens"):
        sample_lengths(rows(text_tokens=[5, None], width=[1, 1], height=[1, 1], image_size=[1, 1]), Fixed())
    with pytest.raises(RecipeError, match=r"1 of 2 samples have an image of unknown size.*image\.header"):
        sample_lengths(rows(text_tokens=[5, 5], width=[1, None], height=[1, None], image_size=[1, 1]), Fixed())


def test_every_image_of_a_sample_is_counted_where_the_manifest_knows_them() -> None:
    sizes = [
        [{"width": 64, "height": 64}] * 3,
        [],
        None,
        [{"width": 64, "height": 64}, {"width": None, "height": None}],
    ]
    packed = rows(
        text_tokens=[5] * 4, width=[64, None, 64, 64], height=[64, None, 64, 64], image_size=[9, None, 9, 9],
        image_sizes=sizes,
    )  # fmt: skip
    lengths, images = sample_lengths(packed.slice(0, 3), Fixed(100))
    assert (lengths.tolist(), images.tolist()) == ([305, 5, 105], [300, 0, 100])
    _, images = sample_lengths(packed.slice(0, 3), Given(), np.array([70, 100, -1]))
    assert images.tolist() == [210, 0, 400]
    _, images = sample_lengths(packed.drop_columns(["image_sizes"]), Fixed(100))
    assert images.tolist() == [100, 0, 100, 100]
    with pytest.raises(RecipeError, match="1 of 4 samples have an image of unknown size"):
        sample_lengths(packed, Fixed())
    many = pa.concat_tables([packed.slice(0, 1), packed.slice(1, 2), packed.slice(0, 1)])  # in several chunks
    assert sample_lengths(many, Fixed(100))[1].tolist() == [300, 0, 100, 300]
