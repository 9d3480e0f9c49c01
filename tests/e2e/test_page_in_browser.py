"""The page in Debian's Chromium, by Playwright: what a reader does, three widths, both themes; axe-core finds nothing.

Set TUMORLENS_SCREENSHOTS to a folder to look at what was seen.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from tests.e2e.conftest import PATIENCE
from tests.web import conftest as web
from tests.web.conftest import READS_PHANTOMS, Server
from tumorlens.web.accounts import Accounts
from tumorlens.web.database import Database
from tumorlens.web.settings import Settings

pytestmark = pytest.mark.e2e
jpeg, archive, nifti, series, meningioma = web.jpeg, web.archive, web.nifti, web.series, web.meningioma  # fixtures
WIDTHS = (390, 820, 1280)
_FLAGS = ["--no-sandbox", "--disable-quic", "--disable-background-networking", "--disable-component-update"]
_FLAGS += ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # WebGL without a GPU
_WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium")
    assert found, "chromium is not installed: apt-get install chromium"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=_FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(Settings(home=tmp_path_factory.mktemp("page"), weights=READS_PHANTOMS, workers=2))
    yield running
    running.kill()


@pytest.fixture
def another_server(tmp_path: Path) -> Iterator[Server]:
    running = Server(Settings(home=tmp_path, weights=READS_PHANTOMS, workers=1))
    yield running
    running.kill()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """A tab, in which nothing may go wrong unseen."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    tab = context.new_page()
    tab.set_default_timeout(PATIENCE)
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    tab.goto(server.address)
    yield tab
    context.close()
    assert wrong == []


