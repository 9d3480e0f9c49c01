"""DICOM, through pydicom: single and multi-frame, classic and enhanced, with or without preamble."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tumorlens.errors import UnreadableFile, UnsupportedFile
from tumorlens.formats.checks import check_size, parsing
from tumorlens.formats.dicom.header import Frame, Header, load
from tumorlens.formats.dicom.info import series_info
from tumorlens.formats.dicom.values import code_of, number_of
from tumorlens.grey import divide, finite, robust_range, stretch, without_false_colour
from tumorlens.scan import Scan, Values

if TYPE_CHECKING:
    from pydicom import FileDataset
    from pydicom.pixels.decoders.base import Decoder
    from pydicom.uid import UID

_VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")
_PALETTE = "PALETTE COLOR"
_AIR = -1000.0  # Hounsfield units
_DEFER = 1_000_000  # bytes; longer values (the pixels) are read when asked for, so after the checks


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


def read(path: str, _axis: str = "axial", keep: bool = False) -> Iterator[Scan]:
    """Reads the frames of a DICOM file, one after another; with `keep`, and the values that a window makes grey of.

    Grey values go through the modality LUT (or rescale slope and intercept), then the VOI LUT (or the first
    window), and MONOCHROME1 is inverted, as PS3.3 C.11 and C.7.6.3.1.2 say. A frame without a usable window is
    stretched between its 0.5th and 99.5th percentile. Palette, YBR and RGB become RGB.

    Yields:
        A scan per frame, in the order they are stored in, with PixelSpacing, PatientID, SeriesInstanceUID and
        Modality, and as facts sex, age band, scanner and field strength. A missing modality and burned-in
        annotation are warned of.

    Raises:
        UnsupportedFile: If it holds no picture, or one in a syntax or colour space we cannot decode.
    """
    yield from DicomFile(path).scans(keep)


class DicomFile:
    """A DICOM file, read but for its pixels.

    Attributes:
        dataset: As pydicom has it. Reading its values may raise, so do that inside `parsing`.
        header: Its header.

    Raises:
        InputError: If it cannot be parsed.
    """

    def __init__(self, path: str) -> None:
        self.dataset = load(path, defer_size=_DEFER)
        with parsing(path):
            self.header = Header.of(self.dataset, path)

    def scans(self, keep: bool = False) -> Iterator[Scan]:
        """Decodes the frames, one after another; see `read`."""
        header, path = self.header, self.header.path
        with parsing(path):
            _check(header, self.dataset)
            frames = _decoded(header, self.dataset)
        notes = _notes(header)
        same = {"patient": header.patient, "series": header.series, "modality": header.modality}
        same |= {"study": header.study, "instance": header.uid}
        common: dict[str, Any] = {key: value or None for key, value in same.items()}
        common |= {"facts": header.facts, "number": header.number, "info": series_info(header)}
        common |= {"space": header.frame_of_reference or None}
        for index in range(_count(header)):
            frame = header.frame(index)
            with parsing(path):
                stored = next(frames)
                units = _hounsfield(header, frame, self.dataset, stored)
                pixels, warnings, values = _pixels(header, frame, self.dataset, stored, units)
            common |= {"hounsfield": units, "unitless": units is None and header.samples == 1}
            common |= {"spacing": frame.spacing, "depth": frame.depth, "orientation": frame.orientation}
            common |= {"position": frame.position}
            common |= {
                "warnings": (*notes, *filter(None, [frame.spacing_doubt]), *warnings),
                "values": values if keep else None,
            }
            yield Scan(pixels, path, index, **common)


def _count(header: Header) -> int:
    return header.frames or 1  # some write 0 for a single frame


def _check(header: Header, ds: FileDataset) -> None:
    """Checks that the file holds pixels, and of a kind and size that can be decoded."""
    from pydicom.config import IGNORE
    from pydicom.uid import UID

    path, samples, allocated, stored = header.path, header.samples, header.bits_allocated, header.bits_stored
    if not any(keyword in ds for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        if "Rows" in ds or not ds:  # pydicom returns nothing at all if compressed pixels are cut off
            raise UnreadableFile(path, "the file is truncated or without its pixels", "export it again, with pixels")
        uid = UID(header.sop_class or str(ds.file_meta.get("MediaStorageSOPClassUID") or ""), IGNORE)
        kind = f" ({uid.name})" if uid.name != uid else ""
        raise UnsupportedFile(path, f"a DICOM file without a picture{kind}", "give the files of an image series")
    check_size(path, header.rows, header.columns, _count(header))
    if samples not in (1, 3) or allocated not in (1, 8, 16, 32, 64) or not 1 <= stored <= allocated:
        problem = f"the header says {samples} samples of {stored} in {allocated} bits"
        raise UnreadableFile(path, problem, "export the file again")
    if header.photometric not in (_COLOUR if samples == 3 else (*_GREY, _PALETTE)):
        kind = header.photometric or "unknown"
        raise UnsupportedFile(path, f"pixels of kind {kind!r} are not supported", "export it as greyscale or RGB")


def _decoded(header: Header, ds: FileDataset) -> Iterator[NDArray[Any]]:
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
    deep = syntax == JPEGExtended12Bit and header.bits_stored > 8
    if decoder is None or not decoder.is_available or deep:
        name = f"{syntax.name if syntax.is_transfer_syntax else 'unknown'}{', 12 bits' * deep}"
        raise UnsupportedFile(header.path, f"there is no decoder for its transfer syntax ({name})", remedy)
    # By index: without, pydicom 3.0 fails on JPEG 2000 whose sign differs from the header's.
    frames = decoder.iter_array(ds, indices=range(_count(header)), **as_pixel_options(ds))
    return (frame for frame, _ in frames)


def _decoder(syntax: UID) -> Decoder | None:
    """What decodes a transfer syntax: our checked decoders, or else pydicom's own (uncompressed, RLE)."""
    from pydicom.pixels.decoders.base import Decoder, get_decoder

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


