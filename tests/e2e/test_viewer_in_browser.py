"""The viewer in Chromium: a study of three sequences, a volume, a JPEG; by mouse and keys, and offline."""

from __future__ import annotations

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e import test_page_in_browser as browsing
from tests.e2e.conftest import PATIENCE
from tests.e2e.test_page_in_browser import changed, keep, pixels, settle, violations
from tests.web import conftest as web
from tests.web.conftest import Server
from tests.web.studies import three_sequences
from tumorlens.wording import ranges

pytestmark = pytest.mark.e2e
browser, server, page = browsing.browser, browsing.server, browsing.page  # fixtures
jpeg, nifti, meningioma = web.jpeg, web.nifti, web.meningioma


@pytest.fixture(scope="module")
def cases(server: Server, tmp_path_factory: pytest.TempPathFactory, jpeg: bytes, nifti: bytes) -> dict[str, str]:
    """A study in three sequences, a volume and a picture; all read."""
    files = {"study": three_sequences(tmp_path_factory.mktemp("three")), "volume": nifti, "picture": jpeg}
    names = {"study": "study.zip", "volume": "volume.nii.gz", "picture": "a.jpg"}
    made = {}
    with httpx2.Client(base_url=f"{server.address}/api/v1", timeout=120) as api:
        for kind, content in files.items():
            made[kind] = api.post("/cases", json={}).json()["id"]
            api.put(f"/cases/{made[kind]}/files", params={"name": names[kind]}, content=content)
            api.post(f"/cases/{made[kind]}/start")
    return made


def show(page: Page, server: Server, case: str) -> None:
    page.goto(f"{server.address}/cases/{case}")
    expect(page.locator("#report-pdf")).to_be_visible(timeout=60_000)
    page.wait_for_selector("#desk:not([hidden])")
    settle(page)


def test_the_answer_stands_first_and_its_slices_are_links(page: Page, server: Server, cases: dict[str, str]) -> None:
    show(page, server, cases["study"])
    study = httpx2.get(f"{server.address}/api/v1/cases/{cases['study']}").json()["study"]
    words = {"present": "Tumour suspected", "absent": "No tumour seen", "uncertain": "Uncertain"}
    expect(page.locator("#answer")).to_have_text(words[study["answer"]])
    assert "ruled out" not in page.locator("main").inner_text()
    first = page.locator("#key-slices a").first
    assert int(first.inner_text()) == study["key_slices"][0]
    expect(page.locator("#key-slices")).to_contain_text(ranges(study["key_slices"]))  # not each of 65 numbers
    first.click()
    expect(page.locator("#finding-title")).to_have_text(f"Finding of slice {study['key_slices'][0]}")
    assert page.locator("#assessment").get_attribute("open") is None  # folded
    expect(page.locator("#assessment summary")).to_be_visible()


def test_series_stand_as_on_the_scanner_s_list(page: Page, server: Server, cases: dict[str, str]) -> None:
    show(page, server, cases["study"])
    plates = page.locator("#series button")
    assert [text.split("\n")[0] for text in plates.all_inner_texts()] == ["2 · T2", "3 · FLAIR", "5 · T1 post-contrast"]
    expect(plates.nth(0)).to_contain_text("coronal · 8 slices")
    plates.nth(1).click()
    expect(page.locator("#where")).to_contain_text("of 6")
    expect(plates.nth(1)).to_have_attribute("aria-current", "true")
    page.keyboard.press("End")
    expect(page.locator("#where")).to_contain_text("6 of 6")
    page.keyboard.press("ArrowDown")  # the end of the series is an end
    expect(page.locator("#where")).to_contain_text("6 of 6")
    page.keyboard.press("n")
    expect(plates.nth(2)).to_have_attribute("aria-current", "true")
    page.locator("#strip").hover(position={"x": 5, "y": 20})
    expect(page.locator("#strip-tip")).to_contain_text("2 · T2, slice 1 of 8")
    keep(page, "series-1280")


def test_one_window_serves_a_series(page: Page, server: Server, cases: dict[str, str]) -> None:
    show(page, server, cases["study"])
    page.locator("#opacity").fill("0")
    level, width = page.locator("#level"), page.locator("#width")
    expect(width).to_have_value("1000")
    page.locator("#preset").select_option("Brain")
    brain = width.input_value()
    assert float(brain) < 1000
    page.locator("#stage").focus()
    page.keyboard.press("ArrowDown")
    expect(width).to_have_value(brain)
    box = page.locator("#stage").bounding_box()
    assert box
    before = pixels(page)
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down(button="right")
    page.mouse.move(box["x"] + 320, box["y"] + 260, steps=4)
    page.mouse.up(button="right")
    assert float(width.input_value()) > float(brain)
    assert changed(before, pixels(page)) > 0.02
    assert level.input_value()
    # A slice at the edge of the head is as dark as the window says, not noise from black to white.
    page.locator("#reset").click()
    page.keyboard.press("Home")
    settle(page)
    assert pixels(page, "#panes canvas").mean() < 60
    page.locator("#series button").first.click()
    expect(page.locator("#preset")).to_have_value("Default")


