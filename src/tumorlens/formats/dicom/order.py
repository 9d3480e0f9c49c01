"""The order of slices, as they lie in the head, and the stacks they form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tumorlens.formats.dicom.geometry import Geometry, depth_of, parallel
from tumorlens.formats.dicom.header import Frame


def in_order(slices: Sequence[tuple[Frame, int | None]]) -> list[int]:
    """Sorts the slices of one series.

    By depth along the slices' normal, then by instance number; if the slices are not parallel (localisers) or a
    position is missing, by instance number; if that is missing, as they come.

    Args:
        slices: Each one's frame, and its InstanceNumber or its place in a multi-frame file.

    Returns:
        Their places, sorted.
    """
    numbers = [number or 0 for _, number in slices]
    depths = _depths([frame for frame, _ in slices])
    if all(number is not None for _, number in slices):
        return sorted(range(len(slices)), key=lambda i: (depths[i] if depths else 0.0, numbers[i]))
    return sorted(range(len(slices)), key=depths.__getitem__) if depths else list(range(len(slices)))


def _depths(frames: Sequence[Frame]) -> list[float] | None:
    """How far along their common normal slices lie, mm; None if they have none, or one has no position."""
    across = frames[0].orientation if frames else None
    if across is None:
        return None
    depths = []
    for frame in frames:
        if frame.position is None or frame.orientation is None or not parallel(across, frame.orientation):
            return None
        # Rounded to 0.01 mm, so that repetitions of one position stay together in order of acquisition.
        depths.append(round(depth_of(frame.position, across), 2))
    return depths


def stacks(slices: Iterable[tuple[object, Geometry | None]]) -> list[int]:
    """Divides slices into stacks: parallel slices of one grid, which are neighbours of each other.

    Args:
        slices: Of each what it must have in common with others of its stack, such as the series, and its geometry.
            Slices without geometry form a stack of their own.

    Returns:
        The number of each slice's stack, in the order stacks first come.
    """
    firsts: list[tuple[object, Geometry | None]] = []
    numbers = []
    for kind, geometry in slices:
        same = (n for n, (other, first) in enumerate(firsts) if other == kind and _same_grid(first, geometry))
        number = next(same, len(firsts))
        if number == len(firsts):
            firsts.append((kind, geometry))
        numbers.append(number)
    return numbers


def _same_grid(one: Geometry | None, other: Geometry | None) -> bool:
    return one is other if one is None or other is None else one.same_grid(other)
