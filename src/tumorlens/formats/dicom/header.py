"""The header of a DICOM file, read once: classic and enhanced, whatever is missing or malformed in it."""

from __future__ import annotations

import datetime as dt
import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from tumorlens.errors import TooLarge
from tumorlens.formats.checks import MAX_VOXELS, parsing
from tumorlens.formats.dicom.geometry import (
    OBLIQUE,
    Geometry,
    Vector,
    depth_of,
    is_distance,
    is_orientation,
    is_position,
    nearest_plane,
)
from tumorlens.scan import age_band

if TYPE_CHECKING:
    from pydicom import Dataset, FileDataset

_MAX_INFLATED = 4 * MAX_VOXELS  # bytes of a deflated data set
_LONGEST = 200  # characters of a text that patterns are asked about: hostile ones may be of any length
_DAYS = {"D": 1, "W": 7, "M": 30.44, "Y": 365.25}  # of PatientAge's units
_FIELDS = (0.35, 0.55, 1.0, 1.5, 3.0, 7.0)  # tesla; a "3 T" magnet may write 2.89362


@dataclass(frozen=True, slots=True)
class Frame:
    """What a header says of one frame, in an enhanced file by its functional groups. None where it says nothing usable.

    Attributes:
        position: ImagePositionPatient.
        orientation: ImageOrientationPatient.
        spacing: PixelSpacing: distance between pixel centres, (down the rows, along a row), in mm.
        thickness: SliceThickness in mm.
        slice_spacing: SpacingBetweenSlices in mm, from centre to centre.
        window: (center, width) of the first window, either may be missing.
        window_function: VOILUTFunction.
        rescale: (slope, intercept), where they change anything.
    """

    position: Vector | None = None
    orientation: Vector | None = None
    spacing: tuple[float, float] | None = None
    thickness: float | None = None
    slice_spacing: float | None = None
    window: tuple[float | None, float | None] = (None, None)
    window_function: str = ""
    rescale: tuple[float, float] | None = None

    @property
    def depth(self) -> float | None:
        """How far along its normal the frame lies, mm."""
        if self.position is None or self.orientation is None:
            return None
        return depth_of(self.position, self.orientation)

    @property
    def plane(self) -> Literal["axial", "coronal", "sagittal", "oblique"] | None:
        """The plane the frame lies in; "oblique" if it is tilted by more than `OBLIQUE` degrees."""
        if self.orientation is None:
            return None
        plane, tilt = nearest_plane(self.orientation)
        return plane if tilt <= OBLIQUE else "oblique"


