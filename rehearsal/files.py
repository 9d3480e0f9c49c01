"""Phantom studies as the files that hospitals and researchers have: DICOM series and NIfTI volumes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tumorlens.phantoms.phantom import ORIENTATIONS, Phantom

# From `Phantom.position` (up, to the front, to the right) to mm along LPS.
_ACROSS = {"axial": (0, 0, 1), "coronal": (0, -1, 0), "sagittal": (-1, 0, 0)}
_WHITE = 1000  # value of the brightest pixel


def write_dicom(study: Sequence[Phantom], folder: Path) -> list[Path]:
    """Writes a study as classic MR images, a file each, all of one series.

    Args:
        study: Slices of one plane, as `make_study` gives them.
        folder: Made if it is missing.

    Returns:
        The files, in the study's order.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    first = study[0]
    uids = {name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    paths = []
    for number, phantom in enumerate(study, 1):
        rows, columns = np.array(ORIENTATIONS[phantom.plane], float).reshape(2, 3)
        spacing = phantom.scan.spacing or (1.0, 1.0)
        corner = np.array(_ACROSS[phantom.plane]) * phantom.position
        corner = (
            corner
            - rows * spacing[1] * (phantom.scan.width - 1) / 2
            - columns * spacing[0] * (phantom.scan.height - 1) / 2
        )
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = MRImageStorage
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
        for keyword, uid in uids.items():
            setattr(ds, keyword, uid)
        ds.PatientName, ds.PatientID = "Phantom^Synthetic", first.scan.patient or "phantom"
        ds.PatientBirthDate, ds.PatientSex, ds.StudyID, ds.AccessionNumber = "19000101", "O", "1", ""
        ds.StudyDate = ds.SeriesDate = "20260101"
        ds.StudyTime, ds.ReferringPhysicianName = "120000", ""
        ds.Modality, ds.Manufacturer, ds.BodyPartExamined = "MR", "TumorLens phantom", "BRAIN"
        ds.SeriesDescription = f"{phantom.contrast} {phantom.plane}, synthetic"
        ds.SeriesNumber, ds.InstanceNumber = 1, number
        ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "SE"]
        ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "SE", "NONE", "", "2D"
        ds.EchoTime, ds.RepetitionTime, ds.EchoTrainLength = 10, 500, 1
        ds.PositionReferenceIndicator, ds.PatientPosition = "", "HFS"
        ds.ImageOrientationPatient = [*rows, *columns]
        ds.ImagePositionPatient = [round(float(v), 4) for v in corner]
        ds.PixelSpacing = [round(s, 6) for s in spacing]
        ds.SliceThickness = abs(study[-1].position - first.position) / max(1, len(study) - 1) or 5.0
        ds.SliceThickness = round(float(ds.SliceThickness), 4)
        ds.Rows, ds.Columns, ds.SamplesPerPixel = phantom.scan.height, phantom.scan.width, 1
        ds.PhotometricInterpretation = "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.WindowCenter, ds.WindowWidth = _WHITE / 2, _WHITE
        ds.PixelData = np.round(phantom.scan.grey * _WHITE).astype("<u2").tobytes()
        path = folder / f"{number:04d}.dcm"
        ds.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def write_nifti(study: Sequence[Phantom], path: Path) -> None:
    """Writes an axial study as one NIfTI volume in RAS.

    Args:
        study: Axial slices at equal distances, as `make_study` gives them.
        path: Ends in .nii or .nii.gz.

    Raises:
        ValueError: If the slices are not axial.
    """
    import nibabel

    if any(phantom.plane != "axial" for phantom in study):
        raise ValueError("a volume is made of axial slices")
    stack = np.stack([phantom.scan.grey for phantom in study])  # (Z, rows from the front, columns from the right)
    # RAS counts to the right and the front; pictures begin at the patient's right, which is LPS's first.
    data = np.round(stack.transpose(2, 1, 0)[::-1, ::-1] * _WHITE).astype(np.int16)
    down, along = study[0].scan.spacing or (1.0, 1.0)
    step = (study[-1].position - study[0].position) / max(1, len(study) - 1) or 1.0
    affine = np.diag([along, down, step, 1.0])
    affine[:3, 3] = [-along * (data.shape[0] - 1) / 2, -down * (data.shape[1] - 1) / 2, study[0].position]
    nibabel.save(nibabel.Nifti1Image(data, affine), path)
