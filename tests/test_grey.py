"""From numbers to grey."""

import numpy as np
import pytest

from tumorlens.errors import NotAScan
from tumorlens.grey import grey_of, robust_range, stretch


@pytest.mark.parametrize(
    ("values", "white"),
    [
        (np.array([[0, 128, 255]], np.uint8), 255),
        (np.array([[0, 100, 200]], np.uint16), 255),  # bytes in a wider type
        (np.array([[0, 1000, 3000]], np.int16), 4095),  # 12 bits, as MR has
        (np.array([[False, True]]), 1),
    ],
)
def test_whole_numbers_are_divided_by_what_their_bits_can_hold(values: np.ndarray, white: int) -> None:
    grey, warnings = grey_of("x", values)
    np.testing.assert_allclose(grey, values / white, atol=1e-6)
    assert (grey.dtype, warnings) == (np.dtype(np.float32), ())


def test_fractions_stay_and_other_numbers_are_stretched_with_a_word() -> None:
    fractions = np.linspace(0, 1, 12).reshape(3, 4)
    same, none = grey_of("x", fractions)
    np.testing.assert_allclose(same, fractions, atol=1e-6)
    hounsfield, (warning,) = grey_of("x", fractions * 2000 - 1000)
    assert (hounsfield.min(), hounsfield.max()) == (0, 1)
    assert none == ()
    assert "black and white" in warning


def test_what_are_mostly_no_numbers_is_no_scan() -> None:
    with pytest.raises(NotAScan, match="no numbers"):
        grey_of("x", np.full((4, 4), np.nan))


def test_robust_range_ignores_outliers_and_background() -> None:
    values = np.random.default_rng(0).uniform(100, 200, 10_000)
    values[0] = 1e9
    low, high = robust_range(values)
    assert 100 <= low < 102
    assert 198 < high <= 200
    values[100:9000] = 0
    assert robust_range(values)[0] == 0
    assert robust_range(values, ignore_zero=True)[0] > 100


def test_robust_range_of_a_few_bright_pixels_is_the_whole_range() -> None:
    values = np.zeros(10_000)
    values[3] = 5
    assert robust_range(values) == (0, 5)
    assert robust_range(np.zeros(100), ignore_zero=True) == (0, 0)


def test_robust_range_of_many_values_is_that_of_a_sample() -> None:
    values = np.random.default_rng(0).normal(size=9_000_000).astype(np.float32)
    assert robust_range(values) == pytest.approx((-2.576, 2.576), abs=0.02)


def test_stretch() -> None:
    assert stretch(np.array([0.0, 5, 10, 20]), 0, 10).tolist() == [0, 0.5, 1, 1]
    assert stretch(np.array([3.0, 4]), 3, 3).tolist() == [0, 0]
    extremes = np.array([-3e38, 0, 3e38], np.float32)
    assert stretch(extremes, float(extremes[0]), float(extremes[2])).tolist() == [0, 0.5, 1]
