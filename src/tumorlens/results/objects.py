"""What all result objects share: who made them, when, of what, and under which UIDs."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydicom import Dataset
from pydicom.uid import generate_uid
from pydicom.valuerep import DS

from tumorlens.card import WeightsCard
from tumorlens.formats.dicom.header import Header
from tumorlens.formats.dicom.info import CLASSIC_MR
from tumorlens.formats.dicom.order import group
from tumorlens.results.codes import SCHEME, SCHEME_NAME, Sought, sought, term
from tumorlens.results.slices import AnalysedSlice, AnalysedStudy
from tumorlens.version import __version__

if TYPE_CHECKING:
    from highdicom import ContributingEquipment

MANUFACTURER = "TumorLens"
RESEARCH_USE = "AI - research use only"
"""How every series description of ours begins."""

# Kinds of result: (series number, what its description says). High numbers come after the scanner's.
_SERIES = {
    "capture": (9701, "overlay"),
    "report": (9702, "report"),
    "region": (9703, "region"),
    "heat": (9704, "heat map"),
    "contour": (9705, "contour"),
}
_DATES = ("InstanceCreation", "Content", "Series", "PresentationCreation")


@dataclass(frozen=True, eq=False)
class Maker:
    """Makes what result objects have in common.

    UIDs come of the study's, the sources', the weights', our version and what the object is: made again, say after a
    crash, results are the same objects; made of one slice more, or with other weights, they are others.

    Attributes:
        analysed: The study.
        card: Of the weights that analysed it.
        candidates: Whether classes are named with SNOMED CT codes that were not verified, see `codes.CANDIDATES`.
    """

    analysed: AnalysedStudy
    card: WeightsCard
    candidates: bool = False

    @cached_property
    def _entropy(self) -> list[str]:
        sources = sorted(f"{s.header.uid}#{s.frame}" for s in self.analysed.slices)
        return [self.analysed.identity.study, *sources, self.weights, __version__, str(self.candidates)]

    def uid(self, *what: object) -> str:
        """The UID of one thing that is made."""
        return str(generate_uid(entropy_srcs=[*self._entropy, *map(str, what)]))

    @property
    def weights(self) -> str:
        """SHA-256 of the weights; of the card, where they are in memory only."""
        return self.card.sha256 or hashlib.sha256(self.card.model_dump_json().encode()).hexdigest()

    @cached_property
    def sought(self) -> Sought:
        """What was looked for, and where."""
        return sought(self.card.classes, self.card.modality.code)

    @property
    def algorithm(self) -> str:
        """The algorithm's name: ours and the weights'."""
        return f"{MANUFACTURER} {self.card.name}"[:64]

    @property
    def version(self) -> str:
        """The algorithm's version: the package's, and the weights' checksum in short."""
        return f"{__version__} weights {self.weights[:12]}"

    def arguments(self, kind: str, instance: int = 1) -> dict[str, Any]:
        """What every object is constructed with, by its kind, a key of `_SERIES`, and its number in its series."""
        from highdicom.coding_schemes import CodingSchemeIdentificationItem

        number, words = _SERIES[kind]
        return {
            "series_instance_uid": self.uid("series", kind),
            "series_number": number,
            "series_description": f"{RESEARCH_USE}: {words}",
            "sop_instance_uid": self.uid("instance", kind, instance),
            "instance_number": instance,
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": self.algorithm,
            "software_versions": [__version__, self.weights[:12]],
            "device_serial_number": self.weights[:16],
            "content_qualification": "RESEARCH",  # of the SOP Common Module (PS3.3 C.12.1), so in every object
            "coding_schemes": [
                CodingSchemeIdentificationItem(SCHEME, name=SCHEME_NAME, responsible_organization=MANUFACTURER)
            ],
            "contributing_equipment": [self._equipment()],
        }

    def _equipment(self) -> ContributingEquipment:
        """The algorithm as IHE AI Results wants it (AIR 6.5.3.1): a device of its own with each training."""
        from highdicom import ContributingEquipment

        equipment = ContributingEquipment(
            MANUFACTURER,
            term("processing_equipment"),
            manufacturer_model_name=self.algorithm,
            software_versions=[__version__, self.weights[:12]],
            device_serial_number=self.weights[:16],
            contribution_description="AI analysis, research use only",
        )
        equipment.DeviceUID = self.device
        return equipment

    @property
    def device(self) -> str:
        """UID of the algorithm with these weights."""
        return str(generate_uid(entropy_srcs=[MANUFACTURER, __version__, self.weights]))

    def finished(self, result: Dataset) -> Dataset:
        """Gives an object its patient and study, and its time, in place of the moment of its construction."""
        self.analysed.identity.give(result)
        when = self.analysed.when
        for name in _DATES:
            if name in ("Series", "InstanceCreation") or f"{name}Date" in result:
                setattr(result, f"{name}Date", when.strftime("%Y%m%d"))
                setattr(result, f"{name}Time", when.strftime("%H%M%S"))
        for equipment in result.ContributingEquipmentSequence:  # ours, and highdicom's
            equipment.ContributionDateTime = when.strftime("%Y%m%d%H%M%S")
        # Without a body part, images need a laterality, which a head has not (PS3.3 C.7.3.1).
        if result.Modality != "SR":
            result.BodyPartExamined = self.sought.body_part
        return result


