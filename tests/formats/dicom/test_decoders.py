"""Every compression there is an encoder for, in the libraries we have."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread, uid
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from tumorlens.errors import UnreadableFile, UnsupportedFile
from tumorlens.formats import read_scans


@pytest.fixture
def stored(picture: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """(40, 32) uint16 of 12 bits."""
    return picture.astype(np.uint16) * 16


def encapsulated(
    make_dicom: Callable[..., Path], pixels: NDArray[Any], frames: list[bytes], syntax: UID, **elements: object
) -> Path:
    """A file of frames that are encoded already."""

    def change(ds: Dataset) -> None:
        ds.file_meta.TransferSyntaxUID = syntax
        ds.PixelData = encapsulate(frames)
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True

    return make_dicom(pixels, "compressed.dcm", change=change, **elements)


def through_gdcm(path: Path, syntax: int) -> Path:
    """The file again, encoded by GDCM."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    compressed = path.with_name("compressed.dcm")
    writer.SetFileName(str(compressed))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return compressed


def pixels_of(path: Path | str) -> list[NDArray[np.float32]]:
    return [scan.pixels for scan in read_scans(path)]


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEGLSLossless])
@pytest.mark.parametrize("kind", ["grey", "frames", "colour"])
def test_pydicoms_encoders(
    make_dicom: Callable[..., Path], stored: NDArray[np.uint16], picture: NDArray[np.uint8], syntax: UID, kind: str
) -> None:
    pixels = {
        "grey": stored,
        "frames": np.stack([stored, stored[::-1], stored[:, ::-1]]),
        "colour": np.stack([picture, picture[::-1], picture[:, ::-1]], -1),
    }[kind]
    plain = make_dicom(pixels)
    ds = dcmread(plain)
    ds.compress(syntax)
    ds.save_as(plain.with_name("compressed.dcm"))
    assert np.array_equal(pixels_of(plain.with_name("compressed.dcm")), pixels_of(plain))


@pytest.mark.parametrize(
    ("syntax", "expected"),
    [
        (gdcm.TransferSyntax.JPEGLosslessProcess14, uid.JPEGLossless),
        (gdcm.TransferSyntax.JPEGLosslessProcess14_1, uid.JPEGLosslessSV1),
        (gdcm.TransferSyntax.JPEGLSLossless, uid.JPEGLSLossless),
        (gdcm.TransferSyntax.JPEG2000Lossless, uid.JPEG2000Lossless),
    ],
)
@pytest.mark.parametrize("kind", ["12 bits", "8 bits", "signed", "frames"])
def test_gdcms_encoders(
    make_dicom: Callable[..., Path],
    stored: NDArray[np.uint16],
    picture: NDArray[np.uint8],
    syntax: int,
    expected: UID,
    kind: str,
) -> None:
    pixels = {
        "12 bits": stored,
        "8 bits": picture,
        "signed": stored.astype(np.int16) - 1000,
        "frames": np.stack([stored, stored[::-1]]),
    }[kind]
    plain = make_dicom(pixels)
    compressed = through_gdcm(plain, syntax)
    assert dcmread(compressed).file_meta.TransferSyntaxUID == expected
    assert np.array_equal(pixels_of(compressed), pixels_of(plain))


@pytest.mark.parametrize("syntax", [gdcm.TransferSyntax.JPEGLosslessProcess14_1, gdcm.TransferSyntax.JPEG2000Lossless])
def test_lossless_colour(make_dicom: Callable[..., Path], picture: NDArray[np.uint8], syntax: int) -> None:
    plain = make_dicom(np.stack([picture, picture[::-1], picture[:, ::-1]], -1))
    assert np.array_equal(pixels_of(through_gdcm(plain, syntax)), pixels_of(plain))


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit])
def test_lossy_jpeg_of_8_bits(make_dicom: Callable[..., Path], picture: NDArray[np.uint8], syntax: UID) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=95)
    compressed = encapsulated(make_dicom, picture, [buffer.getvalue()], syntax)
    assert_allclose(pixels_of(compressed), pixels_of(make_dicom(picture)), atol=0.06)


