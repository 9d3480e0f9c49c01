"""Studies with a bright lesion at a known place of the patient, and a classifier that finds what is bright."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from tumorlens.card import Calibration, HeatMapRule, WeightsCard
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.engines import Answers, Target
from tumorlens.preprocess import Preprocessing

LESION = np.array([22.0, -14.0, 31.0])
"""Where the lesion lies, mm, in DICOM's patient space."""

Place = NDArray[np.float64]
RADIUS = 19.0
STUDY = "1.2.826.0.1.3680043.8.498.1"


@dataclass(frozen=True)
class Grid:
    """How a series is cut: directions of rows and columns, pixel spacing, and which way the table moves.

    Slices follow each other across their plane, but for those of a tilted gantry.
    """

    row: tuple[float, float, float]
    column: tuple[float, float, float]
    spacing: tuple[float, float] = (1.4, 1.4)
    shape: tuple[int, int] = (120, 120)
    gap: float = 5.0
    table: tuple[float, float, float] | None = None

    def position(self, index: float, count: int) -> Place:
        """Centre of the first pixel of a slice, so that the middle slice crosses the lesion off the centre."""
        row, column = np.array(self.row), np.array(self.column)
        step = np.cross(row, column) if self.table is None else np.array(self.table)
        middle = LESION + 16 * row - 9 * column  # mm; the lesion is not in the middle of the picture
        corner = middle - row * self.spacing[1] * (self.shape[1] - 1) / 2
        corner = corner - column * self.spacing[0] * (self.shape[0] - 1) / 2
        first: Place = corner + step * self.gap * (index - count // 2)
        return first

    def points(self, position: Place) -> NDArray[np.float64]:
        """Patient coordinates of all pixels, (H, W, 3)."""
        rows, columns = np.mgrid[: self.shape[0], : self.shape[1]]
        along, down = np.array(self.row) * self.spacing[1], np.array(self.column) * self.spacing[0]
        points: NDArray[np.float64] = position + columns[..., None] * along + rows[..., None] * down
        return points


def _unit(*vector: float) -> tuple[float, float, float]:
    v = np.array(vector) / np.linalg.norm(vector)
    return float(v[0]), float(v[1]), float(v[2])


GRIDS = {
    "axial": Grid((1, 0, 0), (0, 1, 0)),
    "coronal": Grid((1, 0, 0), (0, 0, -1)),
    "sagittal": Grid((0, 1, 0), (0, 0, -1)),
    "oblique": Grid(_unit(0.9, 0.3, 0.1), _unit(-0.3, 0.9, 0.0)),
    "doubly oblique": Grid(_unit(0.8, 0.36, -0.48), _unit(0, 0.8, 0.6)),
    "reversed rows": Grid((-1, 0, 0), (0, 1, 0)),
    "reversed columns": Grid((1, 0, 0), (0, -1, 0)),
    "both reversed": Grid((-1, 0, 0), (0, -1, 0)),
    "negated cosines": Grid((0, -1, 0), (0, 0, 1)),
    "rows and columns swapped": Grid((0, 1, 0), (1, 0, 0)),
    "wide pixels": Grid((1, 0, 0), (0, 1, 0), spacing=(1.1, 1.7), shape=(140, 96)),
    "not square": Grid((1, 0, 0), (0, 0, -1), shape=(96, 136)),
    "tilted gantry": Grid((1, 0, 0), _unit(0, 0.94, 0.34), table=(0, 0, 1)),
}


def draw(grid: Grid, position: Place, lesion: bool) -> NDArray[np.uint16]:
    """A slice, (H, W) uint16: a grey head, and a lesion that is white and brightest in its middle."""
    points = grid.points(position)
    head = np.linalg.norm(points - LESION + [20, 0, 20], axis=2) < 60
    image = np.where(head, 300, 20) + 20 * np.sin(points[..., 0] / 3)
    if lesion:
        distance = np.linalg.norm(points - LESION, axis=2)
        image = np.maximum(image, 1000 * np.exp(-((distance / RADIUS) ** 2)))
    pixels: NDArray[np.uint16] = image.round().astype(np.uint16)
    return pixels


def header(study: str = STUDY, series: str = "1.2.3.1", number: int = 1) -> Dataset:
    """What all our sources say."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Phäntom^Petra", "PH-1", "19700102", "F"
    ds.StudyInstanceUID, ds.StudyDate, ds.StudyTime = study, "20260102", "101112"
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "S1", "A-77", None
    ds.SeriesInstanceUID, ds.SeriesNumber, ds.InstanceNumber = f"{study}.{series}", 3, number
    ds.Modality, ds.Manufacturer = "MR", "Nobody"
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = f"{study}.9", None
    ds.SOPInstanceUID = generate_uid(entropy_srcs=[study, series, str(number)])
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    return ds


def save(ds: Dataset, path: Path) -> Path:
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def classic(grid: Grid, position: Place, lesion: bool = True, **options: Any) -> Dataset:
    """A classic MR image."""
    ds = header(**options)
    ds.SOPClassUID, ds.ImageType = MRImageStorage, ["ORIGINAL", "PRIMARY", "M"]
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "SE", "NONE", None, "2D"
    ds.EchoTime = ds.RepetitionTime = ds.EchoTrainLength = None
    ds.ImagePositionPatient = [round(float(v), 6) for v in position]
    ds.ImageOrientationPatient = [round(float(v), 6) for v in (*grid.row, *grid.column)]
    ds.PixelSpacing, ds.SliceThickness = list(grid.spacing), 3
    ds.WindowCenter, ds.WindowWidth = 500, 1000
    pixels = draw(grid, position, lesion)
    ds.Rows, ds.Columns = pixels.shape
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OW"
    return ds


def enhanced(grid: Grid, positions: Sequence[np.ndarray], lesion: bool = True) -> Dataset:
    """An enhanced MR image: each frame's place in its own functional groups."""
    ds = header(series="1.2.3.7")
    ds.SOPClassUID, ds.ImageType = EnhancedMRImageStorage, ["ORIGINAL", "PRIMARY", "M", "NONE"]
    ds.NumberOfFrames = len(positions)
    shared, groups = Dataset(), []
    measures = Dataset()
    measures.PixelSpacing, measures.SliceThickness = list(grid.spacing), 3
    window, rescale = Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth = 500, 1000
    rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = 1, 0, "US"
    shared.PixelMeasuresSequence = [measures]
    shared.FrameVOILUTSequence, shared.PixelValueTransformationSequence = [window], [rescale]
    for position in positions:
        group, place, axes = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [round(float(v), 6) for v in position]
        axes.ImageOrientationPatient = [round(float(v), 6) for v in (*grid.row, *grid.column)]
        group.PlanePositionSequence, group.PlaneOrientationSequence = [place], [axes]
        groups.append(group)
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = [shared], groups
    frames = [draw(grid, position, lesion) for position in positions]
    ds.Rows, ds.Columns = frames[0].shape
    ds.PixelData = np.stack(frames).tobytes()
    ds["PixelData"].VR = "OW"
    return ds


class BrightEngine:
    """Says "glioma" of what has a bright spot, with the spot as heat map, and "no tumour" of all else.

    Args:
        unknown: Whether everything is unlike the training.
    """

    def __init__(self, unknown: bool = False) -> None:
        self.unknown = unknown
        self.rule = HeatMapRule(method="bright", threshold=0.5)
        thresholds = {"glioma": 0.1, "meningioma": 0.1, "pituitary": 0.5, "no_tumor": 0.5}
        self.card = WeightsCard(
            name="bright",
            network="none",
            preprocessing=Preprocessing(size=128),
            classes=BRAIN_TUMORS,
            calibration=Calibration(scans={}, coverage=0.9, set_thresholds=thresholds, accepted=0.95),
            heat_map=self.rule,
            sha256="ab" * 32,
        )

    def answer(self, images: NDArray[np.float32], *, explain: bool = True, target: Target = None) -> Answers:
        grey = images[:, 0]
        bright = np.clip(grey - 0.45, 0, None) ** 2
        shows = grey.max((1, 2)) > 0.5
        p = np.where(shows[:, None], [0.7, 0.15, 0.1, 0.05], [0.04, 0.03, 0.03, 0.9])
        distances = np.full((len(images), 2), 2.0 if self.unknown else 0.5)
        return Answers(p, bright.astype(np.float32) if explain else None, distances, np.zeros((len(images), 16)))
