"""The header of a DICOM file, read once: classic and enhanced, whatever is missing or malformed in it."""

from __future__ import annotations

import datetime as dt
import math
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

from tumorlens import limits
from tumorlens.errors import TooLarge
from tumorlens.formats.checks import parsing
from tumorlens.formats.dicom.geometry import Geometry, Vector, depth_of, is_distance, is_orientation, is_position
from tumorlens.formats.dicom.values import (
    code_of,
    first_of,
    items_of,
    number_of,
    numbers_of,
    text_of,
    texts_of,
    whole_of,
)
from tumorlens.scan import age_band

if TYPE_CHECKING:
    from pydicom import Dataset, FileDataset

_MAX_INFLATED = 4 * limits.VOXELS  # bytes of a deflated data set
_LONGEST = 200  # characters of a text that patterns are asked about: hostile ones may be of any length
_UNEVEN = 10.0  # times that pixels may be longer one way than the other
_DAYS = {"D": 1, "W": 7, "M": 30.44, "Y": 365.25}  # of PatientAge's units
_FIELDS = (0.35, 0.55, 1.0, 1.5, 3.0, 7.0)  # tesla; a "3 T" magnet may write 2.89362


@dataclass(frozen=True, slots=True)
class Frame:
    """What a header says of one frame, in an enhanced file by its functional groups. None where it says nothing usable.

    Attributes:
        spacing: PixelSpacing: distance between pixel centres, (down the rows, along a row), in mm.
        thickness: SliceThickness in mm.
        slice_spacing: SpacingBetweenSlices in mm, from centre to centre.
        window: (center, width) of the first window, either may be missing.
        rescale: (slope, intercept), where they change anything.
        spacing_doubt: Why a spacing that the file has is not used.
    """

    position: Vector | None = None
    orientation: Vector | None = None
    spacing: tuple[float, float] | None = None
    thickness: float | None = None
    slice_spacing: float | None = None
    window: tuple[float | None, float | None] = (None, None)
    window_function: str = ""
    rescale: tuple[float, float] | None = None
    spacing_doubt: str = ""

    @property
    def depth(self) -> float | None:
        """How far along its normal the frame lies, mm."""
        if self.position is None or self.orientation is None:
            return None
        return depth_of(self.position, self.orientation)


def _read(keyword: str, how: Callable[[Any, str], Any] = text_of, default: Any = "", *, shown: bool = True) -> Any:
    """A field that an element of the data set fills. Identifiers and free text are not shown: logs may quote them."""
    return field(default=default, repr=shown, metadata={"element": (how, keyword)})


def _line(dataset: Dataset, keyword: str) -> str:
    return text_of(dataset, keyword)[:_LONGEST]


