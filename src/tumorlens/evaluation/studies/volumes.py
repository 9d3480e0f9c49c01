"""Volumes and the masks of their tumours, found in folders as people keep them.

Three layouts are known: a table (studies.csv, or slices.csv whose rows name volumes) with the columns path and
patient; BraTS, a folder a study with a T1 post-contrast volume and a segmentation; and masks that lie beside their
volume and have its name with "-tumour", "-seg" or "-mask" after it.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tumorlens.data.manifest import find_set
from tumorlens.errors import DataError
from tumorlens.formats import read_scans
from tumorlens.formats.nifti import cut, load_volume
from tumorlens.scan import Scan

_TABLES = ("studies.csv", "slices.csv")
_NIFTI = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
_MASK = re.compile(r"[-_.](tumou?r|seg|segmentation|mask)$", re.IGNORECASE)
_POST_CONTRAST = re.compile(r"[-_.](t1ce|t1c|t1gd|t1_?gd|t1[-_]post)$", re.IGNORECASE)
_TIMEPOINT = re.compile(r"(?<=\d)-\d{3}$")  # BraTS-GLI-00005-100 is patient 00005, seen for the 100th


@dataclass(frozen=True)
class MaskedVolume:
    """A volume with a mask of its tumour.

    Attributes:
        name: How tables call the study: its path inside the data set, without endings.
        patient: Whose it is; studies of one patient are resampled together.
        label: Key of its class; empty where nothing says it.
        path: The volume, NIfTI.
        mask: The mask on the same grid; every voxel that is not zero is tumour.
    """

    name: str
    patient: str
    label: str
    path: Path
    mask: Path


def find_volumes(folder: Path) -> list[MaskedVolume]:
    """Finds the volumes of a data set that have a mask, in the order of their names.

    Raises:
        DataError: If there is no such folder, no volume with a mask in it, or a table names a file that is not there.
    """
    folder = find_set(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; --studies takes a folder of NIfTI volumes and tumour masks")
    table = next((folder / name for name in _TABLES if (folder / name).is_file()), None)
    volumes = _listed(table) if table else _beside(folder)
    if not volumes:
        raise DataError(
            f"{folder}: no volume with a tumour mask in it; put NAME-seg.nii.gz beside NAME.nii.gz, or keep the "
            "folders of BraTS"
        )
    return sorted(volumes, key=lambda v: v.name)


def read_volume(volume: MaskedVolume) -> tuple[list[Scan], NDArray[np.bool_]]:
    """The slices of a volume from foot to head, without blank ones, and (slices, H, W), where their tumours are.

    Raises:
        DataError: If volume and mask have different grids.
        UnreadableFile: If one of them cannot be read.
    """
    scans = read_scans(volume.path)
    own, marked = (load_volume(str(path)).data for path in (volume.path, volume.mask))
    if own.shape != marked.shape:
        ours, theirs = ("×".join(map(str, data.shape)) for data in (own, marked))
        raise DataError(f"{volume.mask.name}: its grid of {theirs} voxels is not that of {volume.path.name}, {ours}")
    mask = cut(marked) > 0
    return scans, mask[[scan.frame or 0 for scan in scans]]


def _listed(table: Path) -> list[MaskedVolume]:
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"path", "patient"} <= set(rows[0]):
        raise DataError(f"{table}: needs the columns path and patient, a row a volume or a slice")
    volumes = {}
    for row in rows:
        path = table.parent / row["path"]
        if row["path"] in volumes:
            continue
        mask = _mask_of(path)
        if not path.is_file() or mask is None:
            raise DataError(f"{table}: {row['path']} or its mask, such as {_stem(path)}-tumour.nii.gz, is not there")
        volumes[row["path"]] = MaskedVolume(
            _name(table.parent, path), row["patient"], row.get("label") or "", path, mask
        )
    return list(volumes.values())


def _beside(folder: Path) -> list[MaskedVolume]:
    files = [path for path in sorted(folder.rglob("*")) if _NIFTI.search(path.name) and path.is_file()]
    stems = {(path.parent, _stem(path)): path for path in files}
    volumes = []
    for mask in files:
        if not _MASK.search(_stem(mask)):
            continue
        base = _MASK.sub("", _stem(mask))
        named = [stems[mask.parent, base]] if (mask.parent, base) in stems else []
        contrast = [
            p for p in files if p.parent == mask.parent and _POST_CONTRAST.sub("", _stem(p)) == base != _stem(p)
        ]
        for path in (named or contrast)[:1]:
            patient = _TIMEPOINT.sub("", base)
            volumes.append(MaskedVolume(_name(folder, path), patient, "", path, mask))
    return volumes


def _mask_of(path: Path) -> Path | None:
    beside = (p for p in sorted(path.parent.glob("*.nii*")) if _MASK.search(_stem(p)))
    return next((p for p in beside if _MASK.sub("", _stem(p)) == _stem(path)), None)


def _stem(path: Path) -> str:
    return _NIFTI.sub("", path.name)


def _name(folder: Path, path: Path) -> str:
    return _NIFTI.sub("", path.relative_to(folder).as_posix())
