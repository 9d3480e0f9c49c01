import logging
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from tumorlens.errors import NotAScan, TooLarge, UnreadableFile, UnsupportedFile
from tumorlens.formats import find_sources, read_scans, read_source
from tumorlens.formats.dicom.reader import window
from tumorlens.scan import Scan


def item(**elements: object) -> Dataset:
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def read_one(path: Path | str) -> Scan:
    (scan,) = read_scans(path)
    assert scan.pixels.dtype == np.float32
    assert 0 <= scan.pixels.min() < scan.pixels.max() <= 1
    return scan


@pytest.fixture
def stored(picture: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """(40, 32) uint16 of 12 bits."""
    return picture.astype(np.uint16) * 16


@pytest.mark.parametrize(
    "syntax", [None, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian], ids=["explicit", "implicit", "deflated"]
)
def test_what_the_file_says_arrives(make_dicom: Callable[..., Path], stored: NDArray[np.uint16], syntax: UID) -> None:
    options = {"syntax": syntax} if syntax else {}
    path = make_dicom(stored, PixelSpacing=[0.5, 0.75], WindowCenter=2040.5, WindowWidth=4081, **options)
    scan = read_one(path)
    assert_allclose(scan.pixels, stored / 4080, atol=1e-6)
    assert scan.source == str(path)
    assert scan.frame == 0
    assert scan.spacing == (0.5, 0.75)
    assert (scan.patient, scan.series, scan.modality) == ("P-17", "1.2.3", "MR")
    assert scan.warnings == ()


def test_big_endian() -> None:
    # pydicom's own file: the same picture in three encodings.
    little, big, implicit = (
        read_one(str(get_testdata_file(name, download=False))).pixels
        for name in ("MR_small.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm")
    )
    assert np.array_equal(little, big)
    assert np.array_equal(little, implicit)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_without_preamble_and_file_meta(
    make_dicom: Callable[..., Path], stored: NDArray[np.uint16], tmp_path: Path, syntax: UID
) -> None:
    order = "<" if syntax.is_little_endian else ">"
    whole = make_dicom(stored.astype(f"{order}u2"), syntax=syntax)
    data = whole.read_bytes()
    bare = tmp_path / "bare"
    bare.write_bytes(data[132 + 12 + int.from_bytes(data[140:144], "little") :])
    for path in (whole, bare):
        assert_allclose(read_one(path).pixels, read_one(make_dicom(stored, "plain.dcm")).pixels)


def test_missing_elements_are_none(make_dicom: Callable[..., Path], stored: NDArray[np.uint16]) -> None:
    scan = read_one(make_dicom(stored, PatientID=None, SeriesInstanceUID=None))
    assert (scan.patient, scan.series, scan.spacing) == (None, None, None)


@pytest.mark.parametrize(
    ("center", "width", "function", "expected"),
    [
        # PS3.3 C.11.2.1.2.1, its own example: c = 2048, w = 4096 maps 0 to 0 and 4095 to 1.
        (2048, 4096, "LINEAR", [0, 1 / 4095, 2047 / 4095, 1, 1]),
        (2048, 1, "LINEAR", [0, 0, 0, 1, 1]),
        (2048, 4096, "LINEAR_EXACT", [0, 1 / 4096, 2047 / 4096, 4095 / 4096, 1]),
        (2047, 4, "SIGMOID", [0, 0, 0.5, 1, 1]),
        (0.5, 0.5, "LINEAR", [0, 1, 1, 1, 1]),
    ],
)
def test_window(center: float, width: float, function: str, expected: list[int | float] | list[int]) -> None:
    assert_allclose(window(np.array([0, 1, 2047, 4095, 5000]), center, width, function), expected, atol=1e-6)


def test_several_windows_the_first_is_used(make_dicom: Callable[..., Path], stored: NDArray[np.uint16]) -> None:
    several = make_dicom(stored, "a.dcm", WindowCenter=[1000, 3000], WindowWidth=[500, 10])
    first = make_dicom(stored, "b.dcm", WindowCenter=1000, WindowWidth=500)
    assert np.array_equal(read_one(several).pixels, read_one(first).pixels)


def test_rescale_comes_before_the_window(make_dicom: Callable[..., Path], stored: NDArray[np.uint16]) -> None:
    path = make_dicom(stored, RescaleSlope=2, RescaleIntercept=-100, WindowCenter=1000.5, WindowWidth=2001)
    assert_allclose(read_one(path).pixels, np.clip((stored * 2.0 - 100) / 2000, 0, 1), atol=1e-6)


def test_signed_values(make_dicom: Callable[..., Path], stored: NDArray[np.uint16]) -> None:
    signed = stored.astype(np.int16) - 2000
    path = make_dicom(signed, WindowCenter=40.5, WindowWidth=4081)
    assert_allclose(read_one(path).pixels, stored / 4080, atol=1e-6)


def test_without_window_the_frame_is_stretched_robustly(make_dicom: Callable[..., Path]) -> None:
    noise = np.random.default_rng(0).integers(100, 300, (64, 64)).astype(np.uint16)
    noise[3, 3] = 60_000
    scan = read_one(make_dicom(noise))
    assert 0.4 < scan.pixels.mean() < 0.6
    assert scan.warnings == ()


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": 2000, "WindowWidth": 0},
        {"WindowCenter": 2000, "WindowWidth": -5},
        {"WindowCenter": 60_000, "WindowWidth": 10},
    ],
)
def test_a_useless_window_is_set_aside_and_warned_of(
    make_dicom: Callable[..., Path], stored: NDArray[np.uint16], elements: dict[str, int]
) -> None:
    scan = read_one(make_dicom(stored, **elements))
    assert_allclose(scan.pixels, read_one(make_dicom(stored, "plain.dcm")).pixels)
    assert "window" in scan.warnings[0]