def test_lossy_jpeg_in_colour() -> None:
    jpeg, rle = (
        pixels_of(str(get_testdata_file(name, download=False))) for name in ("SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_rle.dcm")
    )
    assert_allclose(jpeg, rle, atol=0.03)


def test_jpeg_2000_whose_sign_differs_from_the_header() -> None:
    (pixels,) = pixels_of(str(get_testdata_file("J2K_pixelrep_mismatch.dcm", download=False)))
    assert pixels.shape == (512, 512)


@pytest.mark.parametrize(
    "name",
    [
        "GDCMJ2K_TextGBR.dcm",  # a broken stream, which only decoders that fill gaps take
        "JPEG2000-embedded-sequence-delimiter.dcm",  # its stream says that it is 3,722,445,056 pixels wide
    ],
)
def test_jpeg_2000_whose_stream_is_not_what_it_says_is_refused(name: str) -> None:
    with pytest.raises(UnreadableFile, match=r"truncated, corrupt or of a rare kind; export it again"):
        read_scans(str(get_testdata_file(name, download=False)))


def test_12_bit_jpeg_extended_is_named_as_unsupported() -> None:
    with pytest.raises(UnsupportedFile, match=r"JPEG Extended .* 12 bits"):
        read_scans(str(get_testdata_file("JPGExtended.dcm", download=False)))


def damaged(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    start = data.index(b"\x7f\xe0\x10\x00".replace(b"\x7f\xe0", b"\xe0\x7f"))
    at = data.index(old, start)
    path.write_bytes(data[:at] + new + data[at + len(old) :])
    return path


SIZE = struct.pack(">HH", 40, 32)
HUGE = struct.pack(">HH", 65500, 65500)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (SIZE, HUGE),  # would fill all memory
        (SIZE, struct.pack(">HH", 32, 40)),
        (b"\xff\xc3\x00\x0b\x10", b"\xff\xc3\x00\x0b\xfc"),  # 252 bits; makes GDCM crash
        (b"\xff\xc3\x00\x0b\x10", b"\xff\xc0\x00\x0b\x10"),  # another process
        (b"\xff\xc3", b"\xff\x01"),
        (b"\xff\xc4", b"\xff\xda"),  # a scan before the frame
        (b"\xff\xc4", b"\xff\xc3"),  # two frames
        (b"\xff\xd8", b"\xff\xd9"),
        (b"\xff\xd9", b"\xff\x00"),  # no end
        (b"\xff\xda\x00\x08\x01", b"\xff\xda\x00\x08\x03"),
    ],
)
def test_unsound_jpeg_lossless_does_not_reach_gdcm(
    make_dicom: Callable[..., Path], stored: NDArray[np.uint16], old: bytes, new: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = through_gdcm(make_dicom(stored), gdcm.TransferSyntax.JPEGLosslessProcess14_1)
    assert len(read_scans(path)) == 1

    def reached(src: object, runner: object) -> None:
        pytest.exit("GDCM was reached")

    monkeypatch.setattr("pydicom.pixels.decoders.gdcm._decode_frame", reached)
    with pytest.raises(UnreadableFile):
        read_scans(damaged(path, old, new))


@pytest.mark.parametrize("syntax", [gdcm.TransferSyntax.JPEGLSLossless, gdcm.TransferSyntax.JPEG2000Lossless])
def test_streams_of_another_size_are_not_decoded(
    make_dicom: Callable[..., Path], stored: NDArray[np.uint16], syntax: int
) -> None:
    path = through_gdcm(make_dicom(stored), syntax)
    if syntax == gdcm.TransferSyntax.JPEG2000Lossless:
        damaged(path, struct.pack(">II", 32, 40), struct.pack(">II", 12_000, 12_000))
    else:
        damaged(path, SIZE, HUGE)
    with pytest.raises(UnreadableFile):
        read_scans(path)


@pytest.mark.parametrize("syntax", [gdcm.TransferSyntax.JPEGLosslessProcess14_1, gdcm.TransferSyntax.JPEG2000Lossless])
@pytest.mark.parametrize("cut", [20, 300])
def test_truncated(make_dicom: Callable[..., Path], stored: NDArray[np.uint16], syntax: int, cut: int) -> None:
    path = through_gdcm(make_dicom(stored), syntax)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(UnreadableFile, match="truncated"):
        read_scans(path)