def _pixels(
    header: Header, frame: Frame, ds: FileDataset, stored: NDArray[Any], units: NDArray[np.float32] | None
) -> _Shown:
    """One frame as it is meant to be shown; `units` are its Hounsfield units, where it has some."""
    from pydicom.pixels.processing import apply_color_lut

    if header.photometric == _PALETTE:
        stored = apply_color_lut(stored, ds)[..., :3]
        return without_false_colour(divide(stored, np.iinfo(stored.dtype).max)), (), None
    if stored.ndim == 3:
        return without_false_colour(divide(stored, 2**header.bits_stored - 1)), (), None
    # A VOI LUT takes whole numbers.
    values = _transformed(frame, ds, stored) if units is None or ds.get("VOILUTSequence") else units
    shown, warnings, kept = _grey(header.path, frame, ds, values)
    if header.photometric != "MONOCHROME1":
        return shown, warnings, kept
    return 1 - shown, warnings, None if kept is None else replace(kept, inverted=True)


def _transformed(frame: Frame, ds: FileDataset, stored: NDArray[Any]) -> NDArray[Any]:
    """The modality transform (PS3.3 C.11.1)."""
    from pydicom.pixels.processing import apply_modality_lut

    if ds.get("ModalityLUTSequence"):
        return apply_modality_lut(stored, ds)
    if frame.rescale:
        slope, intercept = frame.rescale
        return stored * slope + intercept
    return stored


def _hounsfield(header: Header, frame: Frame, ds: FileDataset, stored: NDArray[Any]) -> NDArray[np.float32] | None:
    """A CT frame in Hounsfield units, with air for what was padded; None where the file does not say how."""
    if header.modality != "CT" or stored.ndim != 2 or code_of(ds, "RescaleType") not in ("", "HU"):
        return None
    if not (frame.rescale or ds.get("ModalityLUTSequence")):
        return None
    units, _ = finite(header.path, _transformed(frame, ds, stored))
    if (padding := number_of(ds, "PixelPaddingValue")) is not None:
        limit = number_of(ds, "PixelPaddingRangeLimit")
        low, high = sorted((padding, padding if limit is None else limit))
        units = np.where((stored >= low) & (stored <= high), np.float32(_AIR), units)
    return units


def _grey(path: str, frame: Frame, ds: FileDataset, values: NDArray[Any]) -> _Shown:
    """The VOI transform of what the modality transform gave (PS3.3 C.11.2)."""
    from pydicom.pixels.processing import apply_voi

    if ds.get("VOILUTSequence") and values.dtype.kind in "iu":
        return divide(apply_voi(values, ds), 2 ** int(ds.VOILUTSequence[0].LUTDescriptor[2]) - 1), (), None
    numbers, warnings = finite(path, values)
    center, width = frame.window
    if center is not None and width is not None and width > 0:
        shown = window(numbers, center, width, frame.window_function)
        if shown.min() < shown.max():
            return shown, warnings, Values(numbers, center - width / 2, center + width / 2)
    if frame.window != (None, None):
        warnings = (*warnings, "the file's window shows nothing; stretched between robust percentiles")
    low, high = robust_range(numbers)
    return stretch(numbers, low, high), warnings, Values(numbers, low, high)


def window(values: NDArray[Any], center: float, width: float, function: str = "LINEAR") -> NDArray[np.float32]:
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


def _notes(header: Header) -> tuple[str, ...]:
    notes = []
    if not header.modality:
        notes.append("the file does not say what made it: MR, CT or another modality")
    if header.burned_in == "YES":
        notes.append("text is burned into the picture and may mislead the network")
    return tuple(notes)
