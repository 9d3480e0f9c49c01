"""The series of a case as a reader sees them: its stacks, in the order of the scanner's list, one window each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel

from tumorlens.formats.dicom.geometry import normal_of
from tumorlens.place import SlicePlace
from tumorlens.study.stacks import Stack, stacks_of
from tumorlens.web.messages import ValuesView
from tumorlens.web.tables import Slice

MAX_VOXELS = 20_000_000
"""Voxels of a volume that is sent to be shown in three planes; more are shrunk within their slices."""

MAX_HEAT = 128
"""Pixels along the longer side of a slice of a volume of heat; the network's own has fewer."""

_DRIFT = 2.0  # mm that a slice of a straight stack lies off the line through its first
_HU = {"Brain": (40.0, 80.0), "Contrast agent": (60.0, 160.0)}  # level and width in Hounsfield units


class WindowView(BaseModel):
    """A window, in the file's own units.

    Attributes:
        name: What it is for.
    """

    name: str
    level: float
    width: float


class VolumeView(BaseModel):
    """The grid of a series as a volume, plane by plane; a plane is where a slice lies, or one is missing.

    Attributes:
        shape: Planes, rows, columns.
        spacing: mm between them.
        low: The value that is sent as 0.
        high: The value that is sent as 65,535.
        inverted: Whether large values are dark.
        heat: Rows and columns of its volumes of heat.
        slices: Number of the slice in each plane; 0 where one is missing.
        across: Direction from plane to plane, in DICOM's patient space.
        down: Direction from row to row.
        along: Direction from column to column.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    low: float
    high: float
    inverted: bool
    heat: tuple[int, int]
    slices: tuple[int, ...]
    across: tuple[float, ...]
    down: tuple[float, ...]
    along: tuple[float, ...]


class SeriesView(BaseModel):
    """A series of a case: parallel slices of one sequence. One series of a scanner may hold several.

    Attributes:
        place: In the list, from 1.
        number: SeriesNumber, where known.
        name: What it is called.
        sequence: Such as "T1 post-contrast"; None where nothing tells.
        plane: The anatomical plane, or "oblique"; None where its place in the patient is unknown.
        slices: Numbers of its slices, in the order they lie in the head.
        twice: Numbers of slices that are the same image as another; they count once.
        gap: mm from slice to slice; None where unknown.
        reason: Why it does not count for the study; else empty.
        windows: For all of its slices, the first by default; none where its pictures hold no more than they show.
        low: Least value of all its slices; 0 without windows.
        high: Greatest value of all its slices; 1 without windows.
        unit: Of the values: "HU", or empty where they have none.
        volume: For three planes; None where there are none.
        flat: Why there are no three planes; else empty.
        missing: Planes where a slice is missing.
    """

    place: int
    number: int | None
    name: str
    sequence: str | None
    plane: str | None
    slices: tuple[int, ...]
    twice: tuple[int, ...]
    gap: float | None
    reason: str
    windows: tuple[WindowView, ...]
    low: float
    high: float
    unit: str
    volume: VolumeView | None
    flat: str
    missing: int


def series_of(rows: Sequence[Slice], reasons: Sequence[str] = ()) -> list[SeriesView]:
    """The series of a case.

    Args:
        rows: Its slices, in order.
        reasons: Why its stacks do not count, as the study has them; none while it is not finished.
    """
    places = {row.number: slice_place(row) for row in rows}
    alone = [row for row in rows if _is_alone(row, places[row.number])]
    stacks = stacks_of([row for row in rows if row not in alone], lambda row: places[row.number])
    if len(reasons) != len(stacks) or alone:
        reasons = [""] * len(stacks)
    studies = list(dict.fromkeys(places[row.number].study for row in rows))

    def rank(i: int) -> tuple[int, bool, int, int]:
        info, first = stacks[i].info, stacks[i].slices[0]
        study = studies.index(places[first.number].study)
        return study, info.number is None, info.number or 0, min(row.number for row in stacks[i].slices)

    shown = {row.number for stack in stacks for row in stack.slices}
    found = []
    for place, i in enumerate(sorted(range(len(stacks)), key=rank), 1):
        own = {(places[row.number].series, places[row.number].instance) for row in stacks[i].slices}
        twice = (n for n, p in places.items() if n not in shown and p.instance and (p.series, p.instance) in own)
        found.append(_series(place, stacks[i], tuple(twice), reasons[i]))
    if alone:
        found.append(_pictures(len(found) + 1, alone))
    return found


def _is_alone(row: Slice, place: SlicePlace) -> bool:
    """Whether nothing says what a slice belongs with. Of earlier versions' cases, only the depth may."""
    if "place" not in row.content:
        return place.depth is None
    return not (place.study or place.orientation)


def slice_place(row: Slice) -> SlicePlace:
    """Where a slice belongs; cases of earlier versions know only its series and depth."""
    if "place" in row.content:
        return SlicePlace.model_validate(row.content["place"])
    return SlicePlace(series=str(row.series), depth=row.content["depth"])


