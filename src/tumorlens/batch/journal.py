"""The output folder while a job runs: what is done already, so that a kill costs no more than the chunk it falls into.

Each chunk's records are written whole, as one part, as soon as it comes back; when all files are done, the parts become
the tables and findings.json, and go. A folder that has findings.json is complete.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from tumorlens.batch.job import Computing, Item, Job, Names
from tumorlens.batch.results import DOCUMENT, STUDIES, TABLES, write_results
from tumorlens.batch.store import OutputFolder
from tumorlens.batch.work import Part
from tumorlens.card import WeightsCard
from tumorlens.errors import ConfigError
from tumorlens.finding import SCHEMA
from tumorlens.formats import Source
from tumorlens.study_record import StudyRecord

_FOLDER = ".unfinished"
_JOB = f"{_FOLDER}/job.json"
_PARTS = f"{_FOLDER}/parts"


class Journal:
    """Checkpoint of a batch job in its output folder: only the same request goes on.

    The folder is there, and no other process writes to it. With `restart`, an unfinished job there is forgotten.

    Raises:
        ConfigError: If the folder holds another unfinished job, or cannot be written.
    """

    def __init__(self, store: OutputFolder, request: dict[str, object], *, restart: bool = False) -> None:
        self.store = store
        if restart:
            store.remove(_FOLDER)
        content = json.dumps(request, sort_keys=True)
        begun = store.read(_JOB).decode() if "job.json" in store.names(_FOLDER) else None
        if begun is not None and begun != content:
            raise ConfigError(
                f"{store.folder}: holds an unfinished job with other scans or settings; finish it with its own "
                "command, choose another --output, or forget it with --restart"
            )
        for name in (DOCUMENT, *TABLES, STUDIES):
            store.remove(name)
        if begun is None:
            store.write(_JOB, content.encode())
        self._parts = store.names(_PARTS)
        self._attempt = 1 + max((int(name.split("-")[1].removesuffix(".json")) for name in self._parts), default=0)

    def items(self, sources: Sequence[Source]) -> Iterator[tuple[int, Item]]:
        """The files that are still to do, each with its place among all of them.

        A name that was given before stays with its file.
        """
        done: Counter[str] = Counter()
        used = []
        for part in self.parts():
            done.update(entry["path"] for entry in part)
            used += [entry["name"] for entry in part]
        names = Names(used)
        for place, source in enumerate(sources):
            if done[source.path]:
                done[source.path] -= 1
            else:
                yield place, Item.of(source, names.give(source.path))

    def add(self, part: Part) -> None:
        """Records a chunk."""
        name = f"{part.place:09d}-{self._attempt:03d}.json"
        self.store.write(f"{_PARTS}/{name}", part.content.encode("ascii"))
        self._parts.append(name)

    def parts(self) -> Iterator[list[dict[str, Any]]]:
        """What is done, chunk by chunk, in the order of the files; each a `FileFindings` as JSON has it."""
        for name in sorted(self._parts):
            yield json.loads(self.store.read(f"{_PARTS}/{name}"))

    def finish(self, card: WeightsCard) -> Iterator[StudyRecord]:
        """Makes the results of the parts, and removes these; gives the findings of studies as they are written."""
        yield from write_results(self.store, self.parts(), card)
        self.store.remove(_FOLDER)


def request_of(paths: Sequence[object], computing: Computing, job: Job, card: WeightsCard) -> dict[str, object]:
    """Inputs and settings of a job; an interrupted one goes on only where they are the same."""
    settings = {**asdict(computing), **asdict(job), "output": ""}
    return {"paths": [str(p) for p in paths], **settings, "sha256": card.sha256, "schema": SCHEMA}
