"""A worker of the Ray engine, on whatever node Ray has put it: it watches a process as the local engine would.

The process is this machine's own, not Ray's: it journals what it has in hand, so that a medium that kills it or hangs
is found and named on the node where it did, and neither Ray nor the driver hears more of it than the outcome. What the
process works on, it reads by ref and writes as files; this worker carries numbers and names.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import wait
from pathlib import Path
from typing import Final

from sluice.engine.cluster import import_ray
from sluice.engine.slot import TICK, WorkerSlot
from sluice.engine.trials import WorkerTrial
from sluice.engine.worker import Reply, Setup
from sluice.errors import SluiceError

_PATIENCE: Final = 30.0  # seconds: what one machine has written, another may see later on a network file system


@dataclass(frozen=True)
class Terms:
    """What every worker of an engine must hold to."""

    seconds: float  # that one position may take
    imports: tuple[str, ...]  # folders that the driver imports from
    packages: tuple[str, ...]  # whose versions decide on bytes
    sees: tuple[str, ...]  # files and folders that all must see
    token: tuple[str, str] | None  # a file, and what is written in it: that it is the same folder, not one of its name


@dataclass(frozen=True)
class Card:
    """Who a worker is."""

    id: str  # of the node that it is on
    node: str  # the name of that machine
    packages: dict[str, str]  # versions of those that the terms name
    unseen: str | None  # what it does not see, first of all


class WorkerHost:
    """The actor. Ray runs its methods one after the other, in the main thread, which its process lives as long as."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._folder = tempfile.TemporaryDirectory(prefix="sluice-journal-")
        self._slot = WorkerSlot(Path(self._folder.name) / "journal", imports=_imports(terms.imports))

    def set_up(self, setup: Setup) -> Card:
        """Say what every task from here on runs; who the worker is."""
        self._slot.set_up(setup)
        packages = {name: package_version(name) for name in self._terms.packages}
        node = import_ray().get_runtime_context().get_node_id()
        return Card(node, platform.node(), packages, _unseen(self._terms))

    def work(self, trial: WorkerTrial) -> Reply:
        """Do a task, however many processes it takes."""
        try:
            self._slot.give(trial)
            while True:
                ready = bool(wait([self._slot.connection], timeout=TICK))
                if outcome := self._slot.look(ready=ready, seconds=self._terms.seconds):
                    return Reply(outcome)
        except SluiceError as error:
            self._slot.trial = None
            return Reply(error=error)
        except Exception as error:  # the driver raises it, with the trace of the process that it is of
            self._slot.trial = None
            return Reply(trace=str(error) if isinstance(error, RuntimeError) else traceback.format_exc())

    def rest(self) -> None:
        """Let go of what the tasks that are done have left."""
        self._slot.rest()

    def close(self) -> None:
        """End the process and leave no file."""
        self._slot.kill()
        self._slot.close()
        self._folder.cleanup()


def _imports(wanted: Sequence[str]) -> list[str]:
    """This node's own folders to import from, without those of Ray's inside, and after them the driver's."""
    inside = [path for path in sys.path if f"{os.sep}ray{os.sep}" in f"{path}{os.sep}" and "site-packages" in path]
    own = [path for path in sys.path if path and path not in inside]
    return own + [path for path in wanted if path and path not in own and Path(path).exists()]


def package_version(package: str) -> str:
    """The version of an installed package; `none` where it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _unseen(terms: Terms) -> str | None:
    """What this node does not see."""
    for path in terms.sees:
        if not Path(path).exists():
            return path
    if terms.token:
        path, text = terms.token
        deadline = time.monotonic() + _PATIENCE
        while not _holds(Path(path), text):
            if time.monotonic() > deadline:
                return str(Path(path).parent)
            time.sleep(0.1)
    return None


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text() == text
    except OSError:
        return False
