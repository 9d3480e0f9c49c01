"""Structured report: what was found, in a form that software reads (Comprehensive 3D SR, PS3.16 TID 1500)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from highdicom import sr
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from tumorlens.classes import ScanClass
from tumorlens.results.codes import code_of, probability_of, term, to_dicom
from tumorlens.results.objects import MANUFACTURER, Maker, source_of
from tumorlens.results.slices import AnalysedSlice

_CONTAINS = sr.RelationshipTypeValues.CONTAINS


def make_report(maker: Maker, others: Sequence[Dataset]) -> Dataset:
    """The report of a study (PS3.3 A.35.13): complete, preliminary, unverified.

    The first measurement group (TID 1501) speaks of the study: whether what is sought is present, absent or
    undetermined, the class, the probability of each class, and warnings; it refers to the slices that decided and to
    the other results, `others`. A group for each pictured slice follows, with its region (TID 1410) where it has one.
    """
    observer = sr.DeviceObserverIdentifyingAttributes(
        uid=maker.device,
        name=maker.algorithm,
        manufacturer_name=MANUFACTURER,
        model_name=maker.algorithm,
        serial_number=maker.weights[:16],
    )
    slices = (_slice_group(maker, s, n) for n, s in enumerate(maker.analysed.pictured, 1))
    context = sr.ObserverContext(codes.DCM.Device, observer)
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=context),
        procedure_reported=to_dicom(maker.sought.examination),
        imaging_measurements=[_study_group(maker, others), *slices],
    )
    instances = dict.fromkeys(s.header for s in maker.analysed.deciding)
    result = sr.Comprehensive3DSR(
        evidence=[*(source_of(maker, i) for i in instances), *others],
        content=content[0],
        is_complete=True,
        is_final=False,
        is_verified=False,
        **maker.arguments("report"),
    )
    return maker.finished(result)


def _study_group(maker: Maker, others: Sequence[Dataset]) -> Any:
    analysed = maker.analysed
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=maker.uid("tracking", "study"), identifier="AI finding: study"),
        measurements=_probabilities(maker, analysed.study.probabilities, mean=len(analysed.deciding) > 1),
        qualitative_evaluations=_evaluations(maker),
        source_images=[_group_source(s) for s in analysed.deciding],
        **_common(maker),
    )
    _comment(group, [*_summary(maker), *analysed.warnings])
    for other in others:
        is_image = other.SOPClassUID != GrayscaleSoftcopyPresentationStateStorage
        kind = sr.ImageContentItem if is_image else sr.CompositeContentItem
        uids = (other.SOPClassUID, other.SOPInstanceUID)
        group[0].ContentSequence.append(kind(term("visual_explanation"), *uids, relationship_type=_CONTAINS))
    return group


def _slice_group(maker: Maker, s: AnalysedSlice, number: int) -> Any:
    names = {c.key: c for c in maker.analysed.classes}
    finding = s.finding
    if finding.label is None:
        evaluations = [sr.QualitativeEvaluation(term("unknown_scan"), term("present"))]
    else:
        evaluations = [sr.QualitativeEvaluation(term("class"), _class(maker, names[finding.label]))]
        members = finding.prediction_set if len(finding.prediction_set) > 1 else ()
        evaluations += [sr.QualitativeEvaluation(term("prediction_set"), _class(maker, names[key])) for key in members]
    uid = maker.uid("tracking", "slice", number)
    arguments: dict[str, Any] = {
        "tracking_identifier": sr.TrackingIdentifier(uid=uid, identifier=f"AI finding: slice {number}"),
        "measurements": _probabilities(maker, finding.probabilities),
        "qualitative_evaluations": evaluations,
        **_common(maker),
    }
    region = finding.region
    if region is None or maker.analysed.presence != "present":
        group: Any = sr.MeasurementsAndQualitativeEvaluations(source_images=[_group_source(s)], **arguments)
    else:
        if region.area_mm2 is not None:
            # Not plain "Area": in a group whose finding is a tumour, that would be the tumour's.
            area = sr.Measurement(term("evidence_area"), round(region.area_mm2, 2), term("mm2"))
            arguments["measurements"].append(area)
        # SCOORD counts as contours do: from the corner of the first pixel (PS3.3 C.18.6.1.2).
        outline = np.asarray([*region.contour, region.contour[0]], float)
        source = sr.SourceImageForRegion(s.header.sop_class, s.header.uid, _frames(s))
        area_of = sr.ImageRegion("POLYLINE", outline, source)
        group = sr.PlanarROIMeasurementsAndQualitativeEvaluations(referenced_region=area_of, **arguments)
        _comment(group, ["The region is where the evidence is strongest. It is no outline."])
    _comment(group, s.doubts)
    return group


def _common(maker: Maker) -> dict[str, Any]:
    """What all groups say: what was looked for, where, and by what."""
    return {
        "finding_type": _class(maker, tumour) if (tumour := maker.analysed.tumour) else to_dicom(maker.sought.finding),
        "finding_sites": [sr.FindingSite(to_dicom(maker.sought.site))],
        "algorithm_id": sr.AlgorithmIdentification(
            name=maker.algorithm,
            version=maker.version,
            parameters=[f"weights {maker.card.name}", f"sha256 {maker.weights[:12]}"],
            # No family: readers take that code for one more finding.
            manufacturer=MANUFACTURER,
        ),
    }


def _evaluations(maker: Maker) -> list[sr.QualitativeEvaluation]:
    """The study's finding: what is sought is present, absent or undetermined, and if present, of which class."""
    evaluations = [sr.QualitativeEvaluation(to_dicom(maker.sought.finding), term(maker.analysed.presence))]
    if tumour := maker.analysed.tumour:
        evaluations.append(sr.QualitativeEvaluation(term("class"), _class(maker, tumour)))
    if maker.analysed.study.unknown:
        evaluations.append(sr.QualitativeEvaluation(term("unknown_scan"), term("present")))
    return evaluations


def _summary(maker: Maker) -> list[str]:
    analysed = maker.analysed
    counts = ", ".join(f"{c.name} {n}" for c in analysed.classes if (n := analysed.study.counts[c.key]))
    return [
        f"Research use only, not a diagnosis. {analysed.study.text[0].upper()}{analysed.study.text[1:]}.",
        f"Slices: {len(analysed.slices)}, by their own most probable class: {counts or 'none'}; "
        f"unknown: {analysed.study.unknown_slices}. Probabilities of the study are means over "
        f"{len(analysed.deciding)} slices that decided, series by series.",
    ]


def _class(maker: Maker, scan_class: ScanClass) -> Any:
    return to_dicom(code_of(scan_class, candidates=maker.candidates))


def _probabilities(maker: Maker, values: Mapping[str, float], mean: bool = False) -> list[sr.Measurement]:
    derivation = term("mean") if mean else None
    return [
        sr.Measurement(to_dicom(probability_of(c)), round(values[c.key], 6), term("unitless"), derivation=derivation)
        for c in maker.analysed.classes
        if c.key in values  # an unknown scan has none
    ]


def _group_source(s: AnalysedSlice) -> sr.SourceImageForMeasurementGroup:
    return sr.SourceImageForMeasurementGroup(s.header.sop_class, s.header.uid, _frames(s))


def _frames(s: AnalysedSlice) -> list[int] | None:
    return None if s.frame_number is None else [s.frame_number]


def _comment(group: Any, texts: Sequence[str]) -> None:
    """Adds sentences to a group; TID 1410 and 1501 may be extended."""
    for text in texts:
        group[0].ContentSequence.append(sr.TextContentItem(term("comment"), text, relationship_type=_CONTAINS))
