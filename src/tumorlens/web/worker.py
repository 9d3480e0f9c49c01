"""A process that parses what strangers send, `python -m tumorlens.web.worker`. It is given no database and no password.

Commands come a line each on its standard input, and answers go out likewise: see `messages`. The first command is
`Start`; the last answer to each is `Done` or `Failed`.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from tumorlens.classifier import Classifier
from tumorlens.errors import UnsupportedFile
from tumorlens.finding import SCHEMA, FailureRecord, FindingsDocument
from tumorlens.formats import Failure, Source, join_sources, read_source
from tumorlens.overlay import draw_heatmap, draw_overlay
from tumorlens.picture import embedded
from tumorlens.processes import Failed, Message, begin, limit_memory, parse
from tumorlens.scan import Scan
from tumorlens.slides import is_slide
from tumorlens.study import SliceFinding, find_in_studies
from tumorlens.web.messages import COMMANDS, Done, FindInFile, ReadCase, ReadPane, Start
from tumorlens.web.reading import place_of, read_case
from tumorlens.web.slides import read_pane

AT_ONCE = 64
"""Slices of a file that is answered at once; more are a case."""


def main() -> None:
    """Answers commands until its standard input ends."""
    # Answers have the pipe to themselves: whatever else prints, prints to nowhere.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    begin()

    def tell(message: Message) -> None:
        out.write(message.line())
        out.flush()

    commands = (parse(COMMANDS, line) for line in sys.stdin.buffer)
    classifier: Classifier | None = None
    for command in commands:
        try:
            if isinstance(command, Start):
                classifier = Classifier.load(command.weights, threads=1)
                limit_memory(command.memory)
                tell(Done())
                continue
            assert classifier is not None
            if isinstance(command, ReadCase):
                read_case(command, classifier, tell)
                tell(Done())
            elif isinstance(command, ReadPane):
                tell(Done(document=read_pane(command)))
            else:
                tell(Done(document=_find(command, classifier)))
        except Exception as error:  # noqa: BLE001 - whatever a file does to a library, the next one is answered
            tell(Failed.of(error))


def _find(command: FindInFile, classifier: Classifier) -> dict[str, Any]:
    """A file's findings as one document, as `tumorlens predict --json` gives it."""
    name = command.name
    if is_slide(str(command.path)):
        raise UnsupportedFile(name, "it is a whole slide, which takes its time", "send it as a case")
    scans: list[Scan] = []
    failures = []
    (source,) = join_sources([Source(str(command.path))], classifier.preprocessing.sequences, lambda _path: name)
    for item in read_source(source, axis=command.axis):
        if isinstance(item, Failure):
            failures.append(FailureRecord(source=name, error=item.error))
        elif len(scans) == AT_ONCE:
            failures.append(FailureRecord(source=name, error=f"more than {AT_ONCE} slices; send it as a case"))
            break
        else:
            scans.append(item)
    records, slices = [], []
    for scan, finding in zip(scans, classifier.find_each(scans, target=command.target, batch_size=16), strict=True):
        heat = over = None
        if command.pictures and finding.heatmap is not None:
            heat = embedded(draw_heatmap(finding.heatmap))
            over = embedded(draw_overlay(scan, finding.heatmap, finding.region))
        records.append(finding.record(heat, over).model_copy(update={"source": name}))
        slices.append(SliceFinding(records[-1], place_of(scan, name)))
    studies = [study.record(name) for study in find_in_studies(slices, classifier.card.classes, classifier.card.study)]
    document = FindingsDocument.of(classifier.weights, records, failures, studies)
    return {"schema": SCHEMA, **document.model_dump(mode="json")}


if __name__ == "__main__":
    main()
