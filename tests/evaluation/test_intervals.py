import numpy as np
import pytest

from tumorlens.evaluation.intervals import estimate_means


def test_the_mean_with_its_interval() -> None:
    values = np.random.default_rng(0).normal(3, 1, (400, 1))
    (found,) = estimate_means(values, [str(i) for i in range(400)])
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - 1.96 * values.std() / 20, abs=0.02)
    assert found.high == pytest.approx(values.mean() + 1.96 * values.std() / 20, abs=0.02)


def test_scans_that_repeat_each_other_do_not_narrow_it() -> None:
    values = np.random.default_rng(0).normal(0, 1, 50)
    (single,) = estimate_means(values[:, None], [str(i) for i in range(50)])
    (tenfold,) = estimate_means(np.repeat(values, 10)[:, None], [str(i // 10) for i in range(500)])
    assert tenfold.low == pytest.approx(single.low)
    assert tenfold.high == pytest.approx(single.high)


def test_scans_without_a_value_are_left_out() -> None:
    values = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]])
    known, unknown = estimate_means(values, ["a", "b", "c"])
    assert known.value == 2
    assert unknown.value is None


def test_one_group_has_no_interval() -> None:
    (found,) = estimate_means(np.array([[1.0], [2.0]]), ["a", "a"])
    assert (found.value, found.low, found.high) == (1.5, None, None)
