"""What people give to be classified: scans, arrays of pixels, paths, or several of these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike
from typing import Any

import numpy as np

from tumorlens.formats import read_scans
from tumorlens.scan import Scan

Given = Scan | str | PathLike[str] | np.ndarray | Iterable[Any]
"""A scan, an array, a path, or several of these. What NumPy can make an array of is one: pictures, tensors."""


def as_scans(given: Given) -> Iterator[Scan]:
    """The scans of what is given; several are asked for one after another.

    Args:
        given: A `Scan`; an array as `Scan.of` takes it, or (N, H, W) or (N, H, W, 3) of N slices; a file or folder; or
            several of these.

    Raises:
        TypeError: If it is none of these; of several, when it is its turn.
        ValueError: If an array has another shape.
        InputError: The first file that cannot be read.
    """
    if isinstance(given, Scan):
        return iter([given])
    if isinstance(given, str | PathLike):
        return iter(read_scans(given))
    if hasattr(given, "__array__") or hasattr(given, "__array_interface__"):
        return _slices(np.asarray(given))
    if isinstance(given, Iterable) and not isinstance(given, bytes):
        return (scan for each in given for scan in as_scans(each))
    raise TypeError(
        f"give a Scan, an array of pixels, a path, or several of these, not {type(given).__name__}"
        + ("; a study goes to find_study" if type(given).__name__ == "Study" else "")
    )


def _slices(array: np.ndarray) -> Iterator[Scan]:
    one = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    return iter([Scan.of(array)]) if one else (Scan.of(each, frame=i) for i, each in enumerate(_several(array)))


def _several(array: np.ndarray) -> np.ndarray:
    if array.ndim == 3 or (array.ndim == 4 and array.shape[3] == 3):
        return array
    raise ValueError(f"an array must be (H, W), (H, W, 3), (N, H, W) or (N, H, W, 3), not {array.shape}")
