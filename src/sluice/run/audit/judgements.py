"""Reading what a person said of an audit: the sheet, filled in, or the same as JSON; every mistake with its place."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sluice.errors import SluiceError
from sluice.run.audit.sheet import CAUSES, ERROR, JUDGED, VERDICTS

_NEEDED: Final = ("audit", "id", "verdict", "cause", "note")
_SHOWN: Final = 20
_SEPARATORS: Final = (",", ";", "\t")  # what spreadsheets of other countries write


@dataclass(frozen=True)
class Judgement:
    """What a person said of a sample; `verdict` is None where nothing was said."""

    id: str
    verdict: str | None
    cause: str | None
    note: str


@dataclass(frozen=True)
class Judgements:
    """A sheet as read."""

    audit: str  # which audit it is of: SEED-N@STATE
    rows: tuple[Judgement, ...]


def read_judgements(path: Path) -> Judgements:
    """Read a CSV or JSON file; SluiceError names the file, and the line and the field of each mistake."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SluiceError(f"{path}: cannot be read: {error}; save it as UTF-8, CSV or JSON") from error
    rows = list(_json(path, text) if path.suffix.lower() == ".json" else _csv(path, text))
    if not rows:
        raise SluiceError(f"{path}: holds no row; `sluice audit RUN --n N` draws a sheet")
    wrong: list[str] = []
    read: list[Judgement] = []
    first: dict[str, str] = {}
    for place, row in rows:
        judgement, problems = _judgement(row)
        wrong += [f"{path}:{place}: {problem}" for problem in problems]
        if judgement.id in first:
            wrong.append(f"{path}:{place}: id: {judgement.id} was judged before, in {first[judgement.id]}")
        if row["audit"] != rows[0][1]["audit"]:
            wrong.append(f"{path}:{place}: audit: {row['audit']!r} is not that of the first row; judge one at a time")
        first.setdefault(judgement.id, place)
        read.append(judgement)
    if wrong:
        more = [f"and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
        raise SluiceError("\n".join([*wrong[:_SHOWN], *more]))
    return Judgements(rows[0][1]["audit"], tuple(read))


def has_judgements(sheet: Path) -> bool:
    """Whether anybody wrote anything into `sheet`; one that cannot be understood counts as written in."""
    if not sheet.is_file():
        return False
    try:
        return any(row[name] for _, row in _csv(sheet, sheet.read_text(encoding="utf-8-sig")) for name in JUDGED)
    except (SluiceError, OSError, UnicodeDecodeError):
        return True


def _judgement(row: Mapping[str, str]) -> tuple[Judgement, list[str]]:
    """What a row says, and what is wrong with it."""
    verdict, cause = row["verdict"].lower(), row["cause"].lower()
    wrong: list[str] = []
    if not row["id"]:
        wrong.append("id: is empty; leave that column as it was drawn")
    if verdict and verdict not in VERDICTS:
        wrong.append(f"verdict: {row['verdict']!r} is neither `ok` nor `error`")
    if cause and cause not in CAUSES:
        wrong.append(f"cause: {row['cause']!r} is none of {', '.join(CAUSES)}")
    if verdict == ERROR and not cause:
        wrong.append(f"cause: is empty; say for an error which it is: {', '.join(CAUSES)}")
    if cause in CAUSES and verdict != ERROR and verdict in ("", *VERDICTS):
        wrong.append(f"cause: {cause!r} goes with the verdict `error`, and the verdict is {verdict or 'empty'}")
    return Judgement(row["id"], verdict or None, cause or None, row["note"]), wrong


def _csv(path: Path, text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows, each with `line N`: of its first line, for captions may have several."""
    head = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    names: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            start, line = line, reader.line_num + 1
            if names is None:
                names = [cell.strip().lower() for cell in cells]
                absent = [name for name in _NEEDED if name not in names]
                if absent:
                    raise SluiceError(f"{path}:line 1: {', '.join(absent)}: no such column in the first line")
                continue
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(names):
                raise SluiceError(f"{path}:line {start}: has {len(cells)} fields, the first line names {len(names)}")
            row = dict(zip(names, cells, strict=True))
            yield f"line {start}", {name: row[name].strip() for name in _NEEDED}
    except csv.Error as error:
        raise SluiceError(f"{path}:line {line}: no CSV: {error}") from error


def _json(path: Path, text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a list of objects, each with `row N`."""
    try:
        rows: Any = json.loads(text)
    except ValueError as error:
        raise SluiceError(f"{path}: no JSON: {error}") from error
    if not isinstance(rows, list):
        raise SluiceError(f"{path}: must be a list of objects with {', '.join(_NEEDED)}")
    for number, row in enumerate(rows, 1):
        place = f"row {number}"
        if not isinstance(row, dict):
            raise SluiceError(f"{path}:{place}: must be an object with {', '.join(_NEEDED)}")
        for name in ("audit", "id"):
            if not isinstance(row.get(name), str):
                raise SluiceError(f"{path}:{place}: {name}: must be a text, as the sheet has it")
        for name in JUDGED:
            if not isinstance(row.get(name), str | None):
                raise SluiceError(f"{path}:{place}: {name}: must be a text, it is {row[name]!r}")
        yield place, {name: (row.get(name) or "").strip() for name in _NEEDED}
