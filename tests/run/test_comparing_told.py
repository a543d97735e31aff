"""How far the comparing of all images is: noted in events.jsonl, shown with the seconds to go."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from sluice.run import events, progress
from sluice.run.events import Events, compared
from sluice.run.progress import listener_for, share_told
from sluice.table.layout import Layout


def test_the_comparing_is_noted_and_shown_with_what_is_to_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 101.0, 104.0, 105.0, 110.0])
    stream = io.StringIO()
    listener, _ = listener_for(stream)
    with Events(Layout(tmp_path), listener) as told:
        monkeypatch.setattr(events.time, "monotonic", lambda: next(clock))
        tell = compared(told)
        assert tell is not None
        for share in (0.05, 0.25, 0.3, 0.5):
            tell(share)
    noted = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [(one["event"], one["share"], one["seconds"]) for one in noted] == [
        ("comparing", 0.25, 4.0),
        ("comparing", 0.5, 10.0),
    ]
    assert stream.getvalue() == "  compare: 25%, 12 s to go\n  compare: 50%, 10 s to go\n"
    assert compared(None) is None


def test_a_command_tells_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 3.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    tell = share_told(stream, "compare")
    tell(0.1)
    tell(0.6)
    assert stream.getvalue() == "  compare: 60%, 2 s to go\n"
