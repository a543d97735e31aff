"""`takedown`: from what a request names (ids, URLs, domains, hashes) to samples out of the shards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sluice.errors import RecipeError, SluiceError
from sluice.run import takedown
from sluice.run.exports import elsewhere
from sluice.table.commit import sweep
from sluice.table.duck import connect
from sluice.table.layout import FILTERED, RAW
from sluice.wording import counted, noun

if TYPE_CHECKING:
    import duckdb

    from sluice.run.ledger import Run

_HOST: Final = "lower(regexp_extract(source_url, '^[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^/@]*@)?([^/:?#]+)', 1))"


@dataclass(frozen=True)
class Request:
    """Files that name what must go, one a line."""

    ids: Path | None = None
    url: Path | None = None
    domain: Path | None = None
    hash: Path | None = None


@dataclass(frozen=True)
class TakenDown:
    """What a takedown did."""

    asked: int  # lines in the request
    matched: int  # samples that they name
    new: int  # of those, not taken down before
    unmatched: tuple[str, ...]  # lines that name no sample
    shards_rewritten: int
    copies: tuple[str, ...] = ()  # folders that the run was exported into: they still hold what is gone

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return dict(vars(self))

    def __str__(self) -> str:
        lines = [
            f"{counted(self.asked, 'line')} {noun(self.asked, 'names', 'name')} {counted(self.matched, 'sample')}, "
            f"{self.new:,} of them new; {counted(self.shards_rewritten, 'shard')} rewritten"
        ]
        lines += [f"  names no sample of this run: {line}" for line in self.unmatched]
        lines += [f"  is a copy and still holds it, until you export into it again: {folder}" for folder in self.copies]
        return "\n".join(lines)


def take_down(run: Run, request: Request) -> TakenDown:
    """Remove the named samples from shards and tables; their ids, and that they were taken down, stay."""
    from sluice.run.audit.forgetting import forget_in_audits
    from sluice.run.conductor import finish_pack
    from sluice.run.holding import working_in

    wanted = _read(request)
    with working_in(run.layout):
        sweep(run.layout.root)  # what a killed process left half-written is a copy too
        found = _find(run, wanted)
        matched = {line for lines in found.values() for line in lines}
        new = takedown.record(run.layout, {identity: min(lines) for identity, lines in sorted(found.items())})
        forget_in_audits(run.layout, takedown.taken_down(run.layout))
        packed = run.layout.stage_file(FILTERED).is_file() and run.layout.final.is_dir()
        rewritten = finish_pack(run) if packed else 0  # though none is new: a takedown that was killed goes on here
    lines = [f"{kind} {line}" for kind, lines in wanted.items() for line in lines]
    unmatched = tuple(line for line in lines if line not in matched)
    copies = tuple(exports.named for exports in elsewhere(run.layout)) if found else ()
    return TakenDown(len(lines), len(found), new, unmatched, rewritten, copies)


def _read(request: Request) -> dict[str, list[str]]:
    given: dict[str, Path] = {name: path for name, path in vars(request).items() if path is not None}
    if not given:
        raise SluiceError("takedown needs a list of what must go: --ids, --url, --domain or --hash FILE")
    wanted: dict[str, list[str]] = {}
    for kind, path in given.items():
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise SluiceError(f"--{kind} {path}: cannot be read: {error}") from error
        wanted[kind] = list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
        if not wanted[kind]:
            raise SluiceError(f"--{kind} {path}: names nothing; write one {kind.removesuffix('s')} a line")
    return wanted


def _find(run: Run, wanted: dict[str, list[str]]) -> dict[str, list[str]]:
    """The samples named, by id, each with the lines that name it."""
    samples = str(run.layout.root / RAW / "samples" / "unit-*.parquet")
    found: dict[str, list[str]] = {}
    with connect() as duck:
        for kind, lines in wanted.items():
            for line, identity in _matches(run, duck, kind, lines, samples):
                found.setdefault(identity, []).append(f"{kind} {line}")
    return found


def _matches(
    run: Run, duck: duckdb.DuckDBPyConnection, kind: str, lines: list[str], samples: str
) -> list[tuple[str, str]]:
    named = "(SELECT unnest(?) AS line)"
    if kind == "ids":
        query, path = f"SELECT line, id FROM {named} JOIN read_parquet(?) ON id = lower(line)", samples
    elif kind == "url":
        query, path = f"SELECT line, id FROM {named} JOIN read_parquet(?) ON source_url = line", samples
    elif kind == "domain":
        host = f"SELECT id, {_HOST} AS host FROM read_parquet(?) WHERE source_url IS NOT NULL"
        query = (
            f"SELECT line, id FROM {named} JOIN ({host}) ON host = lower(line) OR ends_with(host, '.' || lower(line))"
        )
        path = samples
    else:
        run.require(FILTERED)
        import pyarrow.parquet as pq

        if "sha256" not in pq.read_schema(run.layout.rows).names:
            raise RecipeError("--hash needs the column sha256: the recipe does not run the measure image.content_hash")
        query = f"SELECT DISTINCT line, id FROM {named} JOIN read_parquet(?) ON sha256 = lower(line)"
        path = str(run.layout.rows)
        if run.layout.redactions.is_file():  # who has a covered image knows the hash that it was packed with
            covered = duck.execute(query, [lines, str(run.layout.redactions)]).fetchall()
            return sorted({*covered, *duck.execute(query, [lines, path]).fetchall()})
    return duck.execute(query, [lines, path]).fetchall()
