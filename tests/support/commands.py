"""`sluice` commands as processes: started plainly, or forked from a process that has everything imported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
PATIENCE = 180.0  # seconds; far more than anything here takes: a hang is a failed test


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str


def cli(*arguments: str | Path, cwd: Path | str = ".", **options: Any) -> Done:
    """Run `sluice ARGUMENTS` as a process of its own, from the interpreter's start."""
    done = subprocess.run(
        [sys.executable, "-m", "sluice.cli", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        **options,
    )
    return Done(done.returncode, done.stdout, done.stderr)


class Command:
    """A `sluice` command under way; the leader of a process group of its own."""

    def __init__(self, launcher: Launcher, pid: int, out: Path, err: Path) -> None:
        self._launcher, self.pid, self._out, self._err = launcher, pid, out, err
        self._code: int | None = None

    def ended(self) -> bool:
        """Whether it has ended."""
        if self._code is None:
            self._code = self._launcher.ask({"wait": self.pid, "block": False})
        return self._code is not None

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal; nothing happens to one that has ended."""
        if not self.ended():
            os.kill(self.pid, number)

    def kill_group(self, number: int) -> None:
        """Send a signal to all of its group, as a terminal does."""
        if not self.ended():
            os.killpg(self.pid, number)

    def workers(self) -> list[int]:
        """Its child processes that live."""
        return [] if self.ended() else children(self.pid)

    def wait(self) -> Done:
        """What it came to, once it has ended; a hang is an error."""
        deadline = time.monotonic() + PATIENCE
        while not self.ended():
            if time.monotonic() > deadline:
                self.kill_group(signal.SIGKILL)
                raise AssertionError(f"a command hangs; it said: {self._err.read_text()[-2000:]}")
            time.sleep(0.005)
        assert self._code is not None
        return Done(self._code, self._out.read_text(), self._err.read_text())


class Launcher:
    """Forks `sluice` commands from a process that has everything imported."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="sluice-launcher-")
        path = os.pathsep.join([str(TESTS), *filter(None, sys.path)])
        self._process = subprocess.Popen(
            [sys.executable, str(TESTS / "support" / "forkserver.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        self._number = 0

    def ask(self, order: dict[str, Any]) -> Any:
        """One line there, one line back."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(self, *arguments: str | Path, cwd: Path | str = ".", **order: Any) -> Command:
        """Start `sluice ARGUMENTS`; what `order` may hold is said in `forkserver`."""
        self._number += 1
        out, err = (Path(self._folder.name) / f"{self._number}.{name}" for name in ("out", "err"))
        for stream in (out, err):
            stream.touch()  # a command killed in its first instant opens neither
        said = {"argv": [str(part) for part in arguments], "cwd": str(cwd), "out": str(out), "err": str(err)}
        return Command(self, self.ask({**said, **order}), out, err)

    def run(self, *arguments: str | Path, cwd: Path | str = ".", **order: Any) -> Done:
        """Run `sluice ARGUMENTS` to its end."""
        return self.start(*arguments, cwd=cwd, **order).wait()

    def alone(self, *arguments: str | Path, **order: Any) -> Done:
        """Run `sluice ARGUMENTS` in a single process: for what is not about workers."""
        return self.run(*arguments, inline=True, **order)

    def close(self) -> None:
        """End the process that forks."""
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()


def children(pid: int) -> list[int]:
    """The living child processes of `pid`."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(stat.parent.name))
    return sorted(found)


def events(run: Path) -> list[dict[str, Any]]:
    """What `events.jsonl` tells, but for a line that a kill cut off."""
    path = run / "events.jsonl"
    found: list[dict[str, Any]] = []
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def last_events(run: Path) -> list[dict[str, Any]]:
    """The events since the run was last started."""
    found = events(run)
    starts = [place for place, event in enumerate(found) if event["event"] == "run_started"]
    return found[starts[-1] :] if starts else []


def wait_for(command: Command, run: Path, number: int) -> bool:
    """Wait until the run has told `number` events since its start; False if it ended before."""
    path = run / "events.jsonl"
    while not command.ended():
        if path.is_file() and path.read_bytes().count(b"\n") >= number:
            return True
        time.sleep(0.002)
    return False


def named(found: Sequence[dict[str, Any]], name: str) -> Iterator[dict[str, Any]]:
    """The events called `name`."""
    return (event for event in found if event["event"] == name)
