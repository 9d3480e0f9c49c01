"""What phantoms are made of: materials, their grey values in each contrast, and the grid they are stored on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

STEP = 1.5
"""Edge of a voxel of the head, in mm."""
ORIGIN = np.array([-96.0, -132.0, -132.0])
"""Centre of voxel (0, 0, 0), in mm."""
SHAPE = (129, 171, 157)
"""Voxels along x, y, z. Odd, so that the coarse grid of every second voxel ends on the last one."""

BRAIN_LEVELS = 96
"""Materials 0 … 95 are brain, from pure cerebrospinal fluid over grey to pure white matter."""
SHADES = 8
"""Every other material takes eight numbers, from its darkest to its brightest grain."""

# Each material: grey value in T1, contrast-enhanced T1, T2, FLAIR (fat is about 1 in T1), and its grain.
# Values are set by eye after textbook order (fat > white > grey > fluid in T1, and so on), not measured.
MATERIALS: dict[str, tuple[float, float, float, float, float]] = {
    "air": (0.00, 0.00, 0.00, 0.00, 0.0),
    "bone": (0.05, 0.05, 0.05, 0.05, 0.5),
    "marrow": (0.52, 0.55, 0.40, 0.38, 0.35),
    "diploe": (0.24, 0.27, 0.20, 0.19, 0.9),
    "fat": (0.98, 0.98, 0.72, 0.75, 0.12),
    "skin": (0.42, 0.45, 0.30, 0.32, 1.0),
    "muscle": (0.33, 0.38, 0.18, 0.26, 0.25),
    "flesh": (0.58, 0.62, 0.42, 0.46, 0.5),
    "mucosa": (0.38, 0.66, 0.80, 0.55, 0.35),
    "vitreous": (0.12, 0.12, 1.00, 0.10, 0.05),
    "sclera": (0.42, 0.58, 0.30, 0.35, 0.1),
    "dura": (0.20, 0.50, 0.15, 0.25, 0.3),
    "vein": (0.16, 0.80, 0.10, 0.12, 0.25),
    "artery": (0.05, 0.12, 0.04, 0.04, 0.3),
    "gland": (0.42, 0.78, 0.55, 0.50, 0.15),
    "plexus": (0.22, 0.72, 0.85, 0.45, 0.2),
    "nerve": (0.45, 0.46, 0.42, 0.45, 0.05),
    "tongue": (0.46, 0.50, 0.34, 0.40, 0.18),
    "cells": (0.06, 0.10, 0.12, 0.10, 1.0),
    "disc": (0.26, 0.28, 0.30, 0.32, 0.2),
}
CONTRASTS = ("t1", "t1c", "t2", "flair")
"""The contrasts a head can be drawn in; "t1c" is T1 after gadolinium."""
# Cerebrospinal fluid, grey matter, white matter.
_BRAIN_VALUES = {
    "t1": (0.10, 0.33, 0.47),
    "t1c": (0.10, 0.34, 0.44),
    "t2": (1.00, 0.56, 0.36),
    "flair": (0.07, 0.50, 0.39),
}
NUMBER = {name: BRAIN_LEVELS + i * SHADES for i, name in enumerate(MATERIALS)}
"""The first number of each material but brain; together they fill uint8 to the last."""


def grey_values(contrast: str, rng: np.random.Generator) -> Floats:
    """A scanner's grey value of each material.

    `contrast` is one of `CONTRASTS`; by `rng` each material's value varies by about 8%. Gives (256,) float32, 0 for
    air, about 1 for the brightest tissue.
    """
    csf, grey, white = _BRAIN_VALUES[contrast] * rng.normal(1, 0.05, 3).clip(0.88, 1.12)
    table = np.zeros(256, np.float32)
    table[:BRAIN_LEVELS] = np.interp(np.linspace(0, 1, BRAIN_LEVELS), [0, 0.55, 1], [csf, grey, white])
    grain = np.linspace(-1, 1, SHADES)
    column = CONTRASTS.index(contrast)
    for (name, values), jitter in zip(MATERIALS.items(), rng.normal(1, 0.08, len(MATERIALS)), strict=True):
        number = NUMBER[name]
        table[number : number + SHADES] = values[column] * jitter.clip(0.8, 1.2) * (1 + values[4] * grain)
    return table


def intracranial() -> Floats:
    """Which materials lie inside the skull's inner table: (256,) float32 of 0 and 1."""
    inside = np.zeros(256, np.float32)
    inside[:BRAIN_LEVELS] = 1
    for name in ("dura", "plexus", "vein"):
        inside[NUMBER[name] : NUMBER[name] + SHADES] = 1
    return inside


def white_matter() -> Floats:
    """Share of white matter in each material: (256,) float32 in [0, 1]."""
    share = np.zeros(256, np.float32)
    share[:BRAIN_LEVELS] = np.linspace(-1.2, 1, BRAIN_LEVELS).clip(0, 1)
    return share
