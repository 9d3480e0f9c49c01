"""Files that must outlive a power cut: written beside their place, forced to the disk, and moved there whole."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from tumorlens.node.privacy import short

_TEMPORARY = ".part"


def write_durably(path: Path, content: bytes) -> None:
    """Writes a file so that it is there whole, and on the disk, once this returns; or not at all.

    Raises:
        OSError: If it cannot be written, as on a full disk; nothing is left behind then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name is the writer's own: two may be sent the same instance at once.
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}{_TEMPORARY}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Forces a folder's list of names to the disk: a file's own fsync does not."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Spool:
    """The files of a node: what came in, and the results.

    Nothing that a sender chose becomes part of a path: files are named by SHA-256 of UIDs.

    Args:
        folder: The node's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.received = folder / "received"
        self.results = folder / "results"
        self.scratch = folder / "scratch"
        for place in (self.received, self.results):
            place.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)  # patient data: for the node's user only

    def tidy(self) -> None:
        """Removes what a kill left half-written. Call it while nobody writes."""
        for path in self.received.glob(f"*/*{_TEMPORARY}"):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.scratch, ignore_errors=True)

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

    def empty_scratch(self) -> Path:
        """An empty folder to make a study's results in, never used before: a process that is dying may still write."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(exist_ok=True)
        return Path(tempfile.mkdtemp(dir=self.scratch))

    def keep_results(self, made: Path, study: str, revision: int, names: Sequence[str]) -> list[Path]:
        """Moves the results of a study from the folder they were made in to where they stay.

        Args:
            made: The folder.
            study: StudyInstanceUID.
            revision: Which of the study's analyses made them.
            names: The files.

        Returns:
            Where they are now, on the disk.
        """
        target = self.results / short(study) / f"{revision:03d}"
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        for name in names:
            with (made / name).open("rb+") as file:
                os.fsync(file.fileno())
        sync_folder(made)
        made.rename(target)
        sync_folder(target.parent)
        sync_folder(self.results)
        return [target / name for name in names]
