"""The report in headless Chromium: complete, silent, on its own, and nowhere too wide."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from novaloop.reports import html, report
from tests.unit.reports import finished_experiment as example

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

SECTIONS = {
    *("metrics", "answers", "flips", "classes", "format", "calibration"),
    *("stages", "lineage", "reported", "history"),
}
PHONE, DESK = (390, 844), (1280, 900)


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options, Service(driver)) as browser:
        yield browser


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    datasets = {"sft": example.dataset("sft", 3500)}
    content = report(
        example.record(), example.scores(), example.HISTORY, datasets, flips=example.flips()
    )
    page: Path = tmp_path_factory.mktemp("report") / "report.html"
    page.write_text(html(content), encoding="utf-8")
    return page.as_uri()


def show(browser: webdriver.Chrome, address: str, size: tuple[int, int], scheme: str) -> None:
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get(address)


def requested(browser: webdriver.Chrome) -> list[str]:
    lines = browser.get_log("performance")  # type: ignore[no-untyped-call]
    messages = [json.loads(line["message"])["message"] for line in lines]
    return [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]


def test_it_opens_without_an_error_and_asks_for_nothing_else(
    browser: webdriver.Chrome, address: str
) -> None:
    requested(browser)  # what the browser itself asked for when it started
    show(browser, address, DESK, "light")
    for details in browser.find_elements(By.TAG_NAME, "details"):
        browser.execute_script("arguments[0].open = true", details)
    assert requested(browser) == [address]
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_every_section_is_visible(browser: webdriver.Chrome, address: str) -> None:
    show(browser, address, DESK, "light")
    sections = browser.find_elements(By.TAG_NAME, "section")
    assert {section.get_attribute("id") for section in sections} == SECTIONS
    for section in sections:
        assert section.is_displayed()
        assert section.find_element(By.TAG_NAME, "h2").text


@pytest.mark.parametrize("size", [PHONE, DESK])
def test_nothing_makes_the_page_wider_than_the_screen(
    browser: webdriver.Chrome, address: str, size: tuple[int, int]
) -> None:
    show(browser, address, size, "light")
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert wide <= size[0]


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_the_page_follows_the_colour_scheme(
    browser: webdriver.Chrome, address: str, scheme: str, is_dark: bool
) -> None:
    show(browser, address, DESK, scheme)
    colour = "return getComputedStyle(document.body).{}.match(/\\d+/g).slice(0, 3).map(Number)"
    paper, ink = (
        sum(browser.execute_script(colour.format(name))) for name in ("backgroundColor", "color")
    )
    assert (paper < ink) is is_dark
    assert abs(paper - ink) > 400
