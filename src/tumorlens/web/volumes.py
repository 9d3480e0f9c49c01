"""Volumes for three planes, put together from the pictures of a series' slices."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tumorlens.web.pictures import SlicePictures
from tumorlens.web.series import VolumeView
from tumorlens.web.tables import Slice


def scan_volume(
    grid: VolumeView, rows: Mapping[int, Slice], pictures: Mapping[int, SlicePictures]
) -> NDArray[np.uint16]:
    """The scan, (planes, rows, columns) steps from the series' least value, 0, to its greatest, 65,535.

    Args:
        grid: The volume's grid.
        rows: The slices, by number.
        pictures: Their pictures, by number.

    Raises:
        FileNotFoundError: If a picture is gone.
    """
    volume = np.zeros(grid.shape, "<u2")
    _, height, width = grid.shape
    scale = 65535 / ((grid.high - grid.low) or 1)
    for plane, number in enumerate(grid.slices):
        if not number:
            continue
        content = rows[number].content
        shrink = content["height"] // height
        steps = pictures[number].steps(content["height"], content["width"]).astype(np.float32)
        if shrink > 1:
            whole = steps[: height * shrink, : width * shrink]
            steps = whole.reshape(height, shrink, width, shrink).mean((1, 3), dtype=np.float32)
        if values := content["values"]:
            steps = (values["low"] - grid.low + steps * ((values["high"] - values["low"]) / 65535)) * scale
        volume[plane] = np.round(steps).clip(0, 65535)
    return volume


def heat_volume(
    grid: VolumeView, rows: Mapping[int, Slice], pictures: Mapping[int, SlicePictures], key: str
) -> NDArray[np.uint8]:
    """The heat for a class, (planes, *grid.heat); 255 is the peak of a slice that certainly shows it.

    A slice's heat is relative to its own peak. Beside other slices it counts by its class's probability, or the
    faintest evidence would glow like the strongest.

    Raises:
        FileNotFoundError: If a picture is gone.
    """
    volume = np.zeros((grid.shape[0], *grid.heat), np.uint8)
    for plane, number in enumerate(grid.slices):
        if number and rows[number].content["evidence"].get(key):
            probability = rows[number].content["finding"]["probabilities"].get(key, 0.0)
            volume[plane] = np.round(pictures[number].heat_steps(key, *grid.heat) * probability)
    return volume
