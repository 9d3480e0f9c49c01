"""Figures as pandas frames, where pandas is installed; nothing here needs it before a frame is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tumorlens.errors import needs_extra


def frame_of(rows: Mapping[str, Mapping[str, Any]], index: str) -> Any:
    """A `pandas.DataFrame` of a row for each key.

    A cell with an interval becomes three columns: name, name_low and name_high; where one is undefined, NaN.

    Args:
        rows: Cells by row and column: numbers, words, or figures with intervals.
        index: What the rows are, for the frame's index.

    Raises:
        MissingExtra: If pandas is not installed.
    """
    with needs_extra("a pandas frame", "train"):
        import pandas as pd

    table = [
        {name: value for column, cell in row.items() for name, value in _cells(column, cell)} for row in rows.values()
    ]
    return pd.DataFrame(table, index=pd.Index(list(rows), name=index))


def _cells(column: str, cell: Any) -> list[tuple[str, Any]]:
    if not hasattr(cell, "low"):
        return [(column, cell)]
    ends = {"": cell.value, "_low": cell.low, "_high": cell.high}
    return [(column + ending, float("nan") if value is None else value) for ending, value in ends.items()]
