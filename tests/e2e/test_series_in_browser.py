"""Series that are not as they should be, in Debian's Chromium: each is shown as what it is, and says what it lacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx2
import numpy as np
import pytest
from playwright.sync_api import Page, expect
from pydicom import Dataset

from tests.e2e import test_page_in_browser as browsing
from tests.e2e.test_page_in_browser import pixels, violations
from tests.studies import GRIDS, enhanced
from tests.web.conftest import Server
from tests.web.test_series import coloured, doubled, packed, stack, two_sequences, two_stacks

pytestmark = pytest.mark.e2e
browser, server, page = browsing.browser, browsing.server, browsing.page  # fixtures
_PATIENCE = 120_000  # ms; the machine may have much else to do


def _enhanced() -> list[Dataset]:
    grid = GRIDS["axial"]
    return [enhanced(grid, [grid.position(i, 6) for i in range(6)])]


def _reversed() -> list[Dataset]:
    """The scanner counted from the head down."""
    datasets = stack("axial", range(8))
    for i, ds in enumerate(datasets):
        ds.InstanceNumber = 8 - i
    return datasets[::-1]


@dataclass(frozen=True)
class Kind:
    """A study, and what the page says of it: its plates or slices, what is odd about them, why there are no planes."""

    make: Callable[[], list[Dataset]]
    slices: tuple[int, ...]
    doubts: str = ""
    flat: str = ""


KINDS = {
    "a gap": Kind(lambda: stack("axial", [0, 1, 2, 5, 6, 7]), (6,), "2 slices missing"),
    "doubled": Kind(doubled, (8,), "2 images given twice"),
    "reversed": Kind(_reversed, (8,)),
    "uneven": Kind(lambda: stack("axial", [0, 0.3, 1, 4, 5]), (5,), flat="its slices lie at uneven distances"),
    "tilted gantry": Kind(
        lambda: stack("tilted gantry", range(8)), (8,), flat="its slices are shifted against each other"
    ),
    "two stacks": Kind(two_stacks, (5, 4)),
    "two sequences": Kind(two_sequences, (5, 5)),
    "enhanced": Kind(_enhanced, (6,)),
    "colour": Kind(lambda: coloured(stack("axial", range(8))), (8,), flat="its pictures are in colour"),
    "no spacing": Kind(
        lambda: stack("axial", range(8), PixelSpacing=None), (8,), flat="its files do not say how large a pixel is"
    ),
}


@pytest.fixture
def case(request: pytest.FixtureRequest, page: Page, server: Server, tmp_path: Path) -> str:
    """A case of a kind, which the page shows, read; its id."""
    with httpx2.Client(base_url=f"{server.address}/api/v1", timeout=120) as api:
        made: str = api.post("/cases", json={}).json()["id"]
        content = packed(KINDS[request.param].make(), tmp_path)
        api.put(f"/cases/{made}/files", params={"name": "study.zip"}, content=content)
        api.post(f"/cases/{made}/start")
    page.goto(f"{server.address}/cases/{made}")
    expect(page.locator("#report-pdf")).to_be_visible(timeout=_PATIENCE)
    expect(page.locator("#where")).not_to_be_empty(timeout=_PATIENCE)
    return made


def walk(page: Page, count: int) -> None:
    """Goes through a series with the keyboard, from its first slice to its last."""
    where = page.locator("#where")
    page.locator("#stage").focus()
    page.keyboard.press("Home")
    for place in range(1, count + 1):
        expect(where).to_contain_text(f"{place} of {count}", timeout=_PATIENCE)
        page.keyboard.press("ArrowDown")
    expect(where).to_contain_text(f"{count} of {count}")


@pytest.mark.parametrize(("case", "kind"), [(name, name) for name in KINDS], indirect=["case"], ids=list(KINDS))
def test_a_series_is_shown_as_what_it_is(page: Page, server: Server, case: str, kind: str) -> None:
    expected = KINDS[kind]
    series = httpx2.get(f"{server.address}/api/v1/cases/{case}/series").json()
    plates = page.locator("#series button")
    if len(expected.slices) > 1:
        expect(plates).to_have_count(len(expected.slices))
    else:
        expect(page.locator("#series")).to_be_hidden()
    assert sorted(len(one["slices"]) for one in series) == sorted(expected.slices)
    for i, one in enumerate(series):
        if len(series) > 1:
            plates.nth(i).click()
            expect(plates.nth(i)).to_contain_text(f"{len(one['slices'])} slices")
        walk(page, len(one["slices"]))
    odd = page.locator("#flat")
    if expected.doubts:
        expect(odd).to_contain_text(expected.doubts)
    planes = page.get_by_role("radio", name="Three planes")
    if expected.flat:
        expect(odd).to_contain_text(f"No three planes: {expected.flat}")
        expect(planes).to_be_disabled()
    else:
        planes.click()
        expect(page.locator("#planes")).to_have_attribute("data-ready", "true", timeout=_PATIENCE)
        assert (pixels(page).max(-1) > 60).mean() > 0.01  # a head is there
    assert violations(page) == []


@pytest.mark.parametrize("case", ["reversed"], indirect=True)
def test_reversed_slices_lie_as_in_the_head(page: Page, server: Server, case: str) -> None:
    at = f"{server.address}/api/v1/cases/{case}"
    (series,) = httpx2.get(f"{at}/series").json()
    depth = {one["number"]: one["position"][2] for one in httpx2.get(f"{at}/slices").json()}
    assert np.all(np.diff([depth[number] for number in series["slices"]]) > 0)
    page.keyboard.press("Home")
    expect(page.locator("#finding-title")).to_be_visible()
    expect(page.locator("#slice")).to_have_value("1")


@pytest.mark.parametrize("case", ["colour"], indirect=True)
def test_colour_is_seen_and_has_no_window(page: Page, case: str) -> None:
    page.locator("#opacity").fill("0")
    page.locator("#contour").uncheck()
    # The lesion is red; nothing else on the stage is.
    page.wait_for_function(
        """() => {
          const canvas = document.querySelector(".pane canvas");
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let red = 0;
          for (let i = 0; i < data.length; i += 4) red += data[i] > 100 && data[i + 1] < data[i] / 2;
          return red > 200;
        }""",
        timeout=_PATIENCE,
    )
    expect(page.locator("#windowing")).to_be_hidden()


@pytest.mark.parametrize("case", ["no spacing"], indirect=True)
def test_without_spacing_no_millimetres_are_said(page: Page, case: str) -> None:
    box = page.locator("#stage").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    expect(page.locator("#readout")).not_to_be_empty(timeout=_PATIENCE)
    expect(page.locator("#readout")).not_to_contain_text("mm")
    page.locator("#tool").select_option("length")
    page.mouse.move(x - 60, y)
    page.mouse.down()
    page.mouse.move(x + 60, y, steps=4)
    page.mouse.up()
    expect(page.locator("#measured li")).to_contain_text("pixels", timeout=_PATIENCE)
    expect(page.locator("#measured li")).not_to_contain_text("mm")
    expect(page.locator("#evidence")).not_to_contain_text("mm")
