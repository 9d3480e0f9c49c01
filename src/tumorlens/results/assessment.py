"""A reader's assessment of a study's slices as a structured report (Comprehensive 3D SR, PS3.16 TID 1500)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, Field, StringConstraints
from pydicom import Dataset
from pydicom.uid import generate_uid

from tumorlens.classes import ScanClass
from tumorlens.errors import DataError, needs_extra
from tumorlens.formats.checks import QUIET
from tumorlens.formats.dicom.info import CT_IMAGES
from tumorlens.results.codes import SCHEME, SCHEME_NAME, Sought, code_of, sought, term, to_dicom
from tumorlens.results.handover import Sources, SourceSlice
from tumorlens.results.identity import identity_of
from tumorlens.results.objects import MANUFACTURER, RESEARCH_USE, instance_of
from tumorlens.version import __version__

SERIES_NUMBER = 9706
"""After those of the AI's own results."""

_VERDICTS = {"agree": "agrees", "other": "names_another", "unsure": "unsure"}
_Share = Annotated[float, Field(ge=0, le=1)]


class AssessedSlice(BaseModel, frozen=True):
    """What a reader says of a slice.

    Attributes:
        number: The slice's, as the study was handed over; from 1.
        verdict: "agree" with the AI's finding, "other" class, or "unsure".
        label: Key of the class it is, as they say; empty if unsure.
        outline: Corners of their outline, x and y in fractions of width and height; none, or three and more.
    """

    number: int = Field(ge=1)
    verdict: Literal["agree", "other", "unsure"]
    label: Annotated[str, StringConstraints(max_length=80)] = ""
    comment: Annotated[str, StringConstraints(max_length=4000)] = ""
    outline: tuple[tuple[_Share, _Share], ...] = Field(default=(), max_length=2000)


class Assessment(BaseModel, frozen=True):
    """What a reader says of a study, as the page sends it to the node.

    Attributes:
        id: Its own.
        origin: What the node called the study when it handed it over.
        reader: Who says it.
        verified: Whether they vouch for it, as a person who logged in.
        sent: Seconds since 1970.
    """

    format: Literal[1] = 1
    id: str = Field(pattern=r"^[0-9a-f]{16}$")
    origin: str = Field(pattern=r"^[0-9a-f]{10}-[0-9]{3}$")
    reader: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\\^=\x00-\x1f]+$")]
    verified: bool
    sent: float = Field(ge=0, le=1e11)
    slices: tuple[AssessedSlice, ...] = Field(min_length=1, max_length=5000)


