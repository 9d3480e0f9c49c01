"""Pictures that are no whole scan of a head keep what they are made of, less or with what makes them unlike it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tumorlens.data.unlike import MADE, cut_off, with_text_or_frame, without_skull
from tumorlens.phantoms.phantom import make_phantoms

Picture = NDArray[np.float32]


@pytest.fixture(scope="module")
def head() -> Picture:
    return next(make_phantoms(1, size=64, seed=3)).scan.grey


@pytest.mark.parametrize("kind", MADE)
def test_a_kind_is_made_in_the_scans_own_size_and_range_and_anew_by_each_draw(head: Picture, kind: str) -> None:
    make = MADE[kind][1]
    one, again, other = (make(head, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert one is not None
    assert again is not None
    assert other is not None
    assert one.shape == head.shape
    assert one.dtype == np.float32
    assert one.min() >= 0
    assert one.max() <= 1
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    assert np.abs(one - head).mean() > 0.005


def test_text_and_frames_add_light_at_the_rim(head: Picture) -> None:
    made = np.mean([with_text_or_frame(head, np.random.default_rng(seed)) for seed in range(20)], 0)
    rim = np.ones_like(head, bool)
    rim[8:-8, 8:-8] = False
    assert (made - head)[rim].mean() > 0.05
    assert abs((made - head)[~rim].mean()) < 0.03


def test_a_scan_cut_off_lacks_a_quarter_to_half_of_its_picture(head: Picture) -> None:
    for seed in range(12):
        made = cut_off(head, np.random.default_rng(seed))
        empty = max(
            (made == 0).all(1).mean() - (head == 0).all(1).mean(), (made == 0).all(0).mean() - (head == 0).all(0).mean()
        )
        assert 0 < empty < 0.6


def test_without_its_skull_a_head_is_smaller_and_black_around(head: Picture) -> None:
    made = without_skull(head, np.random.default_rng(0))
    assert made is not None
    before, after = (head > 0.1), (made > 0.1)
    assert 0.3 < after.sum() / before.sum() < 0.9
    rows, columns = np.nonzero(before)
    assert not made[[rows.min(), rows.max()]].any()
    assert not made[:, [columns.min(), columns.max()]].any()


def test_a_picture_without_a_head_has_no_skull_to_lose() -> None:
    assert without_skull(np.zeros((64, 64), np.float32), np.random.default_rng(0)) is None
