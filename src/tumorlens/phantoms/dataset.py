"""A folder of phantoms, laid out as the public sets are: class folders and a manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tumorlens.classes import BRAIN_TUMORS
from tumorlens.data.manifest import SYNTHETIC, Entry, Manifest
from tumorlens.errors import DataError
from tumorlens.formats.nifti import cut
from tumorlens.phantoms.phantom import Phantom, make_phantoms
from tumorlens.phantoms.slice import NORMAL
from tumorlens.picture import to_picture

_PER_SERIES = 2  # neighbouring slices; few, because a network learns more from another patient
_WHITE = 1000  # value of a volume's brightest voxel


def write_phantoms(
    folder: Path,
    count: int,
    *,
    size: int = 128,
    seed: int = 0,
    sequences: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Manifest:
    """Writes phantoms as PNG files in class folders, and manifest.csv with their patients and outlines, last.

    `count` slices of `size` by `size` pixels; another seed, other phantoms. `progress` is called with (done, total).
    With `sequences` of "t1", "t1c", "t2" and "flair", each slice is a folder of NIfTI files, one of each sequence, all
    in one space, and the table names them in columns such as path_t1c.

    Raises:
        ConfigError: If there is no such sequence, or one stands there twice.
        DataError: If the folder holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file; choose an empty folder")
    if folder.exists() and any(folder.iterdir()) and not (folder / SYNTHETIC).exists():
        raise DataError(f"{folder}: holds other files; phantoms must not mix with real scans, choose an empty folder")
    (folder / "manifest.csv").unlink(missing_ok=True)  # an earlier one; it is of other phantoms
    for key in BRAIN_TUMORS.keys:
        (folder / key).mkdir(parents=True, exist_ok=True)
    (folder / SYNTHETIC).write_text("Every picture in this folder is synthetic: drawn by a computer, of no patient.\n")
    entries = []
    phantoms = make_phantoms(count, size=size, seed=seed, slices_per_series=_PER_SERIES, sequences=tuple(sequences))
    for index, phantom in enumerate(phantoms):
        name = f"{phantom.label}/{index:06d}-{phantom.plane}"
        files: dict[str, Path] = {}
        if sequences:
            files = _write_sequences(phantom, folder / name)
            name = f"{name}/{files[phantom.contrast].name}"
        else:
            name = f"{name}-{phantom.contrast}.png"
            to_picture(phantom.scan.pixels).save(folder / name)
        entry = Entry(
            folder / name,
            name,
            phantom.label,
            group=phantom.scan.patient,
            outline=phantom.outline,
            sequences=files,
        )
        entries.append(entry)
        progress(index + 1, count)
    manifest = Manifest(tuple(entries), BRAIN_TUMORS, unit="patient", synthetic=True)
    manifest.write(folder / "manifest.csv")
    return manifest


def _write_sequences(phantom: Phantom, folder: Path) -> dict[str, Path]:
    """Writes a slice as a volume of one slice for each sequence; their files by the sequences' names."""
    import nibabel

    folder.mkdir(exist_ok=True)
    across = NORMAL[phantom.plane]
    rows, columns = sorted({0, 1, 2} - {across}, reverse=True)
    shape, steps = np.ones(3, int), np.ones(3)
    shape[rows], shape[columns] = phantom.scan.grey.shape
    steps[rows], steps[columns] = phantom.scan.spacing or (1.0, 1.0)
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = -steps * (shape - 1) / 2
    affine[across, 3] = phantom.position
    files = {}
    for name, pixels in phantom.scan.sequences.items():
        volume = np.zeros(shape, np.int16)
        cut(volume, phantom.plane)[0] = np.round(pixels * _WHITE)
        files[name] = folder / f"{name}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(volume, affine), files[name])
    return files
