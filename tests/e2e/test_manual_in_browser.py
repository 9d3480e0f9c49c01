"""The API's page in Debian's Chromium: its index leads to the operations, and its forms send what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e import test_page_in_browser as browsing
from tests.e2e.test_page_in_browser import violations
from tests.web import conftest as web
from tests.web.conftest import Server

pytestmark = pytest.mark.e2e
browser, server, page = browsing.browser, browsing.server, browsing.page  # fixtures
jpeg, meningioma = web.jpeg, web.meningioma
_PATIENCE = 60_000  # ms; the machine may have much else to do


def form(page: Page, method: str, path: str) -> Locator:
    """The form of an operation, unfolded."""
    found = page.locator(f"form.try[data-method={method}][data-path='/api/v1{path}']")
    page.locator("section.operation", has=found).locator("summary").click()
    return found


def test_an_operation_is_found_in_the_index_and_tried(page: Page, server: Server, jpeg: bytes, tmp_path: Path) -> None:
    page.goto(f"{server.address}/api")
    link = page.locator(".index a", has_text="GET").first
    target = link.get_attribute("href")
    assert target
    link.click()
    expect(page.locator(target)).to_be_in_viewport()

    listing = form(page, "GET", "/cases")
    listing.get_by_role("button", name="Send").click()
    expect(listing.locator("output")).to_contain_text("200", timeout=_PATIENCE)
    expect(listing.locator("output pre")).to_contain_text('"total"')

    (tmp_path / "a.jpg").write_bytes(jpeg)
    finding = form(page, "POST", "/findings")
    finding.locator("input[type=file]").set_input_files(tmp_path / "a.jpg")
    finding.locator("input[name=name]").fill("a.jpg")
    finding.get_by_role("button", name="Send").click()
    expect(finding.locator("output")).to_contain_text("200", timeout=_PATIENCE)
    expect(finding.locator("output pre")).to_contain_text("meningioma")
    assert violations(page) == []
