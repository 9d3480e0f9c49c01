"""A case in Debian's Chromium in all its states, dark and light, wide and narrow: axe-core finds nothing."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e import test_page_in_browser as browsing
from tests.e2e import test_viewer_in_browser as viewing
from tests.e2e.conftest import PATIENCE
from tests.e2e.test_page_in_browser import violations
from tests.e2e.test_viewer_in_browser import show
from tests.web.conftest import Server

pytestmark = pytest.mark.e2e
browser, server, cases = browsing.browser, browsing.server, viewing.cases  # fixtures
jpeg, nifti, meningioma = viewing.jpeg, viewing.nifti, viewing.meningioma
_PATIENCE = 60_000  # ms; the machine may have much else to do


def assessing(page: Page) -> None:
    """The panel is open, and something is being said."""
    page.locator("#feedback-title").click()
    page.get_by_label("Another class").check()
    page.locator("#comment").fill("A dural tail")
    expect(page.locator("#other")).to_be_visible()
    expect(page.locator("#saved")).to_contain_text("Draft kept", timeout=_PATIENCE)


def outlining(page: Page) -> None:
    page.locator("#take").click()
    expect(page.locator("#edit")).to_have_attribute("aria-pressed", "true")


def brushing(page: Page) -> None:
    page.locator("#brush").click()
    expect(page.locator("#brush-size")).to_be_visible()


def said(page: Page) -> None:
    page.locator("#feedback button[type=submit]").click()
    expect(page.locator("#said li").last).to_contain_text("with an outline", timeout=_PATIENCE)


def measuring(page: Page) -> None:
    page.locator("#tool").select_option("ellipse")
    page.locator("#stage").scroll_into_view_if_needed()
    box = page.locator("#stage").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 40, y - 30)
    page.mouse.down()
    page.mouse.move(x + 40, y + 30, steps=4)
    page.mouse.up()
    expect(page.locator("#measured li").last).to_contain_text("mean", timeout=_PATIENCE)


def planes(page: Page) -> None:
    page.get_by_role("radio", name="Three planes").click()
    expect(page.locator("#planes")).to_have_attribute("data-ready", "true", timeout=_PATIENCE)


def two_series(page: Page) -> None:
    page.get_by_role("radio", name="Two series").click()
    expect(page.locator("#beside-where")).to_contain_text("series", timeout=_PATIENCE)


def four_panes(page: Page) -> None:
    page.get_by_role("radio", name="Four panes").click()
    expect(page.locator("#panes .pane")).to_have_count(4)


def keys(page: Page) -> None:
    page.locator("#help").click()
    expect(page.locator("#keys")).to_be_visible()


def renaming(page: Page) -> None:
    page.keyboard.press("Escape")
    page.locator("#rename").click()
    expect(page.locator("#naming")).to_be_visible()


def deleting(page: Page) -> None:
    page.keyboard.press("Escape")
    page.locator("#delete").click()
    expect(page.locator("#sure")).to_be_visible()


def without_panel(page: Page) -> None:
    page.keyboard.press("Escape")
    page.locator("#fold").click()
    expect(page.locator("#panel")).to_be_hidden()


def without_pictures(page: Page) -> None:
    page.route("**/values", lambda route: route.abort())
    page.reload()  # it may have some at hand
    expect(page.locator("#broken")).to_be_visible(timeout=_PATIENCE)


_SEEN = (assessing, outlining, brushing, said, measuring, planes, two_series, four_panes)
STATES = (*_SEEN, keys, renaming, deleting, without_panel, without_pictures)


@pytest.mark.parametrize(("width", "theme"), [(1440, "dark"), (1440, "light"), (390, "light")])
def test_every_state_of_a_case_is_accessible(
    browser: Browser, server: Server, cases: dict[str, str], width: int, theme: str
) -> None:
    # Without motion: a colour that is half way to another would be judged.
    context = browser.new_context(viewport={"width": width, "height": 900}, reduced_motion="reduce")
    context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    tab = context.new_page()
    tab.set_default_timeout(PATIENCE)
    show(tab, server, cases["study"])
    wrong = {}
    for enter in STATES:
        enter(tab)
        browsing.keep(tab, f"state-{enter.__name__}-{width}-{theme}")
        if found := violations(tab):
            wrong[enter.__name__] = found
    context.close()
    assert wrong == {}