@pytest.mark.parametrize("text", [b"nan ", b"inf ", b"abc ", b"\\\\"])
def test_values_that_are_no_numbers_do_not_crash(
    make_dicom: Callable[..., Path], stored: NDArray[np.uint16], text: bytes
) -> None:
    keywords = ("WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "PixelSpacing")

    def change(ds: Dataset) -> None:
        for keyword in keywords:
            setattr(ds, keyword, ["7777", "7777"] if keyword == "PixelSpacing" else "7777")

    path = make_dicom(stored, change=change)
    path.write_bytes(path.read_bytes().replace(b"7777", text.ljust(4)[:4]))
    scan = read_one(path)
    assert scan.spacing is None
    assert np.corrcoef(scan.pixels.ravel(), stored.ravel())[0, 1] > 0.99


def test_monochrome1_is_inverted(make_dicom: Callable[..., Path], stored: NDArray[np.uint16]) -> None:
    dark, bright = make_dicom(stored, "a.dcm", PhotometricInterpretation="MONOCHROME1"), make_dicom(stored)
    assert_allclose(read_one(dark).pixels, 1 - read_one(bright).pixels, atol=1e-6)


def test_modality_lut_then_voi_lut(make_dicom: Callable[..., Path], picture: NDArray[np.uint8]) -> None:
    inverted = item(LUTDescriptor=[256, 0, 16], LUTData=list(range(255, -1, -1)), ModalityLUTType="US")
    ramp = item(LUTDescriptor=[256, 0, 8], LUTData=[min(2 * i, 255) for i in range(256)])
    inverted["LUTDescriptor"].VR = inverted["LUTData"].VR = "US"
    ramp["LUTDescriptor"].VR = ramp["LUTData"].VR = "US"
    path = make_dicom(picture, ModalityLUTSequence=Sequence([inverted]), VOILUTSequence=Sequence([ramp]))
    expected = np.minimum(2 * (255 - picture.astype(int)), 255) / 255
    assert_allclose(read_one(path).pixels, expected, atol=1e-6)


def test_colour_and_grey_in_rgb(make_dicom: Callable[..., Path], picture: NDArray[np.uint8]) -> None:
    colour = np.stack([picture, picture[::-1], picture[:, ::-1]], -1)
    assert_allclose(read_one(make_dicom(colour, "a.dcm")).pixels, colour / 255, atol=1e-6)
    assert read_one(make_dicom(np.stack([picture] * 3, -1), "b.dcm")).pixels.shape == picture.shape


def test_palette(make_dicom: Callable[..., Path], picture: NDArray[np.uint8]) -> None:
    def change(ds: Dataset) -> None:
        ds.PhotometricInterpretation = "PALETTE COLOR"
        for name, values in (("Red", range(256)), ("Green", range(255, -1, -1)), ("Blue", [0] * 256)):
            setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 8])
            setattr(ds, f"{name}PaletteColorLookupTableData", bytes(values))

    path = make_dicom(picture, change=change)
    assert_allclose(read_one(path).pixels, np.stack([picture, 255 - picture, 0 * picture], -1) / 255, atol=1e-6)


