"""DICOM, through pydicom: single and multi-frame, classic and enhanced, with or without preamble."""

from __future__ import annotations

import datetime as dt
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tumorlens.errors import TooLarge, UnreadableFile, UnsupportedFile
from tumorlens.formats.checks import (
    MAX_VOXELS,
    check_size,
    divide,
    finite,
    parsing,
    robust_range,
    stretch,
    without_false_colour,
)
from tumorlens.scan import Scan, Values, age_band

if TYPE_CHECKING:
    from pydicom import Dataset, FileDataset
    from pydicom.pixels.decoders.base import Decoder
    from pydicom.uid import UID

_VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")
_PALETTE = "PALETTE COLOR"
_DAYS = {"D": 1, "W": 7, "M": 30.44, "Y": 365.25}  # of PatientAge's units
_FIELDS = (0.35, 0.55, 1.0, 1.5, 3.0, 7.0)  # tesla; a "3 T" magnet may write 2.89362
_DEFER = 1_000_000  # bytes; longer values (the pixels) are read when asked for, so after the checks
_MAX_INFLATED = 4 * MAX_VOXELS  # bytes of a deflated data set


def sniff(head: bytes) -> bool:
    """Whether a file that begins so is DICOM: by its preamble, or by its first element if it has none."""
    if head[128:132] == b"DICM":
        return True
    if len(head) < 16 or head[:4] == bytes(4):
        return False
    orders: tuple[Literal["little", "big"], ...] = ("little", "big")
    for order in orders:
        group = int.from_bytes(head[0:2], order)
        element = int.from_bytes(head[2:4], order)
        # A file without preamble begins with group 2 or 8, which begin with one of these elements.
        if group in (0x0002, 0x0008) and element <= 0x0018:
            implicit_length = int.from_bytes(head[4:8], "little")
            return head[4:6] in _VRS or (order == "little" and implicit_length <= 256)
    return False


def load(path: str, **options: Any) -> FileDataset:
    """Parses a DICOM file, quietly, guarding against deflated bombs.

    Args:
        path: The file, as the caller named it.
        options: As `pydicom.dcmread` takes them.

    Returns:
        The data set. Reading its values may still raise, so do that inside `parsing`.

    Raises:
        TooLarge: If the file is deflated and inflates to more than 1 GiB.
        UnreadableFile: If it is truncated or corrupt.
    """
    import pydicom

    with parsing(path):
        _check_deflated(path)
        return pydicom.dcmread(path, force=True, **options)


def _check_deflated(path: str) -> None:
    """Inflates a deflated data set bit by bit, because pydicom does it in one go, however much comes out."""
    from pydicom.filereader import _read_file_meta_info, read_preamble
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    with open(path, "rb") as file:  # noqa: PTH123 - the path stays the string the caller gave
        read_preamble(file, force=True)
        if _read_file_meta_info(file).get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            return
        inflater, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
        data = file.read(1 << 16)
        while data and not inflater.eof:
            size += len(inflater.decompress(data, 1 << 24))
            if size > _MAX_INFLATED:
                raise TooLarge(path, "the file inflates to more than 1 GiB", "export it without deflate")
            data = inflater.unconsumed_tail or file.read(1 << 16)


