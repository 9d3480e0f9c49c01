"""A folder of phantoms, laid out as the public sets are: class folders and a manifest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tumorlens.classes import BRAIN_TUMORS
from tumorlens.data.manifest import SYNTHETIC, Entry, Manifest
from tumorlens.errors import DataError
from tumorlens.phantoms.phantom import make_phantoms
from tumorlens.picture import to_picture

_PER_SERIES = 2  # neighbouring slices; few, because a network learns more from another patient


def write_phantoms(
    folder: Path,
    count: int,
    *,
    size: int = 128,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Manifest:
    """Writes phantoms as PNG files in class folders, and manifest.csv with their patients and outlines, last.

    `count` slices of `size` by `size` pixels; another seed, other phantoms. `progress` is called with (done, total).

    Raises:
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
    for index, phantom in enumerate(make_phantoms(count, size=size, seed=seed, slices_per_series=_PER_SERIES)):
        name = f"{phantom.label}/{index:06d}-{phantom.plane}-{phantom.contrast}.png"
        to_picture(phantom.scan.pixels).save(folder / name)
        group = phantom.scan.patient
        entries.append(Entry(folder / name, name, phantom.label, group=group, outline=phantom.outline))
        progress(index + 1, count)
    manifest = Manifest(tuple(entries), BRAIN_TUMORS, unit="patient", synthetic=True)
    manifest.write(folder / "manifest.csv")
    return manifest
