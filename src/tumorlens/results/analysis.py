"""From the files of a study to what its slices show, each with its place in study and patient.

Example:
    analysed = analyse("study/", Classifier.load())
    print(analysed.study.label, analysed.presence)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from functools import partial
from os import PathLike, fspath

from tumorlens.classifier import Classifier
from tumorlens.errors import InputError, NotAScan, NotOneStudy, UnreadableFile, UnsupportedFile
from tumorlens.formats import Failure, find_sources
from tumorlens.formats.checks import check_scans, parsing
from tumorlens.formats.dicom import reader as dicom
from tumorlens.formats.dicom.header import Header, is_uid
from tumorlens.formats.dicom.info import IMAGES, images_of
from tumorlens.formats.sources import reader_of
from tumorlens.listener import SILENT, Listener, counted
from tumorlens.modality import Modality
from tumorlens.place import SlicePlace
from tumorlens.results.identity import Identity, identity_of
from tumorlens.results.shelf import Shelf
from tumorlens.results.slices import AnalysedSlice, AnalysedStudy
from tumorlens.scan import Scan, Values
from tumorlens.study import SliceFinding, find_in_study
from tumorlens.study.stacks import stacks_of


def analyse(
    paths: str | PathLike[str] | Iterable[str | PathLike[str]],
    classifier: Classifier,
    when: datetime | None = None,
    listener: Listener = SILENT,
) -> AnalysedStudy:
    """Says what the images of one study show: those of the modality that the weights know.

    Every slice is classified. Heat maps are made for the study's class, if that is a tumour: of the slices
    that show it by themselves. Of a SOP instance that is given twice the first counts.

    Args:
        paths: Files and folders of one study, in any order.
        classifier: What classifies.
        when: The time that results shall bear; now by default. Give the same again and results are the same to the
            last byte, not only in their UIDs.
        listener: Who is told what is read, and what is corrupt.

    Raises:
        NotOneStudy: If the files are of several studies.
        InputError: If no slice can be read: the first failure, or that there are no such images.
    """
    several = [paths] if isinstance(paths, str | PathLike) else list(paths)
    with closing(Shelf()) as shelf:
        reading = _Reading(several, shelf, listener, classifier.card.modality)
        findings = list(classifier.find_each(reading.scans(), explain=False))
        if not findings or reading.identity is None:
            raise reading.nothing()
        all_slices = [each(finding=finding) for each, finding in zip(reading.slices, findings, strict=True)]
        slices = [s for stack in stacks_of(all_slices, lambda s: s.place) for s in stack.slices]
        classes = classifier.card.classes
        study = find_in_study([SliceFinding(s.finding, s.place) for s in slices], classes, classifier.card.study)
        analysed = AnalysedStudy(
            reading.identity,
            tuple(slices),
            study,
            classes,
            tuple(reading.failures),
            reading.left_out,
            (when or datetime.now()).replace(microsecond=0),
        )
        return _explained(analysed, classifier, shelf)


class _Reading:
    """Goes through a study's files, and keeps what it learns on the way."""

    def __init__(self, paths: list[str | PathLike[str]], shelf: Shelf, listener: Listener, modality: Modality) -> None:
        self.paths, self._shelf, self._listener = paths, shelf, listener
        self._modality, self._images = modality.code, images_of(modality.code)
        self._others: set[str] = set()  # modalities of images that are left out
        self.identity: Identity | None = None
        self.slices: list[partial[AnalysedSlice]] = []  # they lack their findings
        self.failures: list[Failure] = []
        self.left_out = 0
        self._errors: list[InputError] = []
        self._seen: set[str] = set()

    def scans(self) -> Iterator[Scan]:
        """The slices' pixels, one after another; `slices` grows beside it."""
        for source in counted(find_sources(self.paths), self._listener.progress):
            self._listener.reading(source.path)
            try:
                if source.error:
                    raise source.error
                for scan in self._scans_of(source.path):
                    self._listener.reading(None)
                    yield scan
                    self._listener.reading(source.path)
            except NotOneStudy:
                raise
            except InputError as error:
                self._errors.append(error)
                self.failures.append(Failure.of(source.path, error))
                if not isinstance(error, NotAScan):  # of no use to the network, but sound
                    self._listener.failed(source.path, error.problem)
            self._listener.reading(None)

    def nothing(self) -> InputError:
        """Why there is no slice."""
        if self._errors:
            return self._errors[0]
        source = fspath(self.paths[0]) if self.paths else "the study"
        wanted = self._modality or "MR or CT"
        others = f", but {' and '.join(sorted(self._others))}" if self._others else ""
        remedy = f"give the {wanted} series of one study, or name weights for what it is"
        return UnsupportedFile(source, f"there are no {wanted} images{others}", remedy)

    def _scans_of(self, path: str) -> Iterator[Scan]:
        if reader_of(path) is not dicom:
            raise UnsupportedFile(path, "it is no DICOM file", "give the DICOM files of one study")
        file = dicom.DicomFile(path)
        header = file.header
        _check_uids(header)
        if header.uid in self._seen:
            return
        if self.identity is None:
            with parsing(path):
                self.identity = identity_of(file.dataset)
        if header.study != self.identity.study:
            raise NotOneStudy(path, "it is of another study than the files before", "give one study at a time")
        self._seen.add(header.uid)
        if header.sop_class not in self._images:
            self.left_out += 1
            if header.sop_class in IMAGES and header.modality:
                self._others.add(header.modality)
            return
        for scan in check_scans(path, file.scans(keep=True)):
            self._shelf.put(scan)
            shape = (scan.height, scan.width)
            place, window = SlicePlace.of(scan), _window(scan.values)
            self.slices.append(partial(AnalysedSlice, header, scan.frame, shape, place, stretched=window))
            yield scan


def _check_uids(header: Header) -> None:
    """Raises UnreadableFile if results could not refer to an instance, because a UID is missing or is none."""
    uids = {"SOPClass": header.sop_class, "SOPInstance": header.uid}
    uids |= {"SeriesInstance": header.series, "StudyInstance": header.study}
    for keyword, uid in uids.items():
        if not is_uid(uid):
            remedy = "export it again; results refer to it by UID"
            raise UnreadableFile(header.path, f"it has no valid {keyword}UID", remedy)


def _window(values: Values | None) -> tuple[float, float] | None:
    """(center, width) of the window that the reader made; None where it cannot be written."""
    if values is None or values.high - values.low < 1:
        return None
    return (values.low + values.high) / 2, values.high - values.low


def _explained(analysed: AnalysedStudy, classifier: Classifier, shelf: Shelf) -> AnalysedStudy:
    """Adds heat maps for the study's class to the slices that bear it, and pixels to those to be pictured."""
    slices = list(analysed.slices)
    bearing = analysed.bearing
    scans = (shelf.take(slices[i].path, slices[i].frame) for i in bearing)
    for i, finding in zip(bearing, classifier.find_each(scans, target=analysed.study.label), strict=True):
        slices[i] = replace(slices[i], finding=finding)
    for i in analysed.to_picture:
        slices[i] = replace(slices[i], scan=shelf.take(slices[i].path, slices[i].frame))
    return replace(analysed, slices=tuple(slices))