def _capitals(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    return tuple(value.strip().upper() for value in texts_of(dataset, keyword))


def _meta(dataset: Dataset, keyword: str) -> str:
    """A text of the file meta information."""
    return text_of(getattr(dataset, "file_meta", {}), keyword)


@dataclass(frozen=True, slots=True)
class Header:
    """What a DICOM file says of itself, without pixels. Each field names its element.

    Texts are empty and numbers None or 0 where it says nothing usable. UIDs are stripped and otherwise as they stand,
    see `is_uid`; codes are in capitals.

    Attributes:
        path: The file, as the caller named it.
        patient: Never logged, never written.
        sequence: SequenceName, or PulseSequenceName of an enhanced file.
        contrast: The contrast agent that is named, if one is.
        rows: 0 for an object without a picture.
        frames: None where it is missing, as in classic files.
        burned_in: Whether text stands in the pixels, "YES", "NO" or empty.
        times: RepetitionTime, EchoTime and InversionTime, in ms; of an enhanced file, its first frame's.
        facts: As of `Scan.facts`: nothing that could name the patient, and no date.
        shared: What holds for every frame that does not say otherwise.
        per_frame: The frames of an enhanced file.
    """

    path: str = ""
    sop_class: str = _read("SOPClassUID")
    uid: str = _read("SOPInstanceUID", shown=False)
    study: str = _read("StudyInstanceUID", shown=False)
    series: str = _read("SeriesInstanceUID", shown=False)
    frame_of_reference: str = _read("FrameOfReferenceUID", shown=False)
    patient: str = _read("PatientID", shown=False)
    modality: str = _read("Modality", code_of)
    description: str = _read("SeriesDescription", _line, shown=False)
    protocol: str = _read("ProtocolName", _line, shown=False)
    sequence: str = _read("SequenceName", _line, shown=False)
    contrast: str = field(default="", repr=False)
    body_part: str = _read("BodyPartExamined", code_of)
    image_type: tuple[str, ...] = _read("ImageType", _capitals, ())
    series_number: int | None = _read("SeriesNumber", whole_of, None)
    number: int | None = _read("InstanceNumber", whole_of, None)
    rows: int = _read("Rows", whole_of, 0)
    columns: int = _read("Columns", whole_of, 0)
    samples: int = _read("SamplesPerPixel", whole_of, 1)
    bits_allocated: int = _read("BitsAllocated", whole_of, 0)
    bits_stored: int = _read("BitsStored", whole_of, 0)
    photometric: str = _read("PhotometricInterpretation", code_of)
    frames: int | None = _read("NumberOfFrames", whole_of, None)
    transfer_syntax: str = _read("TransferSyntaxUID", _meta)
    media_uid: str = _read("MediaStorageSOPInstanceUID", _meta, shown=False)
    burned_in: str = _read("BurnedInAnnotation", code_of)
    times: tuple[float | None, float | None, float | None] = (None, None, None)
    facts: Mapping[str, str] = field(default_factory=dict, hash=False)
    shared: Frame = field(default=Frame(), repr=False)
    per_frame: tuple[Frame, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, dataset: Dataset, path: str = "") -> Header:
        """The header of a data set, as pydicom reads it, and of a file."""
        elements = {f.name: f.metadata["element"] for f in fields(cls) if f.metadata}
        values = {name: how(dataset, keyword) for name, (how, keyword) in elements.items()}
        values = {name: value for name, value in values.items() if value is not None}
        values.setdefault("bits_stored", values.get("bits_allocated", 0))
        values["sequence"] = values["sequence"] or _line(dataset, "PulseSequenceName")
        shared = first_of(dataset, "SharedFunctionalGroupsSequence")
        per_frame = items_of(dataset, "PerFrameFunctionalGroupsSequence")
        return cls(
            path=path,
            contrast=_agent(dataset)[:_LONGEST],
            times=_times(*per_frame[:1], shared, dataset),
            facts=_facts(dataset),
            shared=_frame(shared, dataset),
            per_frame=tuple(_frame(groups, shared, dataset) for groups in per_frame),
            **values,
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


def read_header(path: str, content: bytes | BinaryIO | None = None) -> Header:
    """Reads the header of a DICOM file, and no pixels; arguments are those of `load`.

    Raises:
        InputError: If it cannot be parsed. Of single values that cannot, the header says nothing.
    """
    dataset = load(path, content, stop_before_pixels=True)
    with parsing(path):
        return Header.of(dataset, path)


def load(path: str, content: bytes | BinaryIO | None = None, **options: Any) -> FileDataset:
    """Parses a DICOM file, or its content where that is at hand or opened, quietly, guarding against deflated bombs.

    Options are those of `pydicom.dcmread`. Reading values of the data set may still raise, so do that inside `parsing`.

    Raises:
        TooLarge: If the file is deflated and inflates to more than 1 GiB.
        UnreadableFile: If it is truncated or corrupt.
    """
    import pydicom

    # The path stays the string the caller gave.
    opened = BytesIO(content) if isinstance(content, bytes) else content
    with parsing(path), opened or open(path, "rb") as file:  # noqa: PTH123
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


def _group(groups: Sequence[Dataset], name: str) -> Dataset:
    """A functional group: of the first that has it, or else the last, which is the data set itself (classic files)."""
    return next((item for each in groups if (item := first_of(each, name))), groups[-1])


def _frame(*groups: Dataset) -> Frame:
    """A frame by its own functional groups, then the shared ones, then the data set."""
    measures, voi = _group(groups, "PixelMeasuresSequence"), _group(groups, "FrameVOILUTSequence")
    position = numbers_of(_group(groups, "PlanePositionSequence"), "ImagePositionPatient", 3)
    orientation = numbers_of(_group(groups, "PlaneOrientationSequence"), "ImageOrientationPatient", 6)
    spacing, doubt = _spacing(numbers_of(measures, "PixelSpacing", 2), groups[-1])
    transformation = _group(groups, "PixelValueTransformationSequence")
    slope, intercept = number_of(transformation, "RescaleSlope"), number_of(transformation, "RescaleIntercept")
    return Frame(
        position if position and is_position(position) else None,
        orientation if orientation and is_orientation(orientation) else None,
        spacing,
        _distance(measures, "SliceThickness"),
        _distance(measures, "SpacingBetweenSlices"),
        (number_of(voi, "WindowCenter"), number_of(voi, "WindowWidth")),
        code_of(voi, "VOILUTFunction"),
        (slope or 1.0, intercept or 0.0) if slope or intercept else None,
        doubt,
    )


def _spacing(said: Sequence[float] | None, dataset: Dataset) -> tuple[tuple[float, float] | None, str]:
    """Distance between pixel centres in the patient (PS3.3 10.7.1.3), and why none that was given is used."""
    if not said:
        return None, ""
    rows, columns = said
    if not (is_distance(rows) and is_distance(columns) and max(said) <= _UNEVEN * min(said)):
        return None, "its pixel spacing cannot be right, so no area is given in mm²"
    detector = numbers_of(dataset, "ImagerPixelSpacing", 2)
    if detector and all(map(math.isclose, detector, said)) and "PixelSpacingCalibrationType" not in dataset:
        return None, "its pixel spacing is that of the detector, so no area is given in mm²"
    return (rows, columns), ""


def _times(*groups: Dataset) -> tuple[float | None, float | None, float | None]:
    """Repetition, echo and inversion time, which enhanced files have in functional groups, under other names."""
    timing = _group(groups, "MRTimingAndRelatedParametersSequence")
    echo, modifier = _group(groups, "MREchoSequence"), _group(groups, "MRModifierSequence")
    return (
        number_of(timing, "RepetitionTime"),
        number_of(echo, "EffectiveEchoTime") or number_of(echo, "EchoTime"),
        number_of(modifier, "InversionTimes") or number_of(modifier, "InversionTime"),
    )


def _agent(dataset: Dataset) -> str:
    """The contrast agent that a header names, in words or by its code."""
    if text := text_of(dataset, "ContrastBolusAgent"):
        return text
    items = items_of(dataset, "ContrastBolusAgentSequence")
    return (text_of(items[0], "CodeMeaning") or "coded") if items else ""


def _facts(dataset: Dataset) -> dict[str, str]:
    age = _age(dataset)
    maker = " ".join(f"{_words(dataset, 'Manufacturer')} {_words(dataset, 'ManufacturerModelName')}".split())
    tesla = number_of(dataset, "MagneticFieldStrength") or 0.0
    tesla = tesla / 10_000 if tesla > 100 else tesla  # some write gauss
    nominal = next((f for f in _FIELDS if abs(tesla - f) < 0.07 * f), tesla)
    facts = {
        "sex": sex if (sex := code_of(dataset, "PatientSex")) in ("F", "M", "O") else "",
        "age": "" if age is None else age_band(age),
        "scanner": maker,
        "field_strength": f"{nominal:.3g} T" if 0 < nominal < 30 else "",
    }
    return {name: value for name, value in facts.items() if value}


def _age(dataset: Dataset) -> float | None:
    """The patient's age in years when scanned, from PatientAge or else from two dates."""
    if age := re.fullmatch(r"(\d{1,3})([DWMY])", text_of(dataset, "PatientAge").upper()):
        return int(age[1]) * _DAYS[age[2]] / _DAYS["Y"]
    born = _date(dataset, "PatientBirthDate")
    when = next((d for name in ("StudyDate", "SeriesDate", "AcquisitionDate") if (d := _date(dataset, name))), None)
    if born is None or when is None or not 0 <= (years := (when - born).days / _DAYS["Y"]) < 130:
        return None
    return years


def _date(dataset: Dataset, keyword: str) -> dt.date | None:
    try:
        return dt.datetime.strptime(text_of(dataset, keyword).replace(".", ""), "%Y%m%d").date()
    except ValueError:
        return None


def _words(dataset: Dataset, keyword: str) -> str:
    """A maker's or model's name in capitals, so that two spellings are one; empty unless it looks like one."""
    value = text_of(dataset, keyword).upper()
    return value if re.fullmatch(r"[A-Z0-9][A-Z0-9 .,+&/()_-]{0,39}", value) else ""


def _distance(dataset: Any, keyword: str) -> float | None:
    number = number_of(dataset, keyword)
    return number if number is not None and is_distance(number) else None
