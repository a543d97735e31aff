"""What a recipe may say under `sources:`: one model a type, told apart by `type`. The reference is made from these."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sluice.table.remote import credentials_in
from sluice.web.config import FetchConfig


class SourceBase(BaseModel):
    """What every type of source takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(
        description="Where the data lies: a path, a glob (`**` too), a brace range such as `{000..127}.tar` or an "
        "fsspec URL. Relative paths are relative to the recipe."
    )
    name: str | None = Field(
        default=None, min_length=1, description="Name of the source, part of every id. Default: from the path."
    )
    licence: str | None = Field(default=None, description="Licence of samples that state none themselves.")
    author: str | None = Field(default=None, description="Author of samples that state none themselves.")
    dataset: str | None = Field(default=None, description="Dataset name of samples that state none themselves.")
    fetched: str | None = Field(
        default=None, description="Date (ISO 8601) at which samples were fetched that state none themselves."
    )
    language: str | None = Field(
        default=None, description="Language (BCP 47, such as `en`) of texts that declare none themselves."
    )

    @field_validator("path", "images", "annotations", check_fields=False)
    @classmethod
    def _holds_no_credentials(cls, place: str | None) -> str | None:
        found = credentials_in(place) if place else None
        if found:
            raise ValueError(
                f"holds {found}, which would be copied into the run; give the store's own URL, such as s3://bucket/a, "
                f"and credentials by the environment or the store's own files; or fetch the file first"
            )
        return place


class CaptionColumnsConfig(SourceBase):
    """Which fields of a row hold captions."""

    caption_columns: list[str] | None = Field(
        default=None,
        description="Columns that hold captions, one text or a list of texts each. Default: those called caption, "
        "captions, caption_1, ...; where there are none, the first called text, txt, alt, title or description.",
    )


class FolderConfig(SourceBase):
    """A folder of images; `a.txt` beside `a.jpg` is its caption, `a.json` its captions, rights and other fields."""

    type: Literal["folder"]


class TableConfig(CaptionColumnsConfig):
    """A CSV, TSV, JSONL or Parquet table with a column that says where each image lies."""

    type: Literal["table"]
    images: str | None = Field(
        default=None, description="Folder that the paths in the table are relative to. Default: the table's folder."
    )
    path_column: str | None = Field(
        default=None,
        description="Column that holds the path of the image. Default: the first called path, file, file_name, image, "
        "image_path, ...",
    )
    delimiter: str | None = Field(
        default=None,
        min_length=1,
        max_length=1,
        description="What parts the columns of a text table. Default: a tab in `.tsv`, a comma in `.csv`.",
    )
    unlisted: Literal["sample", "ignore"] = Field(
        default="sample",
        description="What an image below `images` that no row names becomes: a `sample` without a caption, or nothing.",
    )


class WebDatasetConfig(CaptionColumnsConfig):
    """WebDataset tar shards: members that share a key are one sample. Only headers, texts and JSON are read."""

    type: Literal["webdataset"]


class ImageColumnConfig(CaptionColumnsConfig):
    """A column that holds encoded images."""

    image_column: str | None = Field(
        default=None,
        description="Column that holds the images: binary, Hugging Face `{bytes, path}`, or a list of either. "
        "Default: the first such column.",
    )


class ParquetConfig(ImageColumnConfig):
    """Parquet files that hold the images themselves, one row a sample."""

    type: Literal["parquet"]


class ArrowConfig(ImageColumnConfig):
    """Arrow IPC files or streams (what `datasets` saves to disk) that hold the images themselves, one row a sample."""

    type: Literal["arrow"]


class Img2DatasetConfig(SourceBase):
    """An img2dataset output folder: tar shards or folders with a Parquet table beside each, or Parquet shards."""

    type: Literal["img2dataset"]


class CocoConfig(SourceBase):
    """A COCO captions or instances file."""

    type: Literal["coco"]
    images: str = Field(description="Folder of the images that the file names.")


class LlavaConfig(SourceBase):
    """A LLaVA conversation file, JSON or JSONL."""

    type: Literal["llava"]
    images: str = Field(description="Folder of the images that the file names.")


class VqaConfig(SourceBase):
    """VQAv2: `path` is the questions file."""

    type: Literal["vqa"]
    annotations: str | None = Field(
        default=None, description="The annotations file with the ten answers a question; null for a test set."
    )
    images: str = Field(description="Folder of the images.")
    pattern: str | None = Field(
        default=None,
        description="File name of an image, such as `COCO_val2014_{id:012d}.jpg`. Default: from the file's "
        "`data_subtype`.",
    )


class UrlsConfig(CaptionColumnsConfig):
    """A list of URLs (Parquet, CSV, TSV or JSONL): the images are fetched, once, into tars below the run folder."""

    type: Literal["urls"]
    layout: Literal["laion", "coyo", "datacomp", "cc12m", "cc3m"] | None = Field(
        default=None,
        description="A list in the layout of this dataset. Default: told by its columns, and by its first line "
        "where it has no header (CC12M, CC3M).",
    )
    url_column: str | None = Field(
        default=None,
        description="Column that holds the URL of the image. Default: the first called url, image_url, img_url, ...",
    )
    delimiter: str | None = Field(
        default=None,
        min_length=1,
        max_length=1,
        description="What parts the columns of a text table. Default: a tab in `.tsv`, a comma in `.csv`.",
    )
    fetch: FetchConfig = Field(default=FetchConfig(), description="How the images are fetched: see [the web](web.md).")


SourceConfig: TypeAlias = Annotated[
    FolderConfig
    | TableConfig
    | WebDatasetConfig
    | ParquetConfig
    | ArrowConfig
    | Img2DatasetConfig
    | CocoConfig
    | LlavaConfig
    | VqaConfig
    | UrlsConfig,
    Field(discriminator="type"),
]
