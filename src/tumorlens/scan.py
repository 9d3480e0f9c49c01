"""The thing that goes in: one 2-D slice."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Scan:
    """One 2-D slice.

    Attributes:
        pixels: (H, W) grey or (H, W, 3) RGB, float32 in [0, 1], row 0 at the top.
        source: The file the slice came from, as the caller named it.
        frame: The slice's place in that file, from 0; 0 where the file holds one picture.
        spacing: Distance between pixel centres, (down the rows, along a row), in mm; None where the file has none.
        patient: Patient identifier where the file has one. Never logged, never written; see `Manifest`.
        series: Series identifier where the file has one. Slices of one series show neighbouring tissue.
        modality: DICOM modality, such as "MR", where the file has one.
        warnings: What the reader noticed that speaks against trusting the pixels.
    """

    pixels: NDArray[np.float32]
    source: str
    frame: int = 0
    spacing: tuple[float, float] | None = None
    patient: str | None = field(default=None, repr=False)
    series: str | None = field(default=None, repr=False)
    modality: str | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if not (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)):
            raise ValueError(f"pixels must be (H, W) or (H, W, 3), not {shape}")
        if self.pixels.dtype != np.float32:
            raise ValueError(f"pixels must be float32, not {self.pixels.dtype}")

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.pixels.shape[1]

    @property
    def grey(self) -> NDArray[np.float32]:
        """The slice as greyscale, (H, W) float32 in [0, 1]; colour by ITU-R BT.601 luma."""
        if self.pixels.ndim == 2:
            return self.pixels
        return self.pixels @ np.array([0.299, 0.587, 0.114], np.float32)

    @property
    def rgb(self) -> NDArray[np.float32]:
        """The slice as RGB, (H, W, 3) float32 in [0, 1]; grey is repeated."""
        return self.pixels if self.pixels.ndim == 3 else np.repeat(self.pixels[..., None], 3, axis=2)
