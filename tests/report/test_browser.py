"""The report in a real browser, without a network: it draws, fits, follows the theme, and obeys the keyboard."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from report.reported import HOSTILE, Reported
from support.waiting import until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium with chromedriver on PATH"),
]

# What an accessibility checker looks at first.
AUDIT = """
const problems = [];
const name = (e) => e.getAttribute("aria-label") || e.getAttribute("alt") || e.textContent.trim();
for (const e of document.querySelectorAll("img, [role=img], a, button, summary"))
  if (!name(e)) problems.push(`no name: ${e.outerHTML.slice(0, 120)}`);
const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) problems.push(`id twice: ${id}`);
for (const e of document.querySelectorAll("[aria-labelledby]"))
  if (!document.getElementById(e.getAttribute("aria-labelledby"))) problems.push(`labelled by nothing: ${e.id}`);
for (const e of document.querySelectorAll("a[href^='#']"))
  if (!document.getElementById(e.hash.slice(1))) problems.push(`leads nowhere: ${e.hash}`);
for (const e of document.querySelectorAll("th")) if (!e.scope) problems.push("th without scope");
for (const e of document.querySelectorAll("table")) if (!e.caption) problems.push("table without caption");
if (!document.documentElement.lang) problems.push("no lang");
if (document.querySelectorAll("h1").length !== 1) problems.push("not one h1");
let last = 0;
for (const e of document.querySelectorAll("h1, h2, h3, h4")) {
  const level = +e.tagName[1];
  if (level > last + 1) problems.push(`heading skips a level: ${e.textContent}`);
  last = level;
}
for (const tag of ["main", "nav", "header", "footer"])
  if (!document.querySelector(tag)) problems.push(`no ${tag}`);
return problems;
"""

# WCAG 2.2 contrast of every text against the nearest background that is not see-through.
CONTRAST = """
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const rgb = (colour) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const light = ([r, g, b]) => [r, g, b]
  .map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (e) => {
  for (; e; e = e.parentElement) {
    const colour = rgb(getComputedStyle(e).backgroundColor);
    if (colour[3] > 250) return colour;
  }
  return [255, 255, 255, 255];
};
const bad = new Set();
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const e = walk.currentNode.parentElement;
  if (!walk.currentNode.textContent.trim() || e.closest("script, style, svg, .skip, .unseen, .chart")) continue;
  if (!e.checkVisibility()) continue;
  const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) bad.add(`${ratio.toFixed(2)} ${e.className || e.tagName}: ${e.textContent.slice(0, 40)}`);
}
return [...bad];
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


Open = Callable[..., Any]


@pytest.fixture
def opened(browser: Any, reported: Reported) -> Iterator[Open]:
    """Opens the report at a width, in a colour scheme, with or without scripts; the network is cut."""

    def show(width: int = 1280, scheme: str = "light", *, scripts: bool = True, path: Path | None = None) -> Any:
        command = browser.execute_cdp_cmd
        command("Network.enable", {})
        command("Network.emulateNetworkConditions", _CUT)
        command("Emulation.setScriptExecutionDisabled", {"value": not scripts})
        command("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        command("Emulation.setDeviceMetricsOverride", size)
        browser.get_log("browser")
        browser.get_log("performance")
        browser.get((path or reported.layout.report).as_uri())
        if scripts:
            until(lambda: browser.execute_script(_DRAWN), "the page drawn", 20)
        return browser

    yield show
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


_CUT = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
_DRAWN = """
const visible = [...document.querySelectorAll(".chart")].filter((e) => e.checkVisibility());
return visible.every((e) => e.querySelector("svg"));
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_draws_without_an_error_and_never_scrolls_sideways(opened: Open, width: int, scheme: str) -> None:
    page = opened(width, scheme)
    assert page.get_log("browser") == []
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    page.execute_script("for (const e of document.querySelectorAll('details')) e.open = true")
    until(lambda: page.execute_script(_DRAWN), "the page drawn", 20)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    drawn = page.execute_script("return document.querySelectorAll('.chart svg').length")
    assert drawn == page.execute_script("return document.querySelectorAll('[data-plot]').length") >= 10
    assert page.get_log("browser") == []


def test_it_asks_the_network_for_nothing(opened: Open, reported: Reported) -> None:
    import json

    page = opened()
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    sent = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert {url for url in sent if not url.startswith("data:")} == {reported.layout.report.as_uri()}


def test_a_hostile_caption_does_nothing(opened: Open) -> None:
    page = opened()
    assert page.title == "world: dataset report"
    assert page.execute_script(
        "return [...document.querySelectorAll('.words')].some(e => e.textContent === arguments[0])", HOSTILE[0]
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(opened: Open, scheme: str) -> None:
    page = opened(1280, scheme)
    page.execute_script("for (const e of document.querySelectorAll('details')) e.open = true")
    assert page.execute_script(CONTRAST) == []


def test_an_accessibility_audit_finds_nothing(opened: Open) -> None:
    assert opened().execute_script(AUDIT) == []


def test_every_picture_was_decoded_and_has_its_words(opened: Open) -> None:
    page = opened()
    page.execute_script("for (const e of document.querySelectorAll('details')) e.open = true")
    broken = "return [...document.images].filter(i => !i.alt || !i.complete || !i.naturalWidth).length"
    until(lambda: page.execute_script(broken) == 0, "every picture shown", 20)
    assert page.execute_script("return document.images.length") > 20


def test_the_theme_follows_the_system_and_the_button_turns_it(opened: Open) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    bars = "return document.querySelector('#funnel svg path[fill]:not([fill=none])').getAttribute('fill')"
    light = opened(1280, "light")
    before = light.execute_script(ground), light.execute_script(bars)
    button = light.find_element("id", "theme")
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    turned = light.execute_script(ground), light.execute_script(bars)
    assert button.get_attribute("aria-pressed") == "true"
    light.execute_script("localStorage.clear()")
    dark = opened(1280, "dark")
    assert (dark.execute_script(ground), dark.execute_script(bars)) == turned
    assert before[0] != turned[0] and before[1] != turned[1]


def test_the_keyboard_reaches_every_control(opened: Open) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    page = opened()
    reached: list[str] = []
    for _ in range(60):
        ActionChains(page).send_keys(Keys.TAB).perform()
        reached.append(page.execute_script("return document.activeElement.outerHTML.slice(0, 60)"))
        shown = page.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
        assert shown != "none" or "<body" in reached[-1]
    assert 'class="skip"' in reached[0]
    for control in ('id="theme"', 'href="#reasons"', "<summary>"):
        assert any(control in element for element in reached), control


def test_enter_unfolds_a_reason(opened: Open) -> None:
    from selenium.webdriver.common.keys import Keys

    page = opened()
    folded = page.find_elements("css selector", ".reason:not([open]) > summary")[0]
    folded.send_keys(Keys.ENTER)
    assert page.execute_script("return arguments[0].parentElement.open", folded)


def test_without_scripts_the_tables_say_it_all(opened: Open) -> None:
    page = opened(390, scripts=False)
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    visible = "return [...document.querySelectorAll(arguments[0])].filter(e => e.checkVisibility()).length"
    assert page.execute_script(visible, ".chart") == 0
    assert page.execute_script(visible, "button") == 0
    assert page.execute_script(visible, ".companion table") >= 10
    assert page.execute_script("return document.documentElement.scrollWidth") <= 390
