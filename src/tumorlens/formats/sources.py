"""Which reader reads a file, and which files a folder holds."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Protocol

from tumorlens import limits
from tumorlens.errors import InputError, TooLarge, UnreadableFile, UnsupportedFile
from tumorlens.formats import matlab, nifti, raster
from tumorlens.formats.checks import parsing
from tumorlens.formats.dicom import reader as dicom
from tumorlens.formats.dicom.header import Header, read_header
from tumorlens.formats.dicom.order import common_depths, in_order
from tumorlens.scan import Scan

HEAD = 4096
"""Bytes that readers are shown to know their files by; a gzipped NIfTI header fits, with its file name."""

_KINDS = "PNG, JPEG, TIFF, BMP, DICOM, NIfTI or Cheng's MATLAB files"
# Names that promise a scan. In a folder, files with other names and unknown content are passed over.
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".dib", ".gif", ".webp", ".heic", ".jp2"),
    *(".dcm", ".dicom", ".ima", ".nii", ".nii.gz", ".hdr", ".img", ".mgh", ".mgz", ".mha", ".mhd", ".nrrd"),
    *(".mat", ".h5", ".hdf5"),
)
_NOT_SCANS = frozenset({"dicomdir", "thumbs.db", "desktop.ini"})


class FormatReader(Protocol):
    """What a reader module offers."""

    def sniff(self, head: bytes, /) -> bool:
        """Whether a file that begins so is its to read."""

    def read(self, path: str, axis: str, keep: bool, /) -> Iterator[Scan]:
        """The slices of a file, as the caller named it; with `keep`, and what their pixels were made of.

        Raises:
            TooLarge: If the header announces too many pixels; nothing is decoded then.
            UnreadableFile: If it is truncated or corrupt.
        """


READERS: tuple[FormatReader, ...] = (dicom, nifti, matlab, raster)
"""Every format, asked in this order. A new one is a module with `sniff` and `read`, and a place in here."""


@dataclass(frozen=True)
class Source:
    """A file to read.

    Attributes:
        path: The file, or the folder or missing path that gave nothing, as the caller named it.
        error: Why there is nothing to read, if that is known already.
        sequences: Files of several sequences of one patient, by their names, to be read as one; `path` is the first.
    """

    path: str
    error: InputError | None = None
    sequences: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)


def reader_of(path: str) -> FormatReader:
    """Picks the reader of a file by the file's first bytes.

    Raises:
        UnreadableFile: If the file is missing, forbidden or empty.
        UnsupportedFile: If no reader knows it.
        TooLarge: If it has more bytes than `limits.FILE`.
    """
    with parsing(path):
        status = os.stat(path)  # noqa: PTH116
        if not stat.S_ISREG(status.st_mode):  # a pipe would never end
            raise UnsupportedFile(path, "it is no file", f"give {_KINDS}")
        if status.st_size > limits.FILE:
            size = f"{status.st_size:,} bytes are more than the {limits.FILE:,} we accept"
            raise TooLarge(path, size, "split the file or resample it")
        with open(path, "rb") as file:  # noqa: PTH123
            head = file.read(HEAD)
    if not head:
        raise UnreadableFile(path, "the file is empty", "export or download it again")
    for reader in READERS:
        if reader.sniff(head):
            return reader
    raise UnsupportedFile(path, "its content is no picture that we read", f"give {_KINDS}")


def find_sources(paths: str | PathLike[str] | Iterable[str | PathLike[str]]) -> list[Source]:
    """Lists the files to read. No pixels are read, only beginnings, and headers of DICOM files in folders.

    Files come in the order they are named. Of a folder come all files below it that hold a scan or, by their
    names, should: in natural order ("img2" before "img10"), and the DICOM files of one series together, in the
    order the slices lie in the head, where the first of them would stand. The series of one study stand in the order of
    their numbers, as on the scanner's list.

    Returns:
        The files; also, with its error, each path that is missing and each folder without any scan.
    """
    several = [paths] if isinstance(paths, str | PathLike) else paths
    return [source for path in several for source in _sources_of(os.fspath(path))]


def _sources_of(path: str) -> list[Source]:
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116
    except PermissionError:
        return [Source(path, _forbidden(path, "path"))]
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return [Source(path, UnreadableFile(path, "there is no such file or folder", "check the path"))]
    if not is_folder:
        return [Source(path)]
    # Dictionaries keep their order, so a series stands where its first file does. Other files stand alone.
    groups: dict[str, _Members] = {}
    for source in _walk(path):
        reader = None if source.error else _reader_in_folder(source.path)
        if source.error or reader or source.path.lower().endswith(SUFFIXES):
            header = _header(source.path) if reader is dicom else Header()
            key = f"series {header.series}" if header.series else source.path
            groups.setdefault(key, []).append((source, header))
    sources = [source for members in _by_number(list(groups.values())) for source in _sorted(members)]
    return sources or [Source(path, UnsupportedFile(path, "no scans found", f"give a folder that holds {_KINDS}"))]


_Members = list[tuple[Source, Header]]


def _by_number(groups: list[_Members]) -> list[_Members]:
    """Lets the series of each study change places among themselves, so that they stand by SeriesNumber."""
    places: dict[str, list[int]] = {}
    for i, ((_, header), *_) in enumerate(groups):
        if header.series:
            places.setdefault(header.study, []).append(i)

    def rank(i: int) -> tuple[bool, int]:
        number = groups[i][0][1].series_number
        return number is None, number or 0

    ordered = list(groups)
    for own in places.values():
        for place, i in zip(own, sorted(own, key=rank), strict=True):
            ordered[place] = groups[i]
    return ordered


def _sorted(members: _Members) -> list[Source]:
    """The files of one series as they lie in the head; if they are not parallel (localisers), by their numbers."""
    headers = [header for _, header in members]
    numbers = [None if header.number is None else (header.number,) for header in headers]
    return [members[i][0] for i in in_order(common_depths([header.frame(0) for header in headers]), numbers)]


def _header(path: str) -> Header:
    try:
        return read_header(path)
    except InputError:
        return Header()  # reading it says why


def _reader_in_folder(path: str) -> FormatReader | None:
    try:
        return reader_of(path)
    except InputError:
        return None


def _walk(top: str) -> Iterator[Source]:
    """The files below a folder, in natural order, depth first; a folder that may not be listed has an error."""
    seen: set[tuple[int, int]] = set()
    waiting = [top]
    while waiting:
        path = waiting.pop()
        try:
            status = os.stat(path)  # noqa: PTH116
            if not stat.S_ISDIR(status.st_mode):
                yield Source(path)
                continue
            if (status.st_dev, status.st_ino) in seen:  # a symbolic link that leads back
                continue
            seen.add((status.st_dev, status.st_ino))
            names = os.listdir(path)  # noqa: PTH208
        except PermissionError:
            yield Source(path, _forbidden(path, "folder"))
            continue
        except OSError:  # a symbolic link to nothing or to itself, or gone meanwhile
            yield Source(path)
            continue
        names = [n for n in names if not n.startswith(".") and n.lower() not in _NOT_SCANS]
        waiting += [os.path.join(path, name) for name in sorted(names, key=natural, reverse=True)]  # noqa: PTH118


def _forbidden(path: str, kind: str) -> UnreadableFile:
    return UnreadableFile(path, f"the {kind} may not be read", "give yourself permission to read it")


def natural(name: str) -> tuple[list[str | int], str]:
    """A sort key with numbers by value: "img2" comes before "img10"."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [int(p) if i % 2 else p for i, p in enumerate(parts)], name
