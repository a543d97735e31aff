"""What must not be fetched or kept: what lists name, and what a server's answer asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sluice.web.answer import FetchFailure
from sluice.web.config import FetchConfig
from sluice.web.exchange import Answer
from sluice.web.robots_tag import directives_of

Listed = Callable[[str], str | None]
"""The entry of a list that names a URL or a SHA-256, with the list's own name; None where none does."""


def _none(_: str) -> str | None:
    return None


@dataclass(frozen=True)
class OptOuts:
    """The lists that a recipe names, and the directives that it honours."""

    url: Listed = _none
    sha256: Listed = _none
    honour: frozenset[str] = frozenset()
    token: str = "sluice"

    @staticmethod
    def of(config: FetchConfig, url: Listed = _none, sha256: Listed = _none) -> OptOuts:
        """As the recipe has it."""
        return OptOuts(url, sha256, frozenset(word.lower() for word in config.honour), config.token)

    def check_url(self, url: str) -> None:
        """FetchFailure where a list names the URL."""
        if (entry := self.url(url)) is not None:
            raise FetchFailure("optout", f"an opt-out list names it: {entry}")

    def check_sha256(self, sha256: str) -> None:
        """FetchFailure where a list names the bytes."""
        if (entry := self.sha256(sha256)) is not None:
            raise FetchFailure("optout", f"an opt-out list names its bytes: {entry}")

    def check_answer(self, answer: Answer) -> None:
        """FetchFailure where the answer itself reserves the image."""
        if not self.honour:
            return
        tag = answer.header("x-robots-tag")
        found = [word for agent, word in directives_of(tag) if agent in ("", self.token)] if tag else []
        if asked := [word for word in found if word in self.honour]:
            raise FetchFailure("optout", f"X-Robots-Tag: {', '.join(asked)}")
        if (answer.header("tdm-reservation") or "").strip() == "1":
            raise FetchFailure("optout", "TDM-Reservation: 1")


def named_by(lists: Sequence[tuple[str, Callable[[str], str | None]]]) -> Listed:
    """One look-up from several lists, each with its name."""
    if not lists:
        return _none

    def listed(value: str) -> str | None:
        for name, look_up in lists:
            if (entry := look_up(value)) is not None:
                return f"{name}: {entry}"
        return None

    return listed
