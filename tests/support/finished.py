"""A finished run, made once for a module and copied for each test that changes it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from support.commands import Launcher
from support.recipes import write_recipe


def finish(folder: Path, corpus: Path, launcher: Launcher, **changes: Any) -> Path:
    """Run a recipe over `corpus` in `folder`; keyword arguments replace its fields. Returns the folder."""
    done = launcher.run("run", write_recipe(folder / "recipe.yaml", corpus, **changes))
    assert done.code == 0, done.err
    return folder


def copy_of(finished: Path, folder: Path) -> Path:
    """The run and its recipe once more, in `folder`; returns the run."""
    shutil.copy(finished / "recipe.yaml", folder / "recipe.yaml")
    return shutil.copytree(finished / "run", folder / "run")