def drop(page: Page, server: Server, name: str, content: bytes) -> None:
    """Drops a file onto the page, and waits until its case is done."""
    page.goto(server.address)
    page.wait_for_selector("#worklist li")
    transfer = page.evaluate_handle(
        """([name, text]) => {
          const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], name));
          return transfer;
        }""",
        [name, _base64(content)],
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    again = page.get_by_role("button", name="Read again")  # where an earlier test dropped the same
    again.or_(page.locator("#case")).first.wait_for()
    if again.is_visible():
        again.click()
    page.wait_for_url("**/cases/*")
    page.wait_for_selector("#desk:not([hidden])")
    expect(page.locator("#report-pdf")).to_be_visible(timeout=30_000)
    settle(page)


def _base64(content: bytes) -> str:
    import base64

    return base64.b64encode(content).decode()


def settle(page: Page) -> None:
    page.wait_for_timeout(400)


def pixels(page: Page, selector: str = "#stage") -> np.ndarray:
    picture = page.locator(selector).screenshot()
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"), float)


def changed(before: np.ndarray, after: np.ndarray) -> float:
    """Share of the pixels that look different."""
    return float((np.abs(before - after).max(-1) > 12).mean())


def keep(page: Page, name: str) -> None:
    if folder := os.environ.get("TUMORLENS_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def violations(page: Page) -> list[str]:
    found = Axe().run(page, options=_WCAG).response["violations"]
    return [f"{v['id']}: {json.dumps([n['html'][:160] for n in v['nodes']])}" for v in found]


def test_a_jpeg_dropped_shows_its_finding_and_is_explained(page: Page, server: Server, jpeg: bytes) -> None:
    drop(page, server, "a.jpg", jpeg)

    expect(page.locator("#headline")).to_contain_text("Meningioma")
    expect(page.locator("#in-words")).to_be_empty()  # a prediction set of one class adds nothing
    expect(page.locator("#evidence")).to_contain_text("pixels")
    with_heat = pixels(page)
    page.locator("#opacity").fill("0")
    without = pixels(page)
    assert changed(with_heat, without) > 0.02
    page.locator("#contour").uncheck()
    assert 0.0005 < changed(without, pixels(page)) < 0.1
    page.locator("#contour").check()
    page.locator("#opacity").fill("80")
    page.locator("input[name=class][value=glioma]").check()
    settle(page)
    expect(page.locator("#evidence")).to_contain_text("glioma")
    assert changed(with_heat, pixels(page)) > 0.01


def test_an_unknown_scan_shows_why_and_nothing_of_a_class(page: Page, server: Server, cases: dict[str, str]) -> None:
    page.goto(f"{server.address}/cases/{cases['unknown']}")
    page.wait_for_selector("#desk:not([hidden])")
    settle(page)
    expect(page.locator("#unknown")).to_contain_text("Unlike the scans it was trained on")
    expect(page.locator("#classes")).to_be_hidden()
    page.locator("#assessment summary").click()
    expect(page.get_by_label("I agree")).to_be_disabled()
    expect(page.locator("#answer")).to_have_text("Not assessable")
    for text in [page.locator("#glance").text_content() or "", *page.locator("#panel section.panel").all_inner_texts()]:
        assert not any(word in text for word in ("%", "glioma", "Glioma", "eningioma", "tumour")), text
    with_heat = pixels(page)
    page.locator("#opacity").fill("0")
    assert changed(with_heat, pixels(page)) < 0.001
    keep(page, "unknown-why")


def test_no_tumour_is_not_drawn_as_heat(page: Page, server: Server, archive: bytes) -> None:
    drop(page, server, "study.zip", archive)
    page.locator("input[name=class][value=no_tumor]").check()
    settle(page)
    expect(page.locator("#evidence")).to_contain_text("no heat is drawn")
    with_heat = pixels(page)
    page.locator("#opacity").fill("0")
    assert changed(with_heat, pixels(page)) < 0.001


def test_slices_that_are_found_between_two_questions_are_shown(page: Page, server: Server, archive: bytes) -> None:
    drop(page, server, "study.zip", archive)
    asked: list[str] = []

    def before_the_first_slice(route: Route) -> None:
        asked.append(route.request.url)
        answer = route.fetch().json()
        early = [] if isinstance(answer, list) else {**answer, "status": "reading", "slices": 0, "study": None}
        route.fulfill(json=early)

    case = page.url.rpartition("/")[2]
    page.route(f"**/api/v1/cases/{case}", before_the_first_slice, times=1)
    page.route(f"**/api/v1/cases/{case}/series", before_the_first_slice, times=1)
    page.reload()  # the slices themselves are answered as they are: all of them
    expect(page.locator("#where")).to_contain_text("of 12")
    assert len(asked) == 2


def test_side_by_side_and_keys(page: Page, server: Server, archive: bytes) -> None:
    drop(page, server, "study.zip", archive)
    where = page.locator("#where")
    expect(page.locator("#title")).to_have_text("DICOM study, 12 slices")
    expect(page.locator("#evidence")).to_contain_text("mm")
    page.locator("#stage").focus()
    page.keyboard.press("Home")
    expect(where).to_contain_text("1 of 12")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(where).to_contain_text("3 of 12")
    page.keyboard.press("End")
    expect(where).to_contain_text("12 of 12")
    page.keyboard.press("e")
    expect(page.locator("#headline")).to_contain_text("glioma", ignore_case=True)
    box = page.locator("#stage").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    before = where.text_content()
    page.mouse.wheel(0, 100)
    expect(where).not_to_have_text(before or "")
    expect(page.locator("#readout")).to_contain_text("mm")
    settle(page)
    whole = pixels(page)
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert changed(whole, pixels(page)) > 0.05
    page.keyboard.press("0")
    assert changed(whole, pixels(page)) < 0.01
    page.locator("#width").fill("200")
    page.keyboard.press("Tab")
    assert changed(whole, pixels(page)) > 0.05
    page.locator("#reset").click()
    page.keyboard.press("v")
    expect(page.get_by_role("radio", name="Four panes")).to_have_attribute("aria-checked", "true")
    assert page.locator("#panes .pane").count() == 4
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.locator("#strip").click(position={"x": 5, "y": 20})
    expect(where).to_contain_text("1 of 12")


def test_a_nifti_volume_in_three_planes(page: Page, server: Server, nifti: bytes) -> None:
    drop(page, server, "volume.nii.gz", nifti)
    page.locator("input[name=class][value=meningioma]").check()
    page.get_by_role("radio", name="Three planes").click()
    expect(page.locator("#planes")).to_be_visible()
    expect(page.locator("#planes")).to_have_attribute("data-ready", "true")
    settle(page)
    seen = pixels(page)
    assert (seen.max(-1) > 60).mean() > 0.1  # a head is there
    page.locator("#opacity").fill("0")
    settle(page)
    assert changed(seen, pixels(page)) > 0.003


def test_the_reader_s_word_an_outline_and_the_report(
    page: Page,
    server: Server,
    jpeg: bytes,
    tmp_path: Path,
) -> None:
    drop(page, server, "word.jpg", jpeg)
    page.locator("#assessment summary").click()
    page.locator("#draw").click()
    box = page.locator("#stage").bounding_box()
    assert box
    centre = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(centre[0] - 60, centre[1] - 60)
    page.mouse.down()
    for dx, dy in ((60, -60), (60, 60), (-60, 60), (-60, -50)):
        page.mouse.move(centre[0] + dx, centre[1] + dy, steps=8)
    page.mouse.up()
    expect(page.locator("#outlined")).to_have_text("An outline will be saved.")
    page.get_by_label("Another class").check()
    page.locator("#other").select_option("glioma")
    page.locator("#comment").fill("<b>ring</b>")
    page.locator("#feedback button[type=submit]").click()
    expect(page.locator("#said li")).to_contain_text("says glioma, with an outline")
    expect(page.locator("#said li")).to_contain_text("<b>ring</b>")
    page.locator("#take").click()
    expect(page.locator("#erase")).to_be_visible()
    case = page.url.rsplit("/", 1)[1]
    (said,) = httpx2.get(f"{server.address}/api/v1/cases/{case}/feedback").json()
    corners = np.array([p.split(",") for p in said["outline"].split()], float)
    assert corners.min(0) == pytest.approx(corners.min(0).clip(0, 1))
    assert np.ptp(corners, 0).min() > 0.1
    pdf = httpx2.get(f"{server.address}{page.locator('#report-pdf').get_attribute('href')}")
    assert pdf.content.startswith(b"%PDF")
    page.goto(server.address)
    page.get_by_label("Feedback").select_option("other")
    expect(page.locator("#worklist .case")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_text("Export feedback").click()
    assert download.value.suggested_filename == "tumorlens-feedback.zip"


def drop_many(page: Page, count: int) -> None:
    """Drops so many files of one byte, at once."""
    page.evaluate(
        """(count) => {
          const transfer = new DataTransfer();
          for (let i = 0; i < count; i++) transfer.items.add(new File(["x"], `${i}.dcm`));
          const event = new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: transfer });
          document.getElementById("drop").dispatchEvent(event);
        }""",
        count,
    )


def test_hostile_names_and_too_many_files(page: Page, server: Server, jpeg: bytes) -> None:
    drop(page, server, "<img src=x onerror=document.title='owned'>.jpg", jpeg)
    expect(page.locator("#title")).to_have_text("<img src=x onerror=document.title='owned'>.jpg")
    assert page.title() != "owned"
    page.goto(server.address)
    drop_many(page, 10_000)
    expect(page.locator("#uploads")).to_contain_text("10,000 files; a case may have 5,000")


def test_what_is_dropped_before_the_worklist_has_come_is_taken(page: Page, server: Server) -> None:
    page.route("**/api/v1/cases?*", lambda route: None)  # never answered
    page.goto(server.address)
    drop_many(page, 5_001)
    expect(page.locator("#uploads")).to_contain_text("5,001 files; a case may have 5,000")


def test_a_server_that_is_restarted_loses_no_upload(
    browser: Browser, another_server: Server, series: list[Path]
) -> None:
    server = another_server
    context = browser.new_context()
    tab = context.new_page()
    tab.set_default_timeout(PATIENCE)
    tab.goto(server.address)

    def slow(route: Route) -> None:
        tab.wait_for_timeout(60)
        route.continue_()

    tab.route("**/files?*", slow)
    tab.set_input_files("#files", [str(path) for path in series])
    tab.wait_for_timeout(300)
    server.kill()
    tab.wait_for_timeout(500)
    server.start()
    tab.wait_for_url("**/cases/*")
    expect(tab.locator("#title")).to_have_text("DICOM study, 12 slices")
    context.close()


@pytest.fixture(scope="module")
def cases(server: Server, archive: bytes, jpeg: bytes) -> dict[str, str]:
    """Cases of each kind: a study, an unknown scan, one that failed."""
    noise = io.BytesIO()
    Image.effect_noise((128, 128), 80).save(noise, "PNG")
    made = {}
    with httpx2.Client(base_url=f"{server.address}/api/v1", timeout=60) as api:
        for kind, content in (
            ("study", archive),
            ("unknown", noise.getvalue()),
            ("failed", b"no picture"),
            ("one", jpeg),
        ):
            made[kind] = api.post("/cases", json={}).json()["id"]
            api.put(f"/cases/{made[kind]}/files", params={"name": f"{kind}.png"}, content=content)
            api.post(f"/cases/{made[kind]}/start")
    return made


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_and_is_accessible(
    browser: Browser, server: Server, cases: dict[str, str], width: int, theme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, has_touch=width < 500)
    context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    tab = context.new_page()
    tab.set_default_timeout(PATIENCE)
    pages = {"room": "/", "model": "/model", "how-to-read": "/how-to-read", "api": "/api"}
    pages |= {kind: f"/cases/{case}" for kind, case in cases.items()}
    wrong = {}
    for name, path in pages.items():
        tab.goto(f"{server.address}{path}")
        tab.wait_for_timeout(900)
        keep(tab, f"{name}-{width}-{theme}")
        if found := violations(tab):
            wrong[name] = found
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, name
        assert tab.evaluate("document.documentElement.dataset.theme") == theme
    context.close()
    assert wrong == {}


def test_accounts_in_the_browser(browser: Browser, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, weights=READS_PHANTOMS, workers=1)
    settings.prepare()
    database = Database(settings.database_url)
    database.migrate()
    Accounts(database).add("ann", PASSWORD, "admin")
    database.close()
    server = Server(settings, "--accounts")
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    tab.set_default_timeout(PATIENCE)
    tab.goto(f"{server.address}/model")
    assert violations(tab) == []
    keep(tab, "login")
    tab.get_by_label("Name").fill("ann")
    tab.get_by_label("Password").fill("not the password")
    tab.get_by_role("button", name="Log in").click()
    expect(tab.get_by_role("alert")).to_contain_text("do not fit")
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_role("button", name="Log in").click()
    tab.wait_for_url("**/model")
    tab.get_by_role("link", name="Access").click()
    tab.get_by_label("What is it for?").fill("a script")
    tab.get_by_role("button", name="Make a token").click()
    expect(tab.locator("#token code")).to_contain_text("tl_")
    expect(tab.locator("#audit")).to_contain_text("login")
    assert violations(tab) == []
    keep(tab, "access")
    tab.get_by_role("button", name="Log out").click()
    tab.wait_for_url("**/login")
    context.close()
    server.kill()