def reference(maker: Maker, s: AnalysedSlice) -> Dataset:
    """A slice as if it were a classic MR image, with all that highdicom asks of a source and nothing else.

    Sources may be multi-frame, of mixed planes, and wrong in any element. So objects are made of these, and
    `restore_references` then puts in the real ones.
    """
    study, uid = maker.analysed.identity.study, maker.uid("stand-in", s.header.uid, s.frame)
    ds = instance_of(study, CLASSIC_MR, uid, s.header.series)
    ds.Modality = s.header.modality or "MR"
    ds.InstanceNumber = ds.SamplesPerPixel = 1
    ds.Rows, ds.Columns = s.shape
    if s.geometry is not None:
        ds.FrameOfReferenceUID = s.geometry.frame_of_reference
        ds.PositionReferenceIndicator = None
        ds.ImagePositionPatient = decimals(s.geometry.position)
        ds.ImageOrientationPatient = decimals(s.geometry.orientation)
        ds.PixelSpacing = decimals(s.geometry.spacing)
        # Multi-frame results must have one (PS3.3 C.7.6.16.2.1); where the source has none, a pixel's is likeliest.
        ds.SliceThickness = decimals([s.geometry.thickness or max(s.geometry.spacing)])[0]
    return ds


def source_of(maker: Maker, header: Header) -> Dataset:
    """A source instance as evidence of a report."""
    return instance_of(maker.analysed.identity.study, header.sop_class, header.uid, header.series)


def instance_of(study: str, sop_class: str, uid: str, series: str) -> Dataset:
    """An instance of a study that says nothing of the patient, as evidence."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, uid
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(ds, keyword, "")
    ds.StudyDate = ds.StudyTime = ds.ReferringPhysicianName = None
    return ds


def restore_references(maker: Maker, result: Dataset, slices: Iterable[AnalysedSlice]) -> None:
    """Lets an object that was made of `reference`s refer to the slices themselves."""
    meant = {maker.uid("stand-in", s.header.uid, s.frame): s for s in slices}
    for item, parent in list(_items(result)):
        s = meant.get(item.get("ReferencedSOPInstanceUID"))
        if s is None:
            continue
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = s.header.sop_class, s.header.uid
        # References to the instances as a whole, in the Common Instance Reference Module, name no frames.
        if s.frame_number is not None and "ReferencedInstanceSequence" not in parent:
            item.ReferencedFrameNumber = s.frame_number
    _join(result)


def _items(ds: Dataset) -> Iterator[tuple[Dataset, Dataset]]:
    """All items of all sequences below a data set, each with the one that holds its sequence."""
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield item, ds
                yield from _items(item)


def _join(result: Dataset) -> None:
    """Makes one reference of several to frames of one instance."""
    for holder in (result, *result.get("ReferencedSeriesSequence", [])):
        for keyword in ("SourceImageSequence", "ReferencedInstanceSequence", "ReferencedImageSequence"):
            references: dict[str, Dataset] = {}
            frames: dict[str, list[int]] = {}
            for item in holder.get(keyword, []):
                uid = str(item.ReferencedSOPInstanceUID)
                references.setdefault(uid, item)
                if "ReferencedFrameNumber" in item:
                    frames.setdefault(uid, []).append(int(item.ReferencedFrameNumber))
            if references:
                setattr(holder, keyword, list(references.values()))
            for uid, numbers in frames.items():
                references[uid].ReferencedFrameNumber = numbers if len(numbers) > 1 else numbers[0]


def divide(slices: Iterable[AnalysedSlice]) -> list[list[AnalysedSlice]]:
    """Divides slices into such as one multi-frame object may hold: parallel, of one grid, at different places."""
    objects: list[list[AnalysedSlice]] = []
    for stack in group((s for s in slices if s.geometry is not None), _in_one_stack):
        # Repetitions of a place, such as echoes, go to the next object.
        repetitions: dict[int, list[AnalysedSlice]] = {}
        counts: Counter[tuple[float, ...]] = Counter()
        for s in stack:
            assert s.geometry is not None
            spot = tuple(round(v, 2) for v in s.geometry.position)
            repetitions.setdefault(counts[spot], []).append(s)
            counts[spot] += 1
        objects += repetitions.values()
    return objects


def _in_one_stack(one: AnalysedSlice, other: AnalysedSlice) -> bool:
    assert one.geometry is not None
    assert other.geometry is not None
    same = (one.header.series, one.shape) == (other.header.series, other.shape)
    return same and one.geometry.same_grid(other.geometry)


def decimals(values: Sequence[float]) -> list[Any]:
    """Numbers as decimal strings (DS) of at most 16 characters."""
    return [DS(float(v), auto_format=True) for v in values]