def test_ybr_becomes_rgb() -> None:
    rgb, ybr = (
        read_one(str(get_testdata_file(name, download=False))).pixels
        for name in ("SC_rgb_rle.dcm", "SC_ybr_full_422_uncompressed.dcm")
    )
    assert_allclose(ybr, rgb, atol=0.03)


def test_float_pixels(make_dicom: Callable[..., Path], picture: NDArray[np.uint8]) -> None:
    def change(ds: Dataset) -> None:
        del ds.PixelData
        ds.FloatPixelData = (picture / np.float32(7)).astype(np.float32).tobytes()
        ds.BitsAllocated = 32
        for keyword in ("BitsStored", "HighBit", "PixelRepresentation"):
            del ds[keyword]

    scan = read_one(make_dicom(picture, change=change))
    assert np.corrcoef(scan.pixels.ravel(), picture.ravel())[0, 1] > 0.99


def test_classic_multi_frame_and_blank_frames(make_dicom: Callable[..., Path], stored: NDArray[np.uint16]) -> None:
    scans = read_scans(make_dicom(np.stack([stored, 0 * stored, stored[::-1]]), PixelSpacing=[2, 3]))
    assert [s.frame for s in scans] == [0, 2]
    assert [s.spacing for s in scans] == [(2, 3), (2, 3)]
    assert_allclose(scans[0].pixels, scans[1].pixels[::-1])


def test_enhanced_multi_frame(make_dicom: Callable[..., Path], stored: NDArray[np.uint16]) -> None:
    def change(ds: Dataset) -> None:
        ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
        spacing = item(PixelMeasuresSequence=Sequence([item(PixelSpacing=[0.9, 0.8])]))
        ds.SharedFunctionalGroupsSequence = Sequence([spacing])
        ds.PerFrameFunctionalGroupsSequence = Sequence(
            [
                item(
                    PixelValueTransformationSequence=Sequence([item(RescaleSlope=slope, RescaleIntercept=0)]),
                    FrameVOILUTSequence=Sequence([item(WindowCenter=slope * 2040 + 0.5, WindowWidth=slope * 4080 + 1)]),
                )
                for slope in (1, 3)
            ]
        )
        own = item(PixelMeasuresSequence=Sequence([item(PixelSpacing=[0.4, 0.3])]))
        ds.PerFrameFunctionalGroupsSequence[1].update(own)

    scans = read_scans(make_dicom(np.stack([stored, stored]), change=change))
    assert [s.spacing for s in scans] == [(0.9, 0.8), (0.4, 0.3)]
    for scan in scans:
        assert_allclose(scan.pixels, stored / 4080, atol=1e-6)


def test_the_modality_is_read_and_a_missing_one_warned_of(
    make_dicom: Callable[..., Path], stored: NDArray[np.uint16]
) -> None:
    scan = read_one(make_dicom(stored, Modality="CT"))
    assert scan.modality == "CT"
    assert not scan.warnings
    assert "does not say what made it" in read_one(make_dicom(stored, Modality=None)).warnings[0]


