from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from PIL import Image

from tumorlens import limits
from tumorlens.errors import NotAScan, TooLarge, UnreadableFile
from tumorlens.formats import read_scans
from tumorlens.scan import Scan


def save(path: Path, values: NDArray[Any], **options: Any) -> Path:
    Image.fromarray(values).save(path, **options)
    return path


def read_one(path: Path) -> Scan:
    (scan,) = read_scans(path)
    assert scan.pixels.dtype == np.float32
    assert 0 <= scan.pixels.min() < scan.pixels.max() <= 1
    assert scan.source == str(path)
    assert scan.spacing is None
    return scan


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_8_bit_grey_is_divided_by_255(tmp_path: Path, picture: NDArray[np.uint8], suffix: str) -> None:
    scan = read_one(save(tmp_path / f"a.{suffix}", picture))
    assert_allclose(scan.pixels, picture / 255, atol=1e-6)


def test_jpeg(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    scan = read_one(save(tmp_path / "a.jpg", picture, quality=95))
    assert_allclose(scan.pixels, picture / 255, atol=0.05)


def test_format_is_told_by_content_not_by_name(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    wrong = save(tmp_path / "a.png", picture).rename(tmp_path / "a.dcm")
    assert_allclose(read_one(wrong).pixels, picture / 255, atol=1e-6)


def test_1_bit(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    scan = read_one(save(tmp_path / "a.png", picture > 100))
    assert_allclose(scan.pixels, picture > 100)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(("brightest", "white"), [(4000, 4095), (4095, 4095), (4096, 8191), (65535, 65535), (100, 255)])
def test_16_bit_is_divided_by_the_bits_it_uses(
    tmp_path: Path, picture: NDArray[np.uint8], suffix: str, brightest: int, white: int
) -> None:
    values = (picture.astype(float) / 255 * brightest).astype(np.uint16)
    scan = read_one(save(tmp_path / f"a.{suffix}", values))
    assert_allclose(scan.pixels, values / white, atol=1e-6)
    assert scan.warnings == ()


def test_float_in_range_stays(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    values = picture.astype(np.float32) / 300
    assert_allclose(read_one(save(tmp_path / "a.tif", values)).pixels, values)


def test_float_out_of_range_is_stretched_and_warned_of(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    values = picture.astype(np.float32) * 10 - 500
    scan = read_one(save(tmp_path / "a.tif", values))
    assert np.corrcoef(scan.pixels.ravel(), values.ravel())[0, 1] > 0.99
    assert "stretched" in scan.warnings[0]


def test_one_hot_pixel_does_not_darken_a_float_picture(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(10, 20, (64, 64)).astype(np.float32)
    values[5, 5] = 1e6
    assert read_one(save(tmp_path / "a.tif", values)).pixels.mean() > 0.4


def test_signed_32_bit(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    values = picture.astype(np.int32) - 100
    scan = read_one(save(tmp_path / "a.tif", values))
    assert np.corrcoef(scan.pixels.ravel(), values.ravel())[0, 1] > 0.99


def test_few_values_that_are_no_numbers_become_0(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    values = picture.astype(np.float32) / 255
    values[0, :5] = np.nan
    scan = read_one(save(tmp_path / "a.tif", values))
    assert (scan.pixels[0, :5] == 0).all()
    assert "no numbers" in scan.warnings[0]


def test_all_nan(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", np.full((32, 32), np.nan, np.float32))
    with pytest.raises(NotAScan, match="no numbers"):
        read_scans(path)


def test_grey_saved_as_rgb_becomes_grey(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    scan = read_one(save(tmp_path / "a.png", np.stack([picture] * 3, -1)))
    assert scan.pixels.shape == picture.shape


def test_colour_stays_colour(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    colour = np.stack([picture, picture[::-1], picture[:, ::-1]], -1)
    assert_allclose(read_one(save(tmp_path / "a.png", colour)).pixels, colour / 255, atol=1e-6)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_what_is_transparent_in_grey_is_black(tmp_path: Path, picture: NDArray[np.uint8], mode: str) -> None:
    image = Image.fromarray(picture).convert(mode)
    alpha = np.full(picture.shape, 255, np.uint8)
    alpha[20:], alpha[30:] = 128, 0
    image.putalpha(Image.fromarray(alpha))
    image.save(tmp_path / "a.png")
    expected = picture / 255 * (alpha / 255)
    assert_allclose(read_one(tmp_path / "a.png").pixels, expected, atol=1e-6)


@pytest.mark.parametrize("seen", [40, 4], ids=["half a tile", "a margin of one"])
def test_what_is_transparent_in_colour_is_white_as_glass_is(tmp_path: Path, seen: int) -> None:
    tile = np.full((80, 32, 4), (228, 150, 190, 0), np.uint8)
    tile[:seen, :, 3], tile[0, 0, 3] = 255, 128
    scan = read_one(save(tmp_path / "tile.png", tile))
    assert scan.pixels.shape == (80, 32, 3)
    assert_allclose(scan.pixels[1, 1], np.array([228, 150, 190]) / 255, atol=1e-6)
    assert_allclose(scan.pixels[0, 0], np.array([228, 150, 190]) / 255 * 128 / 255 + 127 / 255, atol=1e-6)
    assert (scan.pixels[seen:] == 1).all()


@pytest.mark.parametrize(("depth", "unitless"), [("uint8", False), ("uint16", True), ("float32", True)])
def test_pictures_of_more_than_8_bits_have_no_unit(
    tmp_path: Path, picture: NDArray[np.uint8], depth: str, unitless: bool
) -> None:
    assert read_one(save(tmp_path / "a.tif", picture.astype(depth))).unitless is unitless


def test_palette(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    image = Image.fromarray(picture).convert("P")
    image.putpalette([v for i in range(256) for v in (i, 255 - i, 0)])
    image.save(tmp_path / "a.png")
    expected = np.stack([picture, 255 - picture, 0 * picture], -1) / 255
    assert_allclose(read_one(tmp_path / "a.png").pixels, expected, atol=1e-6)


def test_palette_with_transparency(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    image = Image.fromarray(picture).convert("P")
    image.save(tmp_path / "a.png", transparency=255)  # the bright corner's index
    expected = np.where(picture == 255, 0, picture / 255)
    assert_allclose(read_one(tmp_path / "a.png").pixels, expected, atol=1e-6)


def test_cmyk_jpeg(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    colour = Image.fromarray(np.stack([picture, 255 - picture, 0 * picture], -1))
    colour.convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    scan = read_one(tmp_path / "a.jpg")
    assert_allclose(scan.pixels.mean((0, 1)), np.asarray(colour).mean((0, 1)) / 255, atol=0.05)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(
    tmp_path: Path, picture: NDArray[np.uint8], suffix: str, orientation: int
) -> None:
    turned = {
        1: picture,
        2: picture[:, ::-1],
        3: picture[::-1, ::-1],
        4: picture[::-1],
        5: picture.T,
        6: picture.T[::-1],  # shown after a quarter turn clockwise
        7: picture.T[::-1, ::-1],
        8: picture.T[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(turned)).save(tmp_path / f"a.{suffix}", exif=exif)
    assert_allclose(read_one(tmp_path / f"a.{suffix}").pixels, picture / 255, atol=0.15)


def test_white_is_zero_tiff(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    deep = (picture.astype(np.uint16) << 4) + 15
    save(tmp_path / "a.tif", deep, tiffinfo={262: 0})
    save(tmp_path / "b.tif", deep)
    assert_allclose(read_one(tmp_path / "a.tif").pixels, 1 - read_one(tmp_path / "b.tif").pixels, atol=1e-6)


def test_pages_of_a_tiff_are_frames_and_blank_ones_are_left_out(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    pages = [Image.fromarray(p) for p in (picture, 0 * picture, picture[::-1])]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    scans = read_scans(tmp_path / "a.tif")
    assert [s.frame for s in scans] == [0, 2]
    assert_allclose(scans[1].pixels, picture[::-1] / 255, atol=1e-6)


def test_print_resolution_is_no_spacing(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    assert read_one(save(tmp_path / "a.tif", picture, dpi=(300, 300))).spacing is None


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (12_000, 8_000), (2**31 - 1, 2**31 - 1)])
def test_too_large_is_found_before_decoding(
    tmp_path: Path, make_png_header: Callable[[int, int], bytes], width: int, height: int
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(make_png_header(width, height))
    with pytest.raises(TooLarge):
        read_scans(path)


@pytest.mark.parametrize("size", [(0, 0), (0, 40)])
def test_zero_sized(tmp_path: Path, make_png_header: Callable[[int, int], bytes], size: tuple[int, int]) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(make_png_header(*size))
    with pytest.raises(UnreadableFile):
        read_scans(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp"])
@pytest.mark.parametrize("share", [0.9, 0.5, 0.02])
def test_truncated(tmp_path: Path, suffix: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    path = save(tmp_path / f"a.{suffix}", noise)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UnreadableFile, match="truncated"):
        read_scans(path)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "CMYK", "I;16", "F"])
def test_a_picture_with_many_pixels_is_read_at_a_fraction_of_its_size(
    tmp_path: Path, picture: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    path = tmp_path / "a.tif"
    deep: dict[str, NDArray[Any]] = {"I;16": picture.astype(np.uint16) * 257, "F": picture.astype(np.float32) / 255}
    image = Image.fromarray(deep[mode]) if mode in deep else Image.fromarray(picture).convert(mode)
    image.save(path)
    whole = read_one(path)
    monkeypatch.setattr(limits, "PIXELS", whole.height * whole.width - 1)
    scan = read_one(path)
    assert (scan.height, scan.width) == (20, 16)
    assert "32 × 40 pixels are read at 1/2 of that size" in scan.warnings
    small = whole.pixels.reshape(20, 2, 16, 2, *whole.pixels.shape[2:]).mean((1, 3))
    assert_allclose(scan.pixels, small, atol=0.005)


def test_a_telephones_picture_is_read_upright_at_a_fraction_of_its_size(
    tmp_path: Path, picture: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[0x112] = 6  # turned by a quarter
    Image.fromarray(picture).save(tmp_path / "a.jpg", quality=95, exif=exif)
    monkeypatch.setattr(limits, "PIXELS", 1000)
    scan = read_one(tmp_path / "a.jpg")
    assert (scan.height, scan.width) == (16, 20)
    assert scan.pixels[:3, -3:].min() > 0.9  # the bright corner


def test_more_pixels_than_a_picture_may_have_are_refused(
    tmp_path: Path, picture: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PICTURE", picture.size - 1)
    with pytest.raises(TooLarge, match="32 × 40 pixels are more than the 1,279 we accept"):
        read_scans(save(tmp_path / "a.png", picture))
