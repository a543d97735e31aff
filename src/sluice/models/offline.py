"""No model comes over the network unless it was asked for, and then it says so first."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sluice.errors import SluiceError
from sluice.models.extras import optional

Say = Callable[[str], None]

_SWITCHES: Final = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def say(sentence: str) -> None:
    """To the person at the terminal."""
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201 - what the command prints, not what it gives


@contextmanager
def network(allowed: bool) -> Generator[None]:
    """Within, the Hugging Face libraries ask the hub only where `allowed`; a user's own offline mode stays.

    They read the variables once, when first imported, so both the variables and what was read are set. Not for
    threads that load several models at a time.
    """
    if allowed:
        yield
        return
    before = {name: os.environ.get(name) for name in _SWITCHES}
    os.environ.update(dict.fromkeys(_SWITCHES, "1"))
    constants: Any = optional("huggingface_hub.constants", "a model by its name", "transformers")
    switched = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = switched
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def cached(name: str, file: str, revision: str | None) -> Path | None:
    """A file of a model of the hub that an earlier download left on this machine; its folder is named by the commit."""
    hub = optional("huggingface_hub", "a model by its name", "transformers")
    errors = optional("huggingface_hub.errors", "a model by its name", "transformers")
    try:
        found: object = hub.try_to_load_from_cache(name, file, revision=revision)
    except errors.HFValidationError as error:
        raise SluiceError(f"name {name!r} is no name on the hub: {error}; a folder is given as path:") from error
    return Path(found) if isinstance(found, str) else None  # else: unknown, or known to be absent from the model


def missing(name: str, command: str) -> SluiceError:
    """What to say where a model is not on this machine and may not be downloaded."""
    return SluiceError(
        f"{name} is not on this machine, and nothing is downloaded unasked: run {command}, or write download: true, "
        "or give the folder as path:"
    )
