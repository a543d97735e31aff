"""Answers that were paid for, what they cost, and who is asking just now: one SQLite file, for several processes.

An answer is stored in the same transaction that counts its cost, as soon as it is read; who asks for it again is told
it from here. While somebody asks, others who want the same wait for the answer instead of asking too. An asker that
was killed is known by its lock, which the kernel lets go: what it had in flight counts as spent, for it may have been
paid for, and what it asked for may be asked again.

The file must lie on a disk of this machine, as SQLite's write-ahead log wants it.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal

from sluice.caption.config import Budget
from sluice.errors import SluiceError

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL, good INTEGER NOT NULL, "
    "attempts INTEGER NOT NULL, tokens_in INTEGER, tokens_out INTEGER, cost REAL, seconds REAL NOT NULL)",
    # Amounts are what is set aside for the try in flight; 0 requests: between tries.
    "CREATE TABLE IF NOT EXISTS asking (key TEXT PRIMARY KEY, owner TEXT NOT NULL, scope TEXT NOT NULL, "
    "requests INTEGER NOT NULL, tokens INTEGER NOT NULL, money REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS spending (scope TEXT PRIMARY KEY, requests INTEGER NOT NULL, tokens INTEGER NOT NULL, "
    "money REAL NOT NULL, unknown INTEGER NOT NULL)",
    # By the service's own count: a process that has asked nothing yet must not set aside less than others know.
    "CREATE TABLE IF NOT EXISTS largest (scope TEXT PRIMARY KEY, tokens_in INTEGER NOT NULL)",
)
_VERSION: Final = 1
_PATIENCE: Final = 60_000  # ms that a writer waits for another


def _log_ahead(database: sqlite3.Connection) -> None:
    """Write to a log first. Whoever asks for it while another does is refused at once, whatever patience was set."""
    deadline = time.monotonic() + _PATIENCE / 1000
    while True:
        try:
            database.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


@dataclass(frozen=True)
class Amount:
    """What is set aside or spent."""

    requests: int = 0
    tokens: int = 0
    money: float = 0.0
    unknown: int = 0  # of the requests, those that brought no count: killed, timed out or cut off

    def __add__(self, other: Amount) -> Amount:
        """
        >>> Amount(1, 20, 0.5) + Amount(1, 10, 0.25, 1)
        Amount(requests=2, tokens=30, money=0.75, unknown=1)
        """
        return Amount(
            self.requests + other.requests,
            self.tokens + other.tokens,
            self.money + other.money,
            self.unknown + other.unknown,
        )

    def within(self, budget: Budget) -> bool:
        """Whether none of the caps is passed.

        >>> Amount(3, 10).within(Budget(requests=3)), Amount(4, 10).within(Budget(requests=3))
        (True, False)
        """
        pairs = ((self.requests, budget.requests), (self.tokens, budget.tokens), (self.money, budget.money))
        return all(cap is None or amount <= cap * (1 + 1e-9) for amount, cap in pairs)


@dataclass(frozen=True)
class Answer:
    """An answer that came, as text (JSON), and what all tries for it took."""

    answer: str
    good: bool  # whether it is what was asked for
    attempts: int
    tokens_in: int | None
    tokens_out: int | None
    cost: float | None
    seconds: float


class AnswerCache:
    """The file at `path`, made where it is missing. Threads may share one; each process opens its own."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                path, timeout=_PATIENCE / 1000, isolation_level=None, check_same_thread=False
            )
            self._database.execute(f"PRAGMA busy_timeout={_PATIENCE}")
            _log_ahead(self._database)
            self._database.execute("PRAGMA synchronous=FULL")
            with self._writing() as database:
                version = database.execute("PRAGMA user_version").fetchone()[0]
                if version not in (0, _VERSION):
                    raise SluiceError(f"{path}: was written by another version of Sluice: name another file, or remove")
                for statement in _SCHEMA:
                    database.execute(statement)
                database.execute(f"PRAGMA user_version={_VERSION}")
            self._owners = path.with_name(f"{path.name}.askers")
            self._owners.mkdir(exist_ok=True)
            self._owner, self._held = _locked(self._owners)
        except (OSError, sqlite3.Error) as error:
            raise SluiceError(f"{path}: cannot be used as the cache of captions: {error}") from error
        self._sweep()

    def find(self, key: str) -> Answer | None:
        """What was answered to `key`, by whomever."""
        with self._lock:
            row = self._database.execute(
                "SELECT answer, good, attempts, tokens_in, tokens_out, cost, seconds FROM answers WHERE key = ?", [key]
            ).fetchone()
        return row and Answer(row[0], bool(row[1]), *row[2:])

    def claim(self, key: str, scope: str) -> bool:
        """Whether it is now the caller's to ask; False: somebody is asking. Look with `find` after it, not before."""
        with self._writing() as database:
            row = database.execute("SELECT owner FROM asking WHERE key = ?", [key]).fetchone()
            if row is not None:
                if self._alive(row[0]):
                    return False
                self._bury(row[0])
            database.execute("INSERT INTO asking VALUES (?, ?, ?, 0, 0, 0)", [key, self._owner, scope])
            return True

    def release(self, key: str) -> None:
        """Nobody asks for `key` any more; a try that is still set aside counts as spent."""
        with self._writing() as database:
            self._settle(database, "key = ?", key)
            database.execute("DELETE FROM asking WHERE key = ?", [key])

    def set_aside(self, key: str, amount: Amount, budget: Budget) -> Literal["go", "wait", "stop"]:
        """Let a try of the claimed `key` go where the budget of its scope bears it beside all others in flight.

        `wait`: it would, were the others to take less than is set aside for them. `stop`: it never will.
        """
        with self._writing() as database:
            scope = database.execute("SELECT scope FROM asking WHERE key = ?", [key]).fetchone()[0]
            others = _amount(
                database,
                "SELECT sum(requests), sum(tokens), sum(money), 0 FROM asking WHERE scope = ? AND requests > 0",
                scope,
            )
            spent = self._spent(database, scope)
            if not (spent + amount).within(budget):
                return "stop"
            if not (spent + others + amount).within(budget):
                return "wait"
            database.execute(
                "UPDATE asking SET requests = ?, tokens = ?, money = ? WHERE key = ?",
                [amount.requests, amount.tokens, amount.money, key],
            )
            return "go"

    def largest_in(self, scope: str) -> int:
        """Tokens of the largest question that `scope` has asked in any process, as the service counted; 0: none yet."""
        with self._lock:
            row = self._database.execute("SELECT tokens_in FROM largest WHERE scope = ?", [scope]).fetchone()
        return 0 if row is None else row[0]

    @contextmanager
    def at_once(self) -> Generator[None]:
        """What is done within is one transaction: nobody spends between two looks."""
        with self._writing():
            yield

    def settle(self, key: str, took: Amount | None, answer: Answer | None = None, tokens_in: int = 0) -> None:
        """A try has ended: it took so much (None: nobody knows, and what was set aside counts); keep its answer.

        `tokens_in`: of the question, as the service counted.
        """
        with self._writing() as database:
            if tokens_in:
                database.execute(
                    "INSERT INTO largest SELECT scope, ? FROM asking WHERE key = ? "
                    "ON CONFLICT (scope) DO UPDATE SET tokens_in = max(tokens_in, excluded.tokens_in)",
                    [tokens_in, key],
                )
            if took is None:
                self._settle(database, "key = ?", key)
            else:
                scope = database.execute("SELECT scope FROM asking WHERE key = ?", [key]).fetchone()[0]
                _spend(database, scope, took)
            database.execute("UPDATE asking SET requests = 0, tokens = 0, money = 0 WHERE key = ?", [key])
            if answer is not None:
                self._store(database, key, answer)

    def store(self, key: str, answer: Answer) -> None:
        """Keep an answer that no service was asked for."""
        with self._writing() as database:
            self._store(database, key, answer)

    def spent(self, scope: str) -> Amount:
        """What `scope` has spent in all processes and all runs; what is in flight is not in it."""
        with self._lock:
            return self._spent(self._database, scope)

    def sweep(self) -> None:
        """Count what killed askers had in flight as spent, and forget them."""
        self._sweep()

    def close(self) -> None:
        """Let go of the file. What this process still asks for may be asked by others."""
        with self._lock:
            try:
                self._bury(self._owner)
                (self._owners / self._owner).unlink(missing_ok=True)
            finally:
                self._held.close()
                self._database.close()

    def _sweep(self) -> None:
        with self._writing() as database:
            for (owner,) in database.execute("SELECT DISTINCT owner FROM asking").fetchall():
                if not self._alive(owner):
                    self._bury(owner)

    def _bury(self, owner: str) -> None:
        with self._writing() as database:
            self._settle(database, "owner = ?", owner)
            database.execute("DELETE FROM asking WHERE owner = ?", [owner])

    def _alive(self, owner: str) -> bool:
        """Whether its lock is held; the kernel lets a lock go with the process, however it ended."""
        if owner == self._owner:
            return True
        place = self._owners / owner
        try:
            with place.open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        place.unlink(missing_ok=True)
        return False

    def _settle(self, database: sqlite3.Connection, where: str, value: str) -> None:
        """What is set aside counts as spent."""
        rows = database.execute(
            f"SELECT scope, requests, tokens, money FROM asking WHERE {where} AND requests > 0", [value]
        ).fetchall()
        for scope, requests, tokens, money in rows:
            _spend(database, scope, Amount(requests, tokens, money, requests))

    def _spent(self, database: sqlite3.Connection, scope: str) -> Amount:
        return _amount(database, "SELECT requests, tokens, money, unknown FROM spending WHERE scope = ?", scope)

    @staticmethod
    def _store(database: sqlite3.Connection, key: str, answer: Answer) -> None:
        database.execute(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                key,
                answer.answer,
                answer.good,
                answer.attempts,
                answer.tokens_in,
                answer.tokens_out,
                answer.cost,
                answer.seconds,
            ],
        )

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        """One transaction, or a part of the one that is open."""
        with self._lock:
            if self._database.in_transaction:
                yield self._database
                return
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")


def _locked(folder: Path) -> tuple[str, IO[bytes]]:
    """A new name in `folder`, and the open file that holds its lock."""
    name = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
    stream = (folder / name).open("wb")
    fcntl.flock(stream, fcntl.LOCK_EX)
    return name, stream


def _amount(database: sqlite3.Connection, query: str, scope: str) -> Amount:
    row = database.execute(query, [scope]).fetchone()
    return Amount() if row is None or row[0] is None else Amount(*row)


def _spend(database: sqlite3.Connection, scope: str, took: Amount) -> None:
    database.execute(
        "INSERT INTO spending VALUES (?, ?, ?, ?, ?) ON CONFLICT (scope) DO UPDATE SET requests = requests + "
        "excluded.requests, tokens = tokens + excluded.tokens, money = money + excluded.money, unknown = unknown + "
        "excluded.unknown",
        [scope, took.requests, took.tokens, took.money, took.unknown],
    )
