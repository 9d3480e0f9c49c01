"""The reading room in Debian's Chromium: uploads are cancelled, files known again, filters stay, cases are linked."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e import test_page_in_browser as pages
from tests.e2e.test_page_in_browser import keep, violations
from tests.web import conftest as web
from tests.web.conftest import Server

pytestmark = pytest.mark.e2e
browser, server, page = pages.browser, pages.server, pages.page  # fixtures
jpeg, archive, series, meningioma = web.jpeg, web.archive, web.series, web.meningioma


def cases(server: Server) -> list[dict[str, object]]:
    found: list[dict[str, object]] = httpx2.get(f"{server.address}/api/v1/cases").json()["cases"]
    return found


def read(server: Server, name: str, content: bytes) -> str:
    with httpx2.Client(base_url=f"{server.address}/api/v1", timeout=60) as api:
        case: str = api.post("/cases", json={}).json()["id"]
        api.put(f"/cases/{case}/files", params={"name": name}, content=content)
        api.post(f"/cases/{case}/start")
        for _ in range(600):
            if api.get(f"/cases/{case}").json()["status"] in ("done", "failed"):
                return case
    raise AssertionError("it was not read")


def slow(route: Route) -> None:
    """Every file takes its time."""
    route.request.frame.page.wait_for_timeout(150)
    route.continue_()


def test_an_upload_is_cancelled_and_a_reload_leaves_nothing(page: Page, server: Server, series: list[Path]) -> None:
    before = len(cases(server))
    page.on("dialog", lambda dialog: dialog.accept())
    page.route("**/files?*", slow)
    page.set_input_files("#files", [str(path) for path in series])
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#uploads")).to_contain_text("Cancelled. Nothing of it was kept.")
    assert len(cases(server)) == before

    page.set_input_files("#files", [str(path) for path in series])
    page.wait_for_selector("#uploads progress")
    expect(page.locator("#worklist")).to_contain_text("being uploaded")
    page.reload()
    expect(page.locator("#worklist")).not_to_contain_text("being uploaded")
    assert len(cases(server)) == before


def test_the_same_files_are_opened_or_read_again(page: Page, server: Server, jpeg: bytes, tmp_path: Path) -> None:
    first = read(server, "first.jpg", jpeg + b"same")
    (tmp_path / "renamed.jpg").write_bytes(jpeg + b"same")
    page.set_input_files("#files", str(tmp_path / "renamed.jpg"))
    expect(page.locator("#uploads")).to_contain_text("This is the same file as the case “first.jpg” of today.")
    count = len(cases(server))
    page.get_by_role("button", name="Open it").click()
    page.wait_for_url(f"**/cases/{first}")
    assert len(cases(server)) == count - 1

    page.goto(server.address)
    page.set_input_files("#files", str(tmp_path / "renamed.jpg"))
    page.get_by_role("button", name="Read again").click()
    page.wait_for_url("**/cases/*")
    assert not page.url.endswith(first)


def test_filters_survive_a_reload_and_failed_cases_are_seen(page: Page, server: Server, jpeg: bytes) -> None:
    read(server, "good.jpg", jpeg)
    read(server, "notes.txt", b"only words")
    page.goto(server.address)
    page.get_by_label("State").select_option("failed")
    row = page.locator("#worklist .case")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("Could not be read")
    expect(page.locator(".thumb.none.failed svg")).to_be_visible()  # which it is by having a size
    expect(row.get_by_role("button", name="Try again")).to_have_count(0)
    page.reload()
    expect(page.get_by_label("State")).to_have_value("failed")
    expect(row).to_have_count(1)
    page.goto(f"{server.address}/?text=good&sort=title&label=nonsense")
    expect(page.get_by_label("Search", exact=True).first).to_have_value("good")
    expect(page.get_by_label("Sort")).to_have_value("title")
    expect(page.get_by_label("Finding")).to_have_value("")
    expect(row).to_contain_text("Tumour suspected")
    expect(row).to_contain_text("meningioma")
    expect(row.locator("img.thumb")).to_have_js_property("complete", True)


def test_a_case_is_linked_to_an_earlier_one_with_the_keyboard(page: Page, server: Server, jpeg: bytes) -> None:
    earlier = read(server, "march.jpg", jpeg + b"1")
    read(server, "november.jpg", jpeg + b"2")
    page.goto(f"{server.address}/?text=november")
    page.get_by_role("button", name="Link november.jpg").press("Enter")
    dialog = page.locator("#link")
    dialog.get_by_label("Search").fill("march")
    expect(dialog.locator("#link-cases li")).to_have_count(1)
    keep(page, "link")
    assert violations(page) == []
    dialog.get_by_role("button", name="march.jpg").press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("link", name="earlier case of the same person")).to_have_attribute(
        "href", f"/cases/{earlier}"
    )
