"""What a person meets first: the commands of the pages run and print what is shown, and links lead somewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sluice.run.conductor import prepare
from sluice.run.recipe import parse_recipe
from sluice.run.recipe_reference import update
from support.pages import play

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
PLAYED = ("docs/guide.md", "docs/ledger.md", "docs/api.md")
_LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAYED)
def test_every_command_of_a_page_runs_and_prints_the_words_that_it_shows(name: str, tmp_path: Path) -> None:
    steps = list(play((ROOT / name).read_text(encoding="utf-8"), tmp_path))
    for played in steps:
        assert played.code == 0, f"{played.step.code}\n{played.out}"
        assert not played.untrue, f"{name}: {played.step.code}\n{played.out}"
    assert any(played.step.shown for played in steps)


@pytest.mark.slow
def test_the_session_of_the_readme_runs(tmp_path: Path) -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8").replace("sluice demo\n", "sluice demo --count 200\n")
    steps = list(play(page, tmp_path))
    assert len(steps) == 3
    assert all(played.code == 0 for played in steps), steps[-1].out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_files_lead_to_files(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [link for link in _LINK.findall(text) if not (page.parent / link).exists()] == []


def test_the_reference_of_the_recipe_is_current() -> None:
    page = (ROOT / "docs/recipe.md").read_text(encoding="utf-8")
    assert update(page) == page, "run: python -m sluice.run.recipe_reference docs/recipe.md"


@pytest.mark.parametrize("page", ["docs/recipe.md", "README.md"])
def test_the_example_recipes_pass_every_check(page: str, tmp_path: Path) -> None:
    blocks = re.findall(r"^```yaml\n((?:sluice|filter):.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        whole = block if block.startswith("sluice") else f"name: x\nsources: [{{type: folder, path: x}}]\n{block}"
        prepare(parse_recipe(whole, tmp_path / "recipe.yaml"))


def test_the_recipes_of_the_safety_page_pass_every_check(tmp_path: Path) -> None:
    page = (ROOT / "docs/safety.md").read_text(encoding="utf-8")
    head = {"format": "sluice-head/1", "name": "x", "revision": "1", "encoder": "ab" * 16, "output": "sigmoid"}
    for name in ("nsfw.npz", "watermark.npz"):
        np.savez(tmp_path / name, head=json.dumps(head), weight_0=np.ones((4, 1)), bias_0=np.ones(1))
    (tmp_path / "words.txt").write_text("a word\n")
    (tmp_path / "optout").mkdir()
    (tmp_path / "optout" / "domains.txt").write_text("example.org\n")
    (tmp_path / "optout" / "portraits.csv").write_text(f"phash\n{'0' * 16}\n")
    blocks = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        whole = block if block.startswith("sluice") else f"name: x\nsources: [{{type: folder, path: x}}]\n{block}"
        prepare(parse_recipe(whole, tmp_path / "recipe.yaml"))


@pytest.mark.parametrize("command", ["import sluice", "from sluice.cli import main; main(['--help'])"])
def test_the_light_things_import_nothing_heavy(command: str) -> None:
    code = f"import atexit, sys; atexit.register(lambda: print(*sys.modules)); {command}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "pyarrow", "duckdb", "PIL", "pydantic", "yaml", "rich", "fsspec", "pandas", "torch", "ray"}
    assert not heavy & set(done.stdout.split())
