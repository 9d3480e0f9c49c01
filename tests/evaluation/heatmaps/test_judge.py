import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from tumorlens.evaluation.heatmaps.judge import (
    BASELINES,
    FIGURES,
    THRESHOLDS,
    TOLERANCE,
    Tumour,
    dice_by_threshold,
    judge,
)
from tumorlens.outline import Outline
from tumorlens.scan import Scan

SQUARE = Outline(np.array([[0.25, 0.25], [0.5, 0.25], [0.5, 0.5], [0.25, 0.5]]))


@pytest.fixture
def tumour() -> Tumour:
    return Tumour.of(SQUARE, 64, 64)


def figures(heat: ArrayLike, tumour: Tumour, threshold: float = 0.5) -> dict[str, float]:
    return dict(zip(FIGURES, judge(np.asarray(heat, np.float32), tumour, threshold).tolist(), strict=True))


def spot(row: int | slice, column: int | slice, size: int = 64) -> NDArray[np.float32]:
    heat = np.zeros((size, size), np.float32)
    heat[row, column] = 1
    return heat


def test_the_tumour_itself_is_a_perfect_map(tumour: Tumour) -> None:
    found = figures(tumour.mask * 0.01, tumour)
    assert found == {
        "pointing": 1,
        "pointing_strict": 1,
        "mass": pytest.approx(1),
        "dice": 1,
        "iou": 1,
        "box": 1,
        "blank": 0,
    }


def test_a_map_elsewhere_scores_nothing(tumour: Tumour) -> None:
    found = figures(spot(60, 60), tumour)
    assert set(found.values()) == {0}


def test_a_blank_map_is_a_miss(tumour: Tumour) -> None:
    found = figures(np.zeros((64, 64)), tumour)
    assert found.pop("blank") == 1
    assert set(found.values()) == {0}


def test_the_pointing_game_forgives_fifteen_pixels_at_512() -> None:
    tumour = Tumour.of(SQUARE, 512, 512)
    assert figures(spot(200, 255 + 15, 512), tumour)["pointing"] == 1
    assert figures(spot(200, 255 + 16, 512), tumour)["pointing"] == 0
    assert figures(spot(200, 255 + 15, 512), tumour)["pointing_strict"] == 0


def test_the_tolerance_scales_with_the_picture(tumour: Tumour) -> None:
    away = int(TOLERANCE * 64)
    assert away == 1
    assert figures(spot(20, 31 + away), tumour)["pointing"] == 1
    assert figures(spot(20, 31 + away + 1), tumour)["pointing"] == 0


def test_an_even_map_scores_what_a_random_point_would(tumour: Tumour) -> None:
    found = figures(np.ones((64, 64)), tumour)
    area = 1 / 16
    assert found["pointing_strict"] == pytest.approx(area)
    assert found["mass"] == pytest.approx(area, rel=1e-5)
    assert found["dice"] == pytest.approx(2 * area / (1 + area))
    near = (np.linalg.norm(np.maximum(0, np.abs(np.indices((64, 64)) - 23.5) - 7.5), axis=0) <= TOLERANCE * 64).mean()
    assert found["pointing"] == pytest.approx(near)


def test_figures_of_half_a_hit(tumour: Tumour) -> None:
    heat = np.zeros((64, 64))
    heat[16:32, 24:40] = 1  # half inside, half to the right of it
    found = figures(heat, tumour)
    assert found["mass"] == pytest.approx(0.5)
    assert found["dice"] == pytest.approx(0.5)
    assert found["iou"] == pytest.approx(1 / 3)
    assert found["box"] == 0


def test_the_box_is_that_of_the_part_around_the_peak(tumour: Tumour) -> None:
    heat = tumour.mask * 1.0
    heat[60, 60] = 0.9  # marked, but another part
    assert figures(heat, tumour)["box"] == 1
    assert figures(heat, tumour)["iou"] < 1
    heat[60, 60] = 1.1
    assert figures(heat, tumour)["box"] == 0


def test_scale_does_not_matter(tumour: Tumour) -> None:
    heat = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    np.testing.assert_allclose(judge(heat, tumour, 0.5), judge(heat * 1024, tumour, 0.5), rtol=1e-5)


def test_a_mirrored_outline_is_met_by_a_mirrored_map(tumour: Tumour) -> None:
    mirrored = Tumour.of(SQUARE.mirrored(), 64, 64)
    heat = np.ascontiguousarray((tumour.mask * 1.0)[:, ::-1])
    assert figures(heat, mirrored)["dice"] == 1
    assert figures(heat, tumour)["dice"] == 0


def test_an_outline_thinner_than_a_pixel_can_still_be_hit() -> None:
    thin = Tumour.of(Outline(np.array([[0.1, 0.5], [0.9, 0.5], [0.5, 0.501]])), 16, 16)
    assert thin.mask.any()
    assert not thin.mask.all()


def test_dice_at_every_threshold_is_what_judging_there_gives(tumour: Tumour) -> None:
    heat = np.random.default_rng(1).integers(0, 41, (64, 64)).astype(np.float32) / np.float32(
        40
    )  # many pixels at thresholds
    heat[20, 20] = 1
    expected = [figures(heat, tumour, t - 1e-6)["dice"] for t in THRESHOLDS]
    np.testing.assert_allclose(dice_by_threshold(heat, tumour), expected)
    np.testing.assert_allclose(dice_by_threshold(heat * np.float32(7), tumour), expected)
    assert not dice_by_threshold(np.zeros_like(heat), tumour).any()


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_lie_on_the_scans_grid(name: str) -> None:
    scan = Scan(np.random.default_rng(0).random((40, 60), np.float32), "scan.png")
    heat = BASELINES[name].draw(scan)
    assert heat.shape == (40, 60)
    assert heat.dtype == np.float32
    assert heat.min() >= 0


def test_baselines_point_where_they_say() -> None:
    pixels = np.full((64, 64), 0.2, np.float32)
    pixels[40:50, 10:20] = 1
    scan = Scan(pixels, "scan.png")
    brightest = np.unravel_index(BASELINES["brightest"].draw(scan).argmax(), (64, 64))
    centre = np.unravel_index(BASELINES["centre"].draw(scan).argmax(), (64, 64))
    assert np.abs(np.array(brightest) - [44.5, 14.5]).max() <= 1
    assert np.abs(np.array(centre) - [31.5, 31.5]).max() <= 0.5
