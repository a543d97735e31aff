"""What one medium may cost before and while it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Limits:
    """Bounds on one medium; past them a sample fails as `too_large` or `timeout`, and the run goes on."""

    pixels: int = 128_000_000  # width x height, from the header, before anything is decoded
    bytes: int = 128 * 2**20  # of the encoded file
    ratio: float = 2_000.0  # decoded / encoded bytes, from 16 MiB decoded on (a blank 8-bit PNG reaches 1,000)
    seconds: float = 30.0  # for one sample, all its measures together; kept by the supervisor of the worker
    memory: int = 2 * 2**30  # bytes of data a worker may hold (RLIMIT_DATA)
    truncated: Literal["fail", "decode"] = "fail"  # `decode`: take what is there of a cut file
