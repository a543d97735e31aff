"""robots.txt, as RFC 9309 has it: the most specific rule wins, `*` and `$` are patterns, several groups are one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

MOST_BYTES: Final = 500 * 2**10  # RFC 9309, 2.5: at least so much must be read
_MOST_RULES: Final = 10_000
_LINE: Final = re.compile(r"\s*([A-Za-z-]+)\s*:\s*([^#]*)")
_TOKEN: Final = re.compile(r"[A-Za-z_-]+")


@dataclass(frozen=True, slots=True)
class Robots:
    """What a host lets one agent fetch: patterns by falling length, each with whether it allows."""

    rules: tuple[tuple[str, bool], ...] = ()
    delay: float | None = None  # seconds, where it asks for a `Crawl-delay`

    def allows(self, path: str) -> bool:
        """Whether a path with its query may be fetched.

        >>> robots = parse("User-agent: *\\nDisallow: /*.jpg$\\nAllow: /free/*.jpg$", "sluice")
        >>> robots.allows("/a.jpg"), robots.allows("/free/a.jpg"), robots.allows("/a.jpg?x=1")
        (False, True, True)
        """
        wanted = _normal(path)
        return wanted == "/robots.txt" or next((allow for rule, allow in self.rules if _matches(rule, wanted)), True)


ALLOW_ALL: Final = Robots()


def parse(text: str, agent: str) -> Robots:
    """The rules for the product token `agent`; those for `*` where no group names it.

    >>> parse("User-agent: other\\nDisallow: /\\n\\nUser-agent: *\\nCrawl-delay: 2", "sluice")
    Robots(rules=(), delay=2.0)
    """
    ours, everyone = _Group(), _Group()
    named = False
    current: list[_Group] = []
    in_agents = False
    for line in text.removeprefix("\ufeff").splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        field, value = match[1].lower(), match[2].strip()
        if field == "user-agent":
            if not in_agents:
                current = []
            in_agents = True
            token = _TOKEN.match(value)
            if value.startswith("*"):
                current.append(everyone)
            elif token is not None and token[0].lower() == agent.lower():
                named = True
                current.append(ours)
        elif field in ("allow", "disallow", "crawl-delay"):
            in_agents = False
            for group in current:
                group.take(field, value)
    return (ours if named else everyone).robots()


class _Group:
    """The rules of one agent, from all of its groups."""

    def __init__(self) -> None:
        self._rules: dict[str, bool] = {}
        self._delay: float | None = None

    def take(self, field: str, value: str) -> None:
        if field == "crawl-delay":
            if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value):
                self._delay = max(self._delay or 0.0, float(value))
        elif value and len(self._rules) < _MOST_RULES:  # an empty `Disallow` forbids nothing
            rule = _normal(value)
            self._rules[rule] = self._rules.get(rule, False) or field == "allow"

    def robots(self) -> Robots:
        ordered = sorted(self._rules.items(), key=lambda rule: (-len(rule[0]), not rule[1], rule[0]))
        return Robots(tuple(ordered), self._delay)


def _matches(rule: str, path: str) -> bool:
    """Whether the pattern `rule` matches from the start of `path`; linear, for a rule is a stranger's."""
    anchored = rule.endswith("$")
    parts = (rule[:-1] if anchored else rule).split("*")
    if not path.startswith(parts[0]):
        return False
    at = len(parts[0])
    if len(parts) == 1:
        return not anchored or at == len(path)
    for part in parts[1:-1]:
        found = path.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    last = parts[-1]
    if anchored:
        return len(path) - len(last) >= at and path.endswith(last)
    return path.find(last, at) >= 0


def _normal(path: str) -> str:
    """One spelling of a path: what need not be percent-encoded is not, what must be is, in capitals."""
    if path.isascii() and "%" not in path and " " not in path:
        return path
    pieces = re.split(r"(%[0-9A-Fa-f]{2})", path)
    return "".join(
        _unescaped(piece) if index % 2 else quote(piece, "/?:@!$&'()*+,;=~") for index, piece in enumerate(pieces)
    )


def _unescaped(triplet: str) -> str:
    byte = unquote_to_bytes(triplet)
    return byte.decode() if re.fullmatch(rb"[A-Za-z0-9._~-]", byte) else triplet.upper()
