"""Image columns of Parquet and Arrow: which column it is, and from its cells to items by ref."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import pyarrow as pa

from sluice.errors import SourceError
from sluice.sources.base import JSON, Item, RawSample
from sluice.sources.chat import COLUMNS as CHATS
from sluice.sources.chat import is_conversation, turns
from sluice.sources.config import ImageColumnConfig
from sluice.sources.fields import Fields
from sluice.sources.listing import stat_file
from sluice.sources.texts import Refused
from sluice.table.refs import Container, Ref

Cell: TypeAlias = Sequence[tuple[bool, str | None]] | None  # of each image: are its bytes there, and its path


@dataclass(frozen=True)
class ImageColumn:
    """A column of images; `listed`: a list of images a row; `struct`: Hugging Face `{bytes, path}`."""

    name: str
    listed: bool
    struct: bool
    has_path: bool

    def member(self, index: int) -> str:
        """The name of the n-th image of a row in a ref."""
        return f"{self.name}{f'[{index}]' if self.listed else ''}{'.bytes' if self.struct else ''}"

    def cells(self, column: pa.Array) -> list[Cell]:
        """For each row its images; None where the row has none."""
        if not self.listed:
            states = self._states(column)
            return [[state] if there else None for state, there in zip(states, _valid(column), strict=True)]
        offsets = column.offsets.to_pylist()
        first = offsets[0] if offsets else 0
        states = self._states(column.values.slice(first, offsets[-1] - first))
        there = _valid(column)
        return [
            states[offsets[row] - first : offsets[row + 1] - first] if there[row] else None
            for row in range(len(column))
        ]

    def _states(self, column: pa.Array) -> list[tuple[bool, str | None]]:
        if not self.struct:
            return [(there, None) for there in _valid(column)]
        paths = column.field("path").to_pylist() if self.has_path else [None] * len(column)
        held = zip(_valid(column), _valid(column.field("bytes")), strict=True)
        return list(zip((outer and inner for outer, inner in held), paths, strict=True))


def find_image_column(schema: pa.Schema, asked: str | None, uri: str) -> ImageColumn:
    """The column that holds the images: the one asked for, else the first that can be one."""
    if asked is not None:
        if asked not in schema.names:
            raise SourceError(f"{uri}: no column called {asked!r} (`image_column`); it has {', '.join(schema.names)}")
        column = _image_column(schema.field(asked))
        if column is None:
            raise SourceError(
                f"{uri}: column {asked!r} is {schema.field(asked).type}; expected binary, {{bytes, path}} or a list"
            )
        return column
    found = [column for field in schema if (column := _image_column(field)) is not None]
    if not found:
        columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
        raise SourceError(
            f"{uri}: no column of images (binary, {{bytes, path}} or a list of either); it has {columns}. "
            "Where the images are files that a column names, use `type: table`"
        )
    return next((column for column in found if column.struct), found[0])


class Rows:
    """From the columns of one file, read in batches, to samples."""

    def __init__(self, container: Container, uri: str, shown: str, schema: pa.Schema, asked: ImageColumnConfig) -> None:
        self._container: Container = container
        self._uri = uri
        self._shown = shown
        self.image = image = find_image_column(schema, asked.image_column, uri)
        captions = asked.caption_columns
        skipped = [field.name for field in schema if field.name != image.name and _image_column(field) is not None]
        self.texts = [name for name in schema.names if name != image.name and name not in skipped]
        for name in captions or ():
            if name not in schema.names:
                raise SourceError(
                    f"{uri}: no column called {name!r} (`caption_columns`); it has {', '.join(schema.names)}"
                )
        chats = [name for name in CHATS if name in self.texts and name not in (captions or ())]
        self._chat = self.texts.index(chats[0]) if chats and pa.types.is_list(schema.field(chats[0]).type) else None
        self._fields = Fields(self.texts, captions, {chats[0]} if self._chat is not None else ())
        self._skipped: list[JSON] = list(skipped)

    def key(self, row: int) -> str:
        """The name of a row in its source."""
        return f"{self._shown}/{row:08d}"

    def sample(self, row: int, values: Sequence[Any], cell: Cell) -> RawSample:
        """The sample of one row."""
        key = self.key(row)
        images: tuple[Item, ...] = ()
        texts: list[Item] = []
        rights = self._fields.rights(values)
        meta = self._fields.meta(values)
        if self._skipped:
            meta["other_image_columns"] = self._skipped
        try:
            texts = self._fields.captions(values)
            images = self._images(row, cell)
            chat = None if self._chat is None else values[self._chat]
            if is_conversation(chat):
                said, called = turns(chat, f"{self._uri}: row {row:,}")
                if called not in (0, len(images)):
                    message = f"{self._uri}: row {row:,} has {len(images)} images, its turns call for {called}"
                    raise Refused("decode", message)
                texts += said
        except Refused as refused:
            return RawSample(key, (*images, *texts), rights, meta, refused.failure)
        return RawSample(key, (*images, *texts), rights, meta)

    def _images(self, row: int, cell: Cell) -> tuple[Item, ...]:
        if cell is None:
            if self.image.listed:
                return ()
            raise Refused("io", f"{self._uri}: row {row:,} has no image (column {self.image.name} is null)")
        return tuple(self._item(row, index, *state) for index, state in enumerate(cell))

    def _item(self, row: int, index: int, there: bool, path: str | None) -> Item:
        meta: dict[str, JSON] | None = {"path": path} if path else None
        if there:
            ref = Ref(self._container, self._uri, self.image.member(index), row)
            return Item("image", "image", None, ref, None, None, meta)
        if not path:
            raise Refused("io", f"{self._uri}: row {row:,} has neither bytes nor path (column {self.image.name})")
        folder = self._uri.rpartition("/")[0]
        uri = path if "://" in path or path.startswith("/") else f"{folder}/{path}"
        try:
            file = stat_file(uri if "://" in uri else os.path.normpath(uri))
        except SourceError as error:
            raise Refused("io", str(error)) from error
        if file is None:
            raise Refused("io", f"{uri}: no such file, though {self._uri} row {row:,} names it")
        return Item("image", "image", None, Ref("file", file.uri, None, None, file.size), None, None, meta)


def _image_column(field: pa.Field) -> ImageColumn | None:
    kind: Any = field.type
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if listed:
        kind = kind.value_type
    if _is_binary(kind):
        return ImageColumn(field.name, listed, struct=False, has_path=False)
    if pa.types.is_struct(kind):
        at: Literal[-1] | int = kind.get_field_index("bytes")
        if at >= 0 and _is_binary(kind.field(at).type):
            return ImageColumn(field.name, listed, struct=True, has_path=kind.get_field_index("path") >= 0)
    return None


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _valid(column: pa.Array) -> list[bool]:
    return column.is_valid().to_pylist()
