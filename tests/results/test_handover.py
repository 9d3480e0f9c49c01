"""What the page gets: the finding to the last digit, and nothing of the patient."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from tumorlens.classifier import Classifier
from tumorlens.results.handover import HANDOVER, PAGE, SOURCES, HandoverRule, Sources, hand_over, make_secret
from tumorlens.results.handover import read_handover as read
from tumorlens.results.slices import AnalysedStudy

PATIENT = ("Petra", "PH-1", "19700102", "A-77")


@pytest.fixture
def rule(tmp_path: Path) -> HandoverRule:
    make_secret(tmp_path / "secret")
    return HandoverRule(tmp_path / "secret")


@pytest.fixture
def handed(tumour: AnalysedStudy, bright: Classifier, rule: HandoverRule, tmp_path: Path) -> Path:
    folder = tmp_path / "handed"
    folder.mkdir()
    hand_over(tumour, bright.card, rule, folder)
    return folder


def test_the_finding_is_the_analysis_s_to_the_last_digit(handed: Path, tumour: AnalysedStudy) -> None:
    handover = read(handed / PAGE)
    assert handover.study.probabilities == tumour.study.probabilities
    assert (handover.study.answer, handover.study.text) == (tumour.study.answer, tumour.study.text)
    assert len(handover.study.key_slices) == len(tumour.study.key_slices)
    found = sorted((str(s.finding.label), sorted(s.finding.probabilities.items())) for s in handover.slices)
    assert found == sorted((str(s.finding.label), sorted(s.finding.probabilities.items())) for s in tumour.slices)


def test_the_numbers_of_both_sides_mean_the_same_slices(handed: Path, tumour: AnalysedStudy) -> None:
    handover = read(handed / PAGE)
    sources = Sources.model_validate_json((handed / SOURCES).read_bytes())
    by_uid = {s.header.uid: s for s in tumour.slices}
    for there, here in zip(handover.slices, sources.slices, strict=True):
        slice_ = by_uid[here.sop]
        ours = pydicom.dcmread(handed / PAGE / there.file)
        assert there.finding.probabilities == slice_.finding.probabilities
        assert list(ours.ImagePositionPatient) == list(pydicom.dcmread(slice_.path).ImagePositionPatient)
        assert (here.height, here.width) == slice_.shape


def test_nothing_of_the_patient_leaves(handed: Path, tumour: AnalysedStudy) -> None:
    uids = {uid for s in tumour.slices for uid in (s.header.uid, s.header.series)}
    for path in (handed / PAGE).iterdir():
        content = path.read_bytes()
        for secret in (*PATIENT, *uids):
            assert secret.encode() not in content, path.name
        if path.suffix == ".dcm":
            assert pydicom.dcmread(path).StudyInstanceUID != tumour.identity.study
    assert read(handed / PAGE).title == ""


def test_a_rule_may_name_the_patient(tumour: AnalysedStudy, bright: Classifier, rule: HandoverRule) -> None:
    folder = rule.secret.with_name("named")
    folder.mkdir()
    hand_over(tumour, bright.card, HandoverRule(rule.secret, identify=True), folder)
    assert read(folder / PAGE).title == "Phäntom Petra, PH-1, 20260102, A-77"
    for path in (folder / PAGE).glob("*.dcm"):
        assert b"Petra" not in path.read_bytes()


def test_identifiers_differ_from_study_to_study_and_stay_for_one(rule: HandoverRule) -> None:
    assert rule.key("1.2") == rule.key("1.2") != rule.key("1.3")
    before = rule.secret.read_bytes()
    make_secret(rule.secret)
    assert rule.secret.read_bytes() == before
    assert rule.secret.stat().st_mode & 0o777 == 0o600


def test_what_is_no_handover_is_said(tmp_path: Path) -> None:
    (tmp_path / HANDOVER).write_text('{"format": 9}')
    with pytest.raises(ValueError, match="format"):
        read(tmp_path)