def test_burned_in_text_is_warned_of(make_dicom: Callable[..., Path], stored: NDArray[np.uint16]) -> None:
    assert "burned" in read_one(make_dicom(stored, BurnedInAnnotation="YES")).warnings[0]
    assert read_one(make_dicom(stored, BurnedInAnnotation="NO")).warnings == ()


def test_without_pixels(make_dicom: Callable[..., Path], stored: NDArray[np.uint16]) -> None:
    path = make_dicom(stored, PixelData=None, Rows=None, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33")
    with pytest.raises(UnsupportedFile, match=r"without a picture \(Comprehensive SR"):
        read_scans(path)


def test_a_picture_announced_but_missing(make_dicom: Callable[..., Path], stored: NDArray[np.uint16]) -> None:
    with pytest.raises(UnreadableFile, match="without its pixels"):
        read_scans(make_dicom(stored, PixelData=None))


@pytest.mark.parametrize(
    ("syntax", "name"),
    [
        ("1.2.840.10008.1.2.4.201", "High-Throughput JPEG 2000"),
        ("1.2.840.10008.1.2.4.100", "MPEG2"),
        ("1.2.3", "unknown"),
    ],
)
def test_unknown_syntax_is_named(
    make_dicom: Callable[..., Path], stored: NDArray[np.uint16], syntax: UID, name: str
) -> None:
    def change(ds: Dataset) -> None:
        ds.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
        ds["PixelData"].is_undefined_length = True

    path = make_dicom(stored, change=change)
    ds = dcmread(path)
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    ds.save_as(path, implicit_vr=False, little_endian=True)
    with pytest.raises(UnsupportedFile, match=name):
        read_scans(path)


@pytest.mark.parametrize(
    ("elements", "error"),
    [
        ({"Rows": 60_000, "Columns": 60_000}, TooLarge),
        ({"NumberOfFrames": 2_000_000}, TooLarge),
        ({"NumberOfFrames": 3}, UnreadableFile),
        ({"NumberOfFrames": -1}, UnreadableFile),
        ({"Rows": 0}, UnreadableFile),
        ({"Rows": None}, UnreadableFile),
        ({"Rows": 41}, UnreadableFile),
        ({"BitsAllocated": 13}, UnreadableFile),
        ({"BitsStored": 17}, UnreadableFile),
        ({"SamplesPerPixel": 2}, UnreadableFile),
        ({"SamplesPerPixel": 3}, UnsupportedFile),
        ({"PhotometricInterpretation": "HSV"}, UnsupportedFile),
        ({"PhotometricInterpretation": None}, UnsupportedFile),
    ],
)
def test_absurd_headers(
    make_dicom: Callable[..., Path],
    stored: NDArray[np.uint16],
    elements: dict[str, int] | dict[str, None] | dict[str, str],
    error: type[Exception],
) -> None:
    with pytest.raises(error):
        read_scans(make_dicom(stored, **elements))


@pytest.mark.parametrize("share", [0.95, 0.6, 0.1])
def test_truncated(make_dicom: Callable[..., Path], stored: NDArray[np.uint16], share: float) -> None:
    path = make_dicom(stored)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises((UnreadableFile, UnsupportedFile)):
        read_scans(path)


def test_pixels_cut_short_are_called_truncated(make_dicom: Callable[..., Path], stored: NDArray[np.uint16]) -> None:
    path = make_dicom(stored)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UnreadableFile, match="truncated"):
        read_scans(path)


def test_constant_and_small(make_dicom: Callable[..., Path]) -> None:
    with pytest.raises(NotAScan, match="same value"):
        read_scans(make_dicom(np.full((32, 32), 7, np.uint16)))
    with pytest.raises(NotAScan, match="1 × 1"):
        read_scans(make_dicom(np.full((1, 1), 7, np.uint16)))


