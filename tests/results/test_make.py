"""What the result objects say, and that they say it of the right study."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from tests.studies import GRIDS, classic, save
from tumorlens.classifier import Classifier
from tumorlens.results.analysis import analyse
from tumorlens.results.codes import CANDIDATES, SCHEME
from tumorlens.results.make import KINDS, make_results, write_results
from tumorlens.results.slices import AnalysedStudy

WHEN = datetime(2026, 3, 4, 5, 6, 7)


@pytest.fixture
def tumour(make_study: Callable[..., Path], bright: Classifier) -> AnalysedStudy:
    return analyse(make_study(), bright, WHEN)


def kinds(results: list[Dataset]) -> list[str]:
    return [KINDS[r.SOPClassUID] for r in results]


def written(ds: Dataset) -> bytes:
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def evaluations_of(group: Any) -> list[tuple[str, str]]:
    """What a group of a report evaluates, and how, in words."""
    return [(e.name.meaning, e.value.meaning) for e in group.get_qualitative_evaluations()]


def report_of(results: list[Dataset]) -> hd.sr.MeasurementReport:
    content = hd.sr.Comprehensive3DSR.from_dataset(pydicom.dcmread(io.BytesIO(written(results[-1])))).content
    assert isinstance(content, hd.sr.MeasurementReport)
    return content


def test_a_tumour_has_all_kinds_of_results(tumour: AnalysedStudy, bright: Classifier) -> None:
    expected = ["secondary-capture"] * 3 + ["segmentation", "parametric-map", "presentation-state", "report"]

    assert kinds(make_results(tumour, bright.card)) == expected


def test_every_result_is_of_the_patient_and_study(tumour: AnalysedStudy, bright: Classifier) -> None:
    for result in make_results(tumour, bright.card):
        read = pydicom.dcmread(io.BytesIO(written(result)))
        assert (str(read.PatientName), read.PatientID, read.PatientSex) == ("Phäntom^Petra", "PH-1", "F")
        assert (read.AccessionNumber, read.StudyDate, read.StudyID) == ("A-77", "20260102", "S1")
        assert read.StudyInstanceUID == tumour.identity.study
        assert read.SeriesInstanceUID not in {s.header.series for s in tumour.slices}


def test_every_result_says_that_it_is_research(tumour: AnalysedStudy, bright: Classifier) -> None:
    results = make_results(tumour, bright.card)

    assert all(r.SeriesDescription.startswith("AI - research use only") for r in results)
    assert all(r.ContentQualification == "RESEARCH" for r in results)
    assert (results[-1].PreliminaryFlag, results[-1].VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")
    assert results[-1].CompletionFlag == "COMPLETE"


def test_every_result_names_its_algorithm(tumour: AnalysedStudy, bright: Classifier) -> None:
    for result in make_results(tumour, bright.card):
        equipment, *_ = result.ContributingEquipmentSequence
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
        assert equipment.ManufacturerModelName == "TumorLens bright"
        assert "abababababab" in equipment.SoftwareVersions
        assert equipment.DeviceUID


def test_made_again_they_are_the_same_to_the_last_byte(
    make_study: Callable[..., Path], tumour: AnalysedStudy, bright: Classifier
) -> None:
    again = analyse(make_study(), bright, WHEN)
    first, second = make_results(tumour, bright.card), make_results(again, bright.card)

    assert [written(r) for r in first] == [written(r) for r in second]


def test_at_another_time_they_have_the_same_uids(tumour: AnalysedStudy, bright: Classifier) -> None:
    (file,) = {Path(s.path).parent for s in tumour.slices}
    later = analyse(file, bright)

    assert [r.SOPInstanceUID for r in make_results(later, bright.card)] == [
        r.SOPInstanceUID for r in make_results(tumour, bright.card)
    ]


def test_with_other_weights_or_slices_they_are_others(tumour: AnalysedStudy, bright: Classifier) -> None:
    first = {r.SOPInstanceUID for r in make_results(tumour, bright.card)}
    retrained = bright.card.model_copy(update={"sha256": "cd" * 32})
    fewer = analyse([s.path for s in tumour.slices[1:]], bright, WHEN)

    assert first.isdisjoint(r.SOPInstanceUID for r in make_results(tumour, retrained))
    assert first.isdisjoint(r.SOPInstanceUID for r in make_results(fewer, bright.card))


def test_uids_are_unique_and_valid(tumour: AnalysedStudy, bright: Classifier) -> None:
    results = make_results(tumour, bright.card)
    uids = [r.SOPInstanceUID for r in results]

    assert len(set(uids)) == len(uids)
    assert all(pydicom.uid.UID(u).is_valid for u in uids)


def test_pictures_warn_in_the_picture_and_in_the_header(tumour: AnalysedStudy, bright: Classifier) -> None:
    capture = make_results(tumour, bright.card)[0]
    banner = capture.pixel_array[:40].reshape(-1, 3).astype(int)

    assert capture.BurnedInAnnotation == "YES"
    assert "RESEARCH USE ONLY" in capture.ImageComments
    assert (banner[:, 0] > banner[:, 2] + 100).sum() > 200  # yellow letters
    assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == tumour.pictured[0].header.uid


def test_pictures_show_the_lesion_hot_where_it_is(tumour: AnalysedStudy, bright: Classifier) -> None:
    capture, source = make_results(tumour, bright.card)[1], tumour.pictured[1]
    assert source.finding.region is not None
    picture = capture.pixel_array.astype(int)
    x0, y0, x1, y1 = source.finding.region.box
    scale = 640 / source.shape[0]
    width = np.flatnonzero((picture[60:600] > 30).any((0, 2)))  # the scan, as the picture has it
    left = width[0]
    middle = picture[round(42 + (y0 + y1) / 2 * scale), round(left + (x0 + x1) / 2 * scale)]

    assert middle[0] > 200
    assert middle[0] > middle[2]  # inferno is hot at its peak; a grey lesion would have equal channels


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


def test_files_are_named_by_what_they_are(tumour: AnalysedStudy, bright: Classifier, tmp_path: Path) -> None:
    paths = write_results(make_results(tumour, bright.card), tmp_path / "out")

    assert [p.name for p in paths][2:] == [
        "03-secondary-capture.dcm",
        "04-segmentation.dcm",
        "05-parametric-map.dcm",
        "06-presentation-state.dcm",
        "07-report.dcm",
    ]
    assert all(pydicom.dcmread(p).SOPClassUID for p in paths)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientName", "A^B^C^D^E^F^G"),
        ("PatientName", "single"),
        ("PatientSex", "UNKNOWN"),
        ("PatientBirthDate", "yesterday"),
        ("StudyDate", "2026-01-02"),
        ("StudyTime", "noon"),
        ("AccessionNumber", "longer than sixteen characters"),
        ("PatientID", ""),
        ("PatientAge", "old"),
    ],
)
def test_a_malformed_header_spoils_no_result(keyword: str, value: str, tmp_path: Path, bright: Classifier) -> None:
    ds = classic(GRIDS["axial"], GRIDS["axial"].position(3, 7))
    ds[keyword] = pydicom.DataElement(
        keyword, pydicom.datadict.dictionary_VR(keyword), value, validation_mode=pydicom.config.IGNORE
    )
    save(ds, tmp_path / "slice.dcm")
    results = make_results(analyse(tmp_path, bright), bright.card)

    assert [pydicom.dcmread(io.BytesIO(written(r))).PatientID for r in results]


def test_a_patient_without_any_attribute_is_possible(tmp_path: Path, bright: Classifier) -> None:
    ds = classic(GRIDS["axial"], GRIDS["axial"].position(3, 7))
    for keyword in (
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyDate",
        "StudyID",
        "Manufacturer",
    ):
        del ds[keyword]
    save(ds, tmp_path / "slice.dcm")

    assert len(make_results(analyse(tmp_path, bright), bright.card)) == 5


def test_uids_with_leading_zeros_are_referred_to_as_they_are(tmp_path: Path, bright: Classifier) -> None:
    content = io.BytesIO()
    ds = classic(GRIDS["axial"], GRIDS["axial"].position(3, 7))
    ds.SOPInstanceUID = "1.2.300.4"
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    ds.save_as(content, enforce_file_format=True)
    (tmp_path / "slice.dcm").write_bytes(content.getvalue().replace(b"1.2.300.4", b"1.2.003.4"))
    results = make_results(analyse(tmp_path, bright), bright.card)
    write_results(results, tmp_path / "out")  # no library warns, and quotes the identifier

    assert results[0].SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2.003.4"


@pytest.mark.parametrize("with_window", [True, False])
def test_the_contour_lies_over_a_picture_that_can_be_seen(
    with_window: bool, tmp_path: Path, bright: Classifier
) -> None:
    ds = classic(GRIDS["axial"], GRIDS["axial"].position(3, 7))
    if not with_window:
        del ds.WindowCenter, ds.WindowWidth
    save(ds, tmp_path / "slice.dcm")
    results = make_results(analyse(tmp_path, bright), bright.card)
    (state,) = (r for r in results if KINDS[r.SOPClassUID] == "presentation-state")
    (window,) = state.SoftcopyVOILUTSequence

    assert 300 < window.WindowCenter < 600  # as in the header, or between robust percentiles
    assert 600 < window.WindowWidth <= 1000


def test_a_colour_picture_has_no_greyscale_state(tmp_path: Path, bright: Classifier) -> None:
    ds = classic(GRIDS["axial"], GRIDS["axial"].position(3, 7))
    grey = (ds.pixel_array / 4).clip(0, 255).astype(np.uint8)
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.PixelData = np.stack([grey, grey, grey // 2], axis=2).tobytes()
    save(ds, tmp_path / "slice.dcm")
    results = make_results(analyse(tmp_path, bright), bright.card)

    assert "presentation-state" not in kinds(results)
    assert "segmentation" in kinds(results)
