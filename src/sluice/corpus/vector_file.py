"""Vectors that lie one after the other in a file, taken as they are needed."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sluice.corpus.hamming import Indices


class VectorFile:
    """Float16 vectors in a file; what was read of it is not kept in memory."""

    def __init__(self, path: Path, rows: int, dim: int) -> None:
        self._shape = (rows, dim)
        self._file = path.open("rb")
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) if rows and dim else None

    def __len__(self) -> int:
        return self._shape[0]

    def take(self, rows: Indices) -> npt.NDArray[np.float16]:
        """The vectors in `rows`, as (rows, dim)."""
        if self._map is None:
            return np.zeros((len(rows), self._shape[1]), np.float16)
        taken = np.frombuffer(self._map, np.float16).reshape(self._shape)[rows]
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)  # pages of a file: they can be read again
        return taken

    def close(self) -> None:
        """Close the file."""
        if self._map is not None:
            self._map.close()
        self._file.close()
