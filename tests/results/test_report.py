from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom as hd
import pydicom
import pytest
from pydicom import Dataset

from tests.results.conftest import kinds, written
from tumorlens.classifier import Classifier
from tumorlens.results.analysis import analyse
from tumorlens.results.codes import CANDIDATES, SCHEME
from tumorlens.results.make import make_results
from tumorlens.results.slices import AnalysedStudy


def evaluations_of(group: Any) -> list[tuple[str, str]]:
    """What a group of a report evaluates, and how, in words."""
    return [(e.name.meaning, e.value.meaning) for e in group.get_qualitative_evaluations()]


def report_of(results: list[Dataset]) -> hd.sr.MeasurementReport:
    content = hd.sr.Comprehensive3DSR.from_dataset(pydicom.dcmread(io.BytesIO(written(results[-1])))).content
    assert isinstance(content, hd.sr.MeasurementReport)
    return content


def test_the_report_says_present_class_and_probabilities(tumour: AnalysedStudy, bright: Classifier) -> None:
    study, *_ = report_of(make_results(tumour, bright.card)).get_image_measurement_groups()
    said = dict(evaluations_of(study))
    probabilities = {m.name.meaning: m.value for m in study.get_measurements()}

    assert said == {"Neoplasm": "Present", "Most probable class": "glioma"}
    assert probabilities == pytest.approx(
        {
            "Probability of glioma": 0.7,
            "Probability of meningioma": 0.15,
            "Probability of pituitary tumour": 0.1,
            "Probability of no tumour": 0.05,
        }
    )


def test_the_report_has_a_region_on_each_key_slice(tumour: AnalysedStudy, bright: Classifier) -> None:
    groups = report_of(make_results(tumour, bright.card)).get_planar_roi_measurement_groups()

    assert len(groups) == 3
    for group, s in zip(groups, tumour.pictured, strict=True):
        assert group.roi.graphic_type.value == "POLYLINE"
        areas = [m.value for m in group.get_measurements() if m.name.value == "EVIDENCE_AREA"]
        assert s.finding.region is not None
        assert areas == [pytest.approx(s.finding.region.area_mm2, abs=0.01)]
        members = [value for name, value in evaluations_of(group) if name == "Class in the prediction set"]
        assert members == ["glioma", "meningioma"]


def test_the_report_refers_to_sources_and_to_all_other_results(tumour: AnalysedStudy, bright: Classifier) -> None:
    *others, report = make_results(tumour, bright.card)
    evidence = {uid for *_, uid, _ in hd.sr.Comprehensive3DSR.from_dataset(report).get_evidence()}

    assert evidence == {o.SOPInstanceUID for o in others} | {s.header.uid for s in tumour.deciding}


def test_no_tumour_is_said_as_a_negated_finding(make_study: Callable[..., Path], bright: Classifier) -> None:
    results = make_results(analyse(make_study(lesion=False), bright), bright.card)
    study, *_ = report_of(results).get_image_measurement_groups()

    assert kinds(results) == ["secondary-capture"] * 3 + ["report"]
    assert evaluations_of(study) == [("Neoplasm", "Absent")]
    assert study.finding_type.meaning == "Neoplasm"
    assert report_of(results).get_planar_roi_measurement_groups() == []
    capture = results[0].pixel_array[60:600].astype(int)
    assert (capture.max(2) - capture.min(2)).max() < 5  # no colour over a head without a finding


def test_unknown_scans_are_said_to_be_unknown(make_study: Callable[..., Path], strange: Classifier) -> None:
    results = make_results(analyse(make_study(), strange), strange.card)
    study, *_ = report_of(results).get_image_measurement_groups()
    said = dict(evaluations_of(study))

    assert kinds(results) == ["secondary-capture"] * 3 + ["report"]
    assert said == {"Neoplasm": "Undetermined", "Unlike the scans of the training": "Present"}
    assert "not assessable: every slice is unlike the scans of the training" in results[0].ImageComments
    assert not any(group.get_measurements() for group in report_of(results).get_image_measurement_groups())


def test_codes_are_ours_unless_a_site_asks_for_candidates(tumour: AnalysedStudy, bright: Classifier) -> None:
    def class_of(results: list[Dataset]) -> hd.sr.CodedConcept:
        return report_of(results).get_image_measurement_groups()[0].finding_type

    assert class_of(make_results(tumour, bright.card)).scheme_designator == SCHEME
    asked = class_of(make_results(tumour, bright.card, candidates=True))
    assert (asked.scheme_designator, asked.value) == ("SCT", CANDIDATES["glioma"].code.value)


def test_our_coding_scheme_is_declared(tumour: AnalysedStudy, bright: Classifier) -> None:
    for result in make_results(tumour, bright.card):
        declared = {item.CodingSchemeDesignator for item in result.CodingSchemeIdentificationSequence}
        assert SCHEME in declared
