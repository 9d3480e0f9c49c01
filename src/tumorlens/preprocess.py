"""Scan -> what a network takes. One rule, written in the weights card and applied from it.

Training and use call the same `Preprocessing`, so they can never differ.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, Field, model_validator

from tumorlens.outline import Outline
from tumorlens.scan import Scan

HounsfieldWindow = tuple[float, Annotated[float, Field(gt=0)]]
"""Centre and width in Hounsfield units."""


class Preprocessing(BaseModel, frozen=True, extra="forbid"):
    """The rule that turns a scan into a network's input.

    The scan is scaled to fit a square, keeping its proportions in mm where its spacing is known and in pixels
    otherwise, centred, and bordered with zeros. Scaling is bilinear and anti-aliased (each output pixel averages
    all the input it covers), because a plain bilinear one would skip 15 of 16 pixels of a 256 x 256 slice.

    Attributes:
        size: Height and width of the input, in pixels; 64 in the paper.
        channels: 1 for greyscale, 3 for RGB; one for each window or sequence, where there are some.
        sequences: Sequences of the patient on one grid, a channel each by its name, such as "t1c" and "flair". One that
            is missing is 0 all over, as in some scans of the training.
        windows: Windows of a CT slice's Hounsfield units, a channel each: below is 0, above 1. A picture of 8 bits has
            gone through somebody's window already; it is taken as it is, in every channel.
        intensity: "unit" leaves the reader's [0, 1] as it is, as the paper does; "stretch" maps the percentiles
            below to 0 and 1, so that the window a scan was stored with makes no difference.
        percentiles: The two percentiles of "stretch", over the whole scan.
    """

    size: int = Field(64, ge=16, le=1024)
    channels: int = Field(1, ge=1, le=8)
    windows: tuple[HounsfieldWindow, ...] = ()
    sequences: tuple[str, ...] = ()
    intensity: Literal["unit", "stretch"] = "unit"
    percentiles: tuple[float, float] = (0.5, 99.5)

    @model_validator(mode="before")
    @classmethod
    def _count_channels(cls, settings: Any) -> Any:
        if isinstance(settings, dict) and (several := settings.get("windows") or settings.get("sequences")):
            return {"channels": len(several), **settings}
        return settings

    @model_validator(mode="after")
    def _check_channels(self) -> Preprocessing:
        if self.windows and (self.channels != len(self.windows) or self.intensity != "unit"):
            raise ValueError("windows make a channel each, and are intensities already: leave channels and intensity")
        if self.sequences and (self.windows or self.channels != len(set(self.sequences))):
            raise ValueError("sequences make a channel each, have names of their own, and no windows")
        if not (self.windows or self.sequences) and self.channels not in (1, 3):
            raise ValueError("channels are 1 for greyscale or 3 for RGB")
        return self

    @property
    def in_colour(self) -> bool:
        """Whether the channels are red, green and blue."""
        return self.channels == 3 and not (self.windows or self.sequences)

    def missing(self, scan: Scan) -> tuple[str, ...]:
        """Names of the sequences that a scan lacks."""
        return tuple(name for name in self.sequences if name not in scan.sequences)

    def refuses(self, scan: Scan) -> str:
        """Why no input can be made of a scan; empty where it can."""
        if self.windows and scan.hounsfield is None and scan.unitless:
            return (
                "nothing says which of its numbers are Hounsfield units; give the DICOM or NIfTI file, or a picture "
                "of 8 bits in a brain window"
            )
        if self.sequences and len(self.missing(scan)) == len(self.sequences):
            return f"it is none of {', '.join(self.sequences)}; say which it is (tumorlens.formats.read_registered)"
        return ""

    def __call__(self, scan: Scan) -> NDArray[np.float32]:
        """Applies the rule.

        Returns:
            (channels, size, size) float32 in [0, 1].
        """
        pixels = self._pixels(scan)
        planes = pixels[..., None] if pixels.ndim == 2 else pixels
        top, left, height, width = self.placement(scan)
        out = np.zeros((self.channels, self.size, self.size), np.float32)
        for channel in range(self.channels):
            plane = np.ascontiguousarray(planes[..., channel], np.float32)
            small = Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR)
            out[channel, top : top + height, left : left + width] = np.asarray(small)
        if self.intensity == "stretch":
            # After scaling, which averages: it is the same, of fewer pixels. The border stays black. Red, green and
            # blue have one scale, sequences have nothing to do with each other.
            inside = out[:, top : top + height, left : left + width]
            for channels in range(self.channels) if self.sequences else (slice(None),):
                of = pixels[..., channels] if self.sequences else pixels
                low, high = _percentiles(np.ascontiguousarray(of), self.percentiles)
                if high > low:
                    inside[channels] -= low
                    inside[channels] /= high - low
        return out.clip(0, 1, out=out)

    def _pixels(self, scan: Scan) -> NDArray[np.float32]:
        """What the channels show, on the scan's own grid: (H, W), or (H, W, channels)."""
        if self.sequences:
            nothing = np.zeros((scan.height, scan.width), np.float32)
            return np.stack([scan.sequences.get(name, nothing) for name in self.sequences], 2)
        if not self.windows:
            return scan.grey if self.channels == 1 else scan.rgb
        if scan.hounsfield is None:
            return np.broadcast_to(scan.grey[..., None], (*scan.grey.shape, self.channels))
        shown = [((scan.hounsfield - centre) / width + 0.5).clip(0, 1) for centre, width in self.windows]
        return np.stack(shown, 2).astype(np.float32)

    def cover(self, outline: Outline, scan: Scan) -> NDArray[np.uint8]:
        """Where an outline lies in the input: (size, size), the share of each pixel inside, in 255ths."""
        top, left, height, width = self.placement(scan)
        covered = np.zeros((self.size, self.size), np.uint8)
        covered[top : top + height, left : left + width] = np.rint(255 * outline.coverage(height, width))
        return covered

    def placement(self, scan: Scan) -> tuple[int, int, int, int]:
        """Where the scan lies in the input: (top, left, height, width), in input pixels."""
        row_step, column_step = scan.spacing or (1.0, 1.0)
        tall, wide = scan.height * row_step, scan.width * column_step
        side = max(tall, wide)
        height = max(1, round(self.size * tall / side))
        width = max(1, round(self.size * wide / side))
        return (self.size - height) // 2, (self.size - width) // 2, height, width

    def restore(self, heat: NDArray[np.float32], scan: Scan) -> NDArray[np.float32]:
        """Brings a map over the network's input back to the scan's own grid.

        Args:
            heat: (h, w) float32 that covers the input square at any resolution, such as (16, 16).
            scan: The scan the input was made from.

        Returns:
            (H, W) float32, H and W being the scan's.
        """
        rows, columns = heat.shape
        top, left, height, width = self.placement(scan)
        y, x = rows / self.size, columns / self.size
        box = (left * x, top * y, (left + width) * x, (top + height) * y)
        image = Image.fromarray(np.ascontiguousarray(heat, np.float32))
        return np.array(image.resize((scan.width, scan.height), Image.Resampling.BILINEAR, box=box))


def _percentiles(pixels: NDArray[np.float32], percents: tuple[float, float]) -> tuple[float, float]:
    """`np.percentile`; of 8-bit pictures by counting, which is several times as fast as sorting."""
    levels = np.rint(pixels * np.float32(255)).astype(np.uint8)
    if not np.array_equal(np.divide(levels, np.float32(255), dtype=np.float32), pixels):
        low, high = np.percentile(pixels, percents)
        return float(low), float(high)
    counts = Image.fromarray(levels.reshape(len(levels), -1)).histogram()
    upto = np.cumsum(counts)
    ranks = np.asarray(percents) / 100 * (levels.size - 1)
    below = np.searchsorted(upto, np.floor(ranks), side="right")
    above = np.searchsorted(upto, np.ceil(ranks), side="right")
    low, high = (below + (ranks % 1) * (above - below)) / 255
    return float(low), float(high)
