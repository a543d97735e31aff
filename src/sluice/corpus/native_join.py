"""The native join of hashes (`native/hamming.c`) with its threads, its bands, its progress and its batches of pairs.

Its work falls into pieces: the pairs whose first block in common is a given one, of those hashes whose value there
lies in a given band. Each piece copies the hashes of its band and leaves the rest where they are, so more bands need
less memory, and hashes on disk (a memory map) are read band by band. Pairs come in batches, in no order.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sluice.corpus.blocks import Hashes
from sluice.corpus.tree_plan import TreePlan
from sluice.native.calling import NUMBER, POINTER, SIZE, WORD, address, bound
from sluice.table.arrays import distinct_numbers

Take = Callable[[Hashes, Hashes, npt.NDArray[np.uint16]], None]
"""What is done with a batch: the names of the first, of the second, and their distances in bits."""
Progress = Callable[[float], None]
"""Told now and then which share of the work is done."""

_ROOM: Final = 65_536  # pairs of a batch
_FEW: Final = 20_000  # hashes: fewer are not worth a second thread
_POLL: Final = 0.2  # seconds
_OUT_OF_MEMORY: Final = -1


class _Block(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("offset", "shift", "width", "digit")]


_FLUSH: Final = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_size_t)


class _Join(ctypes.Structure):
    """`struct hamming_join`."""

    _fields_ = [
        *((name, ctypes.c_uint32) for name in ("words", "stride", "distance", "blocks", "wide", "agree")),
        ("block", ctypes.POINTER(_Block)),
        ("pairs", ctypes.c_void_p),
        ("distances", ctypes.c_void_p),
        ("room", ctypes.c_size_t),
        ("count", ctypes.c_size_t),
        ("flush", _FLUSH),
        ("stop", ctypes.c_void_p),
        ("done", ctypes.c_void_p),
        ("compared", ctypes.c_uint64),
        ("moved", ctypes.c_uint64),
        ("decided", ctypes.c_uint32),
        ("agreed", ctypes.c_uint32),
        ("sharing", ctypes.c_uint32 * 8),
    ]


_JOIN: Final = ctypes.POINTER(_Join)
_hamming_wide: Final = bound("hamming_wide", gives=NUMBER)
_hamming_spread: Final = bound("hamming_spread", POINTER, SIZE, WORD, POINTER, POINTER, WORD, SIZE, gives=NUMBER)
_hamming_count: Final = bound("hamming_count", _JOIN, POINTER, SIZE, WORD, POINTER)
_hamming_join: Final = bound("hamming_join", _JOIN, POINTER, SIZE, POINTER, SIZE, WORD, WORD, WORD, gives=NUMBER)


@dataclass(frozen=True)
class Work:
    """What a join took: pairs looked at, and hashes copied from one place to another."""

    compared: int
    moved: int


def has_wide() -> bool:
    """Whether this processor counts bits in 512-bit registers."""
    kernel = _hamming_wide()
    return kernel is not None and bool(kernel())


def spread(hashes: Hashes, order: npt.NDArray[np.uint32], out: Hashes | None = None, *, named: bool = False) -> Hashes:
    """Rows of words with bit `order[i]` at place i; `named` ones hold their row behind it, as one word more."""
    count, words = hashes.shape
    stride = words + named
    out = np.empty((count, stride), np.uint64) if out is None else out
    kernel = _hamming_spread()
    assert kernel is not None
    if kernel(address(hashes), count, words, address(order), address(out), stride, 0):
        raise MemoryError
    return out


def join(
    hashes: Hashes,
    reference: Hashes | None,
    chosen: TreePlan,
    distance: int,
    take: Take,
    *,
    threads: int = 1,
    bands: int = 1,
    wide: bool | None = None,
    progress: Progress | None = None,
) -> Work:
    """Give `take` all pairs within `distance` of `hashes`, or of one of them and one of `reference`, each once.

    Both were `spread` in the plan's order. A pair is told by the last words of its two. `take` is called by one thread
    at a time; what it raises ends the join and is raised here.
    """
    run = _Run(hashes, reference, chosen, distance, take, has_wide() if wide is None else wide)
    pieces = run.pieces(max(bands, -(-threads // 2) if len(hashes) > _FEW else 1))
    with ThreadPoolExecutor(max(1, min(threads, len(pieces)))) as pool:
        waiting: set[Future[None]] = {pool.submit(run.carry_out, place, piece) for place, piece in enumerate(pieces)}
        try:
            while waiting:
                finished, waiting = wait(waiting, _POLL, FIRST_COMPLETED)
                for future in finished:
                    future.result()
                if progress and waiting:
                    progress(run.share_done(pieces))
        finally:
            run.stop[0] = 1  # after Ctrl-C or a failure: what still goes on ends at its next node
            for future in waiting:
                future.cancel()
    return Work(run.compared, run.moved)


@dataclass(frozen=True)
class _Piece:
    block: int
    low: int
    high: int
    hashes: int
    nanoseconds: float


class _Run:
    """One join and what its threads share."""

    def __init__(
        self, hashes: Hashes, reference: Hashes | None, chosen: TreePlan, distance: int, take: Take, wide: bool
    ) -> None:
        self._hashes, self._reference, self._chosen = hashes, reference, chosen
        self._distance, self._take, self._wide = distance, take, wide
        self._places = chosen.places()
        self._blocks = (_Block * len(self._places))(*self._places)
        self._lock = threading.Lock()
        self._done = np.zeros(0, np.uint64)
        self.stop = np.zeros(1, np.int32)
        self.compared = self.moved = 0

    def pieces(self, bands: int) -> list[_Piece]:
        """The work in pieces, the longest first, in `bands` of about equally many hashes for each first block."""
        pieces: list[_Piece] = []
        for block, nanoseconds in zip(self._chosen.starts, self._chosen.nanoseconds, strict=True):
            edges, sizes = self._edges(block, bands)
            total = max(1, sum(sizes))
            for low, high, size in zip(edges[:-1], edges[1:], sizes, strict=True):
                pieces.append(_Piece(block, low, high, size, nanoseconds * size / total))
        self._done = np.zeros(len(pieces), np.uint64)
        return sorted(pieces, key=lambda piece: -piece.nanoseconds)

    def _edges(self, block: int, bands: int) -> tuple[list[int], list[int]]:
        """Where each band of the first digit begins, the end of the last; and how many hashes each holds."""
        _, _, width, digit = self._places[block]
        values = 1 << min(width, digit)
        total = len(self._hashes) + (0 if self._reference is None else len(self._reference))
        if bands <= 1:
            return [0, values], [total]
        kernel = _hamming_count()
        assert kernel is not None
        counts = np.zeros(values, np.uint64)
        for side in (self._hashes, self._reference):
            if side is not None:
                kernel(ctypes.byref(self._struct(0)), address(side), len(side), block, address(counts))
        before = np.concatenate([[0], np.cumsum(counts.astype(np.int64))])
        inner = np.searchsorted(before, np.arange(1, bands) * total / bands)
        edges = distinct_numbers([0, *inner.tolist(), values])
        return edges.tolist(), np.diff(before[edges]).tolist()

    def _struct(self, place: int) -> _Join:
        made = _Join()
        made.words, made.stride, made.distance = self._chosen.words, self._hashes.shape[1], self._distance
        made.blocks, made.agree, made.wide = len(self._places), self._chosen.agree, self._wide
        made.block = self._blocks
        made.stop = address(self.stop)
        made.done = address(self._done) + 8 * place if self._done.size else None
        return made

    def carry_out(self, place: int, piece: _Piece) -> None:
        """Find the pairs of one piece."""
        pairs, distances = np.empty((_ROOM, 2), np.uint64), np.empty(_ROOM, np.uint16)
        raised: list[BaseException] = []

        def flush(count: int) -> int:
            with self._lock:
                if self.stop[0]:
                    return 1
                try:
                    self._take(pairs[:count, 0].copy(), pairs[:count, 1].copy(), distances[:count].copy())
                except BaseException as error:
                    self.stop[0] = 1  # here, not by the one who waits: by then others would have taken batches
                    raised.append(error)
                return len(raised)

        made = self._struct(place)
        made.pairs, made.distances, made.room = address(pairs), address(distances), _ROOM
        made.flush = _FLUSH(flush)
        kernel, others = _hamming_join(), self._reference
        assert kernel is not None
        reference = (None, 0) if others is None else (address(others), len(others))
        sides = address(self._hashes), len(self._hashes), *reference
        code = kernel(ctypes.byref(made), *sides, piece.block, piece.low, piece.high)
        with self._lock:
            self.compared += made.compared
            self.moved += made.moved
        if raised:
            raise raised[0]
        if code == _OUT_OF_MEMORY:
            raise MemoryError

    def share_done(self, pieces: list[_Piece]) -> float:
        """By the time that the plan expects of each piece."""
        done = sum(
            piece.nanoseconds * min(1.0, count / max(1, piece.hashes))
            for piece, count in zip(pieces, self._done.tolist(), strict=True)
        )
        return done / max(1e-9, sum(piece.nanoseconds for piece in pieces))
