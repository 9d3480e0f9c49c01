"""What an audit keeps of every picture: a few kilobytes that do not care for brightness, size or encoding.

They are kept in one append-only file of fixed-size records, so that an audit that was cut off goes on where it was,
and pictures are never all in memory.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from tumorlens.data.loader import in_order
from tumorlens.data.manifest import Entry, Manifest, pseudonym
from tumorlens.errors import DataError, InputError
from tumorlens.formats import Failure, read_scans
from tumorlens.modality import is_colourful
from tumorlens.scan import Scan

FINE, COARSE = 64, 32
"""Edges of the two thumbnails, in pixels."""

BINS = 32
"""Bins of the intensity histogram, from 0 to 1."""

CACHE = "pictures-3.cache"
"""Name of the file of records; another number for another way of describing pictures."""

_BLANK = 0.004  # standard deviation, of [0, 1]: one grey level of 256
_SCALE = 32.0  # patterns have a standard deviation of 1; four of them fit int8
_FLOOR = 0.2  # of a picture's standard deviation: weaker patterns are noise, and are not amplified

RECORD = np.dtype(
    [
        ("key", "<u8"),
        ("place", "<i4"),
        ("places", "<i4"),
        ("frame", "<i4"),
        ("height", "<i4"),
        ("width", "<i4"),
        ("colour", "?"),
        ("stained", "?"),
        ("blank", "?"),
        ("digest", "<u8"),
        ("series", "S12"),
        ("fine", "i1", (FINE, FINE)),
        ("coarse", "i1", (COARSE, COARSE)),
        ("grey", "<f2", (COARSE, COARSE)),
        ("histogram", "<f2", (BINS,)),
    ]
)
"""One picture.