@dataclass(frozen=True, slots=True)
class Header:
    """What a DICOM file says of itself, without pixels. Texts are empty where it says nothing usable.

    Attributes:
        path: The file, as the caller named it.
        sop_class: SOPClassUID.
        uid: SOPInstanceUID. Like all UIDs here stripped and otherwise as it stands, see `is_uid`.
        study: StudyInstanceUID.
        series: SeriesInstanceUID.
        frame_of_reference: FrameOfReferenceUID.
        patient: PatientID. Never logged, never written.
        modality: Modality, in capitals.
        description: SeriesDescription.
        protocol: ProtocolName.
        sequence: SequenceName, or PulseSequenceName of an enhanced file.
        contrast: The contrast agent that is named, if one is.
        body_part: BodyPartExamined, in capitals.
        image_type: Values of ImageType, in capitals.
        series_number: SeriesNumber.
        number: InstanceNumber.
        rows: Rows; 0 for an object without a picture.
        columns: Columns.
        samples: SamplesPerPixel.
        bits_allocated: BitsAllocated.
        bits_stored: BitsStored.
        photometric: PhotometricInterpretation, in capitals.
        frames: NumberOfFrames; None where it is missing, as in classic files.
        transfer_syntax: TransferSyntaxUID of the file meta information.
        media_uid: MediaStorageSOPInstanceUID of the file meta information.
        burned_in: BurnedInAnnotation: whether text stands in the pixels, "YES", "NO" or empty.
        times: RepetitionTime, EchoTime and InversionTime of a classic file, in ms.
        facts: As of `Scan.facts`: nothing that could name the patient, and no date.
        shared: What holds for every frame that does not say otherwise.
        per_frame: The frames of an enhanced file.
    """

    path: str = ""
    sop_class: str = ""
    uid: str = field(default="", repr=False)  # identifiers are not for logs
    study: str = field(default="", repr=False)
    series: str = field(default="", repr=False)
    frame_of_reference: str = field(default="", repr=False)
    patient: str = field(default="", repr=False)
    modality: str = ""
    description: str = field(default="", repr=False)  # free text, in which anything may stand
    protocol: str = field(default="", repr=False)
    sequence: str = field(default="", repr=False)
    contrast: str = field(default="", repr=False)
    body_part: str = ""
    image_type: tuple[str, ...] = ()
    series_number: int | None = None
    number: int | None = None
    rows: int = 0
    columns: int = 0
    samples: int = 1
    bits_allocated: int = 0
    bits_stored: int = 0
    photometric: str = ""
    frames: int | None = None
    transfer_syntax: str = ""
    media_uid: str = field(default="", repr=False)
    burned_in: str = ""
    times: tuple[float | None, float | None, float | None] = (None, None, None)
    facts: Mapping[str, str] = field(default_factory=dict, hash=False)
    shared: Frame = field(default=Frame(), repr=False)
    per_frame: tuple[Frame, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, dataset: Dataset, path: str = "") -> Header:
        """Reads the header of a data set.

        Args:
            dataset: As pydicom reads it.
            path: Its file.
        """
        allocated = _whole(dataset, "BitsAllocated") or 0
        stored = _whole(dataset, "BitsStored")
        samples = _whole(dataset, "SamplesPerPixel")
        meta = getattr(dataset, "file_meta", {})
        shared = _first(dataset, "SharedFunctionalGroupsSequence")
        per_frame = _items(dataset, "PerFrameFunctionalGroupsSequence")
        return cls(
            path=path,
            sop_class=_text(dataset, "SOPClassUID"),
            uid=_text(dataset, "SOPInstanceUID"),
            study=_text(dataset, "StudyInstanceUID"),
            series=_text(dataset, "SeriesInstanceUID"),
            frame_of_reference=_text(dataset, "FrameOfReferenceUID"),
            patient=_text(dataset, "PatientID"),
            modality=_code(dataset, "Modality"),
            description=_text(dataset, "SeriesDescription")[:_LONGEST],
            protocol=_text(dataset, "ProtocolName")[:_LONGEST],
            sequence=(_text(dataset, "SequenceName") or _text(dataset, "PulseSequenceName"))[:_LONGEST],
            contrast=_agent(dataset)[:_LONGEST],
            body_part=_code(dataset, "BodyPartExamined"),
            image_type=tuple(value.strip().upper() for value in _texts(dataset, "ImageType")),
            series_number=_whole(dataset, "SeriesNumber"),
            number=_whole(dataset, "InstanceNumber"),
            rows=_whole(dataset, "Rows") or 0,
            columns=_whole(dataset, "Columns") or 0,
            samples=1 if samples is None else samples,
            bits_allocated=allocated,
            bits_stored=allocated if stored is None else stored,
            photometric=_code(dataset, "PhotometricInterpretation"),
            frames=_whole(dataset, "NumberOfFrames"),
            transfer_syntax=_text(meta, "TransferSyntaxUID"),
            media_uid=_text(meta, "MediaStorageSOPInstanceUID"),
            burned_in=_code(dataset, "BurnedInAnnotation"),
            times=(
                _number(dataset, "RepetitionTime"),
                _number(dataset, "EchoTime"),
                _number(dataset, "InversionTime"),
            ),
            facts=_facts(dataset),
            shared=_frame(shared, dataset),
            per_frame=tuple(_frame(groups, shared, dataset) for groups in per_frame),
        )

    def frame(self, index: int) -> Frame:
        """What it says of a frame, counted from 0."""
        return self.per_frame[index] if index < len(self.per_frame) else self.shared

    def geometry(self, index: int) -> Geometry | None:
        """The grid of a frame; None where not all of it is known."""
        frame = self.frame(index)
        position, orientation, spacing = frame.position, frame.orientation, frame.spacing
        if position is None or orientation is None or spacing is None or not is_uid(self.frame_of_reference):
            return None
        return Geometry(position, orientation, spacing, self.frame_of_reference, frame.thickness)