def make_assessment(assessment: Assessment, sources: Sources, report: Dataset, organization: str) -> Dataset:
    """The report of an assessment: complete, and verified only if the reader vouches for it.

    It belongs to the study of the AI's report and refers to that and to the slices that it speaks of. Each slice has a
    measurement group (TID 1501; TID 1410 where an outline was drawn): the class, whether the reader agrees with the AI,
    their words, their outline as a polyline on the source image. The same assessment gives the same UIDs.

    Args:
        assessment: It.
        sources: The instances that the slices are of.
        report: The AI's own report of the study: patient and study are taken from it.
        organization: The reader's; a report without is not verified.

    Raises:
        DataError: If it speaks of slices or classes that the study has not.
        MissingExtra: If highdicom is not installed.
    """
    with needs_extra("DICOM results", "hospital"):
        from highdicom import sr
        from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from pydicom.sr.codedict import codes

    classes = {c.key: c for c in sources.classes}
    if any(s.number > len(sources.slices) for s in assessment.slices):
        raise DataError("the assessment speaks of slices that the study has not")
    if any(s.label not in classes for s in assessment.slices if s.verdict != "unsure"):
        raise DataError("the assessment names a class that the study was not read for")
    identity = identity_of(report)
    when, verified = datetime.fromtimestamp(assessment.sent), assessment.verified and bool(organization)
    spoken_of = [sources.slices[s.number - 1] for s in assessment.slices]
    instances = {s.sop: instance_of(identity.study, s.sop_class, s.sop, s.series) for s in spoken_of}
    evidence = [*instances.values(), _reference(report)]
    ct = bool(spoken_of) and all(s.sop_class in CT_IMAGES for s in spoken_of)
    what = sought(sources.classes, "CT" if ct else "MR")
    with QUIET:
        person = sr.PersonObserverIdentifyingAttributes(assessment.reader, organization_name=organization or None)
        content = sr.MeasurementReport(
            observation_context=sr.ObservationContext(
                observer_person_context=sr.ObserverContext(codes.DCM.Person, person)
            ),
            procedure_reported=to_dicom(what.examination),
            imaging_measurements=[
                _group(assessment, s, source, classes, what)
                for s, source in zip(assessment.slices, spoken_of, strict=True)
            ],
        )
        result: Dataset = sr.Comprehensive3DSR(
            evidence=evidence,
            content=content[0],
            is_complete=True,
            is_final=verified,
            is_verified=verified,
            verifying_observer_name=assessment.reader if verified else None,
            verifying_organization=organization if verified else None,
            series_instance_uid=_uid(identity.study, assessment, "series"),
            series_number=SERIES_NUMBER,
            series_description=f"{RESEARCH_USE}: a reader's assessment",
            sop_instance_uid=_uid(identity.study, assessment, "instance"),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=f"{MANUFACTURER} page",
            software_versions=[__version__],
            device_serial_number=sources.weights.sha256[:16] or "0",
            content_qualification="RESEARCH",
            coding_schemes=[
                CodingSchemeIdentificationItem(SCHEME, name=SCHEME_NAME, responsible_organization=MANUFACTURER)
            ],
        )
    identity.give(result)
    for name in ("InstanceCreation", "Content", "Series"):
        setattr(result, f"{name}Date", when.strftime("%Y%m%d"))
        setattr(result, f"{name}Time", when.strftime("%H%M%S"))
    for equipment in result.get("ContributingEquipmentSequence", ()):  # highdicom's
        equipment.ContributionDateTime = when.strftime("%Y%m%d%H%M%S")
    for observer in result.get("VerifyingObserverSequence", ()):
        observer.VerificationDateTime = when.strftime("%Y%m%d%H%M%S")
    return result


def _group(
    assessment: Assessment, s: AssessedSlice, source: SourceSlice, classes: Mapping[str, ScanClass], what: Sought
) -> Any:
    """What is said of one slice."""
    from highdicom import sr

    named = classes.get(s.label) if s.verdict != "unsure" else None
    presence = "undetermined" if named is None else "absent" if named.nothing else "present"
    evaluations = [
        sr.QualitativeEvaluation(term("assessment"), term(_VERDICTS[s.verdict])),
        sr.QualitativeEvaluation(to_dicom(what.finding), term(presence)),
    ]
    if named is not None:
        evaluations.append(sr.QualitativeEvaluation(term("readers_class"), to_dicom(code_of(named))))
    frames = None if source.frame_number is None else [source.frame_number]
    uid = _uid(source.sop, assessment, "tracking", s.number)
    arguments: dict[str, Any] = {
        "tracking_identifier": sr.TrackingIdentifier(uid=uid, identifier=f"Assessment: slice {s.number}"),
        "finding_type": to_dicom(code_of(named)) if named is not None and not named.nothing else to_dicom(what.finding),
        "finding_sites": [sr.FindingSite(to_dicom(what.site))],
        "qualitative_evaluations": evaluations,
    }
    if len(s.outline) < 3:
        image = sr.SourceImageForMeasurementGroup(source.sop_class, source.sop, frames)
        group: Any = sr.MeasurementsAndQualitativeEvaluations(source_images=[image], **arguments)
    else:
        corners = np.asarray([*s.outline, s.outline[0]], float) * [source.width, source.height]
        region = sr.ImageRegion("POLYLINE", corners, sr.SourceImageForRegion(source.sop_class, source.sop, frames))
        group = sr.PlanarROIMeasurementsAndQualitativeEvaluations(referenced_region=region, **arguments)
    if s.comment:
        contains = sr.RelationshipTypeValues.CONTAINS
        group[0].ContentSequence.append(sr.TextContentItem(term("comment"), s.comment, relationship_type=contains))
    return group


def _reference(report: Dataset) -> Dataset:
    return instance_of(
        str(report.StudyInstanceUID), report.SOPClassUID, report.SOPInstanceUID, report.SeriesInstanceUID
    )


def _uid(study: str, assessment: Assessment, *what: object) -> str:
    return str(generate_uid(entropy_srcs=[study, assessment.origin, assessment.id, *map(str, what)]))
