"""Files in, scans out: PNG, JPEG, TIFF, BMP, DICOM, NIfTI and Cheng's MATLAB files, known by their content.

Example:
    scans = read_scans("study/")                     # all of them, or the first error

    for scan in iter_scans(["study/", "one.png"]):   # one after another, going on after a bad file
        if isinstance(scan, Failure):
            print(scan)

    for source in track(find_sources("study/")):     # with a progress bar
        for scan in read_source(source): ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from typing import get_args

from tumorlens.errors import ConfigError, InputError
from tumorlens.formats.checks import check_scans
from tumorlens.formats.nifti import Axis
from tumorlens.formats.registered import join_sources, read_registered
from tumorlens.formats.sources import Source, find_sources, reader_of
from tumorlens.scan import Scan

__all__ = [
    "Axis",
    "Failure",
    "Source",
    "find_sources",
    "iter_scans",
    "join_sources",
    "read_frame",
    "read_registered",
    "read_scans",
    "read_source",
]

Paths = str | PathLike[str] | Iterable[str | PathLike[str]]


@dataclass(frozen=True)
class Failure:
    """A file or folder that gave no scan, or not all of its scans.

    Attributes:
        source: The file or folder, as the caller named it.
        error: What is wrong and what to do about it, one line.
    """

    source: str
    error: str

    @classmethod
    def of(cls, source: str, error: InputError) -> Failure:
        """The failure that an error comes to, of a file by the name it is to have."""
        return cls(source, error.reason)

    def __str__(self) -> str:
        return f"{self.source}: {self.error}"


def read_scans(paths: Paths, *, axis: Axis = "axial") -> list[Scan]:
    """Reads all scans of files and folders.

    Args:
        paths: A file or folder, or several; see `find_sources` for what is read, and in which order.
        axis: The plane that NIfTI volumes are cut in: "axial", "coronal" or "sagittal".

    Returns:
        The scans: one per picture, page, frame or slice. Blank frames and slices are left out.

    Raises:
        InputError: The first file that cannot be read.
        ConfigError: If the axis is unknown.
    """
    _check_axis(axis)
    return [scan for source in find_sources(paths) for scan in _read(source, axis)]


def read_frame(path: str | PathLike[str], frame: int | None = None) -> Scan:
    """Reads one slice of a file by its number, or the first if there is none of that number, and nothing after it.

    Raises:
        InputError: If the file cannot be read.
    """
    scans = (scan for source in find_sources(path) for scan in _read(source, "axial"))
    first = next(scans)
    return first if frame in (None, first.frame) else next((s for s in scans if s.frame == frame), first)


def iter_scans(paths: Paths, *, axis: Axis = "axial") -> Iterator[Scan | Failure]:
    """Reads the scans of files and folders one after another, holding no more than one file in memory.

    Arguments are those of `read_scans`; an unknown axis is told at once.

    Returns:
        Scans, and a `Failure` for each file that cannot be read and each folder without any scan.
    """
    _check_axis(axis)
    several = [paths] if isinstance(paths, str | PathLike) else paths
    return (item for path in several for source in find_sources(path) for item in read_source(source, axis=axis))


def read_source(source: Source, *, axis: Axis = "axial", keep: bool = False) -> Iterator[Scan | Failure]:
    """Reads the scans of one file that `find_sources` found; if it cannot be read (further), the last is a `Failure`.

    With `keep`, scans hold what their pixels were made of, as `Scan.values`.
    """
    _check_axis(axis)
    try:
        yield from _read(source, axis, keep)
    except InputError as error:
        yield Failure.of(source.path, error)


def _read(source: Source, axis: Axis, keep: bool = False) -> Iterator[Scan]:
    if source.error:
        raise source.error
    if source.sequences:
        yield from read_registered(source.sequences, axis=axis, keep=keep)
        return
    yield from check_scans(source.path, reader_of(source.path).read(source.path, axis, keep))


def _check_axis(axis: str) -> None:
    if axis not in get_args(Axis):
        raise ConfigError(f"axis {axis!r} is unknown; choose one of {', '.join(get_args(Axis))}")
