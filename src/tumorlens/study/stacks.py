"""Stacks: parallel slices of one series and sequence, in the order they lie in the head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from tumorlens.formats.dicom.geometry import PlaneName, parallel, plane_of
from tumorlens.formats.dicom.order import group, in_order
from tumorlens.place import SlicePlace
from tumorlens.scan import Orientation
from tumorlens.sequence import SeriesInfo

Slice = TypeVar("Slice")


@dataclass(frozen=True, eq=False)
class Stack(Generic[Slice]):
    """Parallel slices of one series and sequence.

    Attributes:
        slices: In the order they lie in the head, or were taken where nobody knows how they lie.
        info: What the files say of the series.
        orientation: How rows and columns lie in the patient; None where that is unknown.
        depths: Where the slices lie across their plane, in mm; empty where not all are known.
    """

    slices: tuple[Slice, ...]
    info: SeriesInfo
    orientation: Orientation | None
    depths: tuple[float, ...]

    def __repr__(self) -> str:
        return f"<Stack of {self}>"

    def __str__(self) -> str:
        """Number of slices, plane and distance in a few words."""
        plane = f"{self.plane} " if self.plane else ""
        distance = "" if self.spacing is None else f", {self.spacing:.3g} mm apart"
        return f"{len(self.slices)} {plane}slice{'s' * (len(self.slices) != 1)}{distance}"

    @property
    def plane(self) -> PlaneName | Literal["oblique"] | None:
        """The anatomical plane it lies in."""
        return plane_of(self.orientation)

    @property
    def spacing(self) -> float | None:
        """Mean distance of neighbouring slices in mm. Repetitions of a place, such as echoes, count as slices too."""
        step = (self.depths[-1] - self.depths[0]) / (len(self.depths) - 1) if len(self.depths) > 1 else 0.0
        return step if step > 0 else None


def stacks_of(slices: Sequence[Slice], place_of: Callable[[Slice], SlicePlace]) -> list[Stack[Slice]]:
    """Divides slices, in any order, into stacks. Of an image that is given twice, the first counts."""
    series: dict[tuple[object, ...], list[tuple[SlicePlace, Slice]]] = {}
    instances: set[str] = set()
    for each in slices:
        place = place_of(each)
        if place.instance not in instances:
            instances |= {place.instance} - {""}
            series.setdefault((place.series, place.info.sequence, place.info.flaw), []).append((place, each))
    groups = (members for each in series.values() for members in group(each, _in_one_stack))
    return [_stack(members) for members in groups]


def _in_one_stack(one: tuple[SlicePlace, Slice], other: tuple[SlicePlace, Slice]) -> bool:
    a, b = one[0].orientation, other[0].orientation
    return a is b if a is None or b is None else parallel(a, b)


def _stack(members: list[tuple[SlicePlace, Slice]]) -> Stack[Slice]:
    order = in_order([place.depth for place, _ in members], [place.number for place, _ in members])
    places = [members[i][0] for i in order]
    depths = tuple(place.depth for place in places if place.depth is not None)
    return Stack(
        tuple(members[i][1] for i in order),
        members[0][0].info,
        members[0][0].orientation,
        depths if len(depths) == len(places) else (),
    )
