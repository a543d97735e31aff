"""The Ray engine: the same units on a cluster, a worker a core or a GPU, on machines that may go away at any time.

A worker is an actor that watches one process (see `host`). It keeps that process, and the model that it has loaded, for
as long as the engine lives. It has one unit in hand, so a machine that is lost costs a unit for each of its workers;
those units go to the workers that are left, before all others. Ray finds places for workers and tells of their deaths.
It does not retry units itself: it would hold one back until a place like the lost one is free.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sluice.engine.base import Outcome, Task
from sluice.engine.cluster import join
from sluice.engine.host import Card, Terms, WorkerHost, package_version
from sluice.engine.slot import TICK
from sluice.engine.trials import TrialQueue, WorkerTrial
from sluice.engine.worker import Reply, Setup
from sluice.errors import RunError

_FAREWELL: Final = 3.0  # seconds for workers to end before they are killed
_ALONE: Final = 600.0  # seconds without any worker, after which the run gives up
_FACT: Final = re.compile(r"[a-z_]+: \S*$")  # `actor_id: 9f2c...`, in what Ray says
_FALSE_STARTS: Final = 10  # workers in a row that die before they can take a task


@dataclass(frozen=True)
class Needs:
    """What a worker takes of its node, and what it must find there."""

    gpus: float = 0.0  # of a node's, for each worker
    one_node: bool = False  # all workers on one: for work that shares more than files
    packages: tuple[str, ...] = ()  # that must have the driver's versions: others would give other bytes
    sees: tuple[str, ...] = ()  # files and folders that must be there
    token: tuple[str, str] | None = None  # a file of the run folder, and what stands in it


@dataclass(frozen=True)
class _Node:
    """A node of the cluster, and what it has (`CPU`, `GPU`)."""

    id: str
    resources: Mapping[str, float]


@dataclass(eq=False)
class _Worker:
    """An actor: starting or being set up as long as it has a call but no trial."""

    actor: Any
    call: Any = None
    node: str = ""  # id of the node that it is on, once it is there
    where: str = ""  # and the name of that machine
    trial: WorkerTrial | None = None


class RayEngine:
    """Workers on the Ray cluster at `address`; without one, on this machine. A context manager that ends them.

    `workers`: how many at most; default: as many as the cluster has cores (or GPUs, for workers that need one), also
    when nodes come later. `seconds` is the time one position may take, `memory` the bytes of data one worker may hold.
    """

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        *,
        seconds: float = 30.0,
        memory: int | None = None,
        needs: Needs | None = None,
    ) -> None:
        self._workers = workers
        self._memory = memory
        self._needs = needs or Needs()
        self._hands: list[_Worker] = []
        self._node: _Node | None = None  # that all workers are on, where one is asked for
        self._false_starts = 0
        self._last_alive = time.monotonic()
        self._cluster = join(self, address, workers)
        self._ray = self._cluster.ray
        asked = self._needs
        self._own = {name: package_version(name) for name in asked.packages}
        self._terms = Terms(seconds, tuple(sys.path), asked.packages, asked.sees, asked.token)
        self._kind = self._ray.remote(WorkerHost)
        if asked.gpus and not self._room(self._cluster.resources):
            self.close()
            raise RunError(
                "the recipe asks for a model on `cuda`, and no node of the Ray cluster has a GPU: say `device: cpu`, "
                "or start its nodes with `ray start --num-gpus`"
            )

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def size(self) -> int:
        """How many workers there are to be, of what the cluster has now."""
        if self._node:
            room = self._room(self._node.resources)
            return min(self._workers or room, room)
        return self._workers or max(1, self._room(self._cluster.resources))

    def _room(self, resources: Mapping[str, float]) -> int:
        """How many workers find room in `resources`."""
        gpus = self._needs.gpus
        return int(resources.get("GPU", 0) / gpus if gpus else resources.get("CPU", 0))

    def close(self) -> None:
        """End the workers, whatever they have in hand; leave the cluster where no other engine needs it."""
        self._cluster.leave(self)

    def warm(self, function: str) -> None:
        """Ask for the workers and have them import `function`, while this process does something else."""
        self._hire(self.size, Setup(function, None, self._memory))

    def renew(self, function: str) -> None:
        """Nothing: a node has room for a worker's modules, and none to wait for another one."""

    def release(self) -> None:
        """Nothing: Ray's workers take none of this process's room, and take seconds to come back."""

    def run(self, function: str, shared: Any, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Yield an outcome for each task as it ends. Left early, the tasks in hand are dropped."""
        self._cluster.turn_of(self)
        setup = Setup(function, shared, self._memory)
        for worker in self._hands:
            worker.call = worker.actor.set_up.remote(setup)
        self._last_alive = time.monotonic()
        try:
            yield from self._supervise(TrialQueue(tasks, ahead=self.size), setup)
            for worker in self._hands:
                worker.actor.rest.remote()
        finally:
            for worker in [worker for worker in self._hands if worker.trial]:
                self._let_go(worker)

    def _supervise(self, queue: TrialQueue, setup: Setup) -> Iterator[Outcome]:
        while True:
            idle = [worker for worker in self._hands if not worker.call]
            for worker, trial in zip(idle, queue, strict=False):
                worker.trial, worker.call = trial, worker.actor.work.remote(trial)
            more = queue.look_ahead()  # which may take a while: nobody waits for it meanwhile
            if not len(queue) and not any(worker.trial for worker in self._hands):
                return
            coming = sum(not worker.trial for worker in self._hands)
            self._hire(min(self.size - len(self._hands), len(queue) - coming), setup)
            calls = {worker.call: worker for worker in self._hands if worker.call}
            ended, _ = self._ray.wait(list(calls), timeout=0 if more else TICK)
            for call in ended:
                if outcome := self._take(calls[call], queue):
                    yield outcome
            self._look_after(queue)

    def _take(self, worker: _Worker, queue: TrialQueue) -> Outcome | None:
        """The outcome of the call that has ended, if it is one of a task and its worker lives."""
        trial = worker.trial
        try:
            said: Card | Reply = self._ray.get(worker.call)
        except self._ray.exceptions.RayError as error:
            self._bury(worker, error, queue)
            return None
        worker.call = worker.trial = None
        self._last_alive = time.monotonic()
        if isinstance(said, Card):
            self._false_starts = 0
            worker.node, worker.where = said.id, f"node {said.node}"
            self._examine(said)
            return None
        if said.error is not None:
            raise said.error
        if said.trace is not None or trial is None:
            raise RuntimeError(said.trace)
        return said.result

    def _bury(self, worker: _Worker, error: Exception, queue: TrialQueue) -> None:
        """A worker is gone, most likely with its node: others do again what it had in hand."""
        self._let_go(worker)
        if getattr(error, "actor_init_failed", False) or isinstance(error, self._ray.exceptions.RayTaskError):
            said = _last_line(error)
            raise RunError(f"a worker on the Ray cluster failed: {said} (is Sluice installed on that node?)") from error
        if worker.trial:
            trial, worker.trial = worker.trial, None
            trial.lose(f"the worker on {worker.where} went away: {_cause(error)}")
            queue.put_back(trial)
        elif not worker.node:
            self._false_starts += 1
            if self._false_starts > _FALSE_STARTS + 2 * self.size:  # two nodes may be lost as all of theirs start
                raise RunError(f"workers die as they start on the Ray cluster: {_cause(error)}")

    def _look_after(self, queue: TrialQueue) -> None:
        """Notice a head that is gone, nodes that have come, and that nobody works."""
        self._cluster.look()
        queue.ahead = self.size
        if any(worker.trial for worker in self._hands):
            self._last_alive = time.monotonic()
        elif time.monotonic() - self._last_alive > _ALONE:
            raise RunError(
                f"the Ray cluster has had no room for a worker for {_ALONE:g} s: are other jobs on it, or have all of "
                "its nodes gone? Run again to go on"
            )

    def _hire(self, number: int, setup: Setup) -> None:
        """Ask Ray for so many workers more; it starts them where and when there is room."""
        place: dict[str, Any] = {}
        if self._needs.one_node and number > 0:
            self._node = self._one_node()
            if self._node:
                affinity = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
                place = {"scheduling_strategy": affinity(self._node.id, soft=False)}
                number = min(number, self.size - len(self._hands))
            else:
                number = int(not self._hands)  # where the first finds room, the others follow
        for _ in range(number):
            options = {"num_cpus": 1, "num_gpus": self._needs.gpus, "max_restarts": 0, **place}
            worker = _Worker(self._kind.options(**options).remote(self._terms))
            worker.call = worker.actor.set_up.remote(setup)
            self._hands.append(worker)

    def _one_node(self) -> _Node | None:
        """The node that all workers are on: the driver's; with GPUs, that which has most. None: none has room."""
        alive = {node["NodeID"]: node["Resources"] for node in self._ray.nodes() if node["Alive"]}
        if self._node and self._node.id in alive:
            return self._node
        first = next((worker.node for worker in self._hands if worker.node in alive), None)
        here = first or self._ray.get_runtime_context().get_node_id()
        nodes = [_Node(name, resources) for name, resources in alive.items() if self._room(resources)]
        most = bool(self._needs.gpus)
        return max(
            nodes,
            key=lambda node: (node.id == first, most and self._room(node.resources), node.id == here, node.id),
            default=None,
        )

    def _examine(self, card: Card) -> None:
        """Refuse a worker that would give other bytes, or that does not see what it is to work on."""
        if card.unseen:
            raise RunError(
                f"node {card.node} of the Ray cluster does not see {card.unseen}: the recipe's files and the run "
                "folder must lie under the same path on every node (a shared file system)"
            )
        for name, own in self._own.items():
            if card.packages[name] != own:
                raise RunError(
                    f"node {card.node} of the Ray cluster has {name} {card.packages[name]} and this machine {own}: "
                    "the bytes might differ; install the same versions on all nodes"
                )

    def _let_go(self, worker: _Worker) -> None:
        """End a worker at once."""
        self._hands.remove(worker)
        if self._cluster.answers():
            self._ray.kill(worker.actor)

    def dismiss(self) -> None:
        """End all workers; those that have nothing in hand leave nothing behind."""
        if not self._hands:
            return
        if self._cluster.answers():
            with contextlib.suppress(self._ray.exceptions.RayError):
                leaving = [worker.actor.close.remote() for worker in self._hands if not worker.call]
                if leaving:
                    self._ray.wait(leaving, num_returns=len(leaving), timeout=_FAREWELL)
            for worker in self._hands:
                self._ray.kill(worker.actor)
        self._hands.clear()
        self._node = None


def _cause(error: Exception) -> str:
    """What a worker died of, in a line of what Ray tells in many."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines[1:] if not _FACT.match(line)]
    return (said or lines)[0]


def _last_line(error: Exception) -> str:
    return [line.strip() for line in str(error).splitlines() if line.strip()][-1]