def test_two_series_are_linked_by_position(page: Page, server: Server, cases: dict[str, str]) -> None:
    show(page, server, cases["study"])
    page.locator("#series button").nth(2).click()
    page.get_by_role("radio", name="Two series").click()
    beside = page.locator("#beside-where")
    expect(beside).to_contain_text("series 3, FLAIR")  # the other axial one
    page.locator("#stage").focus()
    page.keyboard.press("Home")
    expect(beside).to_contain_text("1 of 6")
    page.keyboard.press("End")
    expect(beside).to_contain_text("6 of 6")
    page.locator("#other-series").select_option(label="series 2, T2")
    expect(beside).to_contain_text("series 2, T2")
    box = page.locator("#stage").bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.3)
    front = beside.inner_text()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.7)
    expect(beside).not_to_have_text(front)
    keep(page, "two-series-1280")


def test_an_earlier_case_of_the_same_person_stands_beside(page: Page, server: Server, cases: dict[str, str]) -> None:
    at = f"{server.address}/api/v1/cases/{cases['picture']}"
    show(page, server, cases["picture"])
    two = page.get_by_role("radio", name="Two series")
    expect(two).to_be_disabled()  # there is but one
    assert httpx2.patch(at, json={"linked": cases["study"]}).status_code == 200
    expect(two).to_be_enabled(timeout=60_000)  # the page has heard of it
    two.click()
    beside, where = page.locator("#beside-where"), page.locator("#where").inner_text()
    page.locator("#other-series").select_option(index=2)
    expect(beside).to_contain_text("earlier, ")
    expect(beside).to_contain_text("series 3, FLAIR")
    expect(beside).to_contain_text("not linked: no common position")
    expect(beside).to_contain_text("4 of 6")
    page.locator("#beside").hover()
    page.mouse.wheel(0, 100)
    expect(beside).to_contain_text("5 of 6")
    page.wait_for_function(
        """() => {
          const canvas = document.querySelector("#beside canvas");
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return data.some((value, i) => i % 4 < 3 && value > 60);
        }""",
    )
    assert page.locator("#where").inner_text() == where
    keep(page, "earlier-1280")
    assert httpx2.patch(at, json={"linked": ""}).status_code == 200


@pytest.mark.parametrize("kind", ["study", "volume"])
def test_three_planes_share_the_cursor_with_the_slices(
    page: Page, server: Server, cases: dict[str, str], kind: str
) -> None:
    show(page, server, cases[kind])
    page.get_by_role("radio", name="Three planes").click()
    planes = page.locator("#planes")
    expect(planes).to_have_attribute("data-ready", "true")
    settle(page)
    seen = pixels(page)
    third = seen.shape[1] // 3
    assert (seen[:, :third].max(-1) > 60).mean() > 0.05
    assert (seen[:, -third:].max(-1) > 60).mean() > 0.05
    before = page.locator("#where").inner_text()
    box = planes.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] * 0.8, box["y"] + box["height"] * 0.36)  # low in the plane across
    expect(page.locator("#where")).not_to_have_text(before)
    where = page.locator("#where").inner_text()
    keep(page, f"planes-{kind}-1280")
    page.get_by_role("radio", name="Slice", exact=True).click()
    settle(page)
    expect(page.locator("#where")).to_have_text(where)
    page.get_by_role("radio", name="Three planes").click()
    page.keyboard.press("Home")
    expect(page.locator("#where")).to_contain_text("1 of ")


def test_a_picture_says_why_it_has_no_planes(page: Page, server: Server, cases: dict[str, str]) -> None:
    show(page, server, cases["picture"])
    expect(page.get_by_role("radio", name="Three planes")).to_be_disabled()
    assert page.get_by_role("radio", name="Three planes").get_attribute("title") == "Single pictures are no volume"
    expect(page.locator("#windowing")).to_be_hidden()
    expect(page.locator("#series")).to_be_hidden()


def test_keys_work_wherever_the_focus_is_but_where_one_types(page: Page, server: Server, cases: dict[str, str]) -> None:
    show(page, server, cases["volume"])
    where = page.locator("#where")
    page.locator("#report-pdf").focus()
    page.keyboard.press("Home")
    expect(where).to_contain_text("1 of 20")
    page.locator("#fold").focus()
    page.keyboard.press("ArrowDown")
    expect(where).to_contain_text("2 of 20")
    page.keyboard.press("f")
    expect(page.locator("#panel")).to_be_hidden()
    page.keyboard.press("f")
    page.locator("#assessment summary").click()
    page.locator("#comment").fill("")
    page.locator("#comment").type("v1?")
    expect(page.locator("#comment")).to_have_value("v1?")
    expect(page.locator("#keys")).to_be_hidden()
    page.locator("#comment").fill("")
    page.locator("#assessment summary").click()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.locator("#letters").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("v")
    expect(page.get_by_role("radio", name="Slice", exact=True)).to_have_attribute("aria-checked", "true")
    page.keyboard.press("?")
    page.locator("#letters").check()
    page.keyboard.press("Escape")
    # Everything is reached by Tab alone.
    page.locator("#title").evaluate("() => document.activeElement.blur()")
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.dataset.view || ''"))
    assert {"stage", "opacity", "threshold", "level", "preset", "help", "fold", "blend"} <= reached


