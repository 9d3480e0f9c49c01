"""The header of a DICOM file, read once: classic and enhanced, whatever is missing or malformed in it."""

from __future__ import annotations

import datetime as dt
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

from tumorlens.errors import TooLarge
from tumorlens.formats.checks import MAX_VOXELS, parsing
from tumorlens.formats.dicom.geometry import (
    Geometry,
    Vector,
    depth_of,
    is_distance,
    is_orientation,
    is_position,
)
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
        times: RepetitionTime, EchoTime and InversionTime, in ms; of an enhanced file, its first frame's.
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
        allocated = whole_of(dataset, "BitsAllocated") or 0
        stored = whole_of(dataset, "BitsStored")
        samples = whole_of(dataset, "SamplesPerPixel")
        meta = getattr(dataset, "file_meta", {})
        shared = first_of(dataset, "SharedFunctionalGroupsSequence")
        per_frame = items_of(dataset, "PerFrameFunctionalGroupsSequence")
        return cls(
            path=path,
            sop_class=text_of(dataset, "SOPClassUID"),
            uid=text_of(dataset, "SOPInstanceUID"),
            study=text_of(dataset, "StudyInstanceUID"),
            series=text_of(dataset, "SeriesInstanceUID"),
            frame_of_reference=text_of(dataset, "FrameOfReferenceUID"),
            patient=text_of(dataset, "PatientID"),
            modality=code_of(dataset, "Modality"),
            description=text_of(dataset, "SeriesDescription")[:_LONGEST],
            protocol=text_of(dataset, "ProtocolName")[:_LONGEST],
            sequence=(text_of(dataset, "SequenceName") or text_of(dataset, "PulseSequenceName"))[:_LONGEST],
            contrast=_agent(dataset)[:_LONGEST],
            body_part=code_of(dataset, "BodyPartExamined"),
            image_type=tuple(value.strip().upper() for value in texts_of(dataset, "ImageType")),
            series_number=whole_of(dataset, "SeriesNumber"),
            number=whole_of(dataset, "InstanceNumber"),
            rows=whole_of(dataset, "Rows") or 0,
            columns=whole_of(dataset, "Columns") or 0,
            samples=1 if samples is None else samples,
            bits_allocated=allocated,
            bits_stored=allocated if stored is None else stored,
            photometric=code_of(dataset, "PhotometricInterpretation"),
            frames=whole_of(dataset, "NumberOfFrames"),
            transfer_syntax=text_of(meta, "TransferSyntaxUID"),
            media_uid=text_of(meta, "MediaStorageSOPInstanceUID"),
            burned_in=code_of(dataset, "BurnedInAnnotation"),
            times=_times(*per_frame[:1], shared, dataset),
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


def read_header(path: str, content: bytes | BinaryIO | None = None) -> Header:
    """Reads the header of a DICOM file, and no pixels; arguments are those of `load`.

    Raises:
        InputError: If it cannot be parsed. Of single values that cannot, the header says nothing.
    """
    dataset = load(path, content, stop_before_pixels=True)
    with parsing(path):
        return Header.of(dataset, path)


def load(path: str, content: bytes | BinaryIO | None = None, **options: Any) -> FileDataset:
    """Parses a DICOM file, quietly, guarding against deflated bombs.

    Args:
        path: The file, as the caller named it.
        content: Its bytes, where they are at hand, or it, opened.
        options: As `pydicom.dcmread` takes them.

    Returns:
        The data set. Reading its values may still raise, so do that inside `parsing`.

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
    spacing = numbers_of(measures, "PixelSpacing", 2)
    transformation = _group(groups, "PixelValueTransformationSequence")
    slope, intercept = number_of(transformation, "RescaleSlope"), number_of(transformation, "RescaleIntercept")
    return Frame(
        position if position and is_position(position) else None,
        orientation if orientation and is_orientation(orientation) else None,
        (spacing[0], spacing[1]) if spacing and all(map(is_distance, spacing)) else None,
        _distance(measures, "SliceThickness"),
        _distance(measures, "SpacingBetweenSlices"),
        (number_of(voi, "WindowCenter"), number_of(voi, "WindowWidth")),
        code_of(voi, "VOILUTFunction"),
        (slope or 1.0, intercept or 0.0) if slope or intercept else None,
    )


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
