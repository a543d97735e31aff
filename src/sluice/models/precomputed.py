"""Vectors that somebody has computed already, looked up by id, URL or file name: metadata like DataComp's.

    {type: precomputed, path: "metadata/*.parquet", key: uid, image: b32_img, text: b32_txt, name: "CLIP ViT-B/32"}

The keys are a column of Parquet files. The vectors are a column beside it, an array of the `.npz` beside each file
(`0001.parquet`, `0001.npz`), or a `.npy` beside it. Only keys are held in memory, 28 bytes each; vectors are
read where they lie.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Final, Literal, Protocol
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import SluiceError
from sluice.models.base import Identity, Vectors, unit
from sluice.models.config import PrecomputedConfig
from sluice.models.digest import check_hash, content_hash
from sluice.table.arrays import distinct_numbers
from sluice.table.compute import pc

_Numbers = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Found:
    """The vectors of the keys asked for, in their order; NaN where there is none."""

    vectors: Vectors
    missing: tuple[str, ...]  # keys without a vector, in the order asked


class _Shard(Protocol):
    """One file's vectors, by row."""

    def take(self, rows: npt.NDArray[np.int64]) -> _Numbers: ...


class Precomputed:
    """A table of vectors. It encodes nothing: a key that it does not hold is missing, and said so."""

    def __init__(self, config: PrecomputedConfig) -> None:
        self._config = config
        self._files = _files(config)
        self._index = _Index(_read_keys(file, config.key) for file in self._files)
        self._shard: Callable[[Path, str], _Shard] = lru_cache(maxsize=2)(_shard)  # an array of a .npz is held whole
        if config.text is not None and self._index.repeated:
            raise SluiceError(
                f"{config.path}: {self._index.repeated:,} keys in the column {config.key!r} are repeated, so they "
                " do not say which text is meant: choose a column whose values are unique, or leave text: out"
            )
        self.identity: Final = identify(config)
        self.dim: Final[int] = self._dim()

    @property
    def repeated(self) -> int:
        """Rows whose key an earlier row has: the first is taken."""
        return self._index.repeated

    def __len__(self) -> int:
        return self._index.count

    def image_vectors(self, keys: Sequence[str]) -> Found:
        """The vectors of images by key, of length 1."""
        return self._look_up(keys, self._config.image, "image")

    def text_vectors(self, keys: Sequence[str]) -> Found:
        """The vectors of texts by key, of length 1."""
        return self._look_up(keys, self._config.text, "text")

    def _look_up(self, keys: Sequence[str], place: str | None, kind: Literal["image", "text"]) -> Found:
        if place is None:
            raise SluiceError(
                f"{self._config.path}: the configuration does not say where vectors of {kind}s are: {kind}:"
            )
        out = np.full((len(keys), self.dim), np.nan, np.float32)
        files, rows = self._index.find(keys)
        for number in distinct_numbers(files[files >= 0]):
            here = np.flatnonzero(files == number)
            vectors = self._shard(self._files[number], place).take(rows[here])
            if vectors.shape[1] not in (0, self.dim):  # 0: none of these rows has one
                raise SluiceError(
                    f"{self._files[number]}: {place} has {vectors.shape[1]} numbers a row, not {self.dim}"
                )
            if vectors.shape[1]:
                out[here] = unit(vectors)
        absent = np.isnan(out[:, 0])  # a row is a direction, or NaN throughout
        return Found(out, tuple(key for key, gone in zip(keys, absent, strict=True) if gone))

    def _dim(self) -> int:
        place = self._config.image or self._config.text or ""
        for file, length in zip(self._files, self._index.lengths, strict=True):
            # A table may begin with rows that have no vector.
            for row in range(min(length, 1000)):
                if dim := self._shard(file, place).take(np.array([row])).shape[1]:
                    return dim
        raise SluiceError(f"{self._config.path}: {place} holds no vectors")


