from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.slides.conftest import VIOLET, draw
from tumorlens.errors import ConfigError, UnreadableFile, UnsupportedFile
from tumorlens.slides import Slide, is_slide

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
        (scan,) = slide.scans(tiles[-1:], 32, 15)
        assert (scan.pixels.shape, scan.modality, scan.frame) == ((32, 32, 3), "SM", 15)
        np.testing.assert_allclose(scan.pixels.mean((0, 1)) * 255, VIOLET, atol=2)


@pytest.mark.parametrize(("side", "levels"), [(64, 1), (64, 3), (51, 3), (100, 3), (91, 3)])
def test_tiles_read_together_are_as_each_alone(
    make_slide: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, side: int, levels: int
) -> None:
    picture = draw()
    with Slide(str(make_slide(picture, levels=levels))) as slide:
        tiles = list(slide.tiles(side))
        together = slide.scans(tiles, 32, 7)
        assert [scan.frame for scan in together] == list(range(7, 7 + len(tiles)))
        alone = [scan.pixels for tile in tiles for scan in slide.scans([tile], 32)]
        difference = np.abs(np.stack([scan.pixels for scan in together]) - alone)
        assert difference.max() == 0 if side != 91 else difference.mean() < 0.01  # half a pixel of the level
        monkeypatch.setattr("tumorlens.slides.slide._BLOCK", 16)
        assert all((a.pixels == b).all() for a, b in zip(slide.scans(tiles, 32), alone, strict=True))


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


def test_levels_that_cannot_be_the_same_slide_are_told(make_slide: Callable[..., Path]) -> None:
    sizes = [(1024, 768), (512, 200)]
    with pytest.raises(UnreadableFile, match="level 1 has 512 × 200 pixels, and the slide 1024 × 768"):
        Slide(str(make_slide(draw(), levels=2, sizes=sizes)))


def test_a_truncated_slide_is_told(make_slide: Callable[..., Path]) -> None:
    path = make_slide(draw())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises((UnreadableFile, UnsupportedFile)), Slide(str(path)) as slide:
        list(slide.tiles(128))


@pytest.mark.parametrize("tile", [(64, 64), (256, 512), (16, 1024)])
def test_blocks_of_any_size_show_the_same(make_slide: Callable[..., Path], tile: tuple[int, int]) -> None:
    picture = draw()
    with Slide(str(make_slide(picture, tile=tile))) as slide:
        assert len(list(slide.tiles(128))) == 16
        np.testing.assert_array_equal(slide.pane(0, 1, 1), picture[256:512, 256:512])


def test_strips_are_no_slide(make_slide: Callable[..., Path]) -> None:
    path = make_slide(draw(), levels=1, tile=None)
    with pytest.raises(UnsupportedFile, match="no whole slide that OpenSlide reads; convert it to a tiled"):
        Slide(str(path))
    assert not is_slide(str(path))


def test_what_is_transparent_is_glass(make_slide: Callable[..., Path]) -> None:
    alpha = np.full((768, 1024, 1), 255, np.uint8)
    alpha[:, 512:] = 0
    with Slide(str(make_slide(np.dstack([draw(), alpha])))) as slide:
        assert {t.left for t in slide.tiles(128)} == {256, 384}
        np.testing.assert_array_equal(slide.pane(0, 2, 1), 255)
        np.testing.assert_allclose(slide.pane(0, 1, 1)[10, 10], draw()[266, 266], atol=1)


def test_panes_cover_the_slide_at_every_zoom(make_slide: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tumorlens.slides.slide.OVERVIEW", 256)
    picture = draw(1000, 700)
    with Slide(str(make_slide(picture))) as slide:
        assert slide.zooms == 1  # what is halved twice shows no more than the overview
        assert slide.pane(0, 3, 2).shape == (188, 232, 3)
        whole = np.vstack([np.hstack([slide.pane(0, x, y) for x in range(4)]) for y in range(3)])
        np.testing.assert_array_equal(whole, picture)
        halved = np.vstack([np.hstack([slide.pane(1, x, y) for x in range(2)]) for y in range(2)])
        assert np.abs(halved - picture.reshape(350, 2, 500, 2, 3).mean((1, 3))).mean() < 3
        for zoom, column, row in ((0, 4, 0), (0, 0, -1), (2, 0, 0), (-1, 0, 0)):
            with pytest.raises(ConfigError, match="the slide ends before"):
                slide.pane(zoom, column, row)


def test_slides_are_told_from_pictures(make_slide: Callable[..., Path], tmp_path: Path) -> None:
    assert is_slide(str(make_slide(draw())))
    assert not is_slide(str(make_slide(draw(), levels=1)))  # a tile that somebody saved in blocks
    (tmp_path / "text.svs").write_text("no slide")
    assert not is_slide(str(tmp_path / "text.svs"))
