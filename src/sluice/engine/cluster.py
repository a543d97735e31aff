"""The connection to Ray: one a process, shared by the engines of a run; opened by the first, closed by the last."""

from __future__ import annotations

import importlib
import os
import socket
import time
from typing import Any, Final, Protocol

from sluice.errors import MissingExtraError, RunError
from sluice.table.cores import available_cores

_ANSWER: Final = 5.0  # seconds in which the head of a cluster answers
_LOOK: Final = 2.0  # seconds between two looks at the head and at what the cluster has
_GONE: Final = 10.0  # seconds without an answer after which the head is gone
_STORE: Final = 80 * 2**20  # bytes of Ray's object store on this machine: next to nothing goes through it
_QUIET: Final = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


class Member(Protocol):
    """An engine with workers on the cluster."""

    def dismiss(self) -> None:
        """End its workers."""
        ...


class Cluster:
    """A Ray cluster: at `address`, at that of the environment's RAY_ADDRESS, or started on this machine for us alone.

    `workers` is how many worker processes one that is started has room for.
    """

    def __init__(self, address: str | None, workers: int | None) -> None:
        self.ray = import_ray()
        self._ours = not self.ray.is_initialized()
        if self._ours:
            _connect(self.ray, address or os.environ.get("RAY_ADDRESS"), workers or available_cores())
        host, _, port = self.ray.get_runtime_context().gcs_address.rpartition(":")
        self._head = (host.strip("[]"), int(port))
        self._looked = self._answered = time.monotonic()
        self._asked = (self._looked, True)  # when the head was asked last, and whether it answered
        self.resources: dict[str, float] = self.ray.cluster_resources()  # `CPU`, `GPU`; as of the last look
        self.members: list[Member] = []

    def look(self) -> None:
        """See every now and then whether the cluster is there, and what it has; RunError where its head is gone.

        Asked over a socket of our own: Ray waits a minute for its head, then ends this process without a word.
        """
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return
        self._looked = now
        if self.answers():
            self._answered = time.monotonic()
            self.resources = self.ray.cluster_resources()
        elif now - self._answered > _GONE:
            raise RunError(
                f"the head of the Ray cluster, {self._head[0]}:{self._head[1]}, is gone: start the cluster, then run "
                "again to go on"
            )

    def answers(self) -> bool:
        """Whether the head takes a connection, as of the last second."""
        if time.monotonic() - self._asked[0] > 1.0:
            answered = _answers(*self._head)
            self._asked = (time.monotonic(), answered)
        return self._asked[1]

    def turn_of(self, member: Member) -> None:
        """Have `member` work alone: the workers of others rest, but hold cores and GPUs."""
        for other in self.members:
            if other is not member:
                other.dismiss()

    def leave(self, member: Member) -> None:
        """End the workers of `member`, and the connection with the last; what was started for us ends with it."""
        global _shared
        if member not in self.members:
            return
        member.dismiss()
        self.members.remove(member)
        if not self.members:
            _shared = None
            if self._ours:
                self.ray.shutdown()


_shared: Cluster | None = None  # Ray has one connection in a process


def join(member: Member, address: str | None, workers: int | None) -> Cluster:
    """The cluster that the engines of this process work on, entered by `member`."""
    global _shared
    _shared = _shared or Cluster(address, workers)
    _shared.members.append(member)
    return _shared


def import_ray() -> Any:
    """The package `ray`, or what to do about it."""
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as error:
        raise MissingExtraError("engine: ray", "ray") from error
    if getattr(ray, "__file__", None) is None:  # a folder of that name is on the path, and nothing else
        raise MissingExtraError("engine: ray", "ray")
    if not hasattr(ray, "init"):
        raise RunError(f"{ray.__file__} hides the package `ray`: rename its folder, or run from another one")
    return ray


def _connect(ray: Any, address: str | None, workers: int) -> None:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    common = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address is None or address == "local":
            ray.init(
                address="local",
                num_cpus=workers,
                include_dashboard=False,
                object_store_memory=_STORE,
                _node_ip_address="127.0.0.1",  # nobody else may give it work
                **common,
            )
            return
        if "://" in address:
            raise RunError(f"RAY_ADDRESS is {address}, which is no address of a head: it must be HOST:PORT, or `auto`")
        host, _, port = address.rpartition(":")
        if host and port.isdigit() and not _answers(host.strip("[]"), int(port)):
            raise RunError(f"no Ray cluster answers at {address}: start it (`ray start --head`), or mend `address`")
        ray.init(address=address, **common)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        said = " ".join(str(error).split())
        if address is None or address == "local":
            raise RunError(f"Ray does not start on this machine: {said}") from error
        raise RunError(
            f"cannot join the Ray cluster {address}: {said} (this process must run on a machine of the cluster; if the "
            "cluster asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN)"
        ) from error


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_ANSWER):
            return True
    except OSError:
        return False
