"""Preprocessing: what reaches the network, and the way back to the scan's own grid."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from tumorlens.classifier import Classifier
from tumorlens.formats import read_scans
from tumorlens.outline import Outline
from tumorlens.preprocess import Preprocessing
from tumorlens.scan import Scan

ODD = [
    ((256, 256), None),
    ((181, 217), None),
    ((300, 100), None),
    ((40, 30), None),  # smaller than the input
    ((120, 200), (2.5, 0.8)),
    ((64, 64), (5.0, 1.0)),
    ((97, 150), (0.7, 1.9)),
]


def _blob(shape: tuple[int, int], y: float, x: float, sigma: float) -> NDArray[np.float32]:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    spot: NDArray[np.float32] = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2)).astype(np.float32)
    return spot


def _centroid(image: np.ndarray) -> tuple[float, float]:
    rows, columns = np.indices(image.shape)
    return float((rows * image).sum() / image.sum()), float((columns * image).sum() / image.sum())


def test_a_fine_checkerboard_becomes_grey() -> None:
    board = (np.indices((256, 256)).sum(0) % 2).astype(np.float32)
    image = Preprocessing(size=64)(Scan(board, "x"))
    np.testing.assert_allclose(image, 0.5, atol=0.02)


def test_nothing_is_skipped_when_shrinking() -> None:
    """Wherever one bright pixel lies, its light arrives."""
    sums = []
    for place in range(100, 116):
        pixels = np.zeros((512, 512), np.float32)
        pixels[place, place] = 1
        sums.append(Preprocessing(size=64)(Scan(pixels, "x")).sum())
    np.testing.assert_allclose(sums, 1 / 64, rtol=0.05)  # 8 x 8 scan pixels make one


@pytest.mark.parametrize(
    ("shape", "spacing", "expected"),
    [
        ((256, 256), None, (0, 0, 64, 64)),
        ((256, 128), None, (0, 16, 64, 32)),
        ((128, 256), None, (16, 0, 32, 64)),
        ((128, 256), (2.0, 1.0), (0, 0, 64, 64)),  # mm count, not pixels
        ((256, 256), (0.5, 1.0), (16, 0, 32, 64)),
        ((1000, 16), None, (0, 31, 64, 1)),
    ],
)
def test_proportions_are_kept_in_mm_or_else_in_pixels(
    shape: tuple[int, int], spacing: tuple[float, float] | None, expected: tuple[int, int, int, int]
) -> None:
    scan = Scan(np.ones(shape, np.float32), "x", spacing=spacing)
    assert Preprocessing(size=64).placement(scan) == expected
    shown = Preprocessing(size=64)(scan)[0] > 0
    top, left, height, width = expected
    assert shown[top : top + height, left : left + width].all()
    assert shown.sum() == height * width


@pytest.mark.parametrize(("shape", "spacing"), ODD)
@pytest.mark.parametrize("coarse", [1, 4])
def test_a_map_over_the_input_comes_back_to_where_it_came_from(
    shape: tuple[int, int], spacing: tuple[float, float] | None, coarse: int
) -> None:
    rule = Preprocessing(size=64)
    steps = np.array(spacing or (1.0, 1.0))
    cell = max(shape * steps) / rule.size / steps  # scan pixels of one input pixel, down and across
    y, x = shape[0] * 0.35, shape[1] * 0.6
    scan = Scan(_blob(shape, y, x, sigma=0.06 * min(shape)), "x", spacing=spacing)
    heat = rule(scan)[0].reshape(64 // coarse, coarse, 64 // coarse, coarse).mean((1, 3))
    restored = rule.restore(heat, scan)
    assert (restored.shape, restored.dtype) == (shape, np.dtype(np.float32))
    found = _centroid(np.where(restored > 0.2 * restored.max(), restored, 0))
    assert np.all(np.abs(np.array(found) - [y, x]) <= 0.5 * cell * coarse)


def test_a_full_map_comes_back_full() -> None:
    scan = Scan(np.ones((90, 210), np.float32), "x", spacing=(1.3, 0.4))
    np.testing.assert_allclose(Preprocessing(size=64).restore(np.ones((16, 16), np.float32), scan), 1)


def test_heat_in_the_border_around_a_scan_is_not_drawn_on_it() -> None:
    scan = Scan(np.ones((100, 50), np.float32), "x")
    heat = np.zeros((16, 16), np.float32)
    heat[:, :3] = 1  # the scan begins at column 4 of 16
    assert Preprocessing(size=64).restore(heat, scan).max() == 0


@pytest.mark.parametrize("intensity", ["unit", "stretch"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(50, 70), (50, 70, 3), (400, 300)])
def test_the_input_has_its_shape_and_range_whatever_comes_in(
    intensity: str, channels: int, shape: tuple[int, ...]
) -> None:
    pixels = np.random.default_rng(0).random(shape, np.float32)
    image = Preprocessing(size=48, channels=channels, intensity=intensity)(Scan(pixels, "x"))
    assert (image.shape, image.dtype) == ((channels, 48, 48), np.dtype(np.float32))
    assert image.min() >= 0
    assert image.max() <= 1


def test_colour_reaches_a_colour_network_and_grey_is_repeated() -> None:
    rule = Preprocessing(size=16, channels=3)
    pixels = np.zeros((32, 32, 3), np.float32)
    pixels[..., 1] = 0.8
    red, green, blue = rule(Scan(pixels, "x"))
    assert (red.max(), blue.max()) == (0, 0)
    np.testing.assert_allclose(green, 0.8, rtol=1e-6)
    grey = rule(Scan(np.random.default_rng(0).random((32, 32), np.float32), "x"))
    assert (grey == grey[0]).all()


def test_stretch_makes_the_window_a_scan_was_stored_with_irrelevant() -> None:
    bright = np.random.default_rng(0).random((64, 64), np.float32)
    rule = Preprocessing(size=32, intensity="stretch")
    np.testing.assert_allclose(rule(Scan(bright, "x")), rule(Scan(bright * 0.2 + 0.1, "x")), atol=1e-4)
    plain = Preprocessing(size=32)
    assert plain(Scan(bright * 0.2, "x")).max() < 0.2


def test_stretch_keeps_hot_and_dead_pixels_in_range() -> None:
    pixels = np.random.default_rng(0).uniform(0.2, 0.3, (256, 256)).astype(np.float32)
    pixels[8:12, 8:12], pixels[200:204, 200:204] = 1, 0
    image = Preprocessing(size=64, intensity="stretch")(Scan(pixels, "x"))
    assert (image.min(), image.max()) == (0, 1)


def test_stretch_leaves_a_scan_without_contrast_alone() -> None:
    image = Preprocessing(size=16, intensity="stretch")(Scan(np.full((32, 32), 0.3, np.float32), "x"))
    np.testing.assert_allclose(image, 0.3, rtol=1e-6)


def test_the_scan_itself_is_not_changed() -> None:
    pixels = np.random.default_rng(0).random((40, 40), np.float32)
    before = pixels.copy()
    Preprocessing(size=16, intensity="stretch")(Scan(pixels, "x"))
    assert (pixels == before).all()


def test_training_and_use_see_the_same_numbers(tiny_classifier: Classifier, tmp_path: Path) -> None:
    from tumorlens.data.loader import load_slices
    from tumorlens.data.manifest import read_manifest

    rng = np.random.default_rng(0)
    for name, shape in {"glioma/a.png": (200, 150), "no_tumor/b.png": (20, 90, 3)}.items():
        (tmp_path / name).parent.mkdir()
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / name)
    trained_on = load_slices(read_manifest(tmp_path), tiny_classifier.preprocessing)
    used_on = tiny_classifier.prepare([read_scans(entry.path)[0] for entry in trained_on.manifest.entries])
    assert len(trained_on) == 2
    assert (trained_on.images == used_on).all()


@pytest.mark.parametrize("setting", [{"size": 8}, {"channels": 2}, {"intensity": "log"}, {"gamma": 2}])
def test_an_unknown_rule_is_refused(setting: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Preprocessing(**setting)


@pytest.mark.parametrize("spacing", [None, (1.0, 2.0)])
def test_an_outline_lands_where_the_scan_does(spacing: tuple[float, float] | None) -> None:
    rule = Preprocessing(size=32)
    pixels = np.zeros((40, 60), np.float32)
    pixels[10:30, 15:45] = 1
    scan = Scan(pixels, "made up", spacing=spacing)
    outline = Outline(np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]]))
    covered = rule.cover(outline, scan)
    assert covered.dtype == np.uint8
    np.testing.assert_allclose(covered / 255, rule(scan)[0], atol=0.51)  # the scan is smoothed at its edges
    assert ((covered > 127) == (rule(scan)[0] > 0.5)).mean() > 0.97


WINDOWS = ((40.0, 80.0), (600.0, 2800.0))


def test_hounsfield_windows_are_channels() -> None:
    units = np.full((32, 32), -1000, np.float32)
    units[8:24, 8:24], units[12:20, 12:20] = 1000, 60
    scan = Scan(np.zeros((32, 32), np.float32), "ct.dcm", modality="CT", hounsfield=units)
    brain, bone = Preprocessing(size=32, windows=WINDOWS)(scan)
    assert brain[16, 16] == pytest.approx(0.75)
    assert (brain[0, 0], brain[9, 9]) == (0, 1)
    assert bone[9, 9] == pytest.approx((1000 - 600) / 2800 + 0.5)


def test_bone_with_contrast_agent_and_metal_are_white_and_air_is_black() -> None:
    units = np.repeat(np.array([-3024, -1000, 40, 1700, 3071, 30_000], np.float32), 16)[None].repeat(96, 0)
    scan = Scan(np.zeros((96, 96), np.float32), "ct.dcm", modality="CT", hounsfield=units)
    brain, bone = Preprocessing(size=96, windows=WINDOWS)(scan)[:, 48, 8::16]
    assert_allclose(brain, [0, 0, 0.5, 1, 1, 1])
    assert_allclose(bone, [0, 0, 0.3, (1700 - 600) / 2800 + 0.5, 1, 1], atol=1e-6)


def test_a_picture_of_8_bits_goes_into_every_window_as_it_is() -> None:
    scan = Scan(np.linspace(0, 1, 1024, dtype=np.float32).reshape(32, 32), "ct.png")
    brain, bone = Preprocessing(size=32, windows=WINDOWS)(scan)
    assert_allclose(brain, scan.pixels, atol=1e-6)
    assert_allclose(bone, brain)


def test_deeper_pictures_without_a_unit_are_refused_where_windows_need_one() -> None:
    scan = Scan(np.zeros((32, 32), np.float32), "ct16.png", unitless=True)
    assert "Hounsfield" in Preprocessing(windows=WINDOWS).refuses(scan)
    assert Preprocessing().refuses(scan) == ""


@pytest.mark.parametrize(
    "settings",
    [
        {"windows": WINDOWS, "channels": 3},
        {"windows": WINDOWS, "intensity": "stretch"},
        {"channels": 2},
        {"windows": [[40, 0]]},
    ],
)
def test_windows_and_channels_must_fit(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"windows|channels|greater than 0"):
        Preprocessing.model_validate(settings)


def test_sequences_are_channels_and_each_has_its_own_scale() -> None:
    ramp = np.linspace(0, 1, 1024, dtype=np.float32).reshape(32, 32)
    scan = Scan(ramp, "t1c.nii", sequences={"t1c": ramp, "flair": ramp.T * np.float32(0.1)})
    rule = Preprocessing(size=32, sequences=("flair", "t1c", "t2"), intensity="stretch", percentiles=(0, 100))
    assert (rule.channels, rule.in_colour) == (3, False)
    flair, t1c, t2 = rule(scan)
    assert_allclose(flair, ramp.T, atol=1e-3)
    assert_allclose(t1c, ramp, atol=1e-3)
    assert not t2.any()
    assert (rule.missing(scan), rule.refuses(scan)) == (("t2",), "")
    assert rule.refuses(Scan(ramp, "x.png")).startswith("it is none of flair, t1c, t2")
    with pytest.raises(ValueError, match="sequences make a channel each"):
        Preprocessing(sequences=("t1", "t1"))
