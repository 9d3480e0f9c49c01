"""A phantom study of three sequences, as a scanner writes it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from pydicom import dcmread

from rehearsal.files import write_dicom
from tumorlens.phantoms.phantom import make_study

SERIES = (
    (5, "t1 post axial", "axial", "t1c", 12),
    (2, "t2 coronal", "coronal", "t2", 8),
    (3, "flair", "axial", "flair", 6),
)
"""SeriesNumber, description, plane, contrast and number of slices."""
_ROOT = "1.2.826.0.1.3680043.8.498"


def three_sequences(folder: Path, size: int = 96) -> bytes:
    """A zip archive of a study in three sequences, the last two of them in one folder, in no order of theirs."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number, description, plane, contrast, slices in SERIES:
            study = make_study(3, label="glioma", plane=plane, contrast=contrast, size=size, slices=slices)
            for path in write_dicom(study, folder / str(number)):
                ds = dcmread(path)
                ds.StudyInstanceUID, ds.FrameOfReferenceUID = f"{_ROOT}.7", f"{_ROOT}.8"
                ds.SeriesNumber, ds.SeriesDescription = number, description
                ds.EchoTime = ds.RepetitionTime = None
                ds.save_as(path)
                archive.write(path, f"A/{number if number == 5 else 'rest'}/{number}-{path.name}")
    return file.getvalue()
