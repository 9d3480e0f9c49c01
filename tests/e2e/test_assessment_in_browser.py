"""Assessments in Debian's Chromium: bound to their slice, drafts that outlive the server, two tabs, outlines undone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from playwright.sync_api import Browser, Dialog, Page, expect

from tests.e2e import test_page_in_browser as first
from tests.web import conftest as web
from tests.web.conftest import READS_PHANTOMS, Server
from tumorlens.web.client import Client
from tumorlens.web.settings import Settings

pytestmark = pytest.mark.e2e
archive, series = web.archive, web.series  # fixtures
browser, another_server = first.browser, first.another_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(Settings(home=tmp_path_factory.mktemp("page"), weights=READS_PHANTOMS, workers=1))
    yield running
    running.kill()


def read(server: Server, archive: bytes, folder: Path) -> str:
    (folder / "study.zip").write_bytes(archive)
    with Client(server.address) as client:
        return str(client.read([folder / "study.zip"])["id"])


def open_case(browser: Browser, server: Server, case: str) -> Page:
    tab = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    tab.set_default_timeout(120_000)
    tab.goto(f"{server.address}/cases/{case}")
    tab.wait_for_selector("#desk:not([hidden])")
    tab.locator("#feedback-title").click()
    expect(tab.locator("#comment")).to_be_visible()
    return tab


def at_first(tab: Page) -> None:
    tab.locator("#stage").focus()
    tab.keyboard.press("Home")
    expect(tab.locator("#slice")).to_have_value("1")


def drafts(server: Server, case: str) -> dict[int, Any]:
    standing = httpx2.get(f"{server.address}/api/v1/cases/{case}/standing").json()
    return {d["slice"]: d["content"] for d in standing["drafts"]}


def test_what_is_typed_stays_with_its_slice(browser: Browser, server: Server, archive: bytes, tmp_path: Path) -> None:
    case = read(server, archive, tmp_path)
    tab = open_case(browser, server, case)
    at_first(tab)
    tab.get_by_label("Another class").check()
    tab.locator("#other").select_option("meningioma")
    tab.locator("#comment").fill("of the first")
    tab.locator("#stage").focus()
    tab.keyboard.press("ArrowDown")
    expect(tab.locator("#comment")).to_have_value("")
    expect(tab.get_by_label("Another class")).not_to_be_checked()
    expect(tab.locator("#feedback-title")).to_contain_text("slice 2")
    tab.locator("#comment").fill("of the second")
    tab.get_by_label("I am unsure").check()
    tab.locator("#stage").focus()
    tab.keyboard.press("ArrowUp")
    expect(tab.locator("#comment")).to_have_value("of the first")
    expect(tab.get_by_label("Another class")).to_be_checked()
    tab.reload()
    tab.wait_for_selector("#desk:not([hidden])")
    at_first(tab)
    expect(tab.locator("#comment")).to_have_value("of the first")
    expect(tab.locator("#other")).to_have_value("meningioma")
    tab.locator("#feedback button[type=submit]").click()
    expect(tab.locator("#said li")).to_contain_text("says meningioma")
    said = httpx2.get(f"{server.address}/api/v1/cases/{case}/feedback").json()
    assert [(f["slice"], f["label"], f["comment"]) for f in said] == [(1, "meningioma", "of the first")]
    assert drafts(server, case)[1] is None
    assert drafts(server, case)[2]["comment"] == "of the second"
    expect(tab.locator("#progress")).to_contain_text("suspicious slice")
    tab.context.close()


def test_a_draft_outlives_the_server(browser: Browser, another_server: Server, archive: bytes, tmp_path: Path) -> None:
    server = another_server
    case = read(server, archive, tmp_path)
    tab = open_case(browser, server, case)
    at_first(tab)
    tab.locator("#comment").fill("kept before")
    expect(tab.locator("#saved")).to_contain_text("Draft kept")
    server.kill()
    tab.locator("#comment").fill("kept before, and typed after")
    expect(tab.locator("#saved")).to_contain_text("Not kept yet")
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    tab.on("dialog", stay)
    tab.evaluate("location.reload()")
    tab.wait_for_timeout(1000)
    assert asked == ["beforeunload"]  # it would be lost, so the reader is asked
    expect(tab.locator("#comment")).to_have_value("kept before, and typed after")
    server.start()
    assert drafts(server, case)[1]["comment"].startswith("kept before")  # the page may have sent the rest already
    expect(tab.locator("#saved")).to_contain_text("Draft kept")
    assert drafts(server, case)[1]["comment"] == "kept before, and typed after"
    tab.context.close()


def test_the_later_of_two_tabs_is_told(browser: Browser, server: Server, archive: bytes, tmp_path: Path) -> None:
    case = read(server, archive, tmp_path)
    one, other = open_case(browser, server, case), open_case(browser, server, case)
    for tab in (one, other):
        at_first(tab)
    one.locator("#comment").fill("of one tab")
    expect(one.locator("#saved")).to_contain_text("Draft kept")
    expect(other.locator("#comment")).to_have_value("of one tab")  # it shows what the other typed
    other.route("**/standing", lambda route: route.abort())  # it hears nothing from here on
    one.locator("#comment").fill("of one tab, further")
    expect(one.locator("#saved")).to_contain_text("Draft kept")
    other.locator("#comment").fill("of the other tab")
    expect(other.locator("#clash")).to_be_visible()
    expect(other.locator("#clash")).to_contain_text("another tab")
    expect(other.locator("#comment")).to_have_value("of the other tab")  # nothing typed is lost
    assert drafts(server, case)[1]["comment"] == "of one tab, further"
    other.unroute("**/standing")
    other.get_by_role("button", name="Keep mine").click()
    expect(other.locator("#clash")).to_be_hidden()
    expect(one.locator("#comment")).to_have_value("of the other tab")
    for tab in (one, other):
        tab.context.close()


def test_an_outline_is_begun_from_the_contour_edited_brushed_and_undone(
    browser: Browser, server: Server, archive: bytes, tmp_path: Path
) -> None:
    case = read(server, archive, tmp_path)
    tab = open_case(browser, server, case)
    number = int(tab.locator("#feedback-title").inner_text().rsplit(" ", 1)[1])

    def outline() -> np.ndarray:
        expect(tab.locator("#saved")).to_contain_text("Draft kept")
        tab.wait_for_timeout(1200)
        content = drafts(server, case)[number]
        return np.array(content["outline"] if content else [], float).reshape(-1, 2)

    tab.locator("#take").click()
    taken = outline()
    assert len(taken) > 3
    box = tab.locator("#stage canvas").first.bounding_box()
    assert box
    side = min(box["width"], box["height"])  # the phantom is square

    def on_screen(point: np.ndarray) -> tuple[float, float]:
        x, y = box["x"] + (box["width"] - side) / 2, box["y"] + (box["height"] - side) / 2
        return x + point[0] * side, y + point[1] * side

    x, y = on_screen(taken[0])
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x - 40, y - 40, steps=6)
    tab.mouse.up()
    dragged = outline()
    moved = np.abs(dragged - taken).max(1) > 0.02
    assert (len(dragged), moved.sum()) == (len(taken), 1)
    assert np.allclose((dragged - taken)[moved][0], -40 / side, atol=0.01)
    tab.locator("#brush").click()
    x, y = on_screen(taken.mean(0))
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x + 0.25 * side, y, steps=10)
    tab.mouse.up()
    brushed = outline()
    assert brushed[:, 0].max() > dragged[:, 0].max() + 0.05
    tab.locator("#undo").click()
    assert np.allclose(outline(), dragged, atol=1e-6)
    tab.keyboard.press("Control+z")
    assert np.allclose(outline(), taken, atol=1e-6)
    tab.get_by_label("I agree").check()
    tab.locator("#feedback button[type=submit]").click()
    expect(tab.locator("#said li")).to_contain_text("with an outline")
    tab.wait_for_timeout(1000)  # a button's colours change while one looks
    assert first.violations(tab) == []
    tab.context.close()
