"""What leaves names nobody."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from tumorlens.errors import UnreadableFile
from tumorlens.formats import read_scans
from tumorlens.formats.dicom.deidentify import deidentify, deidentify_file

SECRETS = ("Doe", "P-4711", "Saint Elsewhere", "19560102", "Dr House", "10.9.8.7", "ACC-99", "Smith")


def make(path: Path, series: str = "", number: int = 1) -> Path:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = MRImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.file_meta.SourceApplicationEntityTitle = "Doe"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = "Doe^Jane", "P-4711", "19560102"
    ds.InstitutionName, ds.ReferringPhysicianName, ds.AccessionNumber = "Saint Elsewhere", "Dr House", "ACC-99"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), series or generate_uid()
    ds.StudyDate = ds.SeriesDate = "19560102"
    ds.Modality, ds.InstanceNumber, ds.PixelSpacing = "MR", number, [0.9, 0.9]
    ds.ImageComments = "Doe, seen by Dr House"
    block = ds.private_block(0x0099, "ACME 10.9.8.7", create=True)
    block.add_new(1, "LO", "Doe")
    request = Dataset()
    request.RequestedProcedureDescription, request.RequestingPhysician = "brain of Doe", "Smith"
    deep = Dataset()
    deep.PatientName = "Doe^Deep"
    anatomy = Dataset()  # no element of the profile's table
    anatomy.CodeValue, anatomy.CodingSchemeDesignator, anatomy.CodeMeaning = "12738006", "SCT", "Brain"
    anatomy.add_new((0x0008, 0x1120), "SQ", [deep])
    ds.AnatomicRegionSequence, ds.RequestAttributesSequence = [anatomy], [request]
    ds.Rows = ds.Columns = 32
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 15, 0, 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelData = np.arange(1024, dtype=np.uint16).tobytes()
    ds.save_as(path, enforce_file_format=True)
    return path


def test_no_identifier_is_left_in_any_byte(tmp_path: Path) -> None:
    source, target = make(tmp_path / "in.dcm"), tmp_path / "out.dcm"
    for secret in SECRETS:
        assert secret.encode() in source.read_bytes()

    deidentify_file(source, target, b"key")

    left = target.read_bytes()
    assert [secret for secret in SECRETS if secret.encode() in left] == []
    assert dcmread(source).StudyInstanceUID.encode() not in left


def test_it_is_still_the_same_picture(tmp_path: Path) -> None:
    source, target = make(tmp_path / "in.dcm"), tmp_path / "out.dcm"
    deidentify_file(source, target, b"key")
    (before,), (after,) = read_scans(source), read_scans(target)

    assert np.array_equal(before.pixels, after.pixels)
    assert (after.spacing, after.modality) == ((0.9, 0.9), "MR")
    assert dcmread(target).PatientIdentityRemoved == "YES"
    assert dcmread(target).file_meta.MediaStorageSOPInstanceUID == dcmread(target).SOPInstanceUID


def test_a_series_stays_together_and_another_key_tears_it_off(tmp_path: Path) -> None:
    uid = generate_uid()
    files = [make(tmp_path / f"{n}.dcm", uid, n) for n in (1, 2)]
    series = []
    for n, (file, key) in enumerate([(files[0], b"a"), (files[1], b"a"), (files[1], b"b")]):
        deidentify_file(file, tmp_path / f"out{n}", key)
        series.append(dcmread(tmp_path / f"out{n}").SeriesInstanceUID)

    assert series[0] == series[1] != series[2]
    assert series[0] != uid


def test_text_in_the_pixels_is_warned_of() -> None:
    ds = Dataset()
    ds.BurnedInAnnotation = "YES"
    assert "burned into" in deidentify(ds, b"k")[0]
    captured = Dataset()
    captured.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    assert "may have text" in deidentify(captured, b"k")[0]


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "cut.dcm").write_bytes(make(tmp_path / "in.dcm").read_bytes()[:150])
    with pytest.raises(UnreadableFile):
        deidentify_file(tmp_path / "cut.dcm", tmp_path / "out.dcm", b"k")
