"""Pictures of a finding."""

import matplotlib as mpl
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tumorlens.explain.region import find_region
from tumorlens.overlay import colour, draw_heatmap, draw_overlay, draw_scan
from tumorlens.scan import Scan


@pytest.fixture
def scan() -> Scan:
    return Scan(np.random.default_rng(0).random((50, 80), np.float32), "x")


@pytest.fixture
def heat() -> NDArray[np.float32]:
    heat = np.zeros((50, 80), np.float32)
    heat[10:20, 30:60] = 1
    heat[12:18, 35:40] = 0.4
    return heat


def _pixels(picture: Image.Image) -> NDArray[np.int64]:
    return np.asarray(picture).astype(int)


def test_the_scan_keeps_its_size_at_the_left_and_the_bar_stands_at_the_right(
    scan: Scan, heat: NDArray[np.float32]
) -> None:
    picture = draw_overlay(scan, heat)
    assert picture.mode == "RGB"
    assert picture.height == 50
    assert picture.width > 80
    bar = _pixels(picture)[:, 80:]
    assert {tuple(colour(np.ones((1, 1), np.float32))[0, 0]), tuple(colour(np.zeros((1, 1), np.float32))[0, 0])} <= {
        tuple(p) for p in bar.reshape(-1, 3)
    }
    assert draw_overlay(scan, heat, colour_bar=False).size == (80, 50)


def test_pixels_without_heat_are_the_scans_own(scan: Scan, heat: NDArray[np.float32]) -> None:
    drawn, plain = _pixels(draw_overlay(scan, heat))[:, :80], _pixels(draw_scan(scan))
    assert (drawn[heat == 0] == plain[heat == 0]).all()
    assert (drawn[heat == 1] != plain[heat == 1]).any(1).all()


def test_a_scans_own_pixels_are_its_values_times_255() -> None:
    values = np.arange(256, dtype=np.float32).reshape(16, 16) / np.float32(255)
    assert (_pixels(draw_scan(Scan(values, "x"))) == np.arange(256).reshape(16, 16, 1)).all()


def test_more_heat_covers_more_of_the_scan(scan: Scan, heat: NDArray[np.float32]) -> None:
    black = Scan(np.zeros_like(scan.pixels), "x")
    drawn = _pixels(draw_overlay(black, heat)).sum(2)
    assert drawn[11, 31] > drawn[14, 37] > drawn[0, 0] == 0


def test_opacity_0_shows_the_scan_alone_and_1_hides_it(scan: Scan, heat: NDArray[np.float32]) -> None:
    assert (_pixels(draw_overlay(scan, heat, opacity=0, colour_bar=False)) == _pixels(draw_scan(scan))).all()
    covered = _pixels(draw_overlay(scan, heat, opacity=1))[11, 31]
    assert tuple(covered) == tuple(colour(np.ones((1, 1), np.float32))[0, 0])


def test_a_flat_map_changes_nothing_and_has_no_bar(scan: Scan) -> None:
    picture = draw_overlay(scan, np.zeros((50, 80), np.float32))
    assert (_pixels(picture) == _pixels(draw_scan(scan))).all()


def test_colour_scans_stay_coloured(heat: NDArray[np.float32]) -> None:
    pixels = np.zeros((50, 80, 3), np.float32)
    pixels[..., 2] = 1
    assert tuple(_pixels(draw_overlay(Scan(pixels, "x"), heat))[49, 0]) == (0, 0, 255)


@pytest.mark.parametrize(("y", "x"), [(0, 0), (25, 40), (49, 79)])
def test_the_contour_is_drawn_around_the_region_also_at_the_rim(scan: Scan, y: int, x: int) -> None:
    rows, columns = np.mgrid[:50, :80]
    heat = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 80).astype(np.float32)
    heat[heat < 0.01] = 0
    region = find_region(heat)
    assert region is not None
    changed = (_pixels(draw_overlay(scan, heat, region)) != _pixels(draw_overlay(scan, heat))).any(2)[:, :80]
    rows_changed, columns_changed = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    x0, y0, x1, y1 = region.box
    extent = np.array([columns_changed[0], rows_changed[0], columns_changed[-1] + 1, rows_changed[-1] + 1])
    assert np.abs(extent - [x0, y0, x1, y1]).max() <= 1


def test_the_contour_of_a_region_in_a_corner_is_drawn_on_all_four_sides(scan: Scan) -> None:
    heat = np.zeros((50, 80), np.float32)
    heat[30:50, 60:80] = 1
    drawn = _pixels(draw_overlay(scan, heat, find_region(heat)))[:, :80]
    changed = (drawn != _pixels(draw_overlay(scan, heat))[:, :80]).any(2)
    assert changed[32:48, 79].all()
    assert changed[49, 62:78].all()
    assert changed[32:48, 58:62].any(1).all()
    assert changed[28:32, 62:78].any(0).all()


def test_a_map_of_another_size_is_refused(scan: Scan) -> None:
    with pytest.raises(ValueError, match=r"\(80, 50\) does not lie on a scan of \(50, 80\)"):
        draw_overlay(scan, np.zeros((80, 50), np.float32))


def test_the_smallest_scans_can_be_drawn() -> None:
    heat = np.ones((16, 16), np.float32)
    picture = draw_overlay(Scan(np.zeros((16, 16), np.float32), "x"), heat, find_region(heat))
    assert picture.height == 16


def test_the_colours_are_matplotlibs_inferno() -> None:
    heat = np.linspace(0, 1, 256, dtype=np.float32)[None]
    expected = mpl.colormaps["inferno"](np.linspace(0, 1, 256))[:, :3] * 255
    assert (colour(heat)[0] == np.round(expected)).all()


def test_the_map_alone_runs_through_the_colours_evenly() -> None:
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None].repeat(2, 0)
    light = _pixels(draw_heatmap(ramp))[0] @ [0.299, 0.587, 0.114]
    assert draw_heatmap(ramp).size == (256, 2)
    assert (np.diff(light) >= -1).all()
    assert light[-1] - light[0] > 200
