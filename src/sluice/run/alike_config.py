"""What a recipe may say of duplicates by likeness: of texts by their n-grams, of samples by their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

KEEP_BEST: Final = "pixels desc, characters desc, id"


class _Alike(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    cluster: Literal["star", "components"] = Field(
        "star", description="`star`: every member is alike to its keeper; `components`: chains are followed"
    )
    keep: str = Field(KEEP_BEST, description="ORDER BY expression over the columns; the first member is kept")

    def keep_among(self, columns: Sequence[str]) -> str:
        """The order as it is to be compiled: of the default, what there are `columns` for."""
        if self.keep != KEEP_BEST:
            return self.keep
        return ", ".join(term for term in KEEP_BEST.split(", ") if term.split()[0] in columns)


class TextDuplicatesConfig(_Alike):
    """Near-duplicate texts: captions, and documents of one text, that share most of their n-grams (MinHash-LSH)."""

    unit: Literal["character", "word"] = Field("character", description="what an n-gram is made of")
    n: int = Field(5, ge=1, le=32, description="characters or words in an n-gram")
    jaccard: float = Field(
        0.8, ge=0.5, le=1, description="n-grams shared by two near-duplicates, as a share of all that either has"
    )
    permutations: int = Field(128, ge=16, le=1024, description="minima in a text's signature: more find more")
    bands: int | None = Field(
        None, ge=1, description="bands that signatures are cut into; default: 99% at `jaccard` itself are found"
    )

    @model_validator(mode="after")
    def _bands_have_rows(self) -> TextDuplicatesConfig:
        if self.bands is not None and self.bands > self.permutations:
            raise ValueError(f"{self.bands} `bands` of {self.permutations} `permutations`: each has one at least")
        return self


class SemanticDuplicatesConfig(_Alike):
    """Samples whose vectors are nearly the same: what a perceptual hash does not see, the encoder may."""

    of: Literal["image", "text"] = Field("image", description="whose vectors are compared")
    cosine: float = Field(0.95, gt=0, le=1, description="least cosine of two semantic duplicates")
    partitions: int | None = Field(
        None, ge=1, le=4096, description="partitions that the vectors are cut into; default: the root of their number"
    )
    probes: int | None = Field(
        None, ge=0, description="other partitions a vector is compared in; default: all it takes to miss no pair"
    )
