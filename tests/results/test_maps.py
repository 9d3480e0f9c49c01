"""Heat maps and segmentations."""

import numpy as np
import pytest
from matplotlib.path import Path as Polygon

from tumorlens.explain.region import find_region
from tumorlens.results.maps import inside


@pytest.mark.parametrize("seed", range(5))
def test_a_mask_holds_the_pixels_whose_centres_the_contour_encloses(seed: int) -> None:
    noise = np.fft.rfft2(np.random.default_rng(seed).normal(size=(60, 80)))
    noise[8:-8], noise[:, 8:] = 0, 0
    heat = np.fft.irfft2(noise).astype(np.float32).clip(0)
    region = find_region(heat / heat.max(), threshold=0.3)
    assert region is not None
    rows, columns = np.mgrid[:60, :80] + 0.5
    centres = np.column_stack([columns.ravel(), rows.ravel()])
    # A centre on the line itself may count as either.
    one, other = (Polygon(region.contour).contains_points(centres, radius=r).reshape(60, 80) for r in (-1e-6, 1e-6))
    mask = inside(region, (60, 80))
    assert mask.sum() > 20
    assert (mask[one == other] == one[one == other]).all()


def test_a_region_of_one_pixel_is_that_pixel() -> None:
    heat = np.zeros((20, 30), np.float32)
    heat[7, 11] = 1
    region = find_region(heat)
    assert region is not None
    assert np.argwhere(inside(region, (20, 30))).tolist() == [[7, 11]]
