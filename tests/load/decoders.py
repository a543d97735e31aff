"""Decoders that do harm at one sample: what worker processes of the loader must survive."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sluice.errors import SampleFailure
from sluice.load.reading import Sample


@dataclass(frozen=True)
class Harm:
    """A small array made of a sample's bytes; `how` says what comes of the sample `id`, and `mark` notes each try."""

    id: str = ""
    how: str = ""
    mark: Path | None = None

    def __call__(self, sample: Sample) -> tuple[str, npt.NDArray[np.uint8]]:
        if sample.id == self.id and self._does_harm():
            match self.how:
                case "segfault":
                    os.kill(os.getpid(), signal.SIGSEGV)
                case "hang":
                    time.sleep(600)
                case "fail":
                    raise SampleFailure("decode", "made to fail")
                case "bug":
                    raise ZeroDivisionError("made to fail")
                case _:
                    os.kill(os.getpid(), signal.SIGKILL)
        return sample.id, np.frombuffer(sample.images[0][:300], np.uint8).copy()

    def _does_harm(self) -> bool:
        if self.mark is None:
            return True
        tries = len(self.mark.read_text()) if self.mark.exists() else 0
        self.mark.write_text("x" * (tries + 1))
        return tries == 0 or self.how != "killed once"


def slow(sample: Sample) -> str:
    """The id, after a while."""
    time.sleep(0.02)
    return sample.id


def large(sample: Sample) -> npt.NDArray[np.uint8]:
    """Far more than a slot has room for at first."""
    return np.full(3 * 2**20, sample.images[0][-5], np.uint8)
