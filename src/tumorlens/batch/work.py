"""Worker of a batch job: reads a chunk of files, predicts, draws. Every pool calls it, so all answer alike."""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from pydantic import BaseModel, TypeAdapter

from tumorlens.batch.job import ARRAY, HEATMAP, OVERLAY, Chunk, Computing, Item, Job
from tumorlens.batch.store import OutputFolder, is_url, open_url
from tumorlens.classifier import Classifier
from tumorlens.errors import UnreadableFile
from tumorlens.finding import FailureRecord, Finding, FindingRecord
from tumorlens.formats import Failure, Source, read_source
from tumorlens.formats.checks import QUIET
from tumorlens.place import SlicePlace
from tumorlens.processes import Message
from tumorlens.scan import Scan

_BATCH = 64  # scans
_BATCH_PIXELS = 16_000_000  # their heat maps are as large as they are, so a few big scans fill a batch too


class FileFindings(BaseModel):
    """Findings and failures of one file, whose pictures have a name.

    Places are those of the findings' scans; None for a picture that says of no study.
    """

    path: str
    name: str
    findings: list[FindingRecord] = []
    places: list[SlicePlace | None] = []
    failures: list[FailureRecord] = []


_DONE = TypeAdapter(list[FileFindings])


@dataclass(frozen=True)
class Tally:
    """Counts of findings: by key of the class that they name, close calls, and unknown scans."""

    classes: Counter[str] = field(default_factory=Counter)
    close_calls: int = 0
    unknown: int = 0

    @classmethod
    def of(cls, findings: Iterable[FindingRecord]) -> Tally:
        """Counts findings."""
        classes: Counter[str] = Counter()
        close_calls = unknown = 0
        for finding in findings:
            if finding.label is None:
                unknown += 1
            elif finding.close_call:
                close_calls += 1
            else:
                classes[finding.label] += 1
        return cls(classes, close_calls, unknown)

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.classes + other.classes, self.close_calls + other.close_calls, self.unknown + other.unknown)

    @property
    def total(self) -> int:
        """Number of findings."""
        return self.classes.total() + self.close_calls + self.unknown


class Part(Message):
    """Serialised results of a chunk of files: parsed only where somebody looks into it.

    Attributes:
        place: Place of its first file among all.
        files: Number of files.
        tally: Numbers of findings.
        failures: Number of failures.
        content: The chunk's `FileFindings`s as JSON, in ASCII.
    """

    kind: Literal["part"] = "part"
    place: int
    files: int
    tally: Tally
    failures: int
    content: str

    @classmethod
    def of(cls, place: int, done: list[FileFindings]) -> Part:
        """Packs a chunk."""
        return cls(
            place=place,
            files=len(done),
            tally=Tally.of(f for d in done for f in d.findings),
            failures=sum(len(d.failures) for d in done),
            # Not Pydantic's JSON: file names on Linux are bytes, and it refuses those that are no text.
            content=json.dumps(_DONE.dump_python(done)),
        )

    @classmethod
    def failed(cls, place: int, item: Item, error: str) -> Part:
        """What comes of a file that nothing came of."""
        failure = FailureRecord(source=item.path, error=error)
        return cls.of(place, [FileFindings(path=item.path, name=item.name, failures=[failure])])

    @property
    def findings(self) -> int:
        """Number of findings."""
        return self.tally.total

    def open(self) -> list[FileFindings]:
        """The chunk's results."""
        return _DONE.validate_python(json.loads(self.content))


class Worker:
    """Predicts chunks of files."""

    def __init__(self, classifier: Classifier, job: Job) -> None:
        self.classifier, self.job = classifier, job
        self.store = None if job.output is None else OutputFolder(job.output)

    @classmethod
    def start(cls, computing: Computing, job: Job) -> Worker:
        """A worker that has the process to itself, and one thread, whatever its engine is."""
        worker = cls(Classifier.load(computing.weights, device=computing.device, threads=1), job)
        if "torch" in sys.modules:  # PyTorch would take all processors
            sys.modules["torch"].set_num_threads(1)
        return worker

    def __call__(self, chunk: Chunk, reading: Callable[[int], None] = lambda _: None) -> Part:
        """Predicts a chunk of files, one batch of scans at a time; `reading` is told which of them is read next."""
        done = [FileFindings(path=item.path, name=item.name) for item in chunk.items]
        with QUIET:  # once, and not several times a file
            self._fill(done, chunk, reading)
        return Part.of(chunk.place, done)

    def _fill(self, done: list[FileFindings], chunk: Chunk, reading: Callable[[int], None]) -> None:
        for batch in _batches(self._scans(chunk.items, done, reading)):
            findings = self.classifier.find_each(
                [scan for _, _, scan in batch],
                explain=self.job.explain,
                target=self.job.target,
                method=self.job.method,
                batch_size=_BATCH,
            )
            for (index, name, scan), finding in zip(batch, findings, strict=True):
                done[index].findings.append(self._write(name, scan, finding))
                done[index].places.append(SlicePlace.of(scan) if scan.study else None)

    def _scans(
        self, items: Iterable[Item], done: list[FileFindings], reading: Callable[[int], None]
    ) -> Iterator[tuple[int, str, Scan]]:
        """Each scan with its item's index and its own name; failures go into `done`."""
        for index, item in enumerate(items):
            reading(index)
            read = self._read(item)
            # Looking two scans ahead tells whether names need the frame's number.
            ahead = list(islice(read, 2))
            for result in chain(ahead, read):
                if isinstance(result, Failure):
                    done[index].failures.append(FailureRecord(source=result.source, error=result.error))
                else:
                    name = f"{item.name}-{result.frame:04d}" if len(ahead) > 1 else item.name
                    yield index, name, result

    def _read(self, item: Item) -> Iterator[Scan | Failure]:
        if item.error is not None:
            yield Failure(item.path, item.error)
            return
        if not is_url(item.path):
            yield from read_source(Source(item.path, sequences=item.sequences), axis=self.job.axis)
            return
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder, PurePosixPath(item.path).name)
            try:
                system, path = open_url(item.path)
                system.get_file(path, str(local))
            except OSError as error:
                gone = UnreadableFile(item.path, f"could not be fetched ({error.strerror or 'no answer'})", "try again")
                yield Failure.of(item.path, gone)
                return
            for result in read_source(Source(str(local)), axis=self.job.axis):
                yield replace(result, source=item.path)

    def _write(self, name: str, scan: Scan, finding: Finding) -> FindingRecord:
        if self.store is None or finding.heatmap is None or not self.job.pictures:
            return finding.record()
        from tumorlens.overlay import draw_heatmap, draw_overlay

        heatmap, overlay, array = finding.heatmap, name + OVERLAY, name + ARRAY
        picture = draw_overlay(scan, heatmap, finding.region)
        # The array first: beside it, the pictures are known as results even if the call ends here.
        with self.store.writing(array) as path, path.open("wb") as file:
            np.save(file, heatmap)
        with self.store.writing(overlay) as path:
            picture.save(path, "PNG")
        with self.store.writing(name + HEATMAP) as path:
            draw_heatmap(heatmap).save(path, "PNG")
        return finding.record(self.store.where(array), self.store.where(overlay))


def _batches(scans: Iterator[tuple[int, str, Scan]]) -> Iterator[list[tuple[int, str, Scan]]]:
    batch: list[tuple[int, str, Scan]] = []
    pixels = 0
    for entry in scans:
        batch.append(entry)
        pixels += entry[2].height * entry[2].width
        if len(batch) == _BATCH or pixels >= _BATCH_PIXELS:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch
