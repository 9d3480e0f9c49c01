"""Measurements in slices: length, angle, ellipse and rectangle; kept with the case, and part of its report."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, HTTPException
from pydantic import Field

from tumorlens.web.api.views import Asked, errors
from tumorlens.web.measuring import Grid, Kind, measure
from tumorlens.web.state import AnyReader, App, ThisCase
from tumorlens.web.store import Store
from tumorlens.web.tables import Measurement, MeasurementView, Slice

router = APIRouter(tags=["measurements"], responses=errors(401, 404))

_Share = Annotated[float, Field(ge=0, le=1)]

MOST = 1000
"""Measurements that a case may have."""


class NewMeasurement(Asked):
    """A measurement in a slice.

    Attributes:
        slice: Its number.
        kind: What is measured.
        points: In fractions of width and height: the ends of a length; end, corner and end of an angle; two opposite
            corners of the box around an ellipse or rectangle.
    """

    slice: int = Field(ge=1, le=2**31 - 1)
    kind: Kind
    points: list[tuple[_Share, _Share]] = Field(min_length=2, max_length=3)


@router.get("/cases/{case_id}/measurements", response_model=list[MeasurementView])
def show(case: ThisCase, parts: App) -> list[Measurement]:
    """What was measured in a case, in the order of its making."""
    return parts.store.measurements(case.id)


@router.post(
    "/cases/{case_id}/measurements", status_code=201, response_model=MeasurementView, responses=errors(400, 409)
)
def add(case: ThisCase, new: NewMeasurement, parts: App, reader: AnyReader) -> Measurement:
    """Measures in a slice, in its file's own units, and keeps it; in millimetres only where the spacing is known."""
    row = parts.store.slice(case.id, new.slice)
    if row is None:
        raise HTTPException(404, "the case has no such slice")
    if len(parts.store.measurements(case.id)) >= MOST:
        raise HTTPException(409, f"a case may have {MOST:,} measurements; delete some")
    try:
        measured = measure(new.kind, new.points, _grid(row, parts.store))
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
    points = " ".join(f"{x:.5f},{y:.5f}" for x, y in new.points)
    kept: dict[str, Any] = {"case_id": case.id, "slice": new.slice, "reader": reader.name, "kind": new.kind}
    added = parts.store.add_measurement(Measurement(**kept, points=points, **asdict(measured)))
    parts.audit.note(reader.name, "measurement.added", case.id, f"slice {new.slice}, {new.kind}")
    parts.desk.announce(case)
    return added


@router.delete("/cases/{case_id}/measurements/{number}", status_code=204, responses=errors(403))
def remove(case: ThisCase, number: int, parts: App, reader: AnyReader) -> None:
    """Deletes a measurement: one's own, or, for admins, any."""
    found = next((m for m in parts.store.measurements(case.id) if m.id == number), None)
    if found is None:
        raise HTTPException(404, "the case has no such measurement")
    if found.reader != reader.name and not reader.is_admin:
        raise HTTPException(403, "the measurement is another reader's; an admin may delete it")
    parts.store.delete_measurement(number)
    parts.audit.note(reader.name, "measurement.deleted", case.id, f"slice {found.slice}, {found.kind}")
    parts.desk.announce(case)


def _grid(row: Slice, store: Store) -> Grid:
    content = row.content
    size = content["width"], content["height"]
    steps = store.pictures(row.case_id, row.number).steps(content["height"], content["width"]).astype(np.float32)
    meaning = content["values"]
    low, high = (0.0, 255.0) if meaning is None else (meaning["low"], meaning["high"])
    unit = "grey" if meaning is None else meaning.get("unit", "")
    spacing = content["spacing"]
    values = low + steps * np.float32((high - low) / 65535)
    return Grid(size, None if spacing is None else (spacing[0], spacing[1]), values.astype(np.float32), unit)
