"""Scans: grey and colour, and what is no scan."""

import numpy as np
import pytest

from tumorlens.scan import Scan, age_band


def test_grey_is_grey_and_its_colour_repeats_it() -> None:
    pixels = np.random.default_rng(0).random((20, 30), np.float32)
    scan = Scan(pixels, "x")
    assert (scan.height, scan.width) == (20, 30)
    assert scan.grey is pixels
    assert scan.rgb.shape == (20, 30, 3)
    assert (scan.rgb == pixels[..., None]).all()


def test_colour_becomes_grey_by_luma() -> None:
    pixels = np.zeros((2, 4, 3), np.float32)
    pixels[:, 0], pixels[:, 1], pixels[:, 2], pixels[:, 3] = [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]
    scan = Scan(pixels, "x")
    np.testing.assert_allclose(scan.grey[0], [0.299, 0.587, 0.114, 1], rtol=1e-6)
    assert scan.grey.dtype == np.float32
    assert scan.rgb is pixels


@pytest.mark.parametrize("shape", [(4,), (4, 4, 4), (4, 4, 1), (2, 4, 4, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="pixels must be"):
        Scan(np.zeros(shape, np.float32), "x")


def test_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match="float32, not uint8"):
        Scan(np.zeros((4, 4), np.uint8), "x")


def test_a_printed_scan_does_not_name_its_patient() -> None:
    scan = Scan(np.zeros((4, 4), np.float32), "x", patient="Doe^Jane", series="1.2.3.4")
    assert "Doe" not in repr(scan)
    assert "1.2.3.4" not in repr(scan)


@pytest.mark.parametrize(("years", "band"), [(0, "<40"), (39.9, "<40"), (40, "40-59"), (60, "60-74"), (75, "75+")])
def test_an_age_is_told_only_as_a_band(years: float, band: str) -> None:
    assert age_band(years) == band


def test_an_array_becomes_a_scan_whatever_its_numbers() -> None:
    head = np.linspace(0, 1, 24 * 20).reshape(24, 20)
    for array in (head, (head * 255).round().astype(np.uint8), (head * 4095).astype(np.uint16), head.tolist()):
        scan = Scan.of(array, spacing=(0.9, 0.8), source="mine")
        np.testing.assert_allclose(scan.pixels, head, atol=0.003)
        assert (scan.spacing, scan.source, scan.pixels.dtype) == ((0.9, 0.8), "mine", np.dtype(np.float32))
    assert Scan.of((head * 3000 - 1000).astype(np.int16)).warnings
    assert Scan.of(np.zeros((4, 5, 3), np.uint8)).pixels.shape == (4, 5, 3)


def test_a_scan_shares_no_memory_with_its_array() -> None:
    array = np.zeros((4, 4), np.float32)
    scan = Scan.of(array)
    array[:] = 1
    assert not scan.pixels.any()


@pytest.mark.parametrize(
    ("array", "error", "words"),
    [
        ([["a", "b"]], TypeError, "real numbers"),
        (np.zeros((4, 4), complex), TypeError, "real numbers"),
        (np.zeros((4, 4, 2)), ValueError, r"\(H, W\) or \(H, W, 3\)"),
        (np.zeros(4), ValueError, r"\(H, W\) or \(H, W, 3\)"),
        (np.zeros((0, 4)), ValueError, "empty"),
    ],
)
def test_what_is_no_picture_is_refused(array: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Scan.of(array)  # type: ignore[arg-type]


def test_a_scan_is_shown_in_a_line_and_in_notebooks_as_a_picture() -> None:
    scan = Scan.of(np.eye(20), spacing=(0.5, 1), source="<a>.png", frame=3)
    assert repr(scan) == "<Scan '<a>.png' [3]: 20 x 20 pixels, 0.5 x 1 mm>"
    assert "data:image/png;base64," in scan._repr_html_()
    assert "<a>" not in scan._repr_html_()
