"""How many tokens a packed sample has: its texts as they were counted, its images under the model's rule."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.errors import RecipeError
from sluice.load.image_tokens import ImageRule
from sluice.table.arrays import distinct_numbers, numbers, valid
from sluice.table.compute import pc

Numbers: TypeAlias = npt.NDArray[np.int64]


def sample_lengths(
    rows: pa.Table, rule: ImageRule, given: Numbers | None = None, extra: int = 0
) -> tuple[Numbers, Numbers]:
    """Tokens of each of the manifest's `rows`, all of them and those of its images.

    `given` is what the rule `Given` reads: a number a row, for each of its images, or below 0. `extra` tokens are added
    to each sample, such as those of a chat's template. A manifest of an earlier version has the size of a sample's
    first image alone: of a sample with several images, the others are not counted.

    >>> from sluice.load.image_tokens import Native
    >>> rows = pa.table({"text_tokens": [20, 7], "width": [640, None], "height": [480, None], "image_size": [9, None]})
    >>> [column.tolist() for column in sample_lengths(rows, Native(), extra=2)]
    [[413, 9], [391, 0]]
    """
    if uncounted := rows.column("text_tokens").null_count:
        raise RecipeError(
            f"{uncounted:,} of {len(rows):,} samples have no count of text tokens, which a budget needs: "
            "run again with `measures: [defaults, {name: text.tokens, tokenizer: FILE}]`, "
            "or `sluice index FOLDER --tokenizer FILE` where it was indexed"
        )
    owner, widths, heights = _image_sizes(rows)
    unknown = len(distinct_numbers(owner[np.minimum(widths, heights) < 1]))
    if unknown:
        raise RecipeError(
            f"{unknown:,} of {len(rows):,} samples have an image of unknown size, which a budget needs: "
            "run again with the measure image.header, or `sluice index FOLDER --measure` where it was indexed"
        )
    each = rule.count(widths, heights, None if given is None else given[owner])
    images = np.zeros(len(rows), np.int64)
    np.add.at(images, owner, each)
    return numbers(rows.column("text_tokens")).astype(np.int64) + images + extra, images


def _image_sizes(rows: pa.Table) -> tuple[Numbers, Numbers, Numbers]:
    """Of each image: the row that it is of, its width and its height in px, 0 where that is not known."""
    first = valid(rows.column("image_size"))  # it has an image at least
    listed = np.zeros(len(rows), np.bool_)
    owners: list[Numbers] = []
    sizes: list[list[Numbers]] = [[], []]
    if "image_sizes" in rows.column_names:
        every = rows.column("image_sizes")
        every = every.combine_chunks() if every.num_chunks != 1 else every.chunk(0)
        listed = pc.is_valid(every).to_numpy(zero_copy_only=False)
        owners.append(pc.list_parent_indices(every).to_numpy().astype(np.int64))
        flat = pc.list_flatten(every)
        for place, name in enumerate(("width", "height")):
            sizes[place].append(pc.fill_null(pc.struct_field(flat, name), 0).to_numpy().astype(np.int64))
    alone = np.flatnonzero(first & ~listed)
    owners.append(alone.astype(np.int64))
    for place, name in enumerate(("width", "height")):
        sizes[place].append(numbers(pc.fill_null(rows.column(name), 0)).astype(np.int64)[alone])
    return np.concatenate(owners), np.concatenate(sizes[0]), np.concatenate(sizes[1])
