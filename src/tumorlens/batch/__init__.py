"""Many scans: files in, findings and their pictures out, in bounded memory, here or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tumorlens.batch.job import CHUNK, Chunk, Computing, Item, Job, Names, check, find_files
from tumorlens.batch.journal import Journal, request_of
from tumorlens.batch.pools import Pool, alone, cores, processes
from tumorlens.batch.results import DOCUMENT, STUDIES, TABLES, read_document, tables
from tumorlens.batch.store import OutputFolder
from tumorlens.batch.work import FileFindings, Part, Tally, Worker
from tumorlens.card import WeightsCard
from tumorlens.classifier import Classifier
from tumorlens.finding import FailureRecord, FindingRecord, FindingsDocument, WeightsId
from tumorlens.listener import SILENT, Listener
from tumorlens.study import SliceFinding, find_in_studies
from tumorlens.study_record import StudyRecord

__all__ = [
    "DOCUMENT",
    "STUDIES",
    "TABLES",
    "Computing",
    "Job",
    "Outcome",
    "Pool",
    "Tally",
    "find_in_files",
    "read_document",
    "run",
    "tables",
]

SHOWN = 40
"""Findings and failures that an outcome of a large job still holds; all are in the output folder."""

_WORTH = 4 * CHUNK  # files from which other processes are worth their start


@dataclass
class Outcome:
    """Result of a batch job: numbers of findings, failures and studies.

    Kept are also these themselves, or the first `SHOWN` of each where there is an output folder.
    """

    card: WeightsCard
    tally: Tally = field(default_factory=Tally)
    failures: int = 0
    kept: list[FindingRecord] = field(default_factory=list)
    kept_failures: list[FailureRecord] = field(default_factory=list)
    studies: int = 0
    kept_studies: list[StudyRecord] = field(default_factory=list)

    def add(self, part: Part, most: int | None) -> None:
        """Counts a chunk, and keeps what there is room for."""
        self.tally += part.tally
        self.failures += part.failures
        room = part.findings if most is None else max(0, most - len(self.kept))
        room_for_failures = part.failures if most is None else max(0, most - len(self.kept_failures))
        if min(room, part.findings) or min(room_for_failures, part.failures):
            done = part.open()
            self.kept += [finding for d in done for finding in d.findings][:room]
            self.kept_failures += [failure for d in done for failure in d.failures][:room_for_failures]

    def add_study(self, record: StudyRecord, most: int | None) -> None:
        """Counts a study, and keeps it if there is room."""
        self.studies += 1
        if most is None or len(self.kept_studies) < most:
            self.kept_studies.append(record)

    @property
    def findings(self) -> int:
        """Number of findings."""
        return self.tally.total

    def document(self) -> FindingsDocument:
        """The findings and failures kept so far, as one `FindingsDocument`."""
        weights = WeightsId(name=self.card.name, sha256=self.card.sha256)
        return FindingsDocument.of(weights, self.kept, self.kept_failures, self.kept_studies)


def run(
    paths: Sequence[str | Path],
    computing: Computing,
    job: Job,
    listener: Listener = SILENT,
    *,
    pool: Pool | None = None,
    jobs: int = 0,
    restart: bool = False,
    classifier: Classifier | None = None,
    keep: int | None = SHOWN,
) -> Outcome:
    """Batch prediction: findings for all scans of files and folders.

    A file that cannot be read is reported and the others go on. With an output folder, nothing that is done is lost:
    the same call goes on where an earlier one was cut off, and findings.json, results.csv and, with the extra
    `batch`, results.parquet are written at the end.

    Args:
        paths: Files and folders, or URLs of them.
        computing: What computes.
        job: What to do.
        listener: What to tell.
        pool: Who computes it; by default this process, or several for many files.
        jobs: Processes to use; 0 takes as many as there are processors, where that is worth it.
        restart: Whether to forget an unfinished job in the output folder.
        classifier: What computes, where it is in memory already.
        keep: Findings and failures that the outcome holds where there is an output folder; None for all.

    Raises:
        ConfigError: If the output folder cannot be written, or holds another unfinished job, or another call
            writes there.
        ModelError: If the weights cannot be used.
    """
    if classifier is None:
        classifier = Classifier.load(computing.weights, device=computing.device)
        check(job, classifier)
    if job.output is None:
        return _run(paths, classifier, computing, job, listener, None, pool=pool, jobs=jobs, keep=keep)
    store = OutputFolder(job.output)
    with store.alone():
        journal = Journal(store, request_of(paths, computing, job, classifier.card), restart=restart)
        return _run(paths, classifier, computing, job, listener, journal, pool=pool, jobs=jobs, keep=keep)


def _run(
    paths: Sequence[str | Path],
    classifier: Classifier,
    computing: Computing,
    job: Job,
    listener: Listener,
    journal: Journal | None,
    *,
    pool: Pool | None,
    jobs: int,
    keep: int | None,
) -> Outcome:
    card = classifier.card
    sources, outcome = find_files(paths, card.preprocessing.sequences), Outcome(card)
    most = keep if journal else None
    if journal is None:
        names = Names()
        todo = [(i, Item.of(s, names.give(s.path))) for i, s in enumerate(sources)]
    else:
        todo = list(journal.items(sources))
        for before in journal.parts():
            outcome.add(Part.of(0, [FileFindings.model_validate(entry) for entry in before]), most)
    finished = len(sources) - len(todo)
    if finished:
        listener.say(f"going on: {finished} of {len(sources)} files were done before")
    if pool is None:
        count = jobs or (cores() if len(todo) >= _WORTH and computing.device == "cpu" else 1)
        pool = processes(computing, job, count) if count > 1 else alone(Worker(classifier, job))
    listener.progress(finished, len(sources))
    # Small jobs go in small steps, so that their progress shows; large ones in large steps, which cost less.
    slices: list[SliceFinding] = []
    for part in pool(_chunks(todo, max(1, min(CHUNK, len(todo) // 32)))):
        if journal is not None:
            journal.add(part)
        else:
            slices += _slices(part)
        outcome.add(part, most)
        finished += part.files
        listener.progress(finished, len(sources))
    studies = (study.record() for study in find_in_studies(slices, card.classes, card.study))
    for record in journal.finish(card) if journal else studies:
        outcome.add_study(record, most)
    return outcome


def find_in_files(
    paths: Iterable[str | Path],
    classifier: Classifier,
    job: Job,
    *,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> FindingsDocument:
    """Batch prediction with a classifier in memory, in this process; the document holds every finding.

    It begins anew, also where the output folder holds an unfinished job.
    """
    listener = Listener(progress=progress)
    outcome = run(list(paths), Computing(), job, listener, jobs=1, restart=True, classifier=classifier, keep=None)
    return outcome.document()


def _slices(part: Part) -> Iterator[SliceFinding]:
    """The slices of a chunk that belong to studies."""
    for done in part.open():
        for finding, place in zip(done.findings, done.places, strict=True):
            if place is not None:
                yield SliceFinding(finding, place)


def _chunks(todo: Iterable[tuple[int, Item]], size: int) -> Iterator[Chunk]:
    """Items in chunks that do not cross what was done before, so that places stay in order."""
    first, items = 0, list[Item]()
    for place, item in todo:
        if items and (len(items) == size or place != first + len(items)):
            yield Chunk(place=first, items=tuple(items))
            items = []
        first = first if items else place
        items.append(item)
    if items:
        yield Chunk(place=first, items=tuple(items))
