from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.slides.conftest import VIOLET, draw
from tumorlens.errors import ConfigError, UnreadableFile, UnsupportedFile
from tumorlens.slides import Slide

pytest.importorskip("openslide")


def test_tissue_is_found_and_tiles_lie_on_it(make_slide: Callable[..., Path]) -> None:
    with Slide(str(make_slide(draw()))) as slide:
        assert (slide.width, slide.height) == (1024, 768)
        assert slide.microns == pytest.approx(0.5)
        assert slide.tissue[128:640, 256:768].mean() > 0.99
        assert slide.tissue.sum() == pytest.approx(512 * 512, rel=0.01)
        tiles = list(slide.tiles(128))
        assert len(tiles) == 16
        assert {(t.left, t.top) for t in tiles} == {(x, y) for x in range(256, 768, 128) for y in range(128, 640, 128)}
        scan = slide.scan(tiles[-1], 32, 15)
        assert (scan.pixels.shape, scan.modality, scan.frame) == ((32, 32, 3), "SM", 15)
        np.testing.assert_allclose(scan.pixels.mean((0, 1)) * 255, VIOLET, atol=2)


def test_an_overview_of_blocks_is_the_slide(make_slide: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tumorlens.slides.slide.OVERVIEW", 256)
    monkeypatch.setattr("tumorlens.slides.slide._BLOCK", 100)
    picture = draw()
    with Slide(str(make_slide(picture, levels=1))) as slide:
        expected = picture.reshape(192, 4, 256, 4, 3).mean((1, 3))
        assert np.abs(slide.overview - expected).mean() < 1.5


def test_a_slide_without_magnification_needs_one(make_slide: Callable[..., Path]) -> None:
    path = str(make_slide(draw(), microns=None))
    with pytest.raises(UnsupportedFile, match=r"slide\.tiff: it does not say its magnification; give the microns"):
        Slide(path)
    with Slide(path, microns=0.25) as slide:
        assert slide.microns == 0.25
    with pytest.raises(ConfigError, match="no size of a slide's pixel"):
        Slide(path, microns=500)


def test_absurd_magnifications_are_told(make_slide: Callable[..., Path]) -> None:
    with pytest.raises(UnsupportedFile, match="microns a pixel; give the microns"):
        Slide(str(make_slide(draw(), microns=300)))


def test_what_is_no_slide_is_told(tmp_path: Path, make_slide: Callable[..., Path]) -> None:
    with pytest.raises(UnreadableFile, match="no such file"):
        Slide(str(tmp_path / "none.svs"))
    (tmp_path / "text.svs").write_text("no slide")
    with pytest.raises(UnsupportedFile, match="no whole slide"):
        Slide(str(tmp_path / "text.svs"))


def test_a_broken_pyramid_is_told(make_slide: Callable[..., Path]) -> None:
    path = make_slide(draw(), levels=1)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4000] = bytes(4000)
    path.write_bytes(bytes(data))
    with Slide(str(path)) as slide, pytest.raises(UnreadableFile, match="pyramid is broken"):
        _ = slide.overview
