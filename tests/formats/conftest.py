"""Builders of the files that the readers are tested with."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage, generate_uid


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    """(40, 32) uint8: a smooth gradient with one bright corner, the top left, so no turn or flip looks alike."""
    rows, columns = np.mgrid[:40, :32]
    values: NDArray[np.uint8] = (3 * rows + 2 * columns + 10).astype(np.uint8)
    values[:8, :8] = 255
    return values


@pytest.fixture
def make_dicom(tmp_path: Path) -> Callable[..., Path]:
    """Writes a DICOM file. Keywords set or (None) remove elements; the data set is passed to `change` last."""

    def make(
        pixels: ArrayLike,
        name: str = "slice.dcm",
        syntax: UID = ExplicitVRLittleEndian,
        change: Callable[[Dataset], object] | None = None,
        **elements: object,
    ) -> Path:
        pixels = np.asarray(pixels)
        colour = pixels.ndim >= 3 and pixels.shape[-1] == 3
        frames = pixels.shape[0] if pixels.ndim == (4 if colour else 3) else None
        rows, columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
        bits = pixels.dtype.itemsize * 8
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = syntax
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.SeriesInstanceUID = "1.2.3"
        ds.PatientID, ds.PatientName, ds.Modality = "P-17", "Doe^Jane", "MR"
        ds.Rows, ds.Columns = rows, columns
        ds.SamplesPerPixel = 3 if colour else 1
        ds.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
        if colour:
            ds.PlanarConfiguration = 0
        if frames:
            ds.NumberOfFrames = frames
        ds.BitsAllocated = ds.BitsStored = bits
        ds.HighBit = bits - 1
        ds.PixelRepresentation = int(pixels.dtype.kind == "i")
        ds.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
        ds["PixelData"].VR = "OB" if bits == 8 else "OW"
        for keyword, value in elements.items():
            if value is None:
                del ds[keyword]
            else:
                setattr(ds, keyword, value)
        if change:
            change(ds)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        ds.save_as(path, enforce_file_format=True)
        return path

    return make


@pytest.fixture
def make_nifti(tmp_path: Path) -> Callable[..., Path]:
    """Writes a NIfTI file of an array and an affine (default: RAS, 1 mm)."""

    def make(
        data: NDArray[Any],
        affine: NDArray[np.float64] | None = None,
        name: str = "volume.nii.gz",
        kind: type[nib.Nifti1Image] = nib.Nifti1Image,
    ) -> Path:
        path = tmp_path / name
        nib.save(kind(data, np.eye(4) if affine is None else affine), path)
        return path

    return make


@pytest.fixture
def make_mat(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file as Cheng's: HDF5 behind MATLAB's block of text, every array transposed."""

    def make(image: NDArray[Any], /, name: str = "1.mat", **members: Any) -> Path:
        path = tmp_path / name
        mask = np.zeros(image.shape, np.uint8)
        mask[10:20, 12:28] = 1
        members = {
            "image": image,
            "label": np.array([[2.0]]),
            "PID": np.array([[ord(c)] for c in "100360"], np.uint16).T,
            "tumorMask": mask,
            "tumorBorder": np.array([[11, 13, 11, 28, 20, 28, 20, 13]], float),  # rows before columns, from 1
            **members,
        }
        with h5py.File(path, "w", userblock_size=512) as file:
            for member, values in members.items():
                if values is not None:
                    file[f"cjdata/{member}"] = values.T
        with path.open("r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file, Platform: PCWIN64".ljust(512))
        return path

    return make


@pytest.fixture
def make_png_header() -> Callable[[int, int], bytes]:
    """The bytes of a PNG that announces a size, and whose pixels inflate to zeros without end."""

    def make(width: int, height: int) -> bytes:
        def chunk(kind: bytes, body: bytes) -> bytes:
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

        header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        pixels = zlib.compress(bytes(1_000_000), 9)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")

    return make
