"""The sheet of an audit in a real browser: every picture is there, and a hostile caption does nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sluice
from report.reported import HOSTILE
from report.test_browser import CHROMIUM, CONTRAST, DRIVER, FLAGS
from sluice.run.audit.drawing import draw_audit
from support.recipes import write_recipe
from support.waiting import until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium with chromedriver on PATH"),
]


_BROKEN = "return [...document.images].filter(i => !i.alt || !i.complete || !i.naturalWidth).length"


@pytest.fixture
def sheet(tmp_path: Path, corpus: Path, inline: object) -> Path:
    """The page of an audit in which three samples have hostile captions."""
    shutil.copytree(corpus, tmp_path / "images")
    for number, caption in zip((0, 2, 4), HOSTILE, strict=True):
        side = tmp_path / "images" / "part0" / f"{number:04d}.json"
        side.write_text(json.dumps({"captions": [caption]}))
    run = sluice.run(write_recipe(tmp_path / "recipe.yaml", tmp_path / "images"))
    return draw_audit(run, 10_000).folder / "sheet.html"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def test_every_picture_shows_every_caption_is_text_and_nothing_complains(browser: Any, sheet: Path) -> None:
    for width in (1280, 390):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(sheet.as_uri())
        browser.execute_script("for (const e of document.images) e.loading = 'eager'")
        until(lambda: browser.execute_script(_BROKEN) == 0, "every picture shown", 20)
        assert browser.execute_script("return document.images.length") == len(list(sheet.parent.glob("images/*"))) > 20
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.title.startswith("small: audit ")
    shown = browser.execute_script("return [...document.querySelectorAll('li')].map(e => e.textContent)")
    assert set(HOSTILE[:2]) <= set(shown)
    assert browser.execute_script("return document.querySelectorAll('script, [onerror]').length") == 0
    assert browser.execute_script(CONTRAST) == []
    assert browser.get_log("browser") == []
