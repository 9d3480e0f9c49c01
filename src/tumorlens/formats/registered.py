"""Several sequences of one patient on one grid, as the channels of one scan: T1, T1 post-contrast, T2, FLAIR, or CT.

Files are known by their names, or by what their headers say: `join_sources` finds those of one patient among others,
and `read_registered` reads them slice by slice.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import PurePath

import numpy as np

from tumorlens.errors import InputError, NotAScan, UnsupportedFile
from tumorlens.formats.dicom import reader as dicom
from tumorlens.formats.dicom.geometry import depth_of
from tumorlens.formats.dicom.header import read_header
from tumorlens.formats.dicom.info import series_info
from tumorlens.formats.nifti import volume_info
from tumorlens.formats.sources import SUFFIXES, Source, find_sources, reader_of
from tumorlens.scan import Scan
from tumorlens.sequence import SeriesInfo, name_sequence

Files = str | PathLike[str] | Iterable[str | PathLike[str]]

_APART = 0.5  # mm: less is rounding
_REMEDY = "register them, and save them in one space"


def read_registered(paths: Mapping[str, Files], *, axis: str = "axial", keep: bool = False) -> list[Scan]:
    """Reads the slices that files of one patient hold, each with what all of them show there.

    Args:
        paths: File or files of each sequence, or a folder of them, by its name, such as {"t1c": …, "flair": …}. They
            must lie on one grid: NIfTI in one space, DICOM of one frame of reference, pictures of one size.
        axis: The plane that NIfTI volumes are cut in.
        keep: Whether to keep the values behind the pixels of the sequence that is shown.

    Returns:
        The slices that show something in one of them, in the order they lie in. The first sequence that has a slice is
        the one that is shown.

    Raises:
        InputError: If a file cannot be read, or does not lie on the grid of the first.
    """
    slices: dict[str, list[Scan]] = {}
    for name, path in paths.items():
        for source in find_sources(path):
            if source.error:
                raise source.error
            slices.setdefault(name, []).extend(reader_of(source.path).read(source.path, axis, keep))
    rows = _rows(slices)
    if len(slices) > 1 and all(len(row) == 1 for row in rows):
        (one, *_), (other, *_) = list(slices.values())[:2]
        raise UnsupportedFile(other.source, f"none of its slices lies where one of {one.source} does", _REMEDY)
    joined = [join(row) for row in rows]
    shown = [scan for scan in joined if any((p != p.flat[0]).any() for p in scan.sequences.values())]
    if not shown:
        first = next((scan.source for scan in joined), "no files")
        raise NotAScan(first, "nothing is shown: every pixel has the same value", "give a picture of a head")
    return shown


def _rows(slices: Mapping[str, list[Scan]]) -> list[dict[str, Scan]]:
    """The slices of several sequences by their place: those less than `_APART` from each other are one."""
    places: list[float] = []
    rows: list[dict[str, Scan]] = []
    for name, scans in slices.items():
        for scan in scans:
            place = _place(scan)
            near = range(bisect_left(places, place - _APART), bisect_right(places, place + _APART))
            free = [i for i in near if name not in rows[i]]
            if free:
                rows[min(free, key=lambda i: abs(places[i] - place))][name] = scan
            else:
                index = bisect_left(places, place)
                places.insert(index, place)
                rows.insert(index, {name: scan})
    return rows


def _place(scan: Scan) -> float:
    """How far a slice lies along the line across its plane; where its file does not say, its number."""
    if scan.position is not None and scan.orientation is not None:
        return depth_of(scan.position, scan.orientation)
    return float(scan.frame) if scan.depth is None else scan.depth


def join(scans: Mapping[str, Scan]) -> Scan:
    """One scan of one slice in several sequences, by their names; the first is the one that is shown.

    Raises:
        UnsupportedFile: If they do not lie on one grid, as far as their files say.
    """
    first = next(iter(scans.values()))
    for scan in scans.values():
        if problem := _off_grid(first, scan):
            raise UnsupportedFile(scan.source, f"it does not lie on the grid of {first.source}: {problem}", _REMEDY)
    warnings = tuple(dict.fromkeys(text for scan in scans.values() for text in scan.warnings))
    sequences = {name: np.ascontiguousarray(scan.grey) for name, scan in scans.items()}
    return replace(first, sequences=sequences, warnings=warnings)


def _off_grid(first: Scan, other: Scan) -> str:
    if first.pixels.shape[:2] != other.pixels.shape[:2]:
        return f"{other.width} × {other.height} pixels, and {first.width} × {first.height}"
    # Of DICOM alone: that of a volume is its grid, which a sequence that covers less of the head does not share.
    if first.instance and other.instance and first.space and other.space and first.space != other.space:
        return "it has another frame of reference"
    for known, mine in ((first.orientation, other.orientation), (first.spacing, other.spacing)):
        if known and mine and not np.allclose(known, mine, atol=0.02):
            return "its pixels lie another way"
    if first.position is not None and other.position is not None:
        apart = float(np.linalg.norm(np.subtract(first.position, other.position)))
        return f"it lies {apart:.1f} mm off" if apart > _APART else ""
    if first.depth is not None and other.depth is not None and abs(first.depth - other.depth) > _APART:
        return f"its slices lie {abs(first.depth - other.depth):.1f} mm off"
    return ""


def join_sources(
    sources: Sequence[Source], wanted: Sequence[str], named: Callable[[str], str] = fspath
) -> list[Source]:
    """The files of one patient's sequences as one source each, where the first of them stands; others as they are.

    What belongs together lies in one folder, or has one DICOM study. Which sequence a file is says its name or its
    header: "t1c", "p1_t1c.nii.gz" and "BraTS-1-t1c" are the one that is wanted as "t1c", and so is a series called "T1
    MPRAGE post gadolinium".

    Args:
        sources: As `find_sources` gives them.
        wanted: The sequences' names, as the weights call them.
        named: What a file is called, where it has another name than its own.
    """
    joined: list[Source] = []
    patients: dict[str, dict[str, dict[str, list[str]]]] = {}
    places: dict[str, int] = {}
    for source in sources:
        patient, series, name = ("", "", "") if source.error else _belongs(source.path, wanted, named)
        if not name:
            joined.append(source)
            continue
        if patient not in patients:
            places[patient] = len(joined)
            joined.append(source)
        patients.setdefault(patient, {}).setdefault(name, {}).setdefault(series, []).append(source.path)
    for patient, found in patients.items():
        joined[places[patient]] = _joined({name: found[name] for name in wanted if name in found})
    return joined


def _joined(found: Mapping[str, Mapping[str, Sequence[str]]]) -> Source:
    """A source of the series that were found of each sequence; with an error where there are two of one."""
    first = next(iter(next(iter(found.values())).values()))[0]
    for name, series in found.items():
        if len(series) > 1:
            one, other = (files[0] for files in list(series.values())[:2])
            remedy = "give one of each sequence, and each patient in a folder"
            return Source(first, UnsupportedFile(other, f"it is {name}, and so is {one}", remedy))
    files = {name: tuple(path for paths in series.values() for path in paths) for name, series in found.items()}
    return Source(first, sequences=files)


def _belongs(path: str, wanted: Sequence[str], named: Callable[[str], str]) -> tuple[str, str, str]:
    """Patient, series and wanted sequence that a file is of; the sequence is empty if it is none of them."""
    folder, info, modality, series = str(PurePath(path).parent), volume_info(named(path)), "", path
    try:
        if reader_of(path) is dicom:
            header = read_header(path)
            info, modality, series = series_info(header), header.modality, header.series or path
            folder = header.study or folder
        else:
            stem = _stem(named(path))
            info = SeriesInfo(description=stem, sequence=name_sequence(stem))
    except InputError:
        return "", "", ""  # reading it says why
    return folder, series, _name_of(info, modality, wanted)


def _name_of(info: SeriesInfo, modality: str, wanted: Sequence[str]) -> str:
    """The wanted name that a series goes by: the very word, the sequence that it means, or the modality."""
    if info.flaw not in (None, "no MR image"):
        return ""
    words = re.split(r"[^a-z0-9]+", info.description.casefold())
    means = [name for name in wanted if info.sequence is not None and name_sequence(name) == info.sequence]
    exact = [name for name in means or wanted if name.casefold() in words]
    made = [name for name in wanted if modality and name.upper() == modality]
    return next(iter([*exact, *means, *made]), "")


def _stem(path: str) -> str:
    name = PurePath(path).name
    ending = max((s for s in SUFFIXES if name.lower().endswith(s)), key=len, default="")
    return name[: len(name) - len(ending)]