def is_uid(text: str) -> bool:
    """Whether a text is a UID (PS3.5, 9.1), but for leading zeros, which some scanners write."""
    return len(text) <= 64 and re.fullmatch(r"[0-9]+(\.[0-9]+)*", text) is not None


def read_header(path: str, content: bytes | None = None) -> Header:
    """Reads the header of a DICOM file, and no pixels; arguments are those of `load`.

    Raises:
        InputError: If it cannot be parsed. Of single values that cannot, the header says nothing.
    """
    dataset = load(path, content, stop_before_pixels=True)
    with parsing(path):
        return Header.of(dataset, path)


def load(path: str, content: bytes | None = None, **options: Any) -> FileDataset:
    """Parses a DICOM file, quietly, guarding against deflated bombs.

    Args:
        path: The file, as the caller named it.
        content: Its bytes, where they are at hand.
        options: As `pydicom.dcmread` takes them.

    Returns:
        The data set. Reading its values may still raise, so do that inside `parsing`.

    Raises:
        TooLarge: If the file is deflated and inflates to more than 1 GiB.
        UnreadableFile: If it is truncated or corrupt.
    """
    import pydicom

    # The path stays the string the caller gave.
    with parsing(path), open(path, "rb") if content is None else BytesIO(content) as file:  # noqa: PTH123
        _check_deflated(path, file)
        file.seek(0)
        return pydicom.dcmread(file, force=True, **options)


def _check_deflated(path: str, file: BinaryIO) -> None:
    """Inflates a deflated data set bit by bit, because pydicom does it in one go, however much comes out."""
    from pydicom.filereader import _read_file_meta_info, read_preamble
    from pydicom.uid import DeflatedExplicitVRLittleEndian

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


def _frame(*groups: Dataset) -> Frame:
    """A frame by its functional groups: its own before the shared ones before the data set itself (classic files)."""

    def group(name: str) -> Dataset:
        return next((item for each in groups if (item := _first(each, name))), groups[-1])

    measures, voi = group("PixelMeasuresSequence"), group("FrameVOILUTSequence")
    position = _numbers(group("PlanePositionSequence"), "ImagePositionPatient", 3)
    orientation = _numbers(group("PlaneOrientationSequence"), "ImageOrientationPatient", 6)
    spacing = _numbers(measures, "PixelSpacing", 2)
    transformation = group("PixelValueTransformationSequence")
    slope, intercept = _number(transformation, "RescaleSlope"), _number(transformation, "RescaleIntercept")
    return Frame(
        position if position and is_position(position) else None,
        orientation if orientation and is_orientation(orientation) else None,
        (spacing[0], spacing[1]) if spacing and all(map(is_distance, spacing)) else None,
        _distance(measures, "SliceThickness"),
        _distance(measures, "SpacingBetweenSlices"),
        (_number(voi, "WindowCenter"), _number(voi, "WindowWidth")),
        _code(voi, "VOILUTFunction"),
        (slope or 1.0, intercept or 0.0) if slope or intercept else None,
    )


def _agent(dataset: Dataset) -> str:
    """The contrast agent that a header names, in words or by its code."""
    if text := _text(dataset, "ContrastBolusAgent"):
        return text
    items = _items(dataset, "ContrastBolusAgentSequence")
    return (_text(items[0], "CodeMeaning") or "coded") if items else ""