def identify(config: PrecomputedConfig) -> Identity:
    """Who the vectors are, by what their files hold; these are read once a process, and not kept."""
    places = [place for place in (config.image, config.text) if place is not None]
    parts: dict[str, Path | bytes] = {"places": repr((config.key, *places)).encode()}
    for number, file in enumerate(_files(config)):
        parts[f"{number} keys"] = file
        for place in places:
            if (beside := _beside(file, place)) is not None:
                parts[f"{number} {place}"] = beside
    found = check_hash(content_hash(parts), config.hash, config.path)
    return Identity(config.name, config.revision, found, config.languages)


def _files(config: PrecomputedConfig) -> list[Path]:
    found = [Path(file) for file in sorted(glob.glob(config.path, recursive=True))]  # noqa: PTH207 - the pattern may be absolute
    if not found:
        raise SluiceError(f"{config.path}: there are no such Parquet files")
    return found


class _Index:
    """Where each key is: 128 bits of each key, sorted, and the file and row of it."""

    def __init__(self, keys_of_files: Iterable[Sequence[str | None]]) -> None:
        self.lengths: list[int] = []
        pieces: list[tuple[npt.NDArray[np.void], npt.NDArray[np.int32], npt.NDArray[np.int64]]] = []
        for number, keys in enumerate(keys_of_files):
            stated = np.flatnonzero(np.fromiter((key is not None for key in keys), np.bool_, len(keys)))
            digests = _digests([key for key in keys if key is not None])
            pieces.append((digests, np.full(len(stated), number, np.int32), stated))
            self.lengths.append(len(keys))
        digests, files, rows = (np.concatenate(column) for column in zip(*pieces, strict=True))
        order = np.lexsort((rows, files, digests["low"], digests["high"]))
        digests = digests[order]
        first = np.ones(len(digests), np.bool_)
        first[1:] = digests[1:] != digests[:-1]
        self.repeated = int(len(first) - first.sum())
        self._digests, self._files, self._rows = digests[first], files[order][first], rows[order][first]
        self.count = len(self._digests)

    def find(self, keys: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """File and row of each; -1 where it is unknown."""
        files, rows = np.full(len(keys), -1, np.int64), np.full(len(keys), -1, np.int64)
        wanted = _digests(keys)
        at = np.searchsorted(self._digests["high"], wanted["high"], side="left")
        pending = np.arange(len(keys))
        # Keys whose first 64 bits are equal lie side by side; one round finds all but those that differ after them.
        while len(pending := pending[at[pending] < self.count]):
            there, asked = self._digests[at[pending]], wanted[pending]
            pending, same = pending[there["high"] == asked["high"]], (there == asked)[there["high"] == asked["high"]]
            hits = pending[same]
            files[hits], rows[hits] = self._files[at[hits]], self._rows[at[hits]]
            pending = pending[~same]
            at[pending] += 1
        return files, rows


def _digests(keys: Sequence[str]) -> npt.NDArray[np.void]:
    joined = b"".join(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest() for key in keys)
    return np.frombuffer(joined, np.dtype([("high", "<u8"), ("low", "<u8")]))


def _read_keys(file: Path, column: str) -> list[str | None]:
    try:
        with pq.ParquetFile(file) as opened:
            names: list[str] = opened.schema_arrow.names
            if column not in names:
                raise SluiceError(f"{file}: has no column {column!r}; it has {', '.join(names)}")
            table = opened.read(columns=[column], use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise SluiceError(f"{file}: the keys cannot be read: {error}") from error
    return table.column(column).cast(pa.string()).to_pylist()


def _beside(file: Path, place: str) -> Path | None:
    """The file that holds the vectors, where it is not the table itself."""
    try:
        columns: list[str] = pq.read_schema(file).names
    except (OSError, pa.ArrowException) as error:
        raise SluiceError(f"{file}: cannot be read as Parquet: {error}") from error
    if place in columns:
        return None
    ending = f".{place.removeprefix('.')}" if place.endswith(".npy") else ".npz"
    beside = file.with_name(file.stem + ending)
    if not beside.is_file():
        raise SluiceError(
            f"{file}: has no column {place!r} (it has {', '.join(columns)}), and no {beside.name} beside it"
        )
    return beside


def _shard(file: Path, place: str) -> _Shard:
    beside = _beside(file, place)
    if beside is None:
        return _Columns(file, place)
    try:
        if beside.suffix == ".npy":
            numbers: npt.NDArray[np.generic] = np.load(beside, mmap_mode="r", allow_pickle=False)
        else:
            with np.load(beside, allow_pickle=False) as arrays:
                if place not in arrays:
                    raise SluiceError(f"{beside}: has no array {place!r}; it has {', '.join(arrays.files)}")
                numbers = arrays[place]
    except (OSError, ValueError, BadZipFile) as error:
        raise SluiceError(f"{beside}: cannot be read: {error}") from error
    count = pq.read_metadata(file).num_rows
    if numbers.ndim != 2 or not np.issubdtype(numbers.dtype, np.floating) or len(numbers) != count:
        raise SluiceError(
            f"{beside}: {place} is {numbers.dtype} of shape {numbers.shape}; {file.name} has {count:,} rows, each of "
            "which needs a row of floating-point numbers"
        )
    return _Array(numbers)  # type: ignore[arg-type] - its dtype was checked above


@dataclass(frozen=True)
class _Array:
    numbers: _Numbers

    def take(self, rows: npt.NDArray[np.int64]) -> _Numbers:
        return self.numbers[rows]


class _Columns:
    """A column of lists: the row groups that hold the rows asked for are read, one at a time."""

    def __init__(self, file: Path, column: str) -> None:
        self._file, self._column = file, column
        groups = pq.read_metadata(file)
        lengths = [groups.row_group(number).num_rows for number in range(groups.num_row_groups)]
        self._ends = np.cumsum(lengths)
        kind = pq.read_schema(file).field(column).type
        listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
        if not listed or not pa.types.is_floating(kind.value_type):
            raise SluiceError(f"{file}: the column {column!r} is {kind}, not lists of floating-point numbers")

    def take(self, rows: npt.NDArray[np.int64]) -> _Numbers:
        groups = np.searchsorted(self._ends, rows, side="right")
        out = np.empty((len(rows), 0), np.float32)
        with pq.ParquetFile(self._file) as table:
            for group in sorted(set(groups.tolist())):
                here = np.flatnonzero(groups == group)
                start = int(self._ends[group - 1]) if group else 0
                some = table.read_row_group(group, columns=[self._column], use_threads=False)
                vectors = self._matrix(some.take(pa.array(rows[here] - start)))
                if vectors.shape[1] > out.shape[1]:
                    out = np.pad(out, ((0, 0), (0, vectors.shape[1] - out.shape[1])), constant_values=np.nan)
                out[here, : vectors.shape[1]] = vectors
        return out

    def _matrix(self, table: pa.Table) -> _Numbers:
        """(rows, dim), a null NaN throughout; dim is 0 where there are only nulls."""
        values = table.column(0).combine_chunks()
        stated = values.drop_null()
        lengths: list[int] = pc.unique(pc.list_value_length(stated)).to_pylist()
        if len(lengths) > 1:
            raise SluiceError(
                f"{self._file}: the lists of {self._column!r} have different lengths: {sorted(lengths)[:5]}"
            )
        matrix = np.full((len(values), *lengths) if lengths else (len(values), 0), np.nan, np.float32)
        numbers = pc.list_flatten(stated).cast(pa.float32()).to_numpy(zero_copy_only=False)
        matrix[values.is_valid().to_numpy(zero_copy_only=False)] = numbers.reshape(len(stated), matrix.shape[1])
        return matrix
