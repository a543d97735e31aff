"""The whole file: what it holds, what it must never hold, and that equal runs give equal reports."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from report.reported import FILTER, HOSTILE, Reported, report_of
from sluice.errors import RunError
from sluice.report import build
from sluice.report.examples import said
from sluice.report.thresholds import Threshold
from sluice.table.layout import FILTERED, Layout


class Elements(HTMLParser):
    """Every element of a page with its attributes, and its visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._inside: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="session")
def page(reported: Reported) -> Elements:
    return Elements(reported.html)


def test_the_counts_on_the_page_are_those_of_the_verdicts(reported: Reported, page: Elements) -> None:
    verdicts = pq.read_table(reported.layout.verdicts(FILTERED)).column("verdict").to_pylist()
    text = " ".join(page.text)
    for verdict in ("kept", "rejected", "held", "failed"):
        assert re.search(rf"\b{verdict}\s+{verdicts.count(verdict)}\b", text), verdict


def test_every_reason_that_spoke_is_named_with_its_count(reported: Reported, page: Elements) -> None:
    rules = json.loads(reported.layout.stage_file(FILTERED).read_text())["rules"]
    text = "\n".join(page.text)
    for name, counts in rules.items():
        assert name in text
        if counts["samples"]:
            assert re.search(rf"{re.escape(name)}\n+.*?\b{counts['samples']}\b", text, re.DOTALL)


def test_a_hostile_caption_stays_text(page: Elements) -> None:
    assert len(page.of("script")) == 4  # the early one, the plots, the library, ours
    assert not any(name.startswith("on") for _, attributes in page.found for name in attributes)
    text = "".join(page.text) + " ".join(image["alt"] or "" for image in page.of("img"))
    assert HOSTILE[0] in text
    assert "<b>bold</b>" in text


def test_the_page_asks_for_nothing_from_anywhere(page: Elements) -> None:
    for name, attributes in page.found:
        for key in ("src", "href", "srcset", "action", "data", "poster"):
            value = attributes.get(key)
            assert value is None or value.startswith(("data:", "#")), (name, key, value)


def test_a_content_policy_names_exactly_the_scripts_of_the_page(reported: Reported, page: Elements) -> None:
    policy = next(meta["content"] for meta in page.of("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'")
    scripts = re.findall(r"<script>(.*?)</script>", reported.html, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert re.findall(r"'sha256-([^']+)'", policy) == digests


def test_every_image_has_alternative_text_made_of_its_caption(page: Elements) -> None:
    images = page.of("img")
    assert len(images) > 20
    assert all(image.get("alt") for image in images)
    assert any("(rejected: blurry" in (image["alt"] or "") for image in images)


def test_the_distance_of_near_duplicates_has_its_threshold_drawn_in(reported: Reported) -> None:
    block = reported.html.split('id="plots">', 1)[1].split("</script>", 1)[0]
    (plot,) = [plot for plot in json.loads(block) if plot["kind"] == "columns"]
    assert plot["line"] == {"at": 8, "name": "near ≤ 8"}
    assert plot["names"] == [str(bits) for bits in range(9)]


def test_a_value_is_told_from_the_threshold_that_it_missed() -> None:
    lines = [Threshold("aspect", 3.0, "banner")]
    assert said('{"aspect": 3.0000238}', lines) == "aspect 3.00002"
    assert said('{"aspect": 3.0}', lines) == "aspect 3"
    assert said('{"aspect": 3.21}', lines) == "aspect 3.21"


def test_equal_runs_give_equal_reports(reported: Reported) -> None:
    before = reported.html
    assert reported.build() == before


def test_no_path_of_the_machine_is_on_the_page(reported: Reported, world: Path) -> None:
    assert str(world) not in reported.html


def test_a_sample_that_was_taken_down_is_not_shown(reported: Reported) -> None:
    shown = re.search(r'<code title="[^"]*" class="id">(\w+)<', reported.html)
    assert shown is not None
    ids = pq.read_table(reported.layout.verdicts(FILTERED)).column("id").to_pylist()
    identity = next(one for one in ids if one.startswith(shown[1]))
    try:
        pq.write_table(pa.table({"id": [identity], "request": ["test"]}), reported.layout.takedowns)
        html = reported.build()
    finally:
        reported.layout.takedowns.unlink()
        reported.build()
    assert f'class="id">{shown[1]}<' not in html


def test_a_source_that_vanished_costs_its_pictures_only(reported: Reported, world: Path) -> None:
    images = world / "data" / "images"
    images.rename(images.with_name("away"))
    try:
        html = reported.build()
    finally:
        images.with_name("away").rename(images)
        reported.build()
    assert "No picture, io:" in html
    assert not Elements(html).of("img")


def test_a_run_that_decided_nothing_has_no_report(reported: Reported, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nothing was decided yet"):
        build(Layout(tmp_path), reported.run.recipe, [])


def test_a_run_without_rules_or_survivors_is_reported_too(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for place in range(3):
        (folder / f"{place}.jpg").write_bytes(b"not an image")
        (folder / f"{place}.txt").write_text("a caption")
    source = {"type": "folder", "path": str(folder), "name": "photos"}
    html = report_of(tmp_path, {"sources": [source]}).html
    assert "a yield of <b>0%</b>" in html
    assert "not an image" in html


def test_the_report_stays_small_whatever_the_pictures_hold(tmp_path: Path) -> None:
    """Noise is what compresses worst; 40 rules with examples each ask for more pictures than there is room for."""
    folder = tmp_path / "data"
    folder.mkdir()
    noise = np.random.default_rng(0)
    for place in range(60):
        pixels = noise.integers(0, 256, (480, 640, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{place:02}.jpg", quality=90)
        (folder / f"{place:02}.txt").write_text("<&>" * 2000)
    source = {"type": "folder", "path": str(folder), "name": "noise"}
    rules = {f"rule_{number}": f"contrast > {number}" for number in range(40)}
    reported = report_of(tmp_path, {"sources": [source], "filter": {**FILTER, "reject": rules}})
    assert reported.layout.report.stat().st_size < 6_000_000
    assert len(Elements(reported.html).of("img")) <= 150


def test_the_vendored_library_is_the_one_its_readme_names() -> None:
    vendor = files("sluice.report").joinpath("vendor")
    readme = vendor.joinpath("README.md").read_text(encoding="utf-8")
    digest = hashlib.sha256(vendor.joinpath("echarts.common.min.js").read_bytes()).hexdigest()
    assert digest in readme
    assert "Apache License" in vendor.joinpath("LICENSE.echarts").read_text(encoding="utf-8")