def test_offline_blanks_the_stage_and_says_so(browser: Browser, server: Server, cases: dict[str, str]) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    tab.set_default_timeout(PATIENCE)
    show(tab, server, cases["study"])
    tab.wait_for_timeout(1500)
    tab.keyboard.press("End")
    settle(tab)
    context.set_offline(True)
    tab.locator("#series button").first.click()
    tab.keyboard.press("Home")
    expect(tab.locator("#broken")).to_be_visible()
    expect(tab.locator("#broken")).to_contain_text("The server is not reached")
    drawn = tab.locator(".pane canvas").first.evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v, i) => i % 4 < 3 && v)"
    )
    assert not drawn  # no picture of another slice under this one's finding
    keep(tab, "offline-1280")
    context.set_offline(False)
    tab.locator("#retry").click()
    expect(tab.locator("#broken")).to_be_hidden()
    settle(tab)
    assert pixels(tab).max() > 100
    context.close()


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (820, 1180), (1440, 900), (1920, 1080)])
def test_the_picture_owns_the_screen(
    browser: Browser, server: Server, cases: dict[str, str], width: int, height: int, theme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": height}, has_touch=width < 500)
    context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    tab = context.new_page()
    tab.set_default_timeout(PATIENCE)
    show(tab, server, cases["study"])
    stage, tools = tab.locator("#stage").bounding_box(), tab.locator(".tools").bounding_box()
    assert stage
    assert tools
    assert stage["y"] + stage["height"] <= height  # without scrolling
    assert stage["height"] >= 0.5 * height
    assert tools["height"] < 60  # one row
    sizes = tab.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight, scrollY]")
    assert sizes[0] <= width
    assert sizes[2] == 0
    if width > 1020:
        assert sizes[1] <= height
        scroller = tab.locator("#scroller").bounding_box()
        assert scroller
        assert scroller["y"] + scroller["height"] > height - 60  # no void below
    keep(tab, f"case-{width}-{theme}")
    if theme == "dark" or width == 1440:
        assert violations(tab) == []
    context.close()


def test_the_next_slice_is_at_hand(page: Page, server: Server, cases: dict[str, str]) -> None:
    show(page, server, cases["volume"])
    page.keyboard.press("Home")
    page.wait_for_timeout(1500)
    # Drawn in the same task as the key: nothing is fetched, and the stage is never blank.
    drawn = page.evaluate(
        """() => {
          const canvas = document.querySelector(".pane canvas");
          const all = () => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          const sum = () => all().reduce((a, b) => a + b, 0);
          const before = sum();
          document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
          return [before, sum()];
        }"""
    )
    assert drawn[0] != drawn[1]
    assert drawn[1] > 0


def test_measured_by_dragging_or_by_clicking_and_kept(page: Page, server: Server, cases: dict[str, str]) -> None:
    show(page, server, cases["volume"])
    box = page.locator("#stage").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.locator("#tool").select_option("length")
    page.mouse.move(x - 80, y)
    page.mouse.down()
    page.mouse.move(x + 80, y, steps=4)
    page.mouse.up()
    expect(page.locator("#measured li")).to_contain_text("mm")
    page.locator("#tool").select_option("angle")
    for dx, dy in ((-60, 0), (0, 0), (0, 60)):  # by clicks alone
        page.mouse.click(x + dx, y + dy)
        settle(page)
    expect(page.locator("#measured li").nth(1)).to_contain_text("angle 90°")
    page.locator("#tool").select_option("ellipse")
    page.mouse.move(x - 40, y - 30)
    page.mouse.down()
    page.mouse.move(x + 40, y + 30, steps=4)
    page.mouse.up()
    expect(page.locator("#measured li").nth(2)).to_contain_text("mean")
    keep(page, "measured-1280")
    page.reload()
    expect(page.locator("#measured li")).to_have_count(3)
    page.get_by_role("button", name="Delete: angle").click()
    expect(page.locator("#measured li")).to_have_count(2)
    assert violations(page) == []


def test_heat_below_the_threshold_is_not_drawn(page: Page, server: Server, cases: dict[str, str]) -> None:
    show(page, server, cases["picture"])
    page.locator("#contour").uncheck()
    page.locator("#threshold").fill("0")
    all_of_it = pixels(page)
    page.locator("#threshold").fill("90")
    peak = pixels(page)
    page.locator("#opacity").fill("0")
    none = pixels(page)
    assert changed(all_of_it, none) > 3 * changed(peak, none) > 0
