"""Outlines: their text, their mirror image, and the pixels they cover."""

import numpy as np
import pytest

from tumorlens.errors import DataError
from tumorlens.outline import Outline


def _square(x0: float, y0: float, x1: float, y1: float) -> Outline:
    return Outline(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]))


def test_the_text_of_an_outline_gives_it_back() -> None:
    outline = Outline(np.random.default_rng(0).random((9, 2)))
    np.testing.assert_allclose(Outline.parse(str(outline)).points, outline.points, atol=5e-5)


@pytest.mark.parametrize(
    "text", ["", "0,0 1,1", "0,0 1,0 1", "a,b c,d e,f", "0,0 1,0 1,1.2", "0,0 1,0 nan,1", "0,0,0 1,0,0 1,1,0"]
)
def test_text_that_is_no_outline_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        Outline.parse(text)


def test_coverage_counts_from_the_corner_of_the_picture_not_from_pixel_centres() -> None:
    # x from 2 to 6 of 8 columns, y from 1 to 3 of 4 rows: whole pixels, so no share in between.
    covered = _square(0.25, 0.25, 0.75, 0.75).coverage(4, 8)
    expected = np.zeros((4, 8))
    expected[1:3, 2:6] = 1
    # Pillow fills the pixels on the line too, which widens by a thirtieth of a pixel a side.
    np.testing.assert_allclose(covered, expected, atol=0.07)
    assert ((covered >= 0.5) == expected).all()
    assert covered[1:3, 1].sum() == pytest.approx(covered[1:3, 6].sum(), abs=0.01), "widened on one side only"


def test_a_pixel_half_inside_is_half_covered_and_in_the_mask() -> None:
    outline = _square(0, 0, 0.55, 1)  # 5.5 of 10 columns
    assert outline.coverage(10, 10)[:, 5] == pytest.approx(0.5, abs=0.07)
    assert outline.mask(10, 10)[:, :6].all()
    assert not outline.mask(10, 10)[:, 6:].any()


def test_the_area_of_a_round_outline_is_right() -> None:
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = Outline(np.column_stack([0.5 + 0.3 * np.cos(angle), 0.5 + 0.3 * np.sin(angle)]))
    assert circle.coverage(100, 100).sum() == pytest.approx(np.pi * 30**2, rel=0.01)


def test_outlines_at_the_rim_stay_in_the_picture() -> None:
    assert _square(0, 0, 1, 1).mask(7, 5).all()
    assert _square(1, 0, 1, 1).coverage(7, 5).shape == (7, 5)
    assert not _square(1, 1, 1, 1).mask(7, 5).any()


def test_the_mirrored_outline_covers_the_mirrored_pixels() -> None:
    outline = Outline(np.array([[0.1, 0.2], [0.6, 0.3], [0.2, 0.9]]))
    np.testing.assert_allclose(outline.mirrored().coverage(40, 60), outline.coverage(40, 60)[:, ::-1], atol=0.15)
    np.testing.assert_allclose(outline.mirrored().mirrored().points, outline.points)
