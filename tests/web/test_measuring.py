from __future__ import annotations

import numpy as np
import pytest

from tumorlens.web.measuring import Grid, measure

VALUES = np.add.outer(np.arange(50, dtype=np.float32) * 10, np.arange(100, dtype=np.float32))
MM = Grid((100, 50), (2.0, 0.5), VALUES, "HU")
PIXELS = Grid((100, 50), None, VALUES, "")


def test_a_length_is_in_mm_only_where_the_spacing_is_known() -> None:
    ends = [(0.1, 0.2), (0.5, 0.8)]  # 40 pixels along, 30 down
    assert measure("length", ends, MM).length == pytest.approx(np.hypot(20, 60))
    assert measure("length", ends, MM).text == "length 63.2 mm"
    assert measure("length", ends, PIXELS).length == pytest.approx(50)
    assert measure("length", ends, PIXELS).text == "length 50.0 pixels"


def test_an_angle_is_of_the_patient_not_of_the_pixels() -> None:
    corner = [(0.5, 0.2), (0.5, 0.5), (0.8, 0.8)]  # up, and 30 pixels right and 15 down: 15 and 30 mm
    assert measure("angle", corner, MM).angle == pytest.approx(180 - np.degrees(np.arctan2(15, 30)))
    assert measure("angle", corner, PIXELS).text == "angle 117°, if pixels are square"


def test_values_in_a_rectangle() -> None:
    found = measure("rectangle", [(0.2, 0.2), (0.3, 0.4)], MM)
    inside = VALUES[10:20, 20:30]
    assert found.mean == pytest.approx(inside.mean())
    assert found.spread == pytest.approx(inside.std())
    assert (found.least, found.most) == (inside.min(), inside.max())
    assert found.area == pytest.approx(10 * 0.5 * 10 * 2)
    assert found.text == "rectangle 100 mm²: mean 170, spread 28.9, 120 to 219 HU"
    assert measure("rectangle", [(0.3, 0.4), (0.2, 0.2)], MM) == found  # from whichever corner


def test_values_in_an_ellipse_are_those_whose_centres_lie_inside() -> None:
    found = measure("ellipse", [(0.2, 0.2), (0.6, 0.8)], PIXELS)
    y, x = np.mgrid[:50, :100] + 0.5
    inside = VALUES[((x - 40) / 20) ** 2 + ((y - 25) / 15) ** 2 <= 1]
    assert found.mean == pytest.approx(inside.mean())
    assert found.area == pytest.approx(np.pi * 20 * 15)
    assert len(inside) == pytest.approx(found.area, rel=0.02)
    assert found.text.startswith("ellipse 942 pixels: mean ")


@pytest.mark.parametrize(
    ("kind", "points", "words"),
    [
        ("length", [(0.1, 0.1)] * 2, "two places"),
        ("length", [(0.1, 0.1)] * 3, "2 points"),
        ("angle", [(0.1, 0.1), (0.2, 0.2)], "an angle has 3 points"),
        ("angle", [(0.1, 0.1)] * 3, "off its corner"),
        ("ellipse", [(0.101, 0.101), (0.102, 0.102)], "draw it larger"),
    ],
)
def test_what_measures_nothing_is_refused(kind: str, points: list[tuple[float, float]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        measure(kind, points, MM)  # type: ignore[arg-type]
