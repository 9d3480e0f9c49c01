"""Regions: the part of a heat map around its peak, in pixels and mm."""

import numpy as np
import pytest
from matplotlib.path import Path as Polygon
from numpy.typing import NDArray

from tumorlens.evidence import Region
from tumorlens.explain.region import find_region


def _map(shape: tuple[int, int] = (40, 60), **blobs: tuple[float, float, float, float]) -> NDArray[np.float32]:
    """Gaussian blobs (row, column, sigma, height); the peak is 1."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    heat = np.zeros(shape)
    for y, x, sigma, height in blobs.values():
        heat = np.maximum(heat, height * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2)))
    scaled: NDArray[np.float32] = (heat / heat.max()).astype(np.float32)
    return scaled


def _find(heat: NDArray[np.float32], spacing: tuple[float, float] | None = None) -> Region:
    region = find_region(heat, spacing)
    assert region is not None
    return region


def _inside(region: Region, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose centres lie inside the contour."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    inside = Polygon(region.contour).contains_points(np.column_stack([columns.ravel(), rows.ravel()]), radius=1e-6)
    return inside.reshape(shape)


def test_box_and_contour_enclose_the_hot_part_and_nothing_else() -> None:
    heat = _map(a=(14, 33, 5, 1))
    region, hot = _find(heat), heat >= 0.5
    x0, y0, x1, y1 = region.box
    boxed = np.zeros(heat.shape, bool)
    boxed[y0:y1, x0:x1] = True
    assert boxed[hot].all()
    assert hot[y0].any()
    assert hot[y1 - 1].any()
    assert hot[:, x0].any()
    assert hot[:, x1 - 1].any()
    assert (_inside(region, heat.shape) == hot).all()
    assert region.area == hot.sum()


def test_one_hot_pixel_counts_from_the_corner_of_the_picture() -> None:
    heat = np.zeros((20, 30), np.float32)
    heat[7, 11] = 1
    region = _find(heat)
    assert (region.box, region.area) == ((11, 7, 12, 8), 1)
    contour = np.array(region.contour)
    np.testing.assert_allclose(contour.mean(0), [11.5, 7.5], atol=0.2)  # the middle of the pixel
    assert _inside(region, heat.shape)[7, 11]


def test_millimetres_take_each_axis_own_spacing() -> None:
    region = _find(_map(a=(14, 33, 5, 1)), spacing=(2.0, 0.5))
    x0, y0, x1, y1 = region.box
    assert region.box_mm == (x0 * 0.5, y0 * 2, x1 * 0.5, y1 * 2)
    assert region.area_mm2 == region.area * 1.0
    assert region.contour_mm is not None
    np.testing.assert_allclose(np.array(region.contour_mm), np.array(region.contour) * [0.5, 2.0])


def test_without_spacing_there_are_no_millimetres() -> None:
    region = _find(_map(a=(14, 33, 5, 1)))
    assert (region.box_mm, region.contour_mm, region.area_mm2) == (None, None, None)


@pytest.mark.parametrize(
    ("y", "x", "edges"), [(0, 0, "left top"), (39, 59, "right bottom"), (20, 0, "left"), (39, 30, "bottom")]
)
def test_a_region_at_the_rim_ends_there_and_stays_closed(y: float, x: float, edges: str) -> None:
    heat = _map(a=(y, x, 6, 1))
    region = _find(heat)
    contour = np.array(region.contour)
    assert contour.min() >= 0
    assert (contour <= [60, 40]).all()
    touches = {"left": region.box[0] == 0, "top": region.box[1] == 0}
    touches |= {"right": region.box[2] == 60, "bottom": region.box[3] == 40}
    assert {edge for edge, touching in touches.items() if touching} == set(edges.split())
    assert (_inside(region, heat.shape) == (heat >= 0.5)).mean() > 0.995  # the rim's pixels lie on the line


def test_of_two_parts_the_one_with_the_peak_is_taken() -> None:
    heat = _map(small=(10, 12, 2, 1), large=(28, 45, 7, 0.8))
    region = _find(heat)
    assert region.box[2] < 20
    inside = _inside(region, heat.shape)
    assert inside[10, 12]
    assert not inside[28, 45]


def test_the_contour_goes_round_the_region_not_round_a_hole_in_it() -> None:
    heat = np.zeros((60, 60), np.float32)
    heat[5:55, 5:55] = 1
    heat[10:50, 10:50:2] = 0  # a comb: its line is longer than the region's own
    heat[10, 10:50] = 0
    contour = np.array(_find(heat).contour)
    assert contour.min() < 6
    assert contour.max() > 54


def test_a_map_hot_all_over_is_the_whole_picture() -> None:
    region = _find(np.ones((20, 30), np.float32))
    assert (region.box, region.area) == ((0, 0, 30, 20), 600)


def test_a_flat_map_has_no_region() -> None:
    assert find_region(np.zeros((20, 30), np.float32)) is None


def test_a_lower_threshold_widens_the_region() -> None:
    heat = _map(a=(20, 30, 6, 1))
    wide, narrow = find_region(heat, threshold=0.2), find_region(heat, threshold=0.8)
    assert wide is not None
    assert narrow is not None
    assert wide.area > 4 * narrow.area


def test_a_region_says_where_it_is_and_how_large_and_not_its_whole_contour() -> None:
    region = Region(box=(3, 4, 9, 8), contour=((3.0, 4.0), (9.0, 8.0), (3.0, 4.0)), area=20)
    assert str(region) == repr(region) == "<Region x 3 to 9, y 4 to 8: 20 pixels>"
    assert repr(region.model_copy(update={"area_mm2": 17.6})) == "<Region x 3 to 9, y 4 to 8: 20 pixels, 18 mm²>"
