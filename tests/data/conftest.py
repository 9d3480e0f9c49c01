"""Builders of small data sets. No real scan comes near these tests."""

import csv
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid


@pytest.fixture
def make_scan(tmp_path: Path) -> Callable[..., Path]:
    """Writes a picture of 20 x 20 pixels, another one for another number, below tmp_path."""

    def make(name: str, number: int = 0) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (20, 20), np.uint8)).save(path, "PNG")
        return path

    return make


@pytest.fixture
def make_table(tmp_path: Path) -> Callable[..., Path]:
    """Writes a CSV table below tmp_path."""

    def make(rows: list[list[str]], name: str = "table.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding=encoding) as file:
            csv.writer(file).writerows(rows)
        return path

    return make


@pytest.fixture
def make_mat(tmp_path: Path) -> Callable[..., Path]:
    """Writes a slice as Cheng's release has it."""

    def make(name: str, label: int = 2, patient: str = "100360") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        mask = np.zeros((24, 24), np.uint8)
        mask[5:15, 8:20] = 1
        members = {
            "image": np.random.default_rng(label).integers(0, 900, (24, 24), np.int16),
            "label": np.array([[float(label)]]),
            "PID": np.array([[ord(c) for c in patient]], np.uint16),
            "tumorMask": mask,
            "tumorBorder": np.array([[6, 9, 6, 20, 15, 20, 15, 9]], float),
        }
        with h5py.File(path, "w", userblock_size=512) as file:
            for member, values in members.items():
                file[f"cjdata/{member}"] = values.T
        with path.open("r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file, Platform: PCWIN64".ljust(512))
        return path

    return make


@pytest.fixture
def make_dicom(tmp_path: Path) -> Callable[..., Path]:
    """Writes a DICOM file of one or more frames below tmp_path."""

    def make(name: str, patient: str = "", series: str = "", frames: int = 1, seed: int = 0) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 900, (frames, 20, 20), np.uint16)
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[name])
        ds.SeriesInstanceUID, ds.PatientID, ds.PatientName, ds.Modality = series, patient, "Doe^Jane", "MR"
        ds.Rows = ds.Columns = 20
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.NumberOfFrames = 1, "MONOCHROME2", frames
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
        ds.PixelData = pixels.tobytes()
        ds["PixelData"].VR = "OW"
        ds.save_as(path, enforce_file_format=True)
        return path

    return make
