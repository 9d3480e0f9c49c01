"""Configuration of a batch job, and its list of input files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tumorlens.batch.store import is_url, open_url
from tumorlens.classifier import Classifier
from tumorlens.defaults import DEFAULT_WEIGHTS
from tumorlens.errors import ConfigError, UnreadableFile, UnsupportedFile
from tumorlens.formats import Axis, Source, find_sources, join_sources
from tumorlens.formats.sources import natural
from tumorlens.processes import Message

OVERLAY, HEATMAP, ARRAY = "-overlay.png", "-heatmap.png", "-heatmap.npy"
"""Endings of the pictures of a finding, and of its heat map's numbers."""

CHUNK = 64
"""Files that one worker takes at a time, and so what a kill can cost each worker."""


@dataclass(frozen=True)
class Job:
    """Configuration of a batch job: outputs and heat maps.

    Attributes:
        output: Folder for pictures and results, or the URL of one; None writes nothing.
        axis: The plane NIfTI volumes are cut in.
        explain: Whether to make heat maps.
        target: Class to make heat maps for; None explains each scan's most probable class.
        method: Way to make heat maps; None takes the one of the weights' card.
        pictures: Whether to write an overlay and a heat map for each scan.
    """

    output: str | Path | None = None
    axis: Axis = "axial"
    explain: bool = True
    target: str | None = None
    method: str | None = None
    pictures: bool = True


@dataclass(frozen=True)
class Computing:
    """Weights and device of a batch job, as `Classifier.load` takes them."""

    weights: str = DEFAULT_WEIGHTS
    device: str = "cpu"


@dataclass(frozen=True)
class Item:
    """Input file of a batch job.

    Attributes:
        path: The file, or what gave none, as the caller named it; a URL where it lies in a store.
        name: What its pictures are called, before their endings; no two items share it.
        error: Why there is nothing to read, if that is known already, and what to do about it.
        sequences: Files of several sequences of one patient that are read as one, as of `Source.sequences`.
    """

    path: str
    name: str
    error: str | None = None
    sequences: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, source: Source, name: str) -> Item:
        """The item of a file that was found."""
        return cls(source.path, name, None if source.error is None else source.error.reason, dict(source.sequences))


class Chunk(Message):
    """Some files to do, in a row, and the place of the first among all."""

    place: int
    items: tuple[Item, ...]


class Names:
    """A name of its own for each file, made from the file's. File systems may not tell upper and lower case apart."""

    def __init__(self, used: Iterable[str] = ()) -> None:
        self._used: set[str] = set()
        self._stems: set[str] = set()
        for name in used:
            self._take(name)

    def give(self, path: str) -> str:
        """The name for a file's pictures."""
        # DICOM files are often named by their UID: the number after its last dot is no suffix.
        stem = re.sub(r"(\.nii)?\.[a-z]\w*$", "", path.rstrip("/").rpartition("/")[2], flags=re.IGNORECASE)
        # File systems count bytes, 255 of them, and need room for our endings.
        base = re.sub(r"[^\w.-]+", "_", stem).encode()[:200].decode(errors="ignore") or "scan"
        name, number = base, 1
        while self._taken(name):
            number += 1
            name = f"{base}-{number}"
        self._take(name)
        return name

    def _taken(self, name: str) -> bool:
        # The frames of "a" will be called "a-0000" and so on, as other files may be.
        key = name.casefold()
        return key in self._used or key in self._stems or (_stem(key) != key and _stem(key) in self._used)

    def _take(self, name: str) -> None:
        key = name.casefold()
        self._used.add(key)
        if _stem(key) != key:
            self._stems.add(_stem(key))


def _stem(name: str) -> str:
    return re.sub(r"-\d{4,}$", "", name)


def find_files(paths: Iterable[str | Path], sequences: Sequence[str] = ()) -> list[Source]:
    """The files that paths, folders and URLs hold, but for pictures that an earlier call made.

    Those of one patient's `sequences` are one source, but for those at URLs.
    """
    sources = [source for path in paths for source in _files_of(path)]
    return join_sources(sources, sequences) if sequences else sources


def _files_of(path: str | Path) -> list[Source]:
    sources = _in_store(str(path)) if is_url(path) else find_sources(path)
    names = {source.path for source in sources}
    scans = [source for source in sources if not _is_result(source.path, names)]
    error = UnsupportedFile(path, "nothing but results of an earlier call", "give the scans they were made of")
    return scans or [Source(str(path), error)]


def _in_store(url: str) -> list[Source]:
    """The files below a URL, in natural order. None is opened: whether it holds a scan shows when it is read."""
    system, root = open_url(url)
    try:
        urls = [system.unstrip_protocol(path) for path in system.find(root)]
    except OSError as error:
        reason = error.strerror or "it did not answer"
        return [Source(url, UnreadableFile(url, f"the store could not be read ({reason})", "check URL and access"))]
    if not urls:
        return [Source(url, UnreadableFile(url, "there is no such file or folder", "check the URL"))]
    hidden = (path for path in urls if "/." not in path.removeprefix(url))
    return [Source(path) for path in sorted(hidden, key=natural)]


def _is_result(path: str, names: set[str]) -> bool:
    """Whether a file is a picture that an earlier call made, which is no scan: its array then lies beside it."""
    for ending in (OVERLAY, HEATMAP):
        if path.endswith(ending):
            array = path.removesuffix(ending) + ARRAY
            return array in names if is_url(path) else Path(array).is_file()
    return is_url(path) and path.endswith((ARRAY, ".json", ".csv", ".parquet"))


def check(job: Job, classifier: Classifier) -> None:
    """Raises ConfigError if a job asks for a class or a heat map that the weights do not have."""
    classes = classifier.card.classes.keys
    if job.target is not None and job.target not in classes:
        raise ConfigError(f"--target {job.target}: choose one of {', '.join(classes)}")
    # Asking for the list loads PyTorch, which the weights' own heat maps do without.
    if job.method not in (None, classifier.heat_map.method) and job.method not in classifier.eager.methods:
        raise ConfigError(f"--heat-map {job.method}: choose one of {', '.join(classifier.eager.methods)}")
