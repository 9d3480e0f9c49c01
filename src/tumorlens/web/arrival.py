"""What comes in: archives are unpacked, DICOM files de-identified. Runs in a worker, because anything may come in."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from pydantic import BaseModel

from tumorlens.errors import InputError, TooLarge, UnreadableFile, UnsupportedFile
from tumorlens.files import writing
from tumorlens.formats.checks import parsing
from tumorlens.formats.dicom import reader as dicom
from tumorlens.formats.sources import HEAD, SUFFIXES, reader_of
from tumorlens.web.messages import Rules

_ZIP = b"PK\x03\x04"
_BLOCK = 1 << 20
_ENCRYPTED = 0x1
_DICOM = (".dcm", ".dicom", ".ima", ".img")
_NAME = 255  # characters of a name that are kept: as many as file systems allow


class Arrived(BaseModel):
    """A file that is ready to be read.

    Attributes:
        file: Its name in the folder `files`.
        name: What its reader calls it; of a DICOM file its number only, where it was de-identified.
        doubts: What de-identification could not take away.
    """

    file: str
    name: str
    doubts: tuple[str, ...] = ()


class Arrival:
    """Receives uploads, files named by their numbers, into the folder `files`. They stay where they are.

    `refuse` is called with a file's name and what is wrong with it.
    """

    def __init__(self, uploads: Path, files: Path, rules: Rules, refuse: Callable[[str, str], None]) -> None:
        self._uploads, self._files, self._rules, self._refuse = uploads, files, rules, refuse
        self._left, self._room = rules.files, rules.size
        files.mkdir(exist_ok=True)

    def receive(self, number: int, name: str) -> Iterator[Arrived]:
        """Receives an upload; TooLarge if the case becomes larger than the rules allow."""
        path = self._uploads / f"{number:05d}"
        with path.open("rb") as file:
            head = file.read(HEAD)
        if head.startswith(_ZIP):
            yield from self._unpack(path, number, self._shown(name, str(number)))
        else:
            # Of a dropped folder, what is no scan is passed over: texts, DICOMDIR, thumbnails.
            quietly = "/" in name and not name.lower().endswith(SUFFIXES)
            arrived = self._take(path, f"{number:05d}", name, quietly)
            if arrived:
                yield arrived

    def _unpack(self, path: Path, number: int, name: str) -> Iterator[Arrived]:
        try:
            with parsing(name), zipfile.ZipFile(path) as archive:
                members = [m for m in archive.infolist() if _is_file(m)]
        except InputError as error:
            self._refuse(name, error.reason)
            return
        if len(members) > self._left:
            raise TooLarge(name, f"it holds more files than the {self._rules.files:,} a case may have", "split it")
        if sum(m.file_size for m in members) > self._room:
            raise self._too_large(name)
        has_files = False
        with zipfile.ZipFile(path) as archive:
            for place, member in enumerate(members, 1):
                # A file of ours by its number: what the archive calls it is no path, wherever it would lead.
                raw = self._files / f".{number:05d}-{place:05d}.raw"
                try:
                    self._inflate(archive, member, raw, name)
                except InputError as error:
                    raw.unlink(missing_ok=True)
                    if isinstance(error, TooLarge):
                        raise
                    self._refuse(f"{name}: file {place}", error.reason)
                    continue
                arrived = self._take(raw, f"{number:05d}-{place:05d}", member.filename, quietly=True)
                raw.unlink(missing_ok=True)
                if arrived:
                    has_files = True
                    yield arrived
        if not has_files:
            self._refuse(name, "no scans found in the archive; give one that holds DICOM files or pictures")

    def _inflate(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, name: str) -> None:
        if member.flag_bits & _ENCRYPTED:
            raise UnsupportedFile(name, "it has a password", "pack it without one")
        with parsing(name), archive.open(member) as packed, target.open("wb") as file:
            while block := packed.read(_BLOCK):
                self._room -= len(block)  # counted as it comes: the archive's own figures may lie
                if self._room < 0:
                    raise self._too_large(name)
                file.write(block)

    def _too_large(self, name: str) -> TooLarge:
        size = self._rules.size
        limit = f"{size / 2**30:.3g} GB" if size >= 2**30 else f"{size / 2**20:.3g} MB"
        return TooLarge(name, f"unpacked, it is larger than the {limit} a case may be", "split it")

    def _shown(self, name: str, stem: str) -> str:
        """What a file is called. Where DICOM files are de-identified, one's own name may be its patient's."""
        own = elided(PurePosixPath(name).name)
        if self._rules.key is not None and (not own.lower().endswith(SUFFIXES) or own.lower().endswith(_DICOM)):
            return f"file {_number(stem)}"
        return own

    def _take(self, path: Path, stem: str, name: str, quietly: bool) -> Arrived | None:
        suffix = _suffix(name)
        target = self._files / f"{stem}{suffix}"
        self._left -= 1
        if self._left < 0:
            raise TooLarge(name, f"these are more files than the {self._rules.files:,} a case may have", "split them")
        doubts: tuple[str, ...] = ()
        shown = self._shown(name, stem)
        try:
            reader = reader_of(str(path))
            if reader is dicom and self._rules.key is not None:
                from tumorlens.formats.dicom.deidentify import deidentify_file

                shown = f"DICOM file {_number(stem)}"
                with writing(target, durable=False) as temporary:
                    doubts = deidentify_file(path, temporary, bytes.fromhex(self._rules.key))
            else:
                target.unlink(missing_ok=True)
                os.link(path, target)
        except InputError as error:
            if quietly and not suffix and isinstance(error, UnsupportedFile | UnreadableFile):
                return None
            self._refuse(shown, error.reason)
            return None
        return Arrived(file=target.name, name=shown, doubts=doubts)


def harmless(name: str, number: int) -> str:
    """A name to keep of an upload, without what may be a patient's: folders, and names of DICOM files and archives.

    What it needs to be received by stays: whether it came in a folder, and its suffix.
    """
    inside = "folder/" if "/" in name else ""
    suffix = _suffix(name)
    own = elided(PurePosixPath(name).name) if suffix and suffix not in _DICOM else f"file {number}{suffix}"
    return f"{inside}{own}"


def elided(name: str, most: int = _NAME) -> str:
    """A name of so many characters at most: a longer one loses some of its middle, for its end says what it is."""
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-((most - 1) // 2) :]}"


def _is_file(member: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts if part not in ("..", "."))
    kind = stat.S_IFMT(member.external_attr >> 16)
    return not member.is_dir() and not hidden and kind in (0, stat.S_IFREG) and path.name.lower() != "dicomdir"


def _number(stem: str) -> str:
    return ".".join(part.lstrip("0") for part in stem.split("-"))


def _suffix(name: str) -> str:
    return next((s for s in SUFFIXES if name.lower().endswith(s)), "")
