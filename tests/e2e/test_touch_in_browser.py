"""A case under a finger, or two, in Debian's Chromium at the width of a phone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from playwright.sync_api import Browser, CDPSession, Page, expect

from tests.e2e import test_page_in_browser as browsing
from tests.e2e import test_viewer_in_browser as viewing
from tests.e2e.conftest import PATIENCE
from tests.e2e.test_page_in_browser import changed, pixels, settle
from tests.e2e.test_viewer_in_browser import show
from tests.web.conftest import Server

pytestmark = pytest.mark.e2e
browser, server, cases = browsing.browser, browsing.server, viewing.cases  # fixtures
jpeg, nifti, meningioma = viewing.jpeg, viewing.nifti, viewing.meningioma
_PATIENCE = 60_000  # ms; the machine may have much else to do
Place = tuple[float, float]


@pytest.fixture
def phone(browser: Browser, server: Server, cases: dict[str, str]) -> Iterator[Page]:
    """A volume on a phone."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    tab = context.new_page()
    tab.set_default_timeout(PATIENCE)
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    show(tab, server, cases["volume"])
    yield tab
    context.close()
    assert wrong == []


def touch(session: CDPSession, kind: str, places: Sequence[Place]) -> None:
    points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
    session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def drag(page: Page, *ways: Sequence[Place]) -> None:
    """Fingers go their ways, of as many places each, and are lifted."""
    session = page.context.new_cdp_session(page)
    for step, places in enumerate(zip(*ways, strict=True)):
        touch(session, "touchMove" if step else "touchStart", places)
    touch(session, "touchEnd", [])


def line(start: Place, end: Place, steps: int = 6) -> list[Place]:
    return [
        (start[0] + (end[0] - start[0]) * i / steps, start[1] + (end[1] - start[1]) * i / steps)
        for i in range(steps + 1)
    ]


def middle(page: Page, selector: str = "#stage") -> Place:
    box = page.locator(selector).bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_finger_goes_through_the_slices(phone: Page) -> None:
    before = phone.locator("#where").inner_text()
    x, y = middle(phone)
    drag(phone, line((x, y), (x, y + 60)))
    expect(phone.locator("#where")).not_to_have_text(before)
    assert phone.evaluate("scrollY") == 0


def test_a_finger_goes_along_the_strip(phone: Page) -> None:
    box = phone.locator("#strip").bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    drag(phone, line((box["x"] + box["width"] / 2, y), (box["x"] + 2, y)))
    expect(phone.locator("#where")).to_contain_text("1 of 20")
    drag(phone, line((box["x"] + 2, y), (box["x"] + box["width"] - 2, y)))
    expect(phone.locator("#where")).to_contain_text("20 of 20")


def test_two_fingers_zoom(phone: Page) -> None:
    whole = pixels(phone)
    where = phone.locator("#where").inner_text()
    x, y = middle(phone)
    drag(phone, line((x - 20, y), (x - 120, y)), line((x + 20, y), (x + 120, y)))
    settle(phone)
    zoomed = pixels(phone)
    assert changed(whole, zoomed) > 0.05
    drag(phone, line((x, y), (x + 60, y + 30)))  # now one finger moves the picture
    settle(phone)
    assert changed(zoomed, pixels(phone)) > 0.02
    expect(phone.locator("#where")).to_have_text(where)
    phone.locator("#reset").click()
    settle(phone)
    assert changed(whole, pixels(phone)) < 0.01


def test_a_finger_measures_and_draws_an_outline(phone: Page) -> None:
    x, y = middle(phone)
    phone.locator("#tool").select_option("length")
    drag(phone, line((x - 50, y), (x + 50, y)))
    expect(phone.locator("#measured li")).to_contain_text("mm", timeout=_PATIENCE)
    phone.locator("#tool").select_option("")

    phone.locator("#feedback-title").click()
    phone.locator("#draw").click()
    stage = phone.locator("#stage").bounding_box()
    assert stage
    assert stage["y"] >= 0  # it has come into sight again
    x, y = middle(phone)
    corners = [(x - 40, y - 40), (x + 40, y - 40), (x + 40, y + 40), (x - 40, y + 40), (x - 40, y - 30)]
    drag(phone, [place for start, end in pairwise(corners) for place in line(start, end)])
    expect(phone.locator("#outlined")).to_contain_text("An outline will be saved.")
    expect(phone.locator("#saved")).to_contain_text("Draft kept", timeout=_PATIENCE)


def test_a_finger_moves_the_cursor_of_three_planes(phone: Page) -> None:
    phone.get_by_role("radio", name="Three planes").click()
    expect(phone.locator("#planes")).to_have_attribute("data-ready", "true", timeout=_PATIENCE)
    where = phone.locator("#where").inner_text()
    box = phone.locator("#planes").bounding_box()
    assert box
    x, y = box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.8  # one of the planes across
    drag(phone, line((x, y - 25), (x, y + 25)))
    expect(phone.locator("#where")).not_to_have_text(where)
    assert phone.evaluate("scrollY") == 0
