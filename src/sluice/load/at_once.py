"""An executor without threads: what is submitted is done in the thread that asks for the result, when it asks."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

_T = TypeVar("_T")


class Here(Executor):
    """Does each thing when its result is wanted.

    >>> later = Here().submit(print, "done")
    >>> later.result()
    done
    """

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """Note what is to be done."""
        return _Later(lambda: fn(*args, **kwargs))


class _Later(Future[_T]):
    def __init__(self, work: Callable[[], _T]) -> None:
        super().__init__()
        self._work = work

    def result(self, timeout: float | None = None) -> _T:
        if self.set_running_or_notify_cancel():
            try:
                self.set_result(self._work())
            except BaseException as error:
                self.set_exception(error)
        return super().result(timeout)
