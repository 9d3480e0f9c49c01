"""Several sequences of one patient on one grid, as the channels of one scan: T1, T1 post-contrast, T2, FLAIR, or CT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike, fspath

import numpy as np

from tumorlens.errors import NotAScan, UnsupportedFile
from tumorlens.formats.sources import find_sources, reader_of
from tumorlens.scan import Scan

_APART = 0.5  # mm, and a share of the spacing: less is rounding


def read_registered(paths: Mapping[str, str | PathLike[str]], *, axis: str = "axial") -> list[Scan]:
    """Reads the slices that files of one patient hold, each with what all of them show there.

    Args:
        paths: The file of each sequence, by its name, such as {"t1c": …, "flair": …}. They must lie on one grid: NIfTI
            in one space, DICOM of one frame of reference, pictures of one size.
        axis: The plane that NIfTI volumes are cut in.

    Returns:
        The slices that show something in one of them, in the order of the first file that has them.

    Raises:
        InputError: If a file cannot be read, or does not lie on the grid of the first.
    """
    slices: dict[int, dict[str, Scan]] = {}
    for name, path in paths.items():
        for source in find_sources(path):
            if source.error:
                raise source.error
            for scan in reader_of(source.path).read(source.path, axis, False):
                slices.setdefault(scan.frame, {})[name] = scan
    joined = [join(slices[frame]) for frame in sorted(slices)]
    shown = [scan for scan in joined if any((p != p.flat[0]).any() for p in scan.sequences.values())]
    if not shown:
        first = fspath(next(iter(paths.values()), ""))
        raise NotAScan(first, "nothing is shown: every pixel has the same value", "give a picture of a head")
    return shown


def join(scans: Mapping[str, Scan]) -> Scan:
    """One scan of one slice in several sequences, by their names; the first is the one that is shown.

    Raises:
        UnsupportedFile: If they do not lie on one grid, as far as their files say.
    """
    first = next(iter(scans.values()))
    for scan in scans.values():
        if problem := _off_grid(first, scan):
            remedy = "register them, and save them in one space"
            raise UnsupportedFile(scan.source, f"it does not lie on the grid of {first.source}: {problem}", remedy)
    warnings = tuple(dict.fromkeys(text for scan in scans.values() for text in scan.warnings))
    sequences = {name: np.ascontiguousarray(scan.grey) for name, scan in scans.items()}
    return replace(first, sequences=sequences, warnings=warnings)


def _off_grid(first: Scan, other: Scan) -> str:
    if first.pixels.shape[:2] != other.pixels.shape[:2]:
        return f"{other.width} × {other.height} pixels, and {first.width} × {first.height}"
    for known, mine in ((first.orientation, other.orientation), (first.spacing, other.spacing)):
        if known and mine and not np.allclose(known, mine, atol=0.02):
            return "its pixels lie another way"
    if first.depth is not None and other.depth is not None and abs(first.depth - other.depth) > _APART:
        return f"its slices lie {abs(first.depth - other.depth):.1f} mm off"
    return ""
