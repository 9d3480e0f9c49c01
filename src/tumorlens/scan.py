"""The thing that goes in: one 2-D slice."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tumorlens.grey import grey_of
from tumorlens.sequence import SeriesInfo

Orientation = tuple[float, ...]
"""Six direction cosines: along a picture's rows and down its columns, in DICOM's patient space (x to the left, y to the
back, z to the head): ImageOrientationPatient."""

FACTS = ("sex", "age", "scanner", "field_strength")
"""What may be known of a scan that identifies nobody, and by which results are divided into subgroups."""

AGE_BANDS = ("<40", "40-59", "60-74", "75+")
"""Bands of age in years. An exact age might identify somebody."""


@dataclass(frozen=True, eq=False)
class Values:
    """What a file holds, before a window made grey of it.

    Attributes:
        numbers: (H, W) float32, finite, on the scan's grid.
        low: What is shown as black; white where `inverted`.
        high: What is shown as white; black where `inverted`.
        inverted: Whether large numbers are dark (MONOCHROME1).
    """

    numbers: NDArray[np.float32]
    low: float
    high: float
    inverted: bool = False


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
        hounsfield: (H, W) float32 Hounsfield units of a CT slice, on the scan's grid, where the file says what its
            numbers are; air where it was padded.
        sequences: What several sequences of the patient show there, by their names, each (H, W) float32 in [0, 1];
            `pixels` are then those of one of them. Empty where there is one picture only.
        unitless: Whether the file holds finer steps than 8 bits, and nobody says what they count.
        warnings: What the reader noticed that speaks against trusting the pixels.
        facts: Some of `FACTS`, where the file has them: "sex" is "F", "M" or "O"; "age" a band such as "60-74", see
            `age_band`; "scanner" maker and model; "field_strength" such as "1.5 T". Never a name, date or identifier.
        values: What the pixels were made of, where the reader was asked to keep it and the file holds more than the
            picture shows.
        depth: How far the slice lies along the line across its plane, in mm from the file's own origin, where known.
        orientation: How its rows and columns lie in the patient, where known.
        position: Centre of its first pixel in DICOM's patient space, in mm, where known.
        space: Identifier of the space that positions are in, where known. Slices of one space lie where they lie to
            each other.
        study: Identifier of the study, or of the volume that stands for one, where the file has one.
        instance: Identifier of the image itself: the same image in two files has the same.
        number: The image's place in its series, as the scanner counts.
        info: What the file says of the series.
    """

    pixels: NDArray[np.float32]
    source: str
    frame: int = 0
    spacing: tuple[float, float] | None = None
    patient: str | None = field(default=None, repr=False)
    series: str | None = field(default=None, repr=False)
    modality: str | None = None
    warnings: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    values: Values | None = field(default=None, repr=False)
    depth: float | None = None
    orientation: Orientation | None = None
    position: tuple[float, ...] | None = None
    space: str | None = field(default=None, repr=False)
    study: str | None = field(default=None, repr=False)
    instance: str | None = field(default=None, repr=False)
    number: int | None = None
    info: SeriesInfo = field(default_factory=SeriesInfo, repr=False)
    hounsfield: NDArray[np.float32] | None = field(default=None, repr=False)
    unitless: bool = False
    sequences: Mapping[str, NDArray[np.float32]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls, array: ArrayLike, *, spacing: tuple[float, float] | None = None, source: str = "array", frame: int = 0
    ) -> Scan:
        """A scan of an array's numbers.

        Bytes are divided by 255, fractions in [0, 1] stay as they are, other numbers become grey as `grey_of` says.
        Give what came out of a window as fractions or bytes, and raw values, such as a DICOM file's, as they are.

        Args:
            array: (H, W) grey or (H, W, 3) RGB, row 0 at the top.
            spacing: Distance between pixel centres, (down the rows, along a row), in mm.
            source: What findings call it.
            frame: Its place among others of that source, from 0.

        Raises:
            TypeError: If it holds no real numbers.
            ValueError: If it has another shape.
            NotAScan: If more than half of it are no numbers.
        """
        values = np.asarray(array)
        if values.dtype.kind not in "biuf":
            raise TypeError(f"an array must hold real numbers, not {values.dtype}")
        if not values.size:
            raise ValueError("an array must hold pixels, and is empty")
        pixels, warnings = grey_of(source, values)
        return cls(np.array(pixels), source, frame, spacing, warnings=warnings)

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if not (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)):
            raise ValueError(f"pixels must be (H, W) or (H, W, 3), not {shape}")
        if self.pixels.dtype != np.float32:
            raise ValueError(f"pixels must be float32, not {self.pixels.dtype}")

    def __repr__(self) -> str:
        place = f" [{self.frame}]" if self.frame else ""
        spacing = "" if self.spacing is None else f", {self.spacing[0]:.3g} x {self.spacing[1]:.3g} mm"
        return f"<Scan {self.source!r}{place}: {self.height} x {self.width} pixels{spacing}>"

    def _repr_html_(self) -> str:
        from tumorlens.picture import embedded, to_picture

        picture = embedded(to_picture(self.pixels))
        return f'<figure><img src="{picture}"><figcaption>{escape(repr(self))}</figcaption></figure>'

    @property
    def height(self) -> int:
        """Number of rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.pixels.shape[1])

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


def age_band(years: float) -> str:
    """The one of `AGE_BANDS` that an age in years falls into."""
    return AGE_BANDS[bisect((40, 60, 75), years)]
