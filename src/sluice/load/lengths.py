"""How many tokens a packed sample has: its texts as they were counted, its image under the model's rule."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.errors import RecipeError
from sluice.load.image_tokens import ImageRule
from sluice.table.arrays import numbers, valid
from sluice.table.compute import pc

Numbers: TypeAlias = npt.NDArray[np.int64]


def sample_lengths(
    rows: pa.Table, rule: ImageRule, given: Numbers | None = None, extra: int = 0
) -> tuple[Numbers, Numbers]:
    """Tokens of each of the manifest's `rows`, all of them and those of its image.

    `given` is what the rule `Given` reads: a number a row, or below 0. `extra` tokens are added to each sample, such as
    those of a chat's template. A manifest has the size of a sample's first image alone: of a sample with several
    images, the others are not counted.

    >>> from sluice.load.image_tokens import Native
    >>> rows = pa.table({"text_tokens": [20, 7], "width": [640, None], "height": [480, None], "image_size": [9, None]})
    >>> [column.tolist() for column in sample_lengths(rows, Native(), extra=2)]
    [[413, 9], [391, 0]]
    """
    if uncounted := rows.column("text_tokens").null_count:
        raise RecipeError(
            f"{uncounted:,} of {len(rows):,} samples have no count of text tokens, which a budget needs: "
            "run again with `measures: [defaults, {name: text.tokens, tokenizer: FILE}]`"
        )
    sizes = [numbers(pc.fill_null(rows.column(name), 0)).astype(np.int64) for name in ("width", "height")]
    unknown = int((valid(rows.column("image_size")) & (np.minimum(*sizes) < 1)).sum())
    if unknown:
        raise RecipeError(
            f"{unknown:,} of {len(rows):,} samples have an image of unknown size, which a budget needs: "
            "run again with the measure image.header"
        )
    images = rule.count(sizes[0], sizes[1], given)
    return numbers(rows.column("text_tokens")).astype(np.int64) + images + extra, images
