"""Analyses studies in a process of its own, with limits: hostile pixels may kill that one, and not the node."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, TypeAdapter
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from tumorlens.errors import AnalysisFailed
from tumorlens.listener import Listener
from tumorlens.node.config import Analysis
from tumorlens.processes import Failed, Message, NowReading, WorkerProcess, begin, keep_quiet, limit_memory, serve

Analyse = Callable[[Sequence[Path], Listener, Path], list[Dataset]]
"""Makes results of the DICOM files of one study, and tells how it gets on. UIDs are made of what went in: of the same
files come the same objects. The folder, empty, is for what the page is to have: see `results.handover`."""

Prepare = Callable[[], Analyse]
"""Makes an `Analyse`, in the process that uses it; can be pickled."""

_NICE = 5  # receiving comes first
_DEATHS = 20  # files of one study that may kill the process, each, before the study is given up
_STUCK = 0.1  # of a study's time: a file that is read for so long is at fault, and not the study's length


class AnalyseStudy(Message):
    """What the process is told: the files of a study, and a folder for the results."""

    files: tuple[Path, ...]
    folder: Path


class BadFile(Message):
    """What is wrong with the file at this place; the analysis goes on."""

    kind: Literal["bad file"] = "bad file"
    place: int
    problem: str


class Results(Message):
    """The end of a study: SOPInstanceUID, SOPClassUID and file name of each result."""

    kind: Literal["results"] = "results"
    results: list[tuple[str, str, str]]


class Unwritten(Message):
    """The end of a study whose results could not be written, which is no fault of its own."""

    kind: Literal["unwritten"] = "unwritten"
    problem: str


_STUDY: TypeAdapter[AnalyseStudy] = TypeAdapter(AnalyseStudy)
_Reply = NowReading | BadFile | Results | Unwritten | Failed
_REPLIES: TypeAdapter[_Reply] = TypeAdapter(Annotated[_Reply, Field(discriminator="kind")])


class Made(NamedTuple):
    """Result objects of one study, and the files that could not be read.

    Attributes:
        results: SOPInstanceUID, SOPClassUID and file name of each result.
        bad: By their place, what is wrong with the files that could not be read; they were left out.
    """

    results: list[tuple[str, str, str]]
    bad: dict[int, str]


class AnalysisProcess(WorkerProcess[_Reply]):
    """A process that analyses one study after another."""

    def __init__(self, prepare: Prepare, limits: Analysis) -> None:
        super().__init__(_REPLIES, _main, prepare, limits.megabytes)
        self._seconds = limits.seconds

    def run(self, files: Sequence[Path], folder: Path) -> Made:
        """Analyses the DICOM files of a study, and writes the results into an empty folder.

        A file that kills the process, or keeps it too long, is left out, and the study is analysed again without it.

        Raises:
            AnalysisFailed: If it fails, dies, or takes longer than it may.
            OSError: If the results cannot be written, as on a full disk; InterruptedError after `end`.
        """
        deadly: dict[int, str] = {}
        while left := [place for place in range(len(files)) if place not in deadly]:
            bad: dict[int, str] = {}
            reply = self._ask([files[place] for place in left], folder, bad)
            bad = {left[place]: problem for place, problem in bad.items()}
            if isinstance(reply, Results):
                return Made(reply.results, deadly | bad)
            if isinstance(reply, Unwritten):
                raise OSError(reply.problem)
            if len(bad) == len(left):
                return Made([], deadly | bad)
            if isinstance(reply, Failed):
                trace = f" ({reply.trace})" if reply.trace else ""
                raise AnalysisFailed(reply.problem + trace, trace=reply.trace)
            if len(deadly) == _DEATHS:
                raise AnalysisFailed(f"{_DEATHS} of its files did the same: {reply.problem}", died=True)
            deadly[left[reply.place]] = f"{reply.problem} when this file was read"
        return Made([], deadly)

    def _ask(self, files: list[Path], folder: Path, bad: dict[int, str]) -> Results | Unwritten | Failed | BadFile:
        """One try: what it made, why it failed, or the file that it died over and how."""
        reading: int | None = None
        try:
            self.tell(AnalyseStudy(files=tuple(files), folder=folder))
            since = time.monotonic()
            until = since + self._seconds
            while (reply := self.hear(until - time.monotonic())) is not None:
                if isinstance(reply, NowReading):
                    reading, since = reply.place, time.monotonic()
                elif isinstance(reply, BadFile):
                    bad[reply.place] = reply.problem
                else:
                    return reply
            problem = f"it took longer than {self._seconds:g} s"
            if time.monotonic() - since < _STUCK * self._seconds:
                reading = None
            self.close()
        except AnalysisFailed as error:
            problem = str(error)
        return Failed(problem=problem) if reading is None else BadFile(place=reading, problem=problem)


def _main(connection: Connection, prepare: Prepare, megabytes: int) -> None:
    """The process: told of an `AnalyseStudy`, it tells how it gets on and how it ended."""
    begin(nice=_NICE)
    keep_quiet()
    analyse: Analyse | None = None

    def answer(study: AnalyseStudy) -> Message:
        nonlocal analyse
        if analyse is None:
            analyse = prepare()
            limit_memory(megabytes << 20)
        results = analyse(study.files, _reporter(connection, study.files), study.folder)
        try:
            return Results(results=_save(results, study.folder))
        except OSError as error:
            return Unwritten(problem=f"the results cannot be written ({error.strerror})")

    serve(connection, _STUDY, answer)


def _reporter(connection: Connection, files: Sequence[Path]) -> Listener:
    """Tells the node how an analysis gets on, so that it knows which file was read when the process dies."""
    places = {str(path): place for place, path in enumerate(files)}

    def tell(message: Message) -> None:
        connection.send_bytes(message.line())

    return Listener(
        reading=lambda path: tell(NowReading(place=None if path is None else places[path])),
        failed=lambda path, problem: tell(BadFile(place=places[path], problem=problem)),
    )


def _save(results: Sequence[Dataset], folder: Path) -> list[tuple[str, str, str]]:
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
