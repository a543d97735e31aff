"""Every error Sluice raises on purpose: for the person who must mend it, or recorded for a sample.

A `SluiceError` stops the command with exit code 2 and says what, where and how to mend it.
A `SampleFailure` never stops anything: it becomes a `failed` row with a class.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

FailureClass = Literal[
    "io",
    "decode",
    "too_large",
    "timeout",
    "crash",
    "model",
    "api",
    # of fetching: what a server answered, what the network did, what may not be fetched
    "http_4xx",
    "http_429",
    "http_5xx",
    "dns",
    "network",
    "redirect",
    "unsafe",
    "robots",
    "optout",
]
FAILURE_CLASSES: Final[tuple[FailureClass, ...]] = get_args(FailureClass)


class SluiceError(Exception):
    """What a user must mend: bad input, a bad recipe, an unusable folder."""

    exit_code: int = 2


class RecipeError(SluiceError):
    """A recipe that cannot run; the message names the file, the line and the field."""


class SourceError(SluiceError):
    """Outside data that is not what the recipe says it is."""


class RunError(SluiceError):
    """A run folder that cannot be used: not a run, taken by another process, full or read-only."""


class MissingExtraError(SluiceError):
    """A feature whose optional dependency is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional package: pip install 'sluice[{extra}]'")


class SampleFailure(Exception):  # noqa: N818 - a recorded fact about data, not a programming error
    """One sample that could not be processed, with the class under which it can be retried.

    >>> str(SampleFailure("decode", "truncated after 312 of 4,096 bytes"))
    'decode: truncated after 312 of 4,096 bytes'
    """

    def __init__(self, failure_class: FailureClass, message: str) -> None:
        super().__init__(f"{failure_class}: {message}")
        self.failure_class: FailureClass = failure_class
        self.message = message
