"""The pages of the documentation as what they show: commands that run, and what they print.

In a page, ```bash and ```python blocks are run from top to bottom in one folder, and a ```text block right below one
is what it prints. `python tests/support/pages.py docs/guide.md` runs a page and writes anew what it shows.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_STEP = re.compile(
    r"^```(?P<language>bash|python)\n(?P<code>.*?)^```\n(?:\n```text\n(?P<shown>.*?)^```\n)?", re.MULTILINE | re.DOTALL
)
_PROGRESS = re.compile(r"^  (measure|pack): .*\n", re.MULTILINE)  # how fast it was is no part of what is shown
_WORD = re.compile(r"[^\W\d_][^\W\d_]{3,}")
_PLACE = "/data"  # stands for the folder that a page was played in
PATIENCE = 300.0  # seconds; a hang is a failed test


@dataclass(frozen=True)
class Step:
    """A block that runs, and what the page says it prints."""

    language: str
    code: str
    shown: str | None


@dataclass(frozen=True)
class Played:
    """A step after it ran."""

    step: Step
    code: int
    out: str

    @property
    def untrue(self) -> set[str]:
        """Words that the page shows and the step does not print; numbers and ids may differ."""
        return set(_WORD.findall(self.step.shown or "")) - set(_WORD.findall(self.out))


def steps(page: str) -> list[Step]:
    """The blocks of `page` that run.

    >>> steps("```bash\\necho hello\\n```\\n\\n```text\\nhello\\n```\\n")
    [Step(language='bash', code='echo hello\\n', shown='hello\\n')]
    """
    return [Step(**found.groupdict()) for found in _STEP.finditer(page)]


def play(page: str, folder: Path) -> Iterator[Played]:
    """Run the steps of `page` in `folder`; stops after one that fails."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for step in steps(page):
        command = ["bash", "-euc"] if step.language == "bash" else [sys.executable, "-c"]
        done = subprocess.run(
            [*command, step.code],
            cwd=folder,
            env={**os.environ, "PATH": path, "COLUMNS": "100", "PYTHONWARNINGS": "ignore"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        yield Played(step, done.returncode, _PROGRESS.sub("", done.stdout).replace(str(folder), _PLACE))
        if done.returncode:
            return


def refreshed(page: str, folder: Path) -> str:
    """`page`, showing what its steps print now."""
    for played in play(page, folder):
        if played.code:
            raise SystemExit(f"exit code {played.code}:\n{played.step.code}{played.out}")
        if played.step.shown is not None:
            block = f"```{played.step.language}\n{played.step.code}```\n\n```text\n"
            lines = "".join(f"{line.rstrip()}\n" for line in played.out.strip("\n").split("\n"))
            page = page.replace(f"{block}{played.step.shown}", f"{block}{lines}", 1)
    return page


def main(arguments: list[str]) -> None:
    """Refresh the pages named, each in a folder of its own."""
    for name in arguments:
        path = Path(name)
        page = path.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            path.write_text(refreshed(page, Path(folder).resolve()), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
