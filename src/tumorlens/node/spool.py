"""The files of a node: what came in, and the results that go out."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from tumorlens import limits
from tumorlens.errors import TooLarge
from tumorlens.files import TEMPORARY, sync_file, sync_folder
from tumorlens.node.privacy import short
from tumorlens.results.handover import PAGE


class Spool:
    """The files of a node, in its folder: what came in, and the results.

    Nothing that a sender chose becomes part of a path: files are named by SHA-256 of UIDs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.received = folder / "received"
        self.results = folder / "results"
        self.scratch = folder / "scratch"
        self.coming = folder / "coming"
        self.handover = folder / "handover"  # what the page is to have, until it is there
        for place in (self.received, self.results, self.coming, self.handover):
            place.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)  # patient data: for the node's user only

    def tidy(self) -> None:
        """Removes what a kill left half-written. Call it while nobody writes."""
        for path in self.coming.glob(f"*{TEMPORARY}"):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def begin(self, head: bytes) -> Incoming:
        """A file for an instance that comes.

        Args:
            head: What stands before its data set: preamble, prefix and file meta information.
        """
        return Incoming(self.coming, head)

    def place_of(self, sop: str) -> Path:
        """Where an instance's file is; in one of 256 folders, so that none grows too long to list."""
        name = hashlib.sha256(sop.encode(errors="replace")).hexdigest()[:40]
        return self.received / name[:2] / f"{name}.dcm"

    def files(self) -> Iterator[Path]:
        """All instances' files."""
        return (p for folder in sorted(self.received.iterdir()) for p in sorted(folder.glob("*.dcm")))

    def relative(self, path: Path) -> str:
        """A file of the node, as its state names it: so the folder can be moved."""
        return path.relative_to(self.folder).as_posix()

    def absolute(self, name: str) -> Path:
        """Where a file is that the state names."""
        return self.folder / name

    def results_of(self, origin: str) -> Path:
        """Where the results of a revision are, by its name in `handover`."""
        return self.results / origin[:-4] / origin[-3:]

    def empty_scratch(self) -> Path:
        """An empty folder to make a study's results in, never used before: a process that is dying may still write."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(exist_ok=True)
        return Path(tempfile.mkdtemp(dir=self.scratch))

    def keep_results(self, made: Path, study: str, revision: int, names: Sequence[str]) -> list[Path]:
        """Moves a revision's result files from the folder they were made in to where they stay; gives their paths.

        What the page is to have goes to the folder `handover`, under the study's stand-in and the revision's number.
        """
        target = self.results / short(study) / f"{revision:03d}"
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        for name in names:
            sync_file(made / name)
        sync_folder(made)
        made.rename(target)
        if (page := target / PAGE).exists():
            waiting = self.handover / f"{short(study)}-{revision:03d}"
            shutil.rmtree(waiting, ignore_errors=True)
            page.rename(waiting)
            sync_folder(self.handover)
        sync_folder(target.parent)
        sync_folder(self.results)
        return [target / name for name in names]


class Incoming:
    """An instance while it comes: a file of its own, no longer than an instance may be.

    What goes wrong meanwhile (a full disk, too many bytes) is raised by `whole`: then the sender waits for an answer,
    and can be told.

    Args:
        folder: For the file.
        head: What stands before its data set.
    """

    def __init__(self, folder: Path, head: bytes) -> None:
        self._digest, self._size = hashlib.sha256(), 0
        self._fault: OSError | TooLarge | None = None
        self._file: IO[bytes] | None = None
        self.path: Path | None = None
        try:
            self._file = tempfile.NamedTemporaryFile(dir=folder, suffix=TEMPORARY, delete=False)  # noqa: SIM115
            self.path = Path(self._file.name)
            self._file.write(head)
        except OSError as error:
            self._give_up(error)

    @property
    def digest(self) -> str:
        """SHA-256 of the data set. What precedes it names its transfer syntax, but also who wrote the file."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> int:
        """Adds to the data set; gives the number of bytes."""
        self._size += len(data)
        if self._file is not None and self._size > limits.FILE:
            problem = f"it has more than the {limits.FILE:,} bytes we accept"
            self._give_up(TooLarge("an instance", problem, "send it in parts"))
        if self._file is not None:
            try:
                self._file.write(data)
                self._digest.update(data)
            except OSError as error:
                self._give_up(error)
        return len(data)

    def whole(self) -> Path:
        """Its file, once all has come.

        Raises:
            OSError: If it could not be written.
            TooLarge: If it is too long.
        """
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                self._give_up(error)
        if self._fault is not None:
            raise self._fault
        assert self.path is not None
        return self.path

    def keep(self, path: Path) -> None:
        """Moves it to where it stays. When this returns, it is on the disk.

        Raises:
            OSError: If it cannot be written.
        """
        whole = self.whole()
        sync_file(whole)
        whole.replace(path)
        sync_folder(path.parent)

    def discard(self) -> None:
        """Removes the file, unless it was kept."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _give_up(self, fault: OSError | TooLarge) -> None:
        self._fault = fault
        self.discard()
