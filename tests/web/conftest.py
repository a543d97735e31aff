"""A run's fetching over a web that misbehaves: names resolve to loopback, as the recipe allows by name."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from sluice.run.fetching import fetch_sources
from sluice.run.ingest import ingest
from sluice.run.recipe import load_recipe
from sluice.table.layout import Layout
from sluice.web.resolve import NoSuchNameError
from support.bad_web import BadWeb, bad_web
from support.recipes import recipe_values

for package in ("aiohttp", "httpcore", "h2"):
    pytest.importorskip(package, reason="the extra `web` is not installed")

QUICK = {"allow": ["*.test"], "delay": 0, "connect": 1, "first_byte": 0.6, "whole": 1.2, "max_bytes": 2**20}


@pytest.fixture(scope="session")
def running() -> Iterator[BadWeb]:
    with bad_web() as web:
        yield web


@pytest.fixture
def web(running: BadWeb, monkeypatch: pytest.MonkeyPatch) -> BadWeb:
    """The web, as if nobody had asked for anything; every name of `.test` is an address of loopback."""

    async def lookup(host: str, port: int) -> list[str]:
        if host.startswith("missing"):
            raise NoSuchNameError(f"{host}: no such name")
        number = sum(host.encode()) % 250 + 2
        return [f"127.0.{len(host)}.{number}"]

    monkeypatch.setattr("sluice.web.resolve.system_lookup", lookup)
    running.asked.clear()
    running.robots.clear()
    running.times.clear()
    running.broken.clear()
    running.latency = 0.0
    return running


@dataclass
class Fetching:
    """A recipe over a list of URLs, and what becomes of them."""

    folder: Path
    options: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        return Layout(self.folder / "run")

    @property
    def stores(self) -> Path:
        return self.layout.fetched / "list"

    def write(self, urls: list[str]) -> Path:
        with (self.folder / "list.csv").open("w") as file:
            writer = csv.writer(file)
            writer.writerow(["url", "caption", "number"])
            writer.writerows([url, f"picture {number}", number] for number, url in enumerate(urls))
        return self.write_recipe()

    def write_recipe(self) -> Path:
        source = {"type": "urls", "path": "list.csv", "fetch": {**QUICK, **self.options}, **self.source}
        path = self.folder / "recipe.yaml"
        path.write_text(str(yaml.safe_dump(recipe_values("", sources=[source], **self.recipe))))
        return path

    def fetch(self) -> None:
        fetch_sources(load_recipe(self.write_recipe()), self.layout)

    def ingest(self) -> None:
        ingest(load_recipe(self.write_recipe()), self.layout)

    def rows(self) -> list[dict[str, Any]]:
        return pq.read_table(self.stores / "rows.parquet").to_pylist()

    def of(self, *urls: str) -> list[dict[str, Any]]:
        """What becomes of a list of these URLs."""
        self.write(list(urls))
        self.fetch()
        return self.rows()


@pytest.fixture
def fetching(tmp_path: Path) -> Callable[..., Fetching]:
    """A recipe over a list, with these options of `fetch`."""

    def made(source: dict[str, Any] | None = None, recipe: dict[str, Any] | None = None, **options: Any) -> Fetching:
        return Fetching(tmp_path, options, source or {}, recipe or {})

    return made
