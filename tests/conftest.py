"""What tests of whole runs share: a small corpus, recipes over it, and ways to carry them out."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from support.commands import Launcher
from support.corpus import build_corpus
from support.inline import InlineEngine
from support.recipes import write_recipe

# Read by Ray as it is imported: it tells nobody of its use, and leaves no token in the home folder.
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}

hypothesis.settings.register_profile("sluice", deadline=None)  # timing never decides a test
hypothesis.settings.load_profile("sluice")

# A shell that starts the tests in the background has Ctrl-C ignored by all that they start: those are to hear it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ("support.s3",)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """72 images with sidecars, a third of them with some trouble. Read only: copy it to change it."""
    return build_corpus(tmp_path_factory.mktemp("corpus") / "images")


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    """Starts `sluice` commands in milliseconds."""
    launched = Launcher()
    yield launched
    launched.close()


@pytest.fixture
def recipe(tmp_path: Path, corpus: Path) -> Callable[..., Path]:
    """Write a recipe over the small corpus (or `source`) into `tmp_path`; keyword arguments replace its fields."""

    def written(name: str = "recipe.yaml", *, source: Path = corpus, **changes: Any) -> Path:
        return write_recipe(tmp_path / name, source, **changes)

    return written


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> InlineEngine:
    """From here on `sluice.run` works in this process, without workers and without drawing the report."""
    import sluice.run.conductor as conductor

    engine = InlineEngine()
    monkeypatch.setattr(conductor, "make_engine", lambda file: engine)
    monkeypatch.setattr(conductor, "make_model_engine", lambda file, **_: engine)
    monkeypatch.setattr(conductor, "refresh_report", lambda file, layout: False)
    return engine
