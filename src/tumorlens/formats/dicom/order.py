"""The order of slices, as they lie in the head, and the groups that belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from tumorlens.formats.dicom.geometry import depth_of, parallel
from tumorlens.formats.dicom.header import Frame

Slice = TypeVar("Slice")


def in_order(depths: Sequence[float | None], numbers: Sequence[tuple[int, ...] | None]) -> list[int]:
    """Places of parallel slices, by depth, then by number; by number where a depth is missing; else as they come.

    Args:
        depths: How far each lies along their normal, mm.
        numbers: Each one's InstanceNumber, then its frame's.
    """
    # Rounded to 0.01 mm, so that repetitions of one position stay together in order of acquisition.
    placed = [round(depth, 2) for depth in depths if depth is not None]
    counted = [number for number in numbers if number is not None]
    by_depth, by_number = len(placed) == len(depths), len(counted) == len(numbers)
    return sorted(range(len(depths)), key=lambda i: (placed[i] if by_depth else 0.0, counted[i] if by_number else ()))


def common_depths(frames: Sequence[Frame]) -> list[float | None]:
    """How far slices lie along the first one's normal, mm; None for one that is not parallel or has no position."""
    across = frames[0].orientation if frames else None
    return [
        None
        if across is None or f.position is None or f.orientation is None or not parallel(across, f.orientation)
        else depth_of(f.position, across)
        for f in frames
    ]


def group(slices: Iterable[Slice], alike: Callable[[Slice, Slice], bool]) -> list[list[Slice]]:
    """Divides slices into groups of such as are like the group's first, in the order they come."""
    groups: list[list[Slice]] = []
    for each in slices:
        own = next((members for members in groups if alike(members[0], each)), None)
        if own is None:
            groups.append([each])
        else:
            own.append(each)
    return groups