def test_deflated_bomb(
    make_dicom: Callable[..., Path], stored: NDArray[np.uint16], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_dicom(stored, syntax=DeflatedExplicitVRLittleEndian)
    monkeypatch.setattr("tumorlens.formats.dicom.header._MAX_INFLATED", 1 << 22)
    assert len(read_scans(path)) == 1
    head = path.read_bytes()
    start = 132 + 12 + int.from_bytes(head[140:144], "little")
    packer = zlib.compressobj(9, wbits=-15)
    path.write_bytes(head[:start] + packer.compress(bytes(1 << 24)) + packer.flush())
    with pytest.raises(TooLarge, match="inflates"):
        read_scans(path)


@pytest.mark.parametrize(
    ("elements", "fact"),
    [
        ({"PatientSex": "F"}, {"sex": "F"}),
        ({"PatientSex": "SMITH"}, {}),
        ({"PatientAge": "039Y"}, {"age": "<40"}),
        ({"PatientAge": "040Y"}, {"age": "40-59"}),
        ({"PatientAge": "060Y"}, {"age": "60-74"}),
        ({"PatientAge": "075Y"}, {"age": "75+"}),
        ({"PatientAge": "101Y"}, {"age": "75+"}),
        ({"PatientAge": "018M"}, {"age": "<40"}),
        ({"PatientBirthDate": "19660302", "StudyDate": "20260303"}, {"age": "60-74"}),
        ({"PatientBirthDate": "19660304", "StudyDate": "20260303"}, {"age": "40-59"}),
        ({"PatientBirthDate": "20270101", "StudyDate": "20260303"}, {}),
        ({"PatientBirthDate": "19660304"}, {}),
        ({"Manufacturer": "Acme ", "ManufacturerModelName": "Halo-3"}, {"scanner": "ACME HALO-3"}),
        ({"Manufacturer": "ACME"}, {"scanner": "ACME"}),
        ({"Manufacturer": "x" * 60}, {}),
        ({"MagneticFieldStrength": 1.494}, {"field_strength": "1.5 T"}),
        ({"MagneticFieldStrength": 2.89362}, {"field_strength": "3 T"}),
        ({"MagneticFieldStrength": 15000}, {"field_strength": "1.5 T"}),
        ({"MagneticFieldStrength": 0.23}, {"field_strength": "0.23 T"}),
        ({"MagneticFieldStrength": -1}, {}),
    ],
)
def test_facts_that_identify_nobody(
    make_dicom: Callable[..., Path],
    stored: NDArray[np.uint16],
    elements: dict[str, str] | dict[str, float] | dict[str, int],
    fact: dict[str, str],
) -> None:
    assert read_one(make_dicom(stored, **elements)).facts == fact


def test_facts_hold_no_name_date_or_identifier(make_dicom: Callable[..., Path], stored: NDArray[np.uint16]) -> None:
    scan = read_one(
        make_dicom(
            stored, PatientAge="097Y", PatientBirthDate="19290101", StudyDate="20260303", DeviceSerialNumber="4711"
        )
    )
    assert scan.facts == {"age": "75+"}


def test_nothing_of_the_patient_leaks(
    make_dicom: Callable[..., Path], stored: NDArray[np.uint16], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    good = make_dicom(stored, PatientID="SECRET", PatientAge="042Y", InstanceNumber="7777")
    good.write_bytes(good.read_bytes().replace(b"7777", b"SECR").replace(b"042Y", b"SECR"))
    scan = read_one(good)  # pytest turns a warning into an error
    bad = good.with_name("bad.dcm")
    bad.write_bytes(good.read_bytes()[:-100])
    with pytest.raises(UnreadableFile) as caught:
        read_scans(bad)
    assert "SECR" not in repr(scan) + caplog.text + str(caught.value)


def test_how_far_along_its_normal_a_slice_lies(make_dicom: Callable[..., Path], picture: NDArray[np.uint8]) -> None:
    placed = {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1], "ImagePositionPatient": [5, -7, 9]}
    (scan,) = read_scans(make_dicom(picture, **placed))
    assert scan.depth == -7  # coronal, seen from the front: the normal points to the back
    assert read_scans(make_dicom(picture))[0].depth is None


def test_values_behind_a_window_are_kept_where_asked_for(
    make_dicom: Callable[..., Path], picture: NDArray[np.uint8]
) -> None:
    stored = picture.astype(np.uint16) * 4
    options = {"WindowCenter": 400, "WindowWidth": 200, "PhotometricInterpretation": "MONOCHROME1"}
    (source,) = find_sources(make_dicom(stored, **options))
    (scan,) = read_source(source, keep=True)
    (plain,) = read_source(source)
    assert isinstance(scan, Scan)
    assert isinstance(plain, Scan)
    assert np.array_equal(scan.values.numbers, stored)
    assert (scan.values.low, scan.values.high, scan.values.inverted) == (300, 500, True)
    assert plain.values is None


def test_ct_has_hounsfield_units_and_padding_is_air(make_dicom: Callable[..., Path]) -> None:
    stored = np.arange(40 * 32, dtype=np.uint16).reshape(40, 32)
    stored[0] = 60_000
    ct = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1024, "PixelPaddingValue": 60_000}
    scan = read_one(make_dicom(stored, **ct))
    assert scan.hounsfield is not None
    assert scan.hounsfield.dtype == np.float32
    assert_allclose(scan.hounsfield[1:], stored[1:] - 1024.0)
    assert (scan.hounsfield[0] == -1000).all()
    assert not scan.unitless
    # Without a window it is stretched, and what was padded does not stretch it.
    assert scan.pixels[-1].mean() > 0.9


