"""Analyses studies in a process of its own, with limits: hostile pixels may kill that one, and not the node."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tumorlens.errors import AnalysisFailed, InputError, TumorLensError
from tumorlens.listener import Listener
from tumorlens.node.config import Analysis

if TYPE_CHECKING:
    from pydicom import Dataset

Analyse = Callable[[Sequence[Path], Listener], "list[Dataset]"]
"""Makes results of the DICOM files of one study, and tells how it gets on. UIDs are made of what went in: of the same
files come the same objects."""

Prepare = Callable[[], Analyse]
"""Makes an `Analyse`, in the process that uses it; can be pickled."""

_NICE = 5  # receiving comes first
_DEATHS = 20  # files of one study that may kill the process, each, before the study is given up
_STUCK = (
    0.1  # of the time that a study may take: a file that is read for so long is at fault, and not the study's length
)


@dataclass
class Made:
    """What came of a study.

    Attributes:
        results: SOPInstanceUID, SOPClassUID and file name of each result.
        bad: By their place, what is wrong with the files that could not be read; they were left out.
    """

    results: list[tuple[str, str, str]] = field(default_factory=list)
    bad: dict[int, str] = field(default_factory=dict)


class AnalysisProcess:
    """A process that analyses one study after another. It starts when it is first needed, and again when it died.

    Args:
        prepare: Makes what analyses.
        limits: Its limits.
    """

    def __init__(self, prepare: Prepare, limits: Analysis) -> None:
        self._prepare, self._limits = prepare, limits
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        self._ending = False

    def run(self, files: Sequence[Path], folder: Path) -> Made:
        """Analyses a study.

        A file that kills the process, or keeps it too long, is left out, and the study is analysed again without it.

        Args:
            files: DICOM files of one study.
            folder: An empty folder, for the results.

        Raises:
            AnalysisFailed: If it fails, dies, or takes longer than it may.
            OSError: If the results cannot be written, as on a full disk; InterruptedError after `end`.
        """
        deadly: dict[int, str] = {}
        while left := [place for place in range(len(files)) if place not in deadly]:
            bad: dict[int, str] = {}
            kind, value = self._ask([files[place] for place in left], folder, bad)
            bad = {left[place]: problem for place, problem in bad.items()}
            if kind == "made":
                return Made(value, deadly | bad)
            if kind == "unwritten":
                raise OSError(value)
            if len(bad) == len(left):
                return Made([], deadly | bad)
            if kind == "failed" or len(deadly) == _DEATHS:
                raise AnalysisFailed(value if kind == "failed" else f"{_DEATHS} of its files did the same: {value[1]}")
            place, problem = value
            deadly[left[place]] = f"{problem} when this file was read"
        return Made([], deadly)

    def _ask(self, files: list[Path], folder: Path, bad: dict[int, str]) -> tuple[str, Any]:
        """One try: what it made, why it failed, or the place of the file that it died over and how."""
        since = time.monotonic()
        until = since + self._limits.seconds
        reading: int | None = None
        try:
            connection = self._start()
            connection.send((files, folder))
            while connection.poll(max(0.0, until - time.monotonic())):
                kind, place, value = connection.recv()
                if kind == "reading":
                    reading, since = place, time.monotonic()
                elif kind == "bad":
                    bad[place] = value
                else:
                    return kind, value
            problem = f"it took longer than {self._limits.seconds:g} s"
            if time.monotonic() - since < _STUCK * self._limits.seconds:
                reading = None
        except (EOFError, OSError):
            if self._ending:
                raise InterruptedError("the node ends") from None
            assert self._process is not None
            self._process.join(5)
            problem = f"the process that analyses died ({_manner(self._process.exitcode)})"
        self.close()
        return ("failed", problem) if reading is None else ("died", (reading, problem))

    def _start(self) -> Connection:
        if self._process is not None and self._process.is_alive() and self._connection is not None:
            return self._connection
        self.close()
        # Not forked: the node's threads would be torn apart.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = (theirs, self._prepare, self._limits.megabytes)
        self._process = context.Process(target=_main, args=arguments, name="analysis", daemon=True)
        self._process.start()
        theirs.close()
        self._connection = ours
        return ours

    def end(self) -> None:
        """Ends it for good, from any thread: the study at hand is interrupted."""
        self._ending = True
        if (process := self._process) is not None:
            process.kill()

    def close(self) -> None:
        """Ends the process, whatever it does."""
        process, self._process = self._process, None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        if process is not None:
            process.kill()
            process.join()
            process.close()


def _manner(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}, perhaps for want of memory"
    return f"exit code {code}"


def _main(connection: Connection, prepare: Prepare, megabytes: int) -> None:
    """The process: told files and a folder, it says ("reading", place, _), ("bad", place, problem) and how it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the node, which ends this
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.nice(_NICE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold patient data
    if megabytes:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    warnings.simplefilter("ignore")  # and so would warnings of the libraries that read files
    logging.disable(logging.CRITICAL)
    analyse: Analyse | None = None
    while True:
        try:
            files, folder = connection.recv()
        except (EOFError, OSError):
            return
        try:
            analyse = analyse or prepare()
            results = analyse(files, _reporter(connection, files))
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the node is told
            connection.send(("failed", None, _reason(error)))
            continue
        try:
            connection.send(("made", None, _save(results, folder)))
        except OSError as error:
            connection.send(("unwritten", None, f"the results cannot be written ({error.strerror})"))
        except Exception as error:  # noqa: BLE001
            connection.send(("failed", None, _reason(error)))


def _reporter(connection: Connection, files: Sequence[Path]) -> Listener:
    """Tells the node how an analysis gets on, so that it knows which file was read when the process dies."""
    places = {str(path): place for place, path in enumerate(files)}
    return Listener(
        reading=lambda path: connection.send(("reading", None if path is None else places[path], None)),
        failed=lambda path, problem: connection.send(("bad", places[path], problem)),
    )


def _save(results: Sequence[Dataset], folder: Path) -> list[tuple[str, str, str]]:
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    saved = []
    for number, ds in enumerate(results, 1):
        if getattr(ds, "file_meta", None) is None:
            ds.file_meta = FileMetaDataset()
        if "TransferSyntaxUID" not in ds.file_meta:
            ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        name = f"{number:03d}.dcm"
        ds.save_as(folder / name, enforce_file_format=True)
        saved.append((str(ds.SOPInstanceUID), str(ds.SOPClassUID), name))
    return saved


def _reason(error: Exception) -> str:
    """What went wrong. The text of other people's errors may quote the study; where it happened may not."""
    if isinstance(error, InputError):
        return error.problem
    if isinstance(error, TumorLensError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}"


def _end_with_parent() -> None:
    """A process whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
