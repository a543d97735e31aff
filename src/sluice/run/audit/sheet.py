"""`sheet.csv`: a row a sample, with empty columns for what a person says of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

Cause = Literal["image", "text", "alignment", "packing"]
CAUSES: Final[tuple[Cause, ...]] = get_args(Cause)
OK: Final = "ok"
ERROR: Final = "error"
VERDICTS: Final = (OK, ERROR)
JUDGED: Final = ("verdict", "cause", "note")
HEAD: Final = ("audit", "number", "id", "images", "texts", "problem", "source", "split", "stratum", "shard", *JUDGED)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_BOM: Final = "\ufeff"  # without it a spreadsheet takes UTF-8 for something older


@dataclass(frozen=True)
class Line:
    """A sample as it is shown to a person."""

    number: int
    id: str
    images: tuple[str, ...]  # files, relative to the sheet
    captions: tuple[str, ...]
    turns: tuple[tuple[str, str], ...]
    problem: str | None  # found while it was read from its shard
    source: str
    split: str
    stratum: str
    shard: str

    @property
    def texts(self) -> str:
        """All its texts, one a line; captions first, best first."""
        return "\n".join([*self.captions, *(f"{role}: {text}" for role, text in self.turns)])


def sheet(audit: str, lines: Iterable[Line]) -> bytes:
    """The sheet as CSV that a spreadsheet opens as it is; nothing of it is a formula, whatever a caption says."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(HEAD)
    for line in lines:
        shown: Sequence[str] = (" ".join(line.images), line.texts, line.problem or "", line.source, line.split)
        where = (line.stratum, line.shard)
        writer.writerow([audit, line.number, line.id, *map(_plain, shown), *map(_plain, where), *("" for _ in JUDGED)])
    return (_BOM + written.getvalue()).encode()


def _plain(text: str) -> str:
    """`text` that no spreadsheet works out and every CSV reader takes.

    >>> _plain("=HYPERLINK(1)"), _plain("a red bus")
    ("'=HYPERLINK(1)", 'a red bus')
    """
    text = text.replace("\0", "\ufffd")
    return f"'{text}" if text.startswith(_FORMULA) else text