def test_ct_padding_may_be_a_range(make_dicom: Callable[..., Path], stored: NDArray[np.uint16]) -> None:
    stored[:2] = [[10], [20]]
    ct = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU"}
    scan = read_one(make_dicom(stored, **ct, PixelPaddingValue=10, PixelPaddingRangeLimit=20))
    assert scan.hounsfield is not None
    assert (scan.hounsfield[:2] == -1000).all()


@pytest.mark.parametrize(
    "elements",
    [
        {"Modality": "CT"},
        {"Modality": "CT", "RescaleSlope": 2, "RescaleIntercept": 0, "RescaleType": "US"},
        {"Modality": "MR", "RescaleSlope": 2, "RescaleIntercept": 5},
    ],
    ids=["without rescale", "no Hounsfield units", "MR"],
)
def test_other_numbers_are_no_hounsfield_units(
    make_dicom: Callable[..., Path], stored: NDArray[np.uint16], elements: dict[str, object]
) -> None:
    scan = read_one(make_dicom(stored, **elements))
    assert scan.hounsfield is None
    assert scan.unitless


@pytest.mark.parametrize(
    ("elements", "spacing", "warning"),
    [
        ({"PixelSpacing": [0.5, 0.75]}, (0.5, 0.75), ""),
        ({"PixelSpacing": [0.5, 4]}, (0.5, 4), ""),
        ({"PixelSpacing": [0.5, 0.5], "ImagerPixelSpacing": [0.6, 0.6]}, (0.5, 0.5), ""),
        ({"ImagerPixelSpacing": [0.6, 0.6]}, None, ""),
        ({"PixelSpacing": [0.6, 0.6], "ImagerPixelSpacing": [0.6, 0.6]}, None, "is that of the detector"),
        (
            {
                "PixelSpacing": [0.6, 0.6],
                "ImagerPixelSpacing": [0.6, 0.6],
                "PixelSpacingCalibrationType": "FIDUCIAL",
            },
            (0.6, 0.6),
            "",
        ),
        ({"PixelSpacing": [0.05, 0.75]}, None, "cannot be right"),
        ({"PixelSpacing": [1000, 1000]}, None, "cannot be right"),
        ({"PixelSpacing": [0, 0]}, None, "cannot be right"),
    ],
)
def test_a_spacing_is_that_in_the_patient_or_none(
    make_dicom: Callable[..., Path],
    stored: NDArray[np.uint16],
    elements: dict[str, Any],
    spacing: tuple[float, float] | None,
    warning: str,
) -> None:
    (scan,) = read_scans(make_dicom(stored, **elements))
    assert scan.spacing == spacing
    said = [w for w in scan.warnings if "spacing" in w]
    assert (warning in said[0] and "no area is given in mm²" in said[0]) if warning else not said
