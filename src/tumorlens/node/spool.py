"""The files of a node: what came in, and the results that go out."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tumorlens.files import TEMPORARY, sync_file, sync_folder
from tumorlens.node.privacy import short


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
        for path in self.received.glob(f"*/*{TEMPORARY}"):
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
            sync_file(made / name)
        sync_folder(made)
        made.rename(target)
        sync_folder(target.parent)
        sync_folder(self.results)
        return [target / name for name in names]