def read(path: str, _axis: str = "axial", keep: bool = False) -> Iterator[Scan]:
    """Reads the frames of a DICOM file, one after another.

    Grey values go through the modality LUT (or rescale slope and intercept), then the VOI LUT (or the first
    window), and MONOCHROME1 is inverted, as PS3.3 C.11 and C.7.6.3.1.2 say. A frame without a usable window is
    stretched between its 0.5th and 99.5th percentile. Palette, YBR and RGB become RGB.

    Args:
        path: The file, as the caller named it.
        keep: Whether to keep the values that a window makes grey of.

    Yields:
        A scan per frame, in the order they are stored in, with PixelSpacing, PatientID, SeriesInstanceUID and
        Modality, and as facts sex, age band, scanner and field strength. A modality other than MR and burned-in
        annotation are warned of.

    Raises:
        UnsupportedFile: If it holds no picture, or one in a syntax or colour space we cannot decode.
        TooLarge: If the header announces too many pixels; nothing is decoded then.
        UnreadableFile: If it is truncated or corrupt.
    """
    ds = load(path, defer_size=_DEFER)
    with parsing(path):
        count = _check(path, ds)
        frames = _decoded(path, ds, count)
        patient = str(ds.get("PatientID") or "").strip() or None
        series = str(ds.get("SeriesInstanceUID") or "").strip() or None
        modality = _code(ds, "Modality") or None
        notes = _notes(ds, modality)
        facts = _facts(ds)
    for index in range(count):
        with parsing(path):
            pixels, warnings, values = _pixels(path, ds, index, next(frames))
            spacing = _spacing(functional_group(ds, index, "PixelMeasuresSequence"))
            depth = _depth(ds, index)
        kept = values if keep else None
        yield Scan(pixels, path, index, spacing, patient, series, modality, (*notes, *warnings), facts, kept, depth)


