"""Reads a case: its files in, findings and their pictures out, one slice after another. Runs in a worker."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from tumorlens.classifier import Classifier
from tumorlens.errors import ConfigError, InputError
from tumorlens.evidence import Evidence
from tumorlens.finding import Finding
from tumorlens.formats import Failure, find_sources, join_sources, nifti, read_source
from tumorlens.place import SlicePlace, stand_in
from tumorlens.processes import Message, parse
from tumorlens.scan import Scan
from tumorlens.slides import is_slide
from tumorlens.web.arrival import Arrival, Arrived
from tumorlens.web.given import Given
from tumorlens.web.messages import FileFailed, ReadCase, SliceContent, SliceRead, SlideView, Total
from tumorlens.web.pictures import SlicePictures
from tumorlens.web.slides import read_slide

Tell = Callable[[Message], None]

BATCH = 8
"""Slices computed at once: few, so that the first findings come soon."""


_DICOM = "DICOM file"


class _Receipt(Message):
    """What came of an upload."""

    upload: int
    arrived: tuple[Arrived, ...]
    refused: tuple[FileFailed, ...]


_RECEIPT: TypeAdapter[_Receipt] = TypeAdapter(_Receipt)


def read_case(order: ReadCase, classifier: Classifier, tell: Tell) -> None:
    """Reads a case. `tell` is called with a `Total`, and a `SliceRead` or `FileFailed` for each slice or bad file.

    Raises:
        InputError: If the case as a whole breaks a rule.
        OSError: If it cannot be written.
    """
    files = order.folder / ("handover" if order.given else "files")
    given = Given(files, classifier.weights) if order.given else None
    names = {f.name: Arrived(file=f.name, name=_DICOM) for f in files.glob("*.dcm")} if given else _receive(order, tell)
    # Of an empty folder `find_sources` would give the folder itself, as a failure.
    sources = [s for s in find_sources(files) if s.path != str(files)]
    if (wanted := classifier.preprocessing.sequences) and given is None:
        came_as = {file: arrived.name for file, arrived in names.items()}
        sources = join_sources(sources, wanted, lambda path: came_as.get(Path(path).name, path))
    tell(Total(total=len(sources)))
    case = _Case(order, names, tell, given)
    waiting: deque[Scan] = deque()

    def scans() -> Iterator[Scan]:
        for source in sources:
            if is_slide(source.path):
                case.add_slide(source.path, classifier)
                continue
            for item in read_source(source, axis=order.axis, keep=True):
                if isinstance(item, Failure):
                    case.refuse(item)
                else:
                    waiting.append(item)
                    yield item

    for finding, evidence in classifier.explain_each(scans(), batch_size=BATCH):
        case.add(waiting.popleft(), finding, evidence)
    if given:
        tell(given.study())


def _receive(order: ReadCase, tell: Tell) -> dict[str, Arrived]:
    """Receives what was uploaded; files by name. What was received before a kill is remembered."""
    uploads, memory = order.folder / "uploads", order.folder / "arrived.jsonl"
    names: dict[str, Arrived] = {}
    received: set[int] = set()
    for line in memory.read_bytes().splitlines() if memory.exists() else ():
        receipt = parse(_RECEIPT, line)
        received.add(receipt.upload)
        names |= {a.file: a for a in receipt.arrived}
        for failure in receipt.refused:
            tell(failure)
    refused: list[FileFailed] = []

    def refuse(name: str, error: str) -> None:
        refused.append(FileFailed(name=name, error=error))
        tell(refused[-1])

    arrival = Arrival(uploads, order.folder / "files", order.rules, refuse)
    with memory.open("ab") as file:
        for number, name in order.uploads:
            if number not in received:
                arrived = tuple(arrival.receive(number, name))
                names |= {a.file: a for a in arrived}
                file.write(_Receipt(upload=number, arrived=arrived, refused=tuple(refused)).line())
                file.flush()
                refused.clear()
            (uploads / f"{number:05d}").unlink(missing_ok=True)
    return names


class _Case:
    """A case that is read: writes its slices, and tells of them."""

    def __init__(self, order: ReadCase, names: dict[str, Arrived], tell: Tell, given: Given | None) -> None:
        self._order, self._names, self._tell, self._given = order, names, tell, given
        self._number = 0
        self._series: dict[str, int] = {}
        self._places: dict[int, int] = {}

    def refuse(self, failure: Failure) -> None:
        """Tells of a file that could not be read, by the name it came with."""
        arrived = self._names.get(Path(failure.source).name)
        self._tell(FileFailed(name=arrived.name if arrived else "file", error=failure.error))

    def add_slide(self, path: str, classifier: Classifier) -> None:
        """Maps a whole slide, and tells of it as of a slice whose picture is the overview."""
        folder = self._order.folder / "slides" / f"{self._number + 1:05d}"
        try:
            scan, finding, evidence, view = read_slide(path, folder, classifier, self._tell)
        except InputError as error:
            self.refuse(Failure.of(path, error))
        except ConfigError as error:
            self.refuse(Failure(path, str(error)))
        else:
            self.add(scan, finding, evidence, view)

    def add(self, scan: Scan, finding: Finding, evidence: dict[str, Evidence], slide: SlideView | None = None) -> None:
        """Writes a slice's pictures, and tells of it."""
        arrived = self._names.get(Path(scan.source).name) or Arrived(file="", name="scan")
        handed = None if self._given is None else self._given.place(scan)
        if self._given is not None and handed is None:
            self._tell(FileFailed(name=arrived.name, error="the node found nothing of it"))
            return
        series = self._series.setdefault(scan.series or scan.source, len(self._series) + 1)
        self._places[series] = place = self._places.get(series, 0) + 1
        self._number += 1
        name = arrived.name
        if scan.modality and arrived.name.startswith(_DICOM):
            name = f"series {series if scan.info.number is None else scan.info.number}, slice {place}"
        elif scan.series or scan.frame:
            name = f"{arrived.name}, slice {scan.frame + 1}"
        folder = SlicePictures(self._order.folder / "slices" / f"{self._number:05d}")
        values = folder.write(scan, evidence)
        record = replace(finding, source=name, warnings=(*finding.warnings, *arrived.doubts)).record()
        if self._given is not None and handed is not None:
            record = self._given.finding(handed, self._number, name)
        content = SliceContent(
            number=self._number,
            series=series,
            width=scan.width,
            height=scan.height,
            spacing=scan.spacing,
            depth=scan.depth,
            values=values,
            position=scan.position,
            orientation=scan.orientation,
            space=stand_in(scan.space),
            colour=scan.pixels.ndim == 3,
            uncertainty=1.0 if record.confidence is None else round(1 - record.confidence, 6),
            finding=record,
            regions={key: e.region and e.region.model_copy(update={"contour_mm": None}) for key, e in evidence.items()},
            evidence={key: bool(np.any(e.heatmap)) for key, e in evidence.items()},
            handed=handed,
            slide=slide,
        )
        self._tell(SliceRead(content=content, place=place_of(scan, arrived.name)))


def place_of(scan: Scan, name: str) -> SlicePlace:
    """Where a slice belongs. A volume has another name here than where it came from, and that tells its sequence."""
    return SlicePlace.of(replace(scan, info=nifti.volume_info(name)) if scan.study == scan.source else scan)