key: hash of the file's path, size and time of change.
place, places: which of the file's pictures this is, from 0, and how many there are.
frame: the reader's number for it; blank frames count there.
stained: it is as colourful as stained tissue; JPEG gives some grey slices a tint.
blank: hardly anything is shown.
digest: hash of the pixels.
series: pseudonym of the patient or series that the file names.
fine, coarse: the local pattern, see `local_pattern`.
grey: mean intensities, in [0, 1].
histogram: share of the pixels in each bin.
"""


@dataclass(frozen=True, eq=False)
class Pictures:
    """The pictures of a manifest, in its order.

    Attributes:
        records: (N,) of `RECORD`, on disk.
        rows: (N,) place of each picture in `records`.
        entries: (N,) place of each picture's entry in the manifest.
        failures: Files that could not be read; they have no pictures here.
    """

    records: NDArray[np.void]
    rows: NDArray[np.intp]
    entries: NDArray[np.intp]
    failures: tuple[Failure, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str, pictures: NDArray[np.intp] | slice = slice(None)) -> NDArray[Any]:
        """A field of some pictures, copied into memory."""
        return self.records[name][self.rows[pictures]]


def local_pattern(image: NDArray[np.float32], sigma: float) -> NDArray[np.int8]:
    """Where a thumbnail is brighter or darker than its surroundings, whatever the contrast there.

    The mean of the surroundings is taken away and what is left is divided by its own local strength (local contrast
    normalisation, Jarrett et al., ICCV 2009). Neighbouring slices keep their broad light and shade and differ here.

    Takes (S, S) intensities, and the width of the surroundings in pixels of the thumbnail; gives (S, S) int8, mean
    about 0 and standard deviation about 32.
    """
    spread = float(image.std())
    rest = (image - image.mean()) / max(spread, 1e-12)
    rest = rest - gaussian_filter(rest, sigma)
    pattern = rest / (np.sqrt(gaussian_filter(rest**2, sigma)) + _FLOOR)
    pattern -= pattern.mean()
    pattern *= _SCALE / max(float(pattern.std()), 1e-12)
    steps: NDArray[np.int8] = pattern.round().clip(-127, 127).astype(np.int8)
    return steps


def describe(scan: Scan, key: int, place: int, places: int) -> NDArray[np.void]:
    """The record of one picture, (1,) of `RECORD`."""
    grey = np.ascontiguousarray(scan.grey)
    image = Image.fromarray(grey)
    # Pillow's filters widen as a picture shrinks, so every pixel counts; squashing to a square costs no orientation.
    fine = np.asarray(image.resize((FINE, FINE), Image.Resampling.BILINEAR))
    coarse = np.asarray(image.resize((COARSE, COARSE), Image.Resampling.BILINEAR))
    pixels = np.round(grey * 65535).astype("<u2")
    record = np.zeros(1, RECORD)
    record["key"], record["place"], record["places"], record["frame"] = key, place, places, scan.frame
    record["height"], record["width"], record["colour"] = scan.height, scan.width, scan.pixels.ndim == 3
    record["stained"] = is_colourful(scan.pixels)
    record["blank"] = coarse.std() < _BLANK
    record["digest"] = _hash(f"{pixels.shape}".encode() + pixels.tobytes())
    if identifier := scan.patient or scan.series:
        record["series"] = pseudonym(identifier).encode()
    record["fine"], record["coarse"] = local_pattern(fine, 2.0), local_pattern(coarse, 1.5)
    record["grey"] = coarse
    record["histogram"] = np.histogram(grey, BINS, (0, 1))[0] / grey.size
    return record


def describe_all(manifest: Manifest, folder: Path, progress: Callable[[int, int], None]) -> Pictures:
    """Describes every picture of a manifest; what the folder's cache knows is not read again.

    `progress` is called with (done, total) files.

    Raises:
        DataError: If no file can be read.
        OSError: If the cache cannot be written.
    """
    keys = [_key(e) for e in manifest.entries]
    path = folder / CACHE
    count = _cut_tail(path)
    cached = _whole_files(path, count)
    unread = [i for i, key in enumerate(keys) if key not in cached]
    failures: list[Failure] = []
    with path.open("ab", buffering=0) as file:  # unbuffered: a kill loses the files being read, no more
        done = len(keys) - len(unread)
        progress(done, len(keys))
        for index, result in zip(unread, _describe_files(manifest, keys, unread), strict=True):
            if isinstance(result, Failure):
                failures.append(result)
            else:
                file.write(result.tobytes())
                cached[keys[index]] = (count, len(result))
                count += len(result)
            done += 1
            progress(done, len(keys))
    if not count or not any(key in cached for key in keys):
        raise DataError(f"none of the {len(keys)} files could be read; the first: {failures[0]}")
    places = [cached.get(key, (0, 0)) for key in keys]
    rows = np.concatenate([np.arange(start, start + length) for start, length in places]).astype(np.intp)
    entries = np.repeat(np.arange(len(keys)), [length for _, length in places])
    return Pictures(np.memmap(path, RECORD, mode="r"), rows, entries, tuple(failures))


def _describe_files(manifest: Manifest, keys: list[int], unread: list[int]) -> Iterator[NDArray[np.void] | Failure]:
    def describe_file(index: int) -> NDArray[np.void] | Failure:
        entry = manifest.entries[index]
        try:
            scans = read_scans(entry.path)
        except InputError as error:
            return Failure.of(entry.name, error)
        return np.concatenate([describe(scan, keys[index], k, len(scans)) for k, scan in enumerate(scans)])

    return in_order(describe_file, unread)


def absolute(path: Path) -> Path:
    """The path from the root, without "..", and with its links: two links to one file are a duplicate to be found."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() follows links


def _hash(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def _key(entry: Entry) -> int:
    try:
        stat = entry.path.stat()
    except (OSError, ValueError) as error:
        raise DataError(f"{entry.name}: cannot be looked at ({error}); put the file there again") from error
    return _hash(os.fsencode(f"{absolute(entry.path)}\0{stat.st_size}\0{stat.st_mtime_ns}"))


def _cut_tail(path: Path) -> int:
    """Takes off what a kill left of half a record; gives the number of whole ones."""
    if not path.exists():
        return 0
    count = path.stat().st_size // RECORD.itemsize
    os.truncate(path, count * RECORD.itemsize)
    return count


def _whole_files(path: Path, count: int) -> dict[int, tuple[int, int]]:
    """Where the cache of so many records has each whole file: key to (first record, records)."""
    if not count:
        return {}
    records = np.memmap(path, RECORD, mode="r", shape=(count,))
    keys, place, places = (records[name].tolist() for name in ("key", "place", "places"))
    places_by_key = {}
    for last in range(count):
        start = last - place[last]
        # A kill may leave the beginning of a file's pictures; another run then appends all of them.
        if place[last] == places[last] - 1 and start >= 0 and keys[start] == keys[last] and place[start] == 0:
            places_by_key[keys[last]] = (start, places[last])
    return places_by_key
