"""Renaming and deleting a case in Debian's Chromium, of slices and of a whole slide; with the keyboard, and refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e import test_page_in_browser as pages
from tests.web import conftest as web
from tests.web import test_slides as slides
from tests.web.conftest import READS_PHANTOMS, Server
from tumorlens.web.settings import Settings

pytestmark = pytest.mark.e2e
browser, jpeg, meningioma = pages.browser, web.jpeg, web.meningioma  # fixtures
weights, slide = slides.weights, slides.slide
_PATIENCE = 120_000  # ms; the machine may have much else to do


@pytest.fixture(params=["slices", "slide"])
def case(
    request: pytest.FixtureRequest, browser: Browser, tmp_path: Path, weights: Path, jpeg: bytes, slide: bytes
) -> Iterator[tuple[Page, Server, str]]:
    """A tab that shows a case of either kind, which is read; its server, and its id."""
    name, content, by = ("a.jpg", jpeg, READS_PHANTOMS)
    if request.param == "slide":
        name, content, by = ("biopsy.tiff", slide, str(weights))
    server = Server(Settings(home=tmp_path, weights=by, workers=1))
    with httpx2.Client(base_url=f"{server.address}/api/v1", timeout=60) as api:
        made: str = api.post("/cases", json={}).json()["id"]
        api.put(f"/cases/{made}/files", params={"name": name}, content=content)
        api.post(f"/cases/{made}/start")
    tab = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce").new_page()
    tab.set_default_timeout(_PATIENCE)
    broken: list[str] = []
    tab.on("pageerror", lambda error: broken.append(str(error)))
    tab.goto(f"{server.address}/cases/{made}")
    expect(tab.locator("#report-pdf")).to_be_visible()
    yield tab, server, made
    tab.context.close()
    server.kill()
    assert broken == []


def title(server: Server, case: str) -> str:
    return str(httpx2.get(f"{server.address}/api/v1/cases/{case}").json()["title"])


def test_a_case_is_renamed_and_deleted(case: tuple[Page, Server, str]) -> None:
    tab, server, made = case
    named = title(server, made)
    naming, sure = tab.locator("#naming"), tab.locator("#sure")
    tab.locator("#rename").click()
    expect(naming.get_by_label("Title")).to_have_value(named)
    naming.get_by_label("Title").fill("<b>Tuesday</b>")
    assert pages.violations(tab) == []
    naming.get_by_role("button", name="Save").click()
    expect(tab.locator("#title")).to_have_text("<b>Tuesday</b>")  # as it was typed, and no markup
    assert title(server, made) == "<b>Tuesday</b>"

    # Neither Cancel nor Escape renames, though Save was pressed before.
    leaves: tuple[Callable[[], None], ...] = (
        lambda: naming.get_by_role("button", name="Cancel").click(),
        lambda: tab.keyboard.press("Escape"),
    )
    for leave in leaves:
        tab.locator("#rename").click()
        naming.get_by_label("Title").fill("not wanted")
        leave()
        expect(naming).to_be_hidden()
    tab.locator("#rename").press("Enter")  # with the keyboard alone
    tab.keyboard.press("ControlOrMeta+a")
    tab.keyboard.type("Wednesday")
    tab.keyboard.press("Enter")
    expect(tab.locator("#title")).to_have_text("Wednesday")
    tab.reload()
    expect(tab.locator("#title")).to_have_text("Wednesday")

    tab.locator("#delete").click()
    assert pages.violations(tab) == []
    sure.get_by_role("button", name="Keep it").click()
    tab.locator("#delete").click()
    tab.keyboard.press("Escape")
    expect(sure).to_be_hidden()
    assert title(server, made) == "Wednesday"
    tab.locator("#delete").click()
    sure.get_by_role("button", name="Delete").click()
    tab.wait_for_url(f"{server.address}/")
    expect(tab.locator("#worklist")).to_contain_text("No cases yet")
    assert httpx2.get(f"{server.address}/api/v1/cases/{made}").status_code == 404


def test_what_cannot_be_renamed_or_deleted_says_so(case: tuple[Page, Server, str]) -> None:
    tab, server, made = case
    named = title(server, made)
    tab.context.set_offline(True)
    for button, dialog, answer in (("#rename", "#naming", "Save"), ("#delete", "#sure", "Delete")):
        tab.locator(button).click()
        tab.locator(dialog).get_by_role("button", name=answer).click()
        expect(tab.locator("#state")).to_contain_text("The server is not reached")
        tab.locator("#state").evaluate("state => state.replaceChildren()")
        tab.locator(button).click()
        tab.keyboard.press("Escape")  # and is not tried again by leaving
        expect(tab.locator(dialog)).to_be_hidden()
        tab.wait_for_timeout(500)
        expect(tab.locator("#state")).to_be_empty()
    tab.context.set_offline(False)
    assert title(server, made) == named
