"""The order of the DICOM files of a folder: series by series, each in the order the slices lie in the head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tumorlens.errors import InputError
from tumorlens.formats.checks import parsing
from tumorlens.formats.dicom.reader import load

_TAGS = ["SeriesInstanceUID", "ImagePositionPatient", "ImageOrientationPatient", "InstanceNumber"]
_PARALLEL = 0.999  # cosine of the angle between normals of one stack


@dataclass(frozen=True)
class Place:
    """Where a DICOM file belongs.

    Attributes:
        path: The file.
        series: SeriesInstanceUID, or None.
        instance: InstanceNumber, or None.
        position: Position of the first pixel (x, y, z), in mm, in DICOM's patient space (LPS); or None.
        normal: Unit vector across the slice, or None.
    """

    path: str
    series: str | None = None
    instance: int | None = None
    position: tuple[float, ...] | None = None
    normal: tuple[float, ...] | None = None


def place_of(path: str) -> Place:
    """Reads the few elements that place a file, and no pixels. A file that cannot be parsed has no place."""
    try:
        ds = load(path, stop_before_pixels=True, specific_tags=_TAGS)
        with parsing(path):
            series = str(ds.get("SeriesInstanceUID") or "") or None
            number = ds.get("InstanceNumber")
            instance = None if number is None or isinstance(number, str) else int(number)
            position = vector(ds.get("ImagePositionPatient"), 3)
            axes = vector(ds.get("ImageOrientationPatient"), 6)
    except InputError:
        return Place(path)  # reading it says why
    normal = None if axes is None else np.cross(axes[:3], axes[3:])
    if normal is None or not (length := np.linalg.norm(normal)) > 0:
        return Place(path, series, instance, position)
    return Place(path, series, instance, position, tuple(normal / length))


def in_order(places: Sequence[Place]) -> list[str]:
    """Sorts the files of one series.

    By position along the slices' normal, then by instance number; if the slices are not parallel (localisers)
    or a position is missing, by instance number; if that is missing, as they come.

    Args:
        places: The files of one series, sorted by name.

    Returns:
        Their paths, sorted.
    """
    instances = [p.instance for p in places]
    numbered = None not in instances
    normal = np.array(places[0].normal) if places[0].normal else None
    if normal is not None and all(p.position and p.normal and np.dot(p.normal, normal) > _PARALLEL for p in places):
        # Rounded to 0.01 mm, so that repetitions of one position stay together in order of acquisition.
        depths = [round(float(np.dot(p.position or (), normal)), 2) for p in places]
    elif numbered:
        depths = [0.0] * len(places)
    else:
        return [p.path for p in places]
    order = sorted(range(len(places)), key=lambda i: (depths[i], instances[i] if numbered else 0))
    return [places[i].path for i in order]


def vector(value: object, length: int) -> tuple[float, ...] | None:
    """An element's value as finite numbers, if it is so many; else None."""
    numbers = np.array(value if value is not None else (), dtype=float).reshape(-1)
    return tuple(numbers.tolist()) if numbers.size == length and np.isfinite(numbers).all() else None
