"""A manifest's scans, read once, preprocessed and kept in memory: what training and evaluation run over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tumorlens.data.fingerprints import Fingerprints, fingerprint
from tumorlens.data.manifest import Entry, Manifest, pseudonym
from tumorlens.errors import DataError, InputError
from tumorlens.formats import Failure, read_frame, read_registered, read_scans
from tumorlens.preprocess import Preprocessing
from tumorlens.scan import Scan

_READERS = 2  # decoders release the interpreter's lock, so threads do

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Slices:
    """Preprocessed scans with their labels.

    Attributes:
        images: (N, C, S, S) float32 in [0, 1].
        labels: (N,) int64 class indices.
        manifest: N entries; those whose files name patients or series are grouped by these.
        failures: Files that could not be read; they are left out.
        coverage: (N, S, S) uint8, the share of each pixel of the input inside the scan's outline, in 255ths; zero where
            the scan has none. None where no scan has one.
        fingerprints: (N,) uint64, those of the scans as they were read; None where they were not read from files.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    manifest: Manifest
    failures: tuple[Failure, ...] = ()
    coverage: NDArray[np.uint8] | None = None
    fingerprints: Fingerprints | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def groups(self) -> list[str]:
        """What must not be torn apart: each scan's unit, or its own name where it has none."""
        return [e.unit or e.name for e in self.manifest.entries]

    @property
    def outlined(self) -> NDArray[np.bool_]:
        """(N,), whether the scan has an outline."""
        return np.array([e.outline is not None for e in self.manifest.entries], bool)

    def pick(self, indices: NDArray[np.intp]) -> Slices:
        """Some of the slices."""
        return replace(
            self,
            images=self.images[indices],
            labels=self.labels[indices],
            manifest=replace(self.manifest, entries=tuple(self.manifest.entries[i] for i in indices)),
            coverage=None if self.coverage is None else self.coverage[indices],
            fingerprints=None if self.fingerprints is None else self.fingerprints[indices],
        )


def load_slices(
    manifest: Manifest, preprocessing: Preprocessing, *, progress: Callable[[int, int], None] | None = None
) -> Slices:
    """Reads and preprocesses every scan of a manifest.

    `progress` is called with (done, total) after each file.

    Raises:
        DataError: If no file could be read, or sequences are wanted and a scan names none.
    """
    if preprocessing.sequences and (alone := [e.name for e in manifest.entries if not e.sequences]):
        wanted = ", ".join(f"path_{name}" for name in preprocessing.sequences)
        raise DataError(f"{alone[0]}: has no files of its sequences; a table names them in the columns {wanted}")
    images, entries, covered, fingerprints = [], [], [], []
    failures = list(manifest.failures)
    outlined = any(e.outline for e in manifest.entries)
    nowhere = np.zeros((preprocessing.size, preprocessing.size), np.uint8)

    def cover(entry: Entry, scan: Scan) -> NDArray[np.uint8]:
        return nowhere if entry.outline is None else preprocessing.cover(entry.outline, scan)

    def prepare(entry: Entry) -> list[tuple[Entry, NDArray[np.float32], NDArray[np.uint8], int]] | Failure:
        try:
            scans = read_registered(entry.sequences) if preprocessing.sequences else read_scans(entry.path)
        except InputError as error:
            return Failure(entry.name, str(error))
        several = len(scans) > 1
        return [(_grouped(entry, s, several), preprocessing(s), cover(entry, s), fingerprint(s)) for s in scans]

    for done, result in enumerate(in_order(prepare, manifest.entries), 1):
        if isinstance(result, Failure):
            failures.append(result)
        else:
            for entry, image, where, number in result:
                entries.append(entry)
                images.append(image)
                covered.append(where)
                fingerprints.append(number)
        if progress:
            progress(done, len(manifest))
    if not images:
        raise DataError(f"none of the {len(manifest)} scans could be read; the first: {failures[0].error}")
    labels = np.array([manifest.classes.keys.index(e.label) for e in entries], np.int64)
    unit = "patient or series" if manifest.unit == "scan" and any(e.unit for e in entries) else manifest.unit
    read = replace(manifest, entries=tuple(entries), unit=unit)
    return Slices(
        np.stack(images),
        labels,
        read,
        tuple(failures),
        np.stack(covered) if outlined else None,
        np.array(fingerprints, np.uint64),
    )


def read_scan(entry: Entry) -> Scan:
    """Reads the scan of one entry as it came, in all its sequences; the name ends in "#frame" if there are several."""
    _, _, number = entry.name.rpartition("#")
    frame = int(number) if number.isdecimal() else None
    if not entry.sequences:
        return read_frame(entry.path, frame)
    scans = read_registered(entry.sequences)
    return next((scan for scan in scans if scan.frame == frame), scans[0])


def _grouped(entry: Entry, scan: Scan, several: bool) -> Entry:
    """The entry of one slice, with what its file says of patient or series and of facts if the manifest does not."""
    group = entry.group
    if entry.unit is None and (identifier := scan.patient or scan.series):
        group = pseudonym(identifier)
    elif entry.unit is None and several:
        group = entry.name
    name = f"{entry.name}#{scan.frame}" if several else entry.name
    return replace(entry, name=name, group=group, facts={**scan.facts, **entry.facts})


def in_order(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Maps with threads, in order, holding at most a few results that nobody took yet."""
    remaining = iter(items)
    with ThreadPoolExecutor(_READERS) as pool:
        waiting = [pool.submit(function, item) for item in islice(remaining, 4 * _READERS)]
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(function, item) for item in islice(remaining, 1)]
