from __future__ import annotations

import io
from pathlib import Path

import pydicom
import pytest

from tests.results.conftest import written
from tests.studies import GRIDS, classic, save
from tumorlens.classifier import Classifier
from tumorlens.results.analysis import analyse
from tumorlens.results.make import make_results, write_results
from tumorlens.results.slices import AnalysedStudy


def test_every_result_is_of_the_patient_and_study(tumour: AnalysedStudy, bright: Classifier) -> None:
    for result in make_results(tumour, bright.card):
        read = pydicom.dcmread(io.BytesIO(written(result)))
        assert (str(read.PatientName), read.PatientID, read.PatientSex) == ("Phäntom^Petra", "PH-1", "F")
        assert (read.AccessionNumber, read.StudyDate, read.StudyID) == ("A-77", "20260102", "S1")
        assert read.StudyInstanceUID == tumour.identity.study
        assert read.SeriesInstanceUID not in {s.header.series for s in tumour.slices}


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
