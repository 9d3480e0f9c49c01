"""A whole slide in Debian's Chromium: it is zoomed into, and its heat turned off; axe-core finds nothing.

Set TUMORLENS_SCREENSHOTS to a folder to look at what was seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page, Response, expect

from tests.e2e import test_page_in_browser as pages
from tests.web import test_slides as slides
from tests.web.conftest import Server
from tumorlens.web.settings import Settings

pytestmark = pytest.mark.e2e
browser, weights, slide = pages.browser, slides.weights, slides.slide  # fixtures
_SLOW = 300_000  # ms; the machine may have much else to do


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Iterator[Server]:
    running = Server(Settings(home=tmp_path_factory.mktemp("page"), weights=str(weights), workers=1))
    yield running
    running.kill()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    tab.set_default_timeout(_SLOW)
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    yield tab
    context.close()
    assert wrong == []


def test_a_slide_is_zoomed_into_and_its_heat_turned_off(page: Page, server: Server, slide: bytes) -> None:
    with httpx2.Client(base_url=f"{server.address}/api/v1", timeout=60) as api:
        case = api.post("/cases", json={}).json()["id"]
        api.put(f"/cases/{case}/files", params={"name": "biopsy.tiff"}, content=slide)
        api.post(f"/cases/{case}/start")
    page.goto(f"{server.address}/cases/{case}")  # while it is read
    expect(page.locator("#headline")).not_to_be_empty(timeout=_SLOW)
    expect(page.locator("#readout")).to_contain_text("×", timeout=_SLOW)
    expect(page.locator("#warnings")).to_contain_text("not calibrated for slides")
    whole = page.locator("#readout").inner_text()
    seen = page.locator("#canvas").screenshot()

    def is_pane(answer: Response) -> bool:
        return "/panes/0/" in answer.url

    page.locator("#stage").focus()
    with page.expect_response(is_pane, timeout=_SLOW) as answer:
        for _ in range(6):
            page.keyboard.press("+")
    assert answer.value.status == 200
    assert page.locator("#readout").inner_text() != whole
    page.keyboard.press("0")
    expect(page.locator("#readout")).to_have_text(whole, timeout=_SLOW)
    page.keyboard.press("h")
    expect(page.locator("#opacity")).to_have_value("0")
    page.wait_for_timeout(300)
    assert page.locator("#canvas").screenshot() != seen

    page.get_by_label("Another class").check()
    page.get_by_label("Which?").select_option("malignant")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#said")).to_contain_text("says malignant")
    pages.keep(page, "slide")
    assert pages.violations(page) == []
