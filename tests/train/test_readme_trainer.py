"""The trainer of the README, from its own text: killed at random, it goes on to the same losses. Needs torch."""

# pyright: reportMissingImports=false

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'sluice[train]'")
pytest.importorskip("onnx", reason="reading the built-in encoder needs onnx: pip install 'sluice[train]'")

ROOT = Path(__file__).resolve().parents[2]
KILLS = 5


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what `sluice demo` leaves, of 200 samples: some 140 are packed, 5 steps an epoch."""
    folder = tmp_path_factory.mktemp("demo")
    subprocess.run(
        [sys.executable, "-m", "sluice.cli", "demo", "--count", "200"], cwd=folder, check=True, capture_output=True
    )
    return folder


def trainer() -> str:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r'^```python title="train.py"\n(.*?)^```', page, re.MULTILINE | re.DOTALL)
    return code


def started(demo: Path, folder: Path) -> subprocess.Popen[str]:
    """The trainer in `folder`, beside the demo."""
    if not folder.exists():
        folder.mkdir()
        (folder / "demo").symlink_to(demo / "demo")
        (folder / "train.py").write_text(trainer(), encoding="utf-8")
    return subprocess.Popen([sys.executable, "train.py"], cwd=folder, stdout=subprocess.PIPE, text=True)


def losses(printed: list[str]) -> dict[tuple[int, int], str]:
    """The loss of each epoch and step, every digit of it; a step that was taken twice has had the same one twice."""
    found: dict[tuple[int, int], str] = {}
    for line in printed:
        epoch, step, loss = line.split()
        assert found.setdefault((int(epoch), int(step)), loss) == loss, f"step {step} of epoch {epoch}"
    return found


@pytest.mark.slow
def test_killed_at_random_it_reaches_the_same_losses_to_the_last_digit(demo: Path, tmp_path: Path) -> None:
    alone = started(demo, tmp_path / "alone")
    undisturbed = alone.communicate()[0].splitlines()
    assert alone.returncode == 0 and len(losses(undisturbed)) == len(undisturbed) >= 12
    of_epochs = [
        [float(loss) for (epoch, _), loss in losses(undisturbed).items() if epoch == number] for number in range(3)
    ]
    assert np.mean(of_epochs[2]) < 0.9 * np.mean(of_epochs[0])  # it learns

    chance = random.Random(os.urandom(8))
    printed: list[str] = []
    kills = 0
    while True:
        process = started(demo, tmp_path / "killed")
        assert process.stdout is not None
        patience = chance.randrange(1, 8)  # steps; a checkpoint comes every 5
        for line in process.stdout:
            printed.append(line.strip())
            patience -= 1
            if kills < KILLS and not patience:
                process.kill()
                kills += 1
        if process.wait() == 0:
            break
        assert process.returncode == -9
    assert losses(printed) == losses(undisturbed)
    assert kills > 1 and len(printed) > len(undisturbed)  # steps were taken again
    ended, killed = (torch.load(tmp_path / name / "encoder.pt") for name in ("alone", "killed"))
    assert ended["data"] == killed["data"]
    assert all(torch.equal(weight, killed["model"][name]) for name, weight in ended["model"].items())


def test_it_takes_about_twenty_plain_lines() -> None:
    code = [line for line in trainer().splitlines() if line and not line.startswith(("import", "from"))]
    assert len(code) <= 20
