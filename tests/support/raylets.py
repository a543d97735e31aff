"""A Ray cluster of real nodes on this machine, a core each, that a test may kill as a machine dies: all at once."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Any

import pytest

from support.commands import children

_STORE = 80 * 2**20


class Raylets:
    """A head and a second node; `close` kills all."""

    def __init__(self, **head: Any) -> None:
        from ray.cluster_utils import Cluster

        options = {"num_cpus": 1, "object_store_memory": _STORE, "include_dashboard": False, **head}
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)  # tests of models hide GPUs; Ray counts what is shown
            self._cluster: Any = Cluster(True, shutdown_at_exit=False, head_node_args=options)
        self._others: list[Any] = []
        self.grow()

    @property
    def address(self) -> str:
        """HOST:PORT of the head."""
        return self._cluster.address

    @property
    def pids(self) -> list[int]:
        """The raylets, that of the head first."""
        return [_pid(node, "raylet") for node in (self._cluster.head_node, *self._others)]

    def grow(self) -> None:
        """Add a node."""
        self._others.append(self._cluster.add_node(num_cpus=1, object_store_memory=_STORE))

    def kill_node(self, *, machine: bool = True) -> None:
        """The raylet of the node that was added last is gone by SIGKILL, and with the `machine` all that ran there."""
        raylet = _pid(self._others.pop(), "raylet")
        for process in [*(_below(raylet) if machine else ()), raylet]:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def kill_head(self) -> None:
        """The head's machine is gone, with all that ran there."""
        _kill(self._cluster.head_node)

    def close(self) -> None:
        """Kill what is left; Ray's own way waits half a minute for a head that is gone."""
        for node in (*self._others, self._cluster.head_node):
            _kill(node)
        self._others.clear()


def _pid(node: Any, name: str) -> int:
    return node.all_processes[name][0].process.pid


def _kill(node: Any) -> None:
    processes = [info.process for infos in node.all_processes.values() for info in infos]
    for process in processes:
        for below in _below(process.pid):
            with suppress(ProcessLookupError):
                os.kill(below, signal.SIGKILL)
        process.kill()
    for process in processes:
        process.wait()


def _below(pid: int) -> list[int]:
    """The processes that `pid` has started, and those that they have."""
    return [process for child in children(pid) for process in (child, *_below(child))]
