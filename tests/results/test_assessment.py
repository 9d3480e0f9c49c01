"""A reader's assessment as a report: what it says, of which slices, and who vouches for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from tests.results.conftest import written
from tests.results.test_report import evaluations_of, report_of
from tumorlens.classifier import Classifier
from tumorlens.errors import DataError
from tumorlens.results.assessment import AssessedSlice, Assessment, make_assessment
from tumorlens.results.handover import SOURCES, HandoverRule, Sources, hand_over, make_secret
from tumorlens.results.make import make_results
from tumorlens.results.slices import AnalysedStudy

SQUARE = ((0.25, 0.25), (0.5, 0.25), (0.5, 0.75), (0.25, 0.75))


@pytest.fixture
def sources(tumour: AnalysedStudy, bright: Classifier, tmp_path: Path) -> Sources:
    make_secret(tmp_path / "secret")
    hand_over(tumour, bright.card, HandoverRule(tmp_path / "secret"), tmp_path)
    return Sources.model_validate_json((tmp_path / SOURCES).read_bytes())


@pytest.fixture
def report(tumour: AnalysedStudy, bright: Classifier) -> Dataset:
    return make_results(tumour, bright.card)[-1]


def said(*slices: AssessedSlice, **changes: Any) -> Assessment:
    given = {"id": "0123456789abcdef", "origin": "90a47f5ba6-001", "reader": "ann", "verified": False, "sent": 1.8e9}
    return Assessment(**given | changes, slices=slices)


BOTH = (
    AssessedSlice(number=1, verdict="other", label="meningioma", comment="A dural tail", outline=SQUARE),
    AssessedSlice(number=2, verdict="unsure"),
)


def test_each_slice_says_class_verdict_words_and_outline(sources: Sources, report: Dataset) -> None:
    content = report_of([make_assessment(said(*BOTH), sources, report, "")])
    (outlined,) = content.get_planar_roi_measurement_groups()
    (unsure,) = content.get_image_measurement_groups()
    assert evaluations_of(outlined) == [
        ("Reader's assessment of the AI finding", "Names another class"),
        ("Neoplasm", "Present"),
        ("Class by the reader", "meningioma"),
    ]
    assert dict(evaluations_of(unsure))["Neoplasm"] == "Undetermined"
    corners = outlined.roi.value
    first = sources.slices[0]
    assert corners[0].tolist() == pytest.approx([0.25 * first.width, 0.25 * first.height])
    assert outlined.roi.graphic_type.value == "POLYLINE"
    assert "A dural tail" in str(outlined)


def test_it_belongs_to_the_study_and_refers_to_what_it_is_of(
    sources: Sources, report: Dataset, tumour: AnalysedStudy
) -> None:
    result = make_assessment(said(*BOTH), sources, report, "")
    assert (result.PatientName, result.StudyInstanceUID) == (report.PatientName, tumour.identity.study)
    text = str(result)
    for uid in (sources.slices[0].sop, sources.slices[1].sop, report.SOPInstanceUID):
        assert uid in text
    assert result.SeriesNumber == 9706
    assert written(result) == written(make_assessment(said(*BOTH), sources, report, ""))  # a kill changes nothing


@pytest.mark.parametrize(
    ("verified", "organization", "flag"),
    [(True, "A hospital", "VERIFIED"), (True, "", "UNVERIFIED"), (False, "A hospital", "UNVERIFIED")],
)
def test_it_is_verified_only_where_a_person_of_an_organization_did_it(
    sources: Sources, report: Dataset, verified: bool, organization: str, flag: str
) -> None:
    result = make_assessment(said(*BOTH, verified=verified), sources, report, organization)
    assert result.VerificationFlag == flag
    assert ("VerifyingObserverSequence" in result) == (flag == "VERIFIED")
    if flag == "VERIFIED":
        (observer,) = result.VerifyingObserverSequence
        assert (observer.VerifyingObserverName, observer.VerifyingOrganization) == ("ann", "A hospital")


@pytest.mark.parametrize(
    "wrong",
    [AssessedSlice(number=999, verdict="unsure"), AssessedSlice(number=1, verdict="other", label="cat")],
)
def test_what_the_study_has_not_is_refused(sources: Sources, report: Dataset, wrong: AssessedSlice) -> None:
    with pytest.raises(DataError, match="assessment"):
        make_assessment(said(wrong), sources, report, "")


@pytest.mark.parametrize(
    "change", [{"id": "../../x"}, {"origin": "../../../e"}, {"reader": "a^b"}, {"reader": ""}, {"sent": -1}]
)
def test_a_hostile_assessment_is_none(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        said(*BOTH, **change)