def _facts(dataset: Dataset) -> dict[str, str]:
    age = _age(dataset)
    maker = " ".join(f"{_words(dataset, 'Manufacturer')} {_words(dataset, 'ManufacturerModelName')}".split())
    tesla = _number(dataset, "MagneticFieldStrength") or 0.0
    tesla = tesla / 10_000 if tesla > 100 else tesla  # some write gauss
    nominal = next((f for f in _FIELDS if abs(tesla - f) < 0.07 * f), tesla)
    facts = {
        "sex": sex if (sex := _code(dataset, "PatientSex")) in ("F", "M", "O") else "",
        "age": "" if age is None else age_band(age),
        "scanner": maker,
        "field_strength": f"{nominal:.3g} T" if 0 < nominal < 30 else "",
    }
    return {name: value for name, value in facts.items() if value}


def _age(dataset: Dataset) -> float | None:
    """The patient's age in years when scanned, from PatientAge or else from two dates."""
    if age := re.fullmatch(r"(\d{1,3})([DWMY])", _text(dataset, "PatientAge").upper()):
        return int(age[1]) * _DAYS[age[2]] / _DAYS["Y"]
    born = _date(dataset, "PatientBirthDate")
    when = next((d for name in ("StudyDate", "SeriesDate", "AcquisitionDate") if (d := _date(dataset, name))), None)
    if born is None or when is None or not 0 <= (years := (when - born).days / _DAYS["Y"]) < 130:
        return None
    return years


def _date(dataset: Dataset, keyword: str) -> dt.date | None:
    try:
        return dt.datetime.strptime(_text(dataset, keyword).replace(".", ""), "%Y%m%d").date()
    except ValueError:
        return None


def _words(dataset: Dataset, keyword: str) -> str:
    """A maker's or model's name in capitals, so that two spellings are one; empty unless it looks like one."""
    value = _text(dataset, keyword).upper()
    return value if re.fullmatch(r"[A-Z0-9][A-Z0-9 .,+&/()_-]{0,39}", value) else ""


def _value(dataset: Any, keyword: str) -> Any:
    """An element's value; None where it is missing or cannot be parsed."""
    try:
        return dataset.get(keyword)
    except (OSError, MemoryError):
        raise
    except Exception:  # noqa: BLE001 - pydicom raises nearly anything of a malformed value
        return None


def _texts(dataset: Any, keyword: str) -> list[str]:
    value = _value(dataset, keyword)
    return [] if value is None else [value] if isinstance(value, str) else [str(v) for v in _several(value)]


def _text(dataset: Any, keyword: str) -> str:
    return str(_value(dataset, keyword) or "").strip()


def _code(dataset: Any, keyword: str) -> str:
    """A code string (CS) in capitals; empty if absent or malformed, so that no free text passes through."""
    value = _text(dataset, keyword).upper()
    return value if re.fullmatch(r"[A-Z0-9_ ]{1,16}", value) else ""


def _numbers(dataset: Any, keyword: str, count: int) -> Vector | None:
    """So many finite numbers; None where there are others."""
    try:
        numbers = tuple(float(v) for v in _several(_value(dataset, keyword)))
    except (ValueError, TypeError, OverflowError):
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def _number(dataset: Any, keyword: str) -> float | None:
    """The first, or only, value of an element as a finite number."""
    try:
        number = float(next(iter(_several(_value(dataset, keyword)))))
    except (StopIteration, ValueError, TypeError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _whole(dataset: Any, keyword: str) -> int | None:
    number = _number(dataset, keyword)
    return None if number is None else int(number)


def _distance(dataset: Any, keyword: str) -> float | None:
    number = _number(dataset, keyword)
    return number if number is not None and is_distance(number) else None


def _several(value: Any) -> Any:
    """The values of an element that may have one, several or none."""
    if value is None or value == "":
        return ()
    return value if hasattr(value, "__iter__") and not isinstance(value, str) else (value,)


def _items(dataset: Any, keyword: str) -> list[Any]:
    from pydicom import Dataset

    value = _value(dataset, keyword)
    return [item for item in value if isinstance(item, Dataset)] if hasattr(value, "__iter__") else []


def _first(dataset: Any, keyword: str) -> Any:
    from pydicom import Dataset

    items = _items(dataset, keyword)
    return items[0] if items else Dataset()
