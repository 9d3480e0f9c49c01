"""Studies of a phantom patient, and an analysis that pretends."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from tumorlens.errors import InputError
from tumorlens.formats.dicom import reader as dicom
from tumorlens.listener import SILENT, Listener
from tumorlens.node.isolation import Analyse


def make_instance(study: str, number: int = 1, *, size: int = 64, **elements: Any) -> Dataset:
    """An axial MR slice of a phantom patient: an ellipse with noise.

    Args:
        study: What its UIDs are made of: the same, the same study.
        number: InstanceNumber.
        size: Rows and columns.
        elements: Attributes to set, or with None to leave out.
    """
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = _uid(study, "instance", number)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = _uid(study), _uid(study, "series")
    ds.FrameOfReferenceUID = _uid(study, "frame")
    ds.PatientName, ds.PatientID = "Phantom^Node", "PHANTOM-1"
    ds.PatientBirthDate, ds.PatientSex = "", "O"
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = time.strftime("%Y%m%d")
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = "120000"
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "1", "", ""
    ds.Modality, ds.Manufacturer, ds.SeriesDescription = "MR", "Phantom", "T1 axial"
    ds.SeriesNumber, ds.InstanceNumber = 1, number
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-size / 2, -size / 2, 2.0 * number]
    ds.PixelSpacing, ds.SliceThickness = [1.0, 1.0], 2.0
    ds.Rows = ds.Columns = size
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = _slice(size, number).tobytes()
    for keyword, value in elements.items():
        if value is None:
            del ds[keyword]
        else:
            setattr(ds, keyword, value)
    ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", MRImageStorage)
    return ds


CT: dict[str, Any] = {
    "SOPClassUID": CTImageStorage,
    "Modality": "CT",
    "SeriesDescription": "Head",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "RescaleSlope": "1",
    "RescaleIntercept": "-1024",
    "RescaleType": "HU",
}
"""What `make_instance` takes to draw a slice of CT."""


def write_study(folder: Path, study: str, slices: int, **options: Any) -> list[Path]:
    """Writes a study of such slices; gives its files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(1, slices + 1):
        paths.append(folder / f"{number:04d}.dcm")
        make_instance(study, number, **options).save_as(paths[-1], enforce_file_format=True)
    return paths


def pretend(paths: Sequence[Path], listener: Listener = SILENT) -> list[Dataset]:
    """An analysis that looks at nothing: one Secondary Capture a study, its UID made of the instances' UIDs."""
    sound = [path for path in paths if _is_sound(path, listener)]
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in sound]
    first = headers[0]
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = SecondaryCaptureImageStorage
    ds.SOPInstanceUID = generate_uid(entropy_srcs=["result", *sorted(str(h.SOPInstanceUID) for h in headers)])
    ds.StudyInstanceUID = first.StudyInstanceUID
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=["results", str(ds.SOPInstanceUID)])
    for keyword in ("PatientName", "PatientID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"):
        setattr(ds, keyword, first.get(keyword, ""))
    ds.PatientBirthDate = ds.PatientSex = ds.ReferringPhysicianName = ""
    ds.Modality, ds.ConversionType, ds.SeriesDescription = "OT", "WSD", "Rehearsal"
    ds.SeriesNumber, ds.InstanceNumber = 901, 1
    ds.ImageComments = str(len(sound))
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.Rows = ds.Columns = 32
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = bytes(32 * 32)
    return [ds]


def _is_sound(path: Path, listener: Listener) -> bool:
    listener.reading(str(path))
    try:
        for _ in dicom.read(str(path)):
            pass
    except InputError as error:
        listener.failed(str(path), error.problem)
        return False
    finally:
        listener.reading(None)
    return True


def prepare_pretend(folder: Path | None = None) -> Analyse:
    """What makes `pretend` of a node.

    Args:
        folder: It waits while "hold" is in it, and notes each study that it has analysed in "analysed".
    """

    def run(paths: Sequence[Path], listener: Listener, _folder: Path) -> list[Dataset]:
        while folder is not None and (folder / "hold").exists():
            time.sleep(0.02)
        results = pretend(paths, listener)
        if folder is not None:
            with (folder / "analysed").open("a") as file:
                file.write(f"{results[0].StudyInstanceUID} {results[0].ImageComments}\n")
        return results

    return run


def _uid(*parts: object) -> UID:
    return generate_uid(entropy_srcs=[str(part) for part in ("rehearsal", *parts)])


def _slice(size: int, number: int) -> NDArray[np.uint16]:
    rows, columns = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    head = (rows / 0.9) ** 2 + (columns / 0.7) ** 2 < 1
    noise = np.random.default_rng(number).normal(0, 40, (size, size))
    pixels: NDArray[np.uint16] = np.clip(head * (1200 + 400 * rows) + noise + 60, 0, 4095).astype("<u2")
    return pixels
