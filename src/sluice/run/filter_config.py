"""The section `filter` of a recipe: what 01_filtered decides by rules, rights, duplicates and reference sets."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sluice.corpus.opt_out import Kind
from sluice.run.alike_config import KEEP_BEST, TextDuplicatesConfig
from sluice.run.rights_gate import NAMES, Unknown, spdx_ids
from sluice.run.rule_config import RulesConfig
from sluice.sources.config import SourceConfig


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NearConfig(_Model):
    """Near-duplicate images: all pairs within a Hamming distance, one keeper a cluster."""

    hash: str = Field("phash", description="the 64-bit hash column to join on: `phash` or `dhash`")
    distance: int = Field(8, ge=0, le=12, description="largest Hamming distance in bits that counts as near")
    cluster: Literal["star", "components"] = Field(
        "star", description="`star`: every member is within `distance` of its keeper; `components`: chains are followed"
    )
    keep: str = Field(KEEP_BEST, description="ORDER BY expression over the columns; the first member is kept")


class AgainstConfig(_Model):
    """A reference set, such as a benchmark's test images: what matches it is rejected as `contaminated`."""

    name: str = Field(description="name of the reference set, shown in the reason")
    source: SourceConfig | None = Field(None, description="images to hash: any source")
    hashes: str | None = Field(
        None,
        description="or a Parquet/CSV file with a column of 64-bit hashes, or an index that `sluice dedup --add` wrote",
    )
    distance: int = Field(4, ge=0, le=12, description="largest Hamming distance in bits that counts as a match")

    @model_validator(mode="after")
    def _one_of_two(self) -> AgainstConfig:
        if (self.source is None) == (self.hashes is None):
            raise ValueError("give either `source` (images) or `hashes` (a file of hashes)")
        return self


class DuplicatesConfig(_Model):
    """Which repeats are left out."""

    bytes: bool = Field(True, description="reject images whose bytes equal a kept one's")
    captions: bool = Field(True, description="leave out a caption that repeats an earlier one of the same sample")
    boilerplate: int | None = Field(20, ge=1, description="leave out captions that stand on more images than this")
    near: NearConfig | None = Field(NearConfig(), description="near-duplicate images; `null` turns it off")  # pyright: ignore[reportCallIssue] - every field has a default
    text: TextDuplicatesConfig | None = Field(None, description="near-duplicate texts; default: not looked for")
    against: tuple[AgainstConfig, ...] = Field((), description="reference sets to be free of")

    @property
    def alike(self) -> TextDuplicatesConfig | None:
        """The step that looks for what is alike."""
        return self.text


class OptOutConfig(_Model):
    """A list of what must not be used: what it names is rejected as `opted_out`."""

    name: str = Field(description="name of the list, shown in the reason")
    path: str = Field(description="a text file with an entry a line, or a CSV, TSV or Parquet file")
    kind: Kind = Field(description="what the entries are; a domain stands for its subdomains, too")
    distance: int = Field(4, ge=0, le=12, description="`phash` only: largest Hamming distance in bits that matches")


class RightsConfig(_Model):
    """The rights gate: which licences may enter, and which lists of opt-outs are honoured."""

    allow: tuple[str, ...] | None = Field(
        None, min_length=1, description="SPDX ids that may enter, all others are rejected; default: any licence"
    )
    unknown: Unknown = Field("reject", description="what becomes of a licence that is not stated or not understood")
    opt_out: tuple[OptOutConfig, ...] = Field((), description="lists of opt-outs")

    @field_validator("allow")
    @classmethod
    def _are_licences(cls, allow: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return spdx_ids(allow)

    @field_validator("opt_out")
    @classmethod
    def _each_list_once(cls, lists: tuple[OptOutConfig, ...]) -> tuple[OptOutConfig, ...]:
        names = [one.name for one in lists]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the list {name!r} is given twice")
        return lists


class FilterConfig(RulesConfig):
    """What 01_filtered decides."""

    rights: RightsConfig | None = Field(None, description="which licences may enter, whose opt-outs are honoured")
    duplicates: DuplicatesConfig = Field(DuplicatesConfig(), description="which repeats are left out")  # pyright: ignore[reportCallIssue]

    @model_validator(mode="after")
    def _names_are_not_of_the_gate(self) -> FilterConfig:
        for name in NAMES if self.rights else ():
            if name in self.reject or name in self.hold:
                raise ValueError(f"{name!r} is a reason that `rights` gives; give your rule another name")
        return self
