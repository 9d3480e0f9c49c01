"""Whole slides in the page, with weights of tiles that nobody trained."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.slides.conftest import PINK, draw, save_tile_weights, write_slide
from tests.web.conftest import Page
from tumorlens.classifier import Classifier
from tumorlens.errors import ConfigError, NotAScan
from tumorlens.web.messages import ReadPane, TilesRead
from tumorlens.web.slides import read_pane, read_slide

pytest.importorskip("openslide")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tile_weights(tmp_path_factory.mktemp("tiles"))


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    # Larger than an overview, so that there is something to zoom into.
    picture = np.asarray(Image.fromarray(draw()).resize((2304, 1728)))
    return write_slide(tmp_path_factory.mktemp("slide") / "slide.tiff", picture).read_bytes()


def test_a_slide_is_a_case_that_one_zooms_into(open_page: Callable[..., Page], weights: Path, slide: bytes) -> None:
    page = open_page(weights=str(weights))
    begun = page.new_case({"biopsy.tiff": slide})
    assert page.post(f"/cases/{begun}/start").status_code == 202
    case = page.wait(begun, 300)
    assert (case["status"], case["slices"], case["failures"]) == ("done", 1, [])
    (found,) = page.get(f"/cases/{case['id']}/slices").json()
    view = found["slide"]
    assert (view["width"], view["height"], view["zooms"], view["tiles"]) == (
        2304,
        1728,
        0,
        sum(view["labels"].values()),
    )
    assert found["finding"]["source"] == "biopsy.tiff"
    assert any("not calibrated for slides" in text for text in found["finding"]["warnings"])
    assert (found["width"], found["height"]) == (2048, 1536)
    assert page.http.get(found["scan"]).status_code == 200
    assert page.http.get(found["heat"]["malignant"]).status_code == 200

    at = f"/cases/{case['id']}/slices/1"
    answer = page.get(f"{at}/panes/0/3/4.jpg")
    assert answer.headers["content-type"] == "image/jpeg"
    pane = np.asarray(Image.open(io.BytesIO(answer.content)), float)
    assert pane.shape == (256, 256, 3)
    np.testing.assert_allclose(pane.mean((0, 1)), PINK, atol=6)
    assert page.get(f"{at}/panes/0/99/0.jpg").status_code == 422
    assert page.get(f"{at}/map/tiles.geojson").json()["type"] == "FeatureCollection"
    assert page.get(f"{at}/map/secret").status_code == 404

    html = page.http.get(f"/cases/{case['id']}").text
    assert "/static/slide.js" in html
    assert "style=" not in html
    assert page.get(f"/cases/{case['id']}/report.html").status_code == 200

    tile = io.BytesIO()
    Image.fromarray(draw()[200:424, 300:524]).save(tile, "PNG")
    tiles = page.read({"tile.png": tile.getvalue()})
    assert "/static/case.js" in page.http.get(f"/cases/{tiles['id']}").text
    assert page.get(f"/cases/{tiles['id']}/slices/1/panes/0/0/0.jpg").status_code == 404


def test_weights_of_scans_refuse_a_slide(shared_page: Page, slide: bytes) -> None:
    page = shared_page
    case = page.read({"biopsy.tiff": slide})
    assert case["status"] == "failed"
    assert "and a slide is stained tissue; give weights of tiles" in case["error"]
    assert "/static/case.js" in page.http.get(f"/cases/{case['id']}").text
    answer = page.post("/findings", params={"name": "biopsy.tiff"}, content=slide)
    assert answer.status_code == 422
    assert "it is a whole slide, which takes its time; send it as a case" in answer.json()["error"]


def test_a_slide_is_told_of_as_it_is_read(weights: Path, slide: bytes, tmp_path: Path) -> None:
    path = tmp_path / "00001.tiff"
    path.write_bytes(slide)
    told: list[TilesRead] = []
    scan, finding, evidence, view = read_slide(
        str(path), tmp_path / "slides" / "00001", Classifier.load(weights), told.append
    )
    assert told[0].done == 0
    assert (told[-1].done, told[-1].total) == (view.tiles, view.tiles)
    assert scan.spacing == pytest.approx((0.0005625, 0.0005625))
    assert finding.label == max(finding.probabilities, key=lambda key: finding.probabilities[key])
    assert set(evidence) == {"benign", "malignant"}
    assert evidence["benign"].heatmap.shape == (1536, 2048)
    document: dict[str, Any] = read_pane(ReadPane(path=path, zoom=0, column=0, row=0))
    assert Image.open(io.BytesIO(base64.b64decode(document["jpeg"]))).size == (256, 256)
    with pytest.raises(ConfigError, match="the slide ends before"):
        read_pane(ReadPane(path=path, zoom=5, column=0, row=0))


def test_glass_alone_is_told(weights: Path, tmp_path: Path) -> None:
    glass = np.full((600, 600, 3), 240, np.uint8)
    path = write_slide(tmp_path / "glass.tiff", glass)
    with pytest.raises(NotAScan, match="no tissue was found"):
        read_slide(str(path), tmp_path / "slides" / "00001", Classifier.load(weights), lambda _: None)
