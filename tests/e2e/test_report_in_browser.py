"""The demo's report in a real browser. Needs Debian's chromium: `apt-get install chromium`."""

import io
import json
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from tests.e2e import test_page_in_browser as pages
from tumorlens.cli.console import Console
from tumorlens.cli.demo import run_demo

pytestmark = pytest.mark.e2e
browser = pages.browser  # fixture
_PATIENCE = 60  # seconds
_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "demo"
    run_demo(folder, 160, 2, Console(quiet=True))
    return folder / "report.html"


def chromium(profile: Path, *arguments: str) -> bytes:
    browser = shutil.which("chromium")
    assert browser, "chromium is not installed: apt-get install chromium"
    command = [browser, *_FLAGS, f"--user-data-dir={profile}", *arguments]
    return subprocess.run(command, check=True, capture_output=True, timeout=120).stdout


def screenshot(report: Path, tmp_path: Path, width: int, *flags: str) -> np.ndarray:
    picture = tmp_path / f"{width}.png"
    chromium(tmp_path / "profile", f"--window-size={width},2400", f"--screenshot={picture}", *flags, report.as_uri())
    return np.asarray(Image.open(io.BytesIO(picture.read_bytes())).convert("L"), np.float32)


def test_report_says_what_it_is(report: Path, tmp_path: Path) -> None:
    page = chromium(tmp_path / "profile", "--dump-dom", report.as_uri()).decode()

    for words in ("research use only", "synthetic", "macro F1", "ROC", "onfusion matrix"):
        assert words.casefold() in page.casefold()


@pytest.mark.parametrize("width", [400, 1280])
def test_report_fills_the_window_and_does_not_run_out_of_it(report: Path, tmp_path: Path, width: int) -> None:
    picture = screenshot(report, tmp_path, width)

    assert picture.shape[1] == width
    bands = picture.reshape(12, -1, width).std((1, 2))
    assert (bands > 5).all(), "a band of the page is empty"


def test_report_is_dark_where_the_reader_wants_it(report: Path, tmp_path: Path) -> None:
    light = screenshot(report, tmp_path, 1280)
    dark = screenshot(report, tmp_path, 1281, "--blink-settings=preferredColorScheme=0")

    assert light.mean() > 150
    assert dark.mean() < 110


def test_on_a_phone_nothing_runs_out_of_the_page(report: Path, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.goto(report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.close()


def test_a_table_sorts_by_the_column_that_is_clicked(report: Path, browser: Browser) -> None:
    page = browser.new_page()
    page.set_default_timeout(1000 * _PATIENCE)
    page.goto(report.as_uri())
    table = page.locator("main table", has=page.locator("th button", has_text="recall")).first
    head = table.locator("th", has=page.locator("button", has_text="recall"))
    column = int(head.evaluate("cell => cell.cellIndex"))

    def values() -> list[float]:
        shown = table.locator(f"tbody tr > :nth-child({column + 1})").all_inner_texts()
        return [float(text.split("%")[0].split()[0].replace(",", "")) for text in shown]

    before = values()
    assert len(before) == 4
    assert len(set(before)) > 1, "nothing to sort by"
    head.locator("button").click()
    expect(head).to_have_attribute("aria-sort", "descending", timeout=1000 * _PATIENCE)
    assert values() == sorted(before, reverse=True)
    head.locator("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending", timeout=1000 * _PATIENCE)
    assert values() == sorted(before)
    table.locator("th button").first.click()  # by name, and the other column is sorted no longer
    assert head.get_attribute("aria-sort") is None
    page.close()


def test_a_plot_tells_its_values_under_the_pointer(report: Path, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(report.as_uri())
    figures = page.locator("figure[data-points]:not([data-points='[]'])")  # a confusion matrix has its numbers in it
    hint = page.locator(".hint")
    assert figures.count() > 3
    for number in range(figures.count()):
        figure = figures.nth(number)
        points = json.loads(figure.get_attribute("data-points") or "")
        picture = figure.locator("img:visible").first
        picture.scroll_into_view_if_needed()
        box = picture.bounding_box()
        assert box is not None
        across, down, _ = points[len(points) // 2]
        until = time.monotonic() + _PATIENCE
        while not hint.is_visible() and time.monotonic() < until:  # scrolling hides it, and may be told late
            page.mouse.move(0, 0)
            page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
            page.wait_for_timeout(100)
        assert hint.inner_text() in {point[2] for point in points}
        page.mouse.move(0, 0)
        expect(hint).to_be_hidden(timeout=1000 * _PATIENCE)
    page.close()
