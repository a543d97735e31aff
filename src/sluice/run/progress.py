"""What a person sees of a run while it goes on: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import IO, Any, Final

from sluice.run.events import Listener
from sluice.wording import counted

_EVERY: Final = 2.0  # seconds between two plain lines of the same stage


def listener_for(stream: IO[str]) -> tuple[Listener, Callable[[], None]]:
    """What to tell events to, and what to call when the run ends, for the terminal or file `stream`."""
    if stream.isatty():
        bars = _Bars(stream)
        return bars.tell, bars.close
    lines = _Lines(stream)
    return lines.tell, lambda: None


def share_told(stream: IO[str], name: str) -> Callable[[float], None]:
    """What to tell the done share of one long piece of work to: a line now and then, with the seconds to go."""
    started = last = time.monotonic()

    def tell(share: float) -> None:
        nonlocal last
        now = time.monotonic()
        if share > 0 and now - last > _EVERY:
            last = now
            print(f"  {name}: {_so_far(share, now - started)}", file=stream, flush=True)

    return tell


def _so_far(share: float, seconds: float) -> str:
    """The share that is done as a percentage, with the seconds to go if it goes on like this."""
    return f"{share:.0%}, {seconds / share * (1 - share):,.0f} s to go"


class _Tally:
    """Counts of the work under way, from its events."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.done = self.todo = self.samples = self.failed = self.bytes = 0

    def take(self, event: dict[str, Any]) -> None:
        """Count one finished unit or shard."""
        self.done += 1
        self.samples += event.get("samples", 0)
        self.failed += event.get("failed", 0)
        self.bytes += event.get("bytes", 0)

    @property
    def rate(self) -> float:
        """Samples a second."""
        return self.samples / max(1e-6, time.monotonic() - self.started)

    @property
    def left(self) -> float | None:
        """Seconds to go, if it goes on like this; None as long as nobody knows how much there is."""
        pace = (time.monotonic() - self.started) / max(1, self.done)
        return pace * (self.todo - self.done) if self.todo else None


def _begun(event: dict[str, Any]) -> tuple[str, int] | None:
    """What starts with this event, if it is work that comes in pieces: its name and their number, 0 if unknown."""
    names = {
        "fetching": "fetch",
        "measuring": "measure",
        "embedding": "embed",
        "scoring": "score",
        "captioning": "caption",
        "detecting": "detect",
        "packing": "pack",
    }
    return (names[event["event"]], event.get("missing", 0)) if event["event"] in names else None


def _counts(event: dict[str, Any]) -> str:
    """The counts of a finished stage as a sentence."""
    parts = [f"{event['kept']:,} of {event['in']:,} kept"] if "in" in event else []
    parts += [f"{event[name]:,} {name}" for name in ("rejected", "held", "failed") if event.get(name)]
    return ", ".join(parts)


def _encoder(event: dict[str, Any]) -> str:
    """Which encoder judges; one that knows a small world only says so each time."""
    world = f": it knows {event['world']}, and nothing else" if event["world"] else ""
    return f"encoder {event['name']} {event['revision']}{world}"


class _Lines:
    """A line when something ends, and one every few seconds in between."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._tally = _Tally()
        self._name = ""
        self._last = 0.0

    def tell(self, event: dict[str, Any]) -> None:
        begun = _begun(event)
        if begun:
            self._tally = _Tally()
            self._name, self._tally.todo = begun
        elif event["event"] == "units_known":
            self._tally.todo = event["missing"]
        elif event["event"] in ("unit_measured", "shard_written", "fetched"):
            self._tally.take(event)
            now = time.monotonic()
            if now - self._last > _EVERY or self._tally.done == self._tally.todo:
                self._last = now
                self._print(f"  {self._name}: {self._progress()}")
        elif event["event"] == "comparing" and event["share"]:
            self._print(f"  compare: {_so_far(event['share'], event['seconds'])}")
        elif event["event"] == "encoder":
            self._print(f"  {_encoder(event)}")
        elif event["event"] == "threshold_warning":
            self._print(f"  warning: {event['text']}")
        elif event["event"] == "stage_counts":
            self._print(f"{event['stage']}: {_counts(event)}")

    def _progress(self) -> str:
        tally = self._tally
        failed = f", {tally.failed:,} failed so far" if tally.failed else ""
        pieces = f"{tally.done:,} of {counted(tally.todo, 'piece')}" if tally.todo else f"so far {tally.done:,}"
        left = f", {tally.left:,.0f} s to go" if tally.left is not None else ""
        return f"{pieces}, {counted(tally.samples, 'sample')}, {tally.rate:,.0f} samples/s{left}{failed}"

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class _Bars:
    """A bar for the work under way, a line for each finished stage."""

    def __init__(self, stream: IO[str]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self._console = Console(file=stream)
        self._progress = Progress(
            TextColumn("  {task.description:<8}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[failed]}"),
            console=self._console,
            transient=True,
        )
        self._tally = _Tally()
        self._task: Any = None
        self._comparing: Any = None

    def tell(self, event: dict[str, Any]) -> None:
        begun = _begun(event)
        if begun:
            self._tally = _Tally()
            name, self._tally.todo = begun
            if self._task is None:
                self._progress.start()
            self._task = self._progress.add_task(name, total=self._tally.todo or None, rate="", failed="")
        elif event["event"] == "units_known":
            self._tally.todo = event["missing"]
            self._progress.update(self._task, total=self._tally.todo)
        elif event["event"] in ("unit_measured", "shard_written", "fetched"):
            self._tally.take(event)
            failed = f"{self._tally.failed:,} failed so far" if self._tally.failed else ""
            rate = f"{self._tally.rate:,.0f} samples/s"
            self._progress.update(self._task, advance=1, rate=rate, failed=failed)
        elif event["event"] == "comparing":
            self._compare(event["share"])
        elif event["event"] == "encoder":
            self._console.print(f"  {_encoder(event)}", highlight=False)
        elif event["event"] == "threshold_warning":
            self._console.print(f"  warning: {event['text']}", highlight=False, markup=False)
        elif event["event"] == "stage_counts":
            self._console.print(f"[bold]{event['stage']}[/]  {_counts(event)}", highlight=False)

    def _compare(self, share: float) -> None:
        if self._comparing is None:
            self._progress.start()
            self._comparing = self._progress.add_task("compare", total=1.0, rate="", failed="")
        self._progress.update(self._comparing, completed=share)

    def close(self) -> None:
        """Take the bars off the screen."""
        self._progress.stop()
