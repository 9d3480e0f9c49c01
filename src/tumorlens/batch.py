"""Many scans: files in, findings and their pictures out, one batch in memory at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import numpy as np

from tumorlens.classifier import Classifier
from tumorlens.errors import ConfigError, UnsupportedFile
from tumorlens.explain.overlay import draw_heatmap, draw_overlay
from tumorlens.finding import FailureRecord, Finding, FindingRecord, FindingsDocument
from tumorlens.formats import Axis, Failure, Source, find_sources, read_source
from tumorlens.scan import Scan

DOCUMENT = "findings.json"
_OVERLAY, _HEATMAP, _ARRAY = "-overlay.png", "-heatmap.png", "-heatmap.npy"
_BATCH = 64  # scans
_BATCH_PIXELS = 16_000_000  # their heat maps are as large as they are, so a few big scans fill a batch too


@dataclass(frozen=True)
class Job:
    """What to do with the scans.

    Attributes:
        output: Folder for overlays, heat maps and findings.json; None writes nothing.
        axis: The plane NIfTI volumes are cut in.
        explain: Whether to make heat maps.
        target: Class to make heat maps for; None explains each scan's most probable class.
        method: Way to make heat maps; None takes the one of the weights' card.
    """

    output: Path | None = None
    axis: Axis = "axial"
    explain: bool = True
    target: str | None = None
    method: str | None = None


@dataclass
class _Names:
    """A file name of its own for each scan, made from its source's."""

    used: set[str] = field(default_factory=set)

    def give(self, scan: Scan, several: bool) -> str:
        # DICOM files are often named by their UID: the number after its last dot is no suffix.
        stem = re.sub(r"(\.nii)?\.[a-z]\w*$", "", Path(scan.source).name, flags=re.IGNORECASE)
        # File systems count bytes, 255 of them, and need room for our endings.
        base = re.sub(r"[^\w.-]+", "_", stem).encode()[:200].decode(errors="ignore") or "scan"
        if several:
            base += f"-{scan.frame:04d}"
        name, number = base, 1
        while name.casefold() in self.used:
            number += 1
            name = f"{base}-{number}"
        self.used.add(name.casefold())
        return name


def find_in_files(
    paths: Iterable[Path],
    classifier: Classifier,
    job: Job,
    *,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> FindingsDocument:
    """Finds what the scans of files and folders show.

    A file that cannot be read is reported and the others go on. findings.json is written last, so a folder that has
    one is complete. Pictures that an earlier call made are passed over.

    Args:
        paths: Files and folders.
        classifier: The network to ask.
        job: What to do.
        progress: Called with (files done, files in all).

    Raises:
        ConfigError: If the output folder cannot be made or written.
    """
    sources = [source for path in paths for source in _sources_of(path)]
    if job.output is not None:
        _prepare(job.output)
    records: list[FindingRecord] = []
    failures: list[FailureRecord] = []
    names = _Names()

    def items() -> Iterator[tuple[str, Scan]]:
        for done, source in enumerate(sources):
            progress(done, len(sources))
            read = read_source(source, axis=job.axis)
            # Looking two scans ahead tells whether names need the frame's number.
            ahead = list(islice(read, 2))
            for item in chain(ahead, read):
                if isinstance(item, Failure):
                    failures.append(FailureRecord(source=item.source, error=item.error))
                else:
                    yield names.give(item, several=len(ahead) > 1), item
        progress(len(sources), len(sources))

    for batch in _batches(items()):
        scans = [scan for _, scan in batch]
        found = classifier.find_each(
            scans, explain=job.explain, target=job.target, method=job.method, batch_size=_BATCH
        )
        for (name, scan), finding in zip(batch, found, strict=True):
            records.append(_write(name, scan, finding, job.output))
    document = FindingsDocument.of(classifier.weights, records, failures)
    if job.output is not None:
        _replace(job.output / DOCUMENT, lambda path: path.write_text(document.to_json() + "\n", encoding="utf-8"))
    return document


def _batches(items: Iterator[tuple[str, Scan]]) -> Iterator[list[tuple[str, Scan]]]:
    batch: list[tuple[str, Scan]] = []
    pixels = 0
    for item in items:
        batch.append(item)
        pixels += item[1].height * item[1].width
        if len(batch) == _BATCH or pixels >= _BATCH_PIXELS:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


def _sources_of(path: Path) -> list[Source]:
    scans = [source for source in find_sources(path) if not _is_result(source.path)]
    error = UnsupportedFile(path, "nothing but results of an earlier call", "give the scans they were made of")
    return scans or [Source(str(path), error)]


def _is_result(path: str) -> bool:
    """Whether a file is a picture that an earlier call made, which is no scan: its array then lies beside it."""
    for ending in (_OVERLAY, _HEATMAP):
        if path.endswith(ending):
            return Path(path.removesuffix(ending) + _ARRAY).is_file()
    return False


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / DOCUMENT).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror}); choose another --output") from error


def _write(name: str, scan: Scan, finding: Finding, folder: Path | None) -> FindingRecord:
    if folder is None or finding.heatmap is None:
        return finding.record()
    heatmap, overlay, array = finding.heatmap, folder / f"{name}{_OVERLAY}", folder / f"{name}{_ARRAY}"
    picture = draw_overlay(scan, heatmap, finding.region)
    # The array first: beside it, the pictures are known as results even if the call ends here.
    _replace(array, lambda path: _save_array(path, heatmap))
    _replace(overlay, lambda path: picture.save(path, "PNG"))
    _replace(folder / f"{name}{_HEATMAP}", lambda path: draw_heatmap(heatmap).save(path, "PNG"))
    return finding.record(array, overlay)


def _save_array(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array)


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        try:
            write(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"{path}: cannot be written ({reason}); free space or choose another --output") from error
