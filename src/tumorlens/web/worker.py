"""A process that parses what strangers send, `python -m tumorlens.web.worker`. It is given no database and no password.

Commands come as JSON, one a line, on its standard input; answers go out likewise. The first command says how it is to
run, the others are `finding` and `case`. Every command ends with a line that has `end`, or `error`.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from tumorlens.classifier import Classifier
from tumorlens.errors import InputError, TumorLensError
from tumorlens.explain.overlay import draw_heatmap, draw_overlay
from tumorlens.finding import SCHEMA, FailureRecord, FindingsDocument
from tumorlens.formats import Failure, Source, read_source
from tumorlens.place import SlicePlace
from tumorlens.scan import Scan
from tumorlens.study import SliceFinding, find_in_studies
from tumorlens.web.arrival import Rules
from tumorlens.web.pictures import png
from tumorlens.web.reading import Order, read_case

AT_ONCE = 64
"""Slices of a file that is answered at once; more are a case."""

DISK_FULL = "the server's disk is full; its keeper must make room, then try again"
NO_MEMORY = "it needs more memory than a worker may take; split it or resample it"


def main() -> None:
    """Answers commands until its standard input ends."""
    # Answers have the pipe to themselves: whatever else prints, prints to nowhere.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def tell(message: dict[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    how = json.loads(sys.stdin.readline() or "{}")
    if not how:
        return
    try:
        classifier = Classifier.load(how["weights"], threads=how["threads"])
    except TumorLensError as error:
        tell({"error": str(error)})
        return
    _limit_memory(how["memory"])
    tell({"end": True})
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if command["do"] == "case":
                _case(command, classifier, tell)
                tell({"end": True})
            else:
                tell({"end": _find(command, classifier)})
        except InputError as error:
            tell({"error": error.reason})
        except TumorLensError as error:
            tell({"error": str(error)})
        except MemoryError:
            tell({"error": NO_MEMORY})
        except OSError as error:
            tell({"error": DISK_FULL if error.errno in (28, 122) else f"cannot be written: {error.strerror}"})
        except Exception as error:  # noqa: BLE001 - whatever a file does to a library, the next one is answered
            tell({"error": "it could not be read; export it again, or convert it to PNG", "trace": _trace(error)})


def _case(command: dict[str, Any], classifier: Classifier, tell: Any) -> None:
    key = command["key"]
    rules = Rules(command["files"], command["size"], None if key is None else bytes.fromhex(key))
    uploads = tuple((number, name) for number, name in command["uploads"])
    read_case(Order(Path(command["folder"]), uploads, command["axis"], rules), classifier, tell)


def _find(command: dict[str, Any], classifier: Classifier) -> dict[str, Any]:
    """A file's findings as one document, as `tumorlens predict --json` gives it."""
    name, pictures = command["name"], command["pictures"]
    scans: list[Scan] = []
    failures = []
    for item in read_source(Source(command["path"]), axis=command["axis"]):
        if isinstance(item, Failure):
            failures.append(FailureRecord(source=name, error=item.error))
        elif len(scans) == AT_ONCE:
            failures.append(FailureRecord(source=name, error=f"more than {AT_ONCE} slices; send it as a case"))
            break
        else:
            scans.append(item)
    records, slices = [], []
    for scan, finding in zip(scans, classifier.find_each(scans, target=command["target"], batch_size=16), strict=True):
        heat = over = None
        if pictures and finding.heatmap is not None:
            heat = _embedded(draw_heatmap(finding.heatmap))
            over = _embedded(draw_overlay(scan, finding.heatmap, finding.region))
        records.append(finding.record(heat, over).model_copy(update={"source": name}))
        slices.append(SliceFinding(records[-1], SlicePlace.of(scan)))
    studies = [study.record(name) for study in find_in_studies(slices, classifier.card.classes, classifier.card.study)]
    document = FindingsDocument.of(classifier.weights, records, failures, studies)
    return {"schema": SCHEMA, **document.model_dump(mode="json")}


def _embedded(image: Any) -> str:
    import base64

    return f"data:image/png;base64,{base64.b64encode(png(image)).decode()}"


def _limit_memory(more: int) -> None:
    """Lets the process take so many bytes beyond what it has; Linux only."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except (ImportError, OSError):
        return
    limit = pages * os.sysconf("SC_PAGE_SIZE") + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would hold patients' pixels


def _trace(error: Exception) -> str:
    """Where it happened and what kind it was. Its text may quote the file, so it stays here."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at " + " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in frames[::-1][:6])


if __name__ == "__main__":
    main()
