"""What a recipe may say of fetching. Importing this costs nothing: a recipe is checked without a client."""

from __future__ import annotations

import re
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

_AGENT: Final = re.compile(r"[\x20-\x7e]+")
_TOKEN: Final = re.compile(r"[A-Za-z_-]+")
_DEFAULT_AGENT: Final = "sluice (dataset fetcher; obeys robots.txt, X-Robots-Tag noai and noimageai)"


class FetchConfig(BaseModel):
    """How the bytes behind a list of URLs are fetched."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user_agent: str = Field(
        default=_DEFAULT_AGENT,
        description="What servers are told of who asks; name yourself and a page or address that says more. Its first "
        "word is the name that robots.txt and X-Robots-Tag may address.",
    )
    concurrency: int = Field(default=256, ge=1, le=4096, description="Requests under way at a time, over all hosts.")
    per_host: int = Field(default=4, ge=1, description="Requests under way at a time, of one host.")
    delay: float = Field(
        default=0.1,
        ge=0,
        description="Seconds between two requests of one host; or the `Crawl-delay` it asks for, if longer.",
    )
    connect: float = Field(default=10, gt=0, description="Seconds for looking up a name and connecting.")
    first_byte: float = Field(default=15, gt=0, description="Seconds from the request to the head of its answer.")
    whole: float = Field(default=60, gt=0, description="Seconds for one exchange in all: slow drips end here.")
    max_bytes: int = Field(default=32 * 2**20, gt=0, description="Largest body, as sent and as unpacked.")
    redirects: int = Field(default=5, ge=0, le=20, description="Redirects followed, each held to the same rules.")
    tries: int = Field(default=3, ge=1, le=10, description="Tries in all, where what failed may pass.")
    longest_wait: float = Field(
        default=60,
        ge=0,
        description="Seconds waited at most because a host asks for it (`Retry-After`, `Crawl-delay`).",
    )
    robots: bool = Field(default=True, description="Whether robots.txt is obeyed (RFC 9309), asked for once a host.")
    honour: tuple[str, ...] = Field(
        default=("noai", "noimageai"),
        description="Directives of `X-Robots-Tag` for which an image is not taken, for all agents or ours; where there "
        "is any, `TDM-Reservation: 1` counts too. `[]` records them and takes the image.",
    )
    allow: tuple[str, ...] = Field(
        default=(),
        description="Hosts inside your own network that may be fetched from: names (`images.intranet`, `*.intranet`) "
        "or networks (`10.1.0.0/16`). Every other private, loopback, link-local or reserved address is refused.",
    )
    shard_bytes: int = Field(default=256 * 2**20, gt=0, description="Size from which on a store tar is closed.")
    commit_seconds: float = Field(
        default=60,
        gt=0,
        description="Seconds after which a store tar is closed anyway: what a kill may cost.",
    )

    @property
    def token(self) -> str:
        """The name by which robots.txt addresses us."""
        found = _TOKEN.match(self.user_agent)
        return found[0].lower() if found else "sluice"

    @field_validator("user_agent")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not _AGENT.fullmatch(value):
            raise ValueError("a User-Agent is one line of printable ASCII")
        if not _TOKEN.match(value):
            raise ValueError("begin with a name of letters, `-` and `_`, such as `mylab-crawler (+https://...)`")
        return value

    @field_validator("allow")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        from sluice.web.address import Allowed

        Allowed(value)
        return value