def _check(path: str, ds: FileDataset) -> int:
    """Checks the header, and returns the number of frames."""
    from pydicom.uid import UID_dictionary

    if not any(keyword in ds for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        if "Rows" in ds or not ds:  # pydicom returns nothing at all if compressed pixels are cut off
            raise UnreadableFile(path, "the file is truncated or without its pixels", "export it again, with pixels")
        uid = str(ds.get("SOPClassUID") or ds.file_meta.get("MediaStorageSOPClassUID") or "")
        kind = f" ({UID_dictionary[uid][0]})" if uid in UID_dictionary else ""
        raise UnsupportedFile(path, f"a DICOM file without a picture{kind}", "give the files of an image series")
    frames = _integer(ds, "NumberOfFrames", 1) or 1  # some write 0 for a single frame
    check_size(path, _integer(ds, "Rows"), _integer(ds, "Columns"), frames)
    samples, allocated = _integer(ds, "SamplesPerPixel", 1), _integer(ds, "BitsAllocated")
    stored = _integer(ds, "BitsStored", allocated)
    if samples not in (1, 3) or allocated not in (1, 8, 16, 32, 64) or not 1 <= stored <= allocated:
        raise UnreadableFile(
            path, f"the header says {samples} samples of {stored} in {allocated} bits", "export the file again"
        )
    colours = _code(ds, "PhotometricInterpretation")
    if colours not in (_COLOUR if samples == 3 else (*_GREY, _PALETTE)):
        raise UnsupportedFile(
            path, f"pixels of kind {colours or 'unknown'!r} are not supported", "export it as greyscale or RGB"
        )
    return frames


def _decoded(path: str, ds: FileDataset, count: int) -> Iterator[NDArray]:
    """The frames as stored, except that YBR has become RGB."""
    from pydicom.pixels.utils import as_pixel_options
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGExtended12Bit

    if "TransferSyntaxUID" not in ds.file_meta:
        implicit, little = ds.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    syntax = ds.file_meta.TransferSyntaxUID
    remedy = "export it uncompressed (Explicit VR Little Endian)"
    decoder = _decoder(syntax)
    if decoder is None or not decoder.is_available:
        name = syntax.name if syntax.is_transfer_syntax else "unknown"
        raise UnsupportedFile(path, f"there is no decoder for its transfer syntax ({name})", remedy)
    if syntax == JPEGExtended12Bit and _integer(ds, "BitsStored") > 8:
        raise UnsupportedFile(path, f"there is no decoder for its transfer syntax ({syntax.name}, 12 bits)", remedy)
    # By index: without, pydicom 3.0 fails on JPEG 2000 whose sign differs from the header's.
    frames = decoder.iter_array(ds, indices=range(count), **as_pixel_options(ds))
    return (frame for frame, _ in frames)


def _decoder(syntax: UID) -> Decoder | None:
    """What decodes a transfer syntax: our checked decoders, or else pydicom's own (uncompressed, RLE)."""
    from pydicom.pixels import get_decoder
    from pydicom.pixels.decoders.base import Decoder

    from tumorlens.formats.dicom.decoders import decoder_name

    if name := decoder_name(syntax):
        decoder = Decoder(syntax)  # not the one get_decoder returns: whatever else uses pydicom shares that
        decoder.add_plugin(name, ("tumorlens.formats.dicom.decoders", name))
        return decoder
    try:
        return get_decoder(syntax)
    except NotImplementedError:
        return None


_Shown = tuple[NDArray[np.float32], tuple[str, ...], Values | None]


def _pixels(path: str, ds: FileDataset, index: int, stored: NDArray) -> _Shown:
    """One frame as it is meant to be shown."""
    from pydicom.pixels import apply_color_lut

    colours = _code(ds, "PhotometricInterpretation")
    if colours == _PALETTE:
        stored = apply_color_lut(stored, ds)[..., :3]
        return without_false_colour(divide(stored, np.iinfo(stored.dtype).max)), (), None
    if stored.ndim == 3:
        return without_false_colour(divide(stored, 2 ** _integer(ds, "BitsStored") - 1)), (), None
    shown, warnings, values = _grey(path, ds, index, stored)
    if colours != "MONOCHROME1":
        return shown, warnings, values
    return 1 - shown, warnings, None if values is None else replace(values, inverted=True)


def _grey(path: str, ds: FileDataset, index: int, stored: NDArray) -> _Shown:
    """Modality transform, then VOI transform (PS3.3 C.11.1 and C.11.2)."""
    from pydicom.pixels import apply_modality_lut, apply_voi

    if ds.get("ModalityLUTSequence"):
        values = apply_modality_lut(stored, ds)
    else:
        rescale = functional_group(ds, index, "PixelValueTransformationSequence")
        slope, intercept = number(rescale, "RescaleSlope"), number(rescale, "RescaleIntercept")
        values = stored * (slope or 1.0) + (intercept or 0.0) if slope or intercept else stored
    if ds.get("VOILUTSequence") and values.dtype.kind in "iu":
        return divide(apply_voi(values, ds), 2 ** int(ds.VOILUTSequence[0].LUTDescriptor[2]) - 1), (), None
    numbers, warnings = finite(path, values)
    voi = functional_group(ds, index, "FrameVOILUTSequence")
    center, width = number(voi, "WindowCenter"), number(voi, "WindowWidth")
    if center is not None and width is not None and width > 0:
        shown = window(numbers, center, width, _code(voi, "VOILUTFunction"))
        if shown.min() < shown.max():
            return shown, warnings, Values(numbers, center - width / 2, center + width / 2)
    if (center, width) != (None, None):
        warnings = (*warnings, "the file's window shows nothing; stretched between robust percentiles")
    low, high = robust_range(numbers)
    return stretch(numbers, low, high), warnings, Values(numbers, low, high)


def window(values: NDArray, center: float, width: float, function: str = "LINEAR") -> NDArray[np.float32]:
    """Applies a window as PS3.3 C.11.2.1.2 and C.11.2.1.3 define it.

    Args:
        values: Output of the modality transform, any shape.
        center: Window Center (0028,1050).
        width: Window Width (0028,1051), above 0.
        function: VOI LUT Function (0028,1056): "LINEAR" (also anything unknown), "LINEAR_EXACT" or "SIGMOID".

    Returns:
        The same shape, float32 in [0, 1].
    """
    values = values.astype(np.float64)
    if function == "SIGMOID":
        exponent = np.clip(-4 * (values - center) / width, -500, 500)
        return (1 / (1 + np.exp(exponent))).astype(np.float32)
    if function != "LINEAR_EXACT" and width >= 1:
        center, width = center - 0.5, width - 1
    if width == 0:
        return (values > center).astype(np.float32)
    return np.clip((values - center) / width + 0.5, 0, 1).astype(np.float32)


def _notes(ds: Dataset, modality: str | None) -> tuple[str, ...]:
    notes = []
    if modality != "MR":
        notes.append(f"modality {modality or 'not given'}: the network knows MR only")
    if _code(ds, "BurnedInAnnotation") == "YES":
        notes.append("text is burned into the picture and may mislead the network")
    return tuple(notes)


def _facts(ds: Dataset) -> dict[str, str]:
    """What `Scan.facts` holds; nothing that could name the patient, and no date."""
    age = _age(ds)
    maker = " ".join(f"{_words(ds, 'Manufacturer')} {_words(ds, 'ManufacturerModelName')}".split())
    tesla = number(ds, "MagneticFieldStrength") or 0.0
    tesla = tesla / 10_000 if tesla > 100 else tesla  # some write gauss
    nominal = next((f for f in _FIELDS if abs(tesla - f) < 0.07 * f), tesla)
    facts = {
        "sex": sex if (sex := _code(ds, "PatientSex")) in ("F", "M", "O") else "",
        "age": "" if age is None else age_band(age),
        "scanner": maker,
        "field_strength": f"{nominal:.3g} T" if 0 < nominal < 30 else "",
    }
    return {name: value for name, value in facts.items() if value}


def _age(ds: Dataset) -> float | None:
    """The patient's age in years when scanned, from PatientAge or else from two dates."""
    if found := re.fullmatch(r"(\d{1,3})([DWMY])", str(ds.get("PatientAge") or "").strip().upper()):
        return int(found[1]) * _DAYS[found[2]] / _DAYS["Y"]
    born = _date(ds, "PatientBirthDate")
    when = next((d for name in ("StudyDate", "SeriesDate", "AcquisitionDate") if (d := _date(ds, name))), None)
    if born is None or when is None or not 0 <= (years := (when - born).days / _DAYS["Y"]) < 130:
        return None
    return years


def _date(ds: Dataset, keyword: str) -> dt.date | None:
    try:
        return dt.datetime.strptime(str(ds.get(keyword) or "").strip().replace(".", ""), "%Y%m%d").date()
    except ValueError:
        return None


def _words(ds: Dataset, keyword: str) -> str:
    """A maker's or model's name in capitals, so that two spellings are one; empty unless it looks like one."""
    value = str(ds.get(keyword) or "").strip().upper()
    return value if re.fullmatch(r"[A-Z0-9][A-Z0-9 .,+&/()_-]{0,39}", value) else ""


def functional_group(ds: Dataset, index: int, name: str) -> Dataset:
    """A frame's functional group: its own, or the shared one, or else the data set itself (classic objects)."""
    own, shared = ds.get("PerFrameFunctionalGroupsSequence"), ds.get("SharedFunctionalGroupsSequence")
    for groups, place in ((own, index), (shared, 0)):
        if groups and place < len(groups) and groups[place].get(name):
            return groups[place].get(name)[0]
    return ds


def _spacing(ds: Dataset) -> tuple[float, float] | None:
    rows, columns = number(ds, "PixelSpacing", 0), number(ds, "PixelSpacing", 1)
    return (rows, columns) if rows and columns and rows > 0 and columns > 0 else None


def _depth(ds: Dataset, index: int) -> float | None:
    """How far along its normal a frame lies (PS3.3 C.7.6.2.1.1), in mm; None where the header does not say."""
    place = functional_group(ds, index, "PlanePositionSequence")
    turn = functional_group(ds, index, "PlaneOrientationSequence")
    position = [number(place, "ImagePositionPatient", i) for i in range(3)]
    axes = [number(turn, "ImageOrientationPatient", i) for i in range(6)]
    if None in position or None in axes:
        return None
    normal = np.cross(np.array(axes[:3], float), np.array(axes[3:], float))
    length = float(np.linalg.norm(normal))
    return float(normal @ np.array(position, float)) / length if length > 0 else None


def number(ds: Dataset, keyword: str, place: int = 0) -> float | None:
    """A finite number, or None where it is absent or is none."""
    try:
        value = ds.get(keyword)
        if value is None or isinstance(value, str):
            return None
        found = float(value[place] if hasattr(value, "__len__") else value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _integer(ds: Dataset, keyword: str, default: int = 0) -> int:
    found = number(ds, keyword)
    return default if found is None else int(found)


def _code(ds: Dataset, keyword: str) -> str:
    """A code string (CS) in capitals; empty if absent or malformed, so that no free text passes through."""
    value = str(ds.get(keyword) or "").strip().upper()
    return value if re.fullmatch(r"[A-Z0-9_ ]{1,16}", value) else ""