def _series(place: int, stack: Stack[Slice], twice: tuple[int, ...], reason: str) -> SeriesView:
    contents = [row.content for row in stack.slices]
    windows, low, high, unit = _windows(contents)
    volume = _volume(contents, low, high)
    info = stack.info
    return SeriesView(
        place=place,
        number=info.number,
        name=info.description or info.sequence or "No description",
        sequence=info.sequence,
        plane=stack.plane,
        slices=tuple(row.number for row in stack.slices),
        twice=twice,
        gap=stack.spacing,
        reason=info.flaw or reason,
        windows=windows,
        low=low,
        high=high,
        unit=unit,
        volume=None if isinstance(volume, str) else volume,
        flat=volume if isinstance(volume, str) else "",
        missing=0 if isinstance(volume, str) else volume.slices.count(0),
    )


def _pictures(place: int, rows: Sequence[Slice]) -> SeriesView:
    """Pictures of which no file says how they belong together, as one list."""
    windows, low, high, unit = _windows([row.content for row in rows])
    return SeriesView(
        place=place,
        number=None,
        name="Pictures" if len(rows) > 1 else "Picture",
        sequence=None,
        plane=None,
        slices=tuple(row.number for row in rows),
        twice=(),
        gap=None,
        reason="",
        windows=windows,
        low=low,
        high=high,
        unit=unit,
        volume=None,
        flat="single pictures are no volume",
        missing=0,
    )


def _windows(contents: Sequence[dict[str, Any]]) -> tuple[tuple[WindowView, ...], float, float, str]:
    """Windows for all slices of a series, the least and greatest value, and their unit.

    Slices at the ends are nearly empty and have windows that make noise of them, so the brighter ones decide.
    """
    values = [ValuesView.model_validate(c["values"]) for c in contents if c["values"]]
    if len(values) < len(contents) or not values:
        return (), 0.0, 1.0, ""
    low, high = min(v.low for v in values), max(v.high for v in values)
    black = float(np.median([v.black for v in values]))
    white = float(np.percentile([v.white for v in values], 75))
    windows = [_window("Default", black, white)]
    if all(v.unit == "HU" for v in values):
        windows += [WindowView(name=name, level=level, width=width) for name, (level, width) in _HU.items()]
    elif tissue := [v.tissue for v in values if v.tissue]:
        least, middle, most, _ = np.percentile(tissue, 75, axis=0).tolist()
        brightest = max(t[-1] for t in tissue)  # what takes up contrast may lie in a slice or two
        windows.append(_window("Brain", least, most))
        windows.append(_window("Contrast agent", (least + middle) / 2, brightest))
    return tuple(windows), low, high, values[0].unit


def _window(name: str, black: float, white: float) -> WindowView:
    return WindowView(name=name, level=(black + white) / 2, width=max(white - black, 1e-6))


def _volume(contents: Sequence[dict[str, Any]], low: float, high: float) -> VolumeView | str:
    """The grid of a stack as a volume, or why it is none."""
    first = contents[0]
    if problem := _unfit(contents):
        return problem
    orientation = first["orientation"]
    across = normal_of(orientation)
    positions = np.array([c["position"] for c in contents], float)
    depths = (positions - positions[0]) @ across
    steps = np.diff(depths)
    if steps.min() < 0.01:
        return "several images lie at one place, such as echoes or repetitions"
    drift = positions - positions[0] - np.outer(depths, across)
    if np.abs(drift).max() > _DRIFT:
        return "its slices are shifted against each other"
    step = float(np.median(steps))
    planes = np.round(depths / step).astype(int)
    if len(set(planes.tolist())) < len(planes) or planes[-1] >= 2 * len(planes):
        return "its slices lie at uneven distances"
    slices = [0] * (int(planes[-1]) + 1)
    for plane, content in zip(planes.tolist(), contents, strict=True):
        slices[plane] = content["number"]
    rows, columns = first["height"], first["width"]
    shrink = 1
    while len(slices) * (rows // shrink) * (columns // shrink) > MAX_VOXELS:
        shrink += 1
    fit = min(1.0, MAX_HEAT / max(rows, columns))
    down, along = (side * shrink for side in first["spacing"])
    return VolumeView(
        shape=(len(slices), rows // shrink, columns // shrink),
        spacing=(step, down, along),
        low=low,
        high=high,
        inverted=bool(first["values"] and first["values"]["inverted"]),
        heat=(max(1, round(rows * fit)), max(1, round(columns * fit))),
        slices=tuple(slices),
        across=tuple(across.tolist()),
        down=tuple(orientation[3:]),
        along=tuple(orientation[:3]),
    )


def _unfit(contents: Sequence[dict[str, Any]]) -> str:
    """Why slices make no volume, before anything of their places is compared; empty where they may."""
    if len(contents) < 3:
        return "there are fewer than three slices"
    if any("position" not in c for c in contents):
        return "an earlier version of the page read it; drop its files again"
    if any(c.get("colour") for c in contents):
        return "its pictures are in colour"
    if any(c.get("position") is None or c.get("orientation") is None for c in contents):
        return "its files do not say where the slices lie in the patient"
    if any(c["spacing"] is None for c in contents):
        return "its files do not say how large a pixel is"
    alike = {(c["height"], c["width"], *(round(s, 3) for s in c["spacing"]), c["values"] is None) for c in contents}
    return "" if len(alike) == 1 else "its slices differ in size or spacing"
