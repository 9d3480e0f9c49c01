"""From a file's or an array's numbers to grey in [0, 1]."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tumorlens.errors import NotAScan

Number = TypeVar("Number", bound=np.generic)

_SAMPLE = 4_000_000  # values that percentiles are taken of


def grey_of(source: str, values: NDArray[Any]) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Grey of numbers of which nobody says what is black and what is white.

    Bytes are divided by 255. Other whole numbers up to 65,535 are divided by the least 2ⁿ − 1 (n from 8 to 16) that is
    not below the greatest, so that 12-bit MR is not black. Fractions in [0, 1] stay as they are. All else is stretched
    between robust percentiles.

    Args:
        source: The file, as the caller named it.
        values: Any shape, any real type.

    Returns:
        The same shape, float32 in [0, 1], and warnings.

    Raises:
        NotAScan: If more than half are no numbers.
    """
    if values.dtype.kind in "bu" and values.dtype.itemsize == 1:
        return divide(values, 1 if values.dtype.kind == "b" else 255), ()
    if values.dtype.kind in "iu" and values.min() >= 0 and values.max() < 2**16:
        bits = max(8, int(values.max()).bit_length())
        return divide(values, 2**bits - 1), ()
    values, warnings = finite(source, values)
    if values.min() >= 0 and values.max() <= 1:
        return values, warnings
    doubt = "nothing says which values are black and white; stretched between robust percentiles"
    return stretch(values, *robust_range(values)), (*warnings, doubt)


def finite(source: str, values: NDArray[Any]) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Replaces values that are no numbers (NaN, infinity) by 0.

    Takes any shape and real type: SPM and FSL write NaN where there is no head. Gives float32, and a warning if any had
    to be replaced.

    Raises:
        NotAScan: If more than half are no numbers.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        values = values.astype(np.float32, copy=False)
    good = np.isfinite(values)
    share = 1 - good.mean()
    if share == 0:
        return values, ()
    if share > 0.5:
        raise NotAScan(source, f"{share:.0%} of the values are no numbers", "export the file again")
    return np.where(good, values, np.float32(0)), (f"{share:.1%} of the values are no numbers; shown as 0",)


def robust_range(values: NDArray[Any], *, ignore_zero: bool = False) -> tuple[float, float]:
    """The 0.5th and 99.5th percentile: the range without a few hot or dead pixels.

    Of more than 4 million values, evenly spread ones are taken. `ignore_zero` leaves out zeros, which are background in
    volumes. Gives the least and greatest value where the percentiles coincide.
    """
    sample = values.reshape(-1)
    sample = sample[:: sample.size // _SAMPLE | 1]  # an odd step does not run along the columns
    if ignore_zero and sample.any():
        sample = sample[sample != 0]
    low, high = (float(v) for v in np.percentile(sample, (0.5, 99.5)))
    return (low, high) if high > low else (float(values.min()), float(values.max()))


def divide(values: NDArray[Any], white: float) -> NDArray[np.float32]:
    """Values / white, clipped to [0, 1], as float32."""
    quotient: NDArray[np.float32] = np.divide(values, np.float32(white), dtype=np.float32)
    return quotient if values.dtype == np.uint8 and white >= 255 else quotient.clip(0, 1)


def stretch(values: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """Maps low to 0 and high to 1, and clips; all 0 if high is not above low.

    Takes finite numbers of any shape; gives the same shape, float32 in [0, 1].
    """
    if not high > low:
        return np.zeros(values.shape, np.float32)
    # In float64: the range of float32 values may itself overflow float32.
    scaled = (values.astype(np.float64) - low) / (high - low)
    return np.clip(scaled, 0, 1).astype(np.float32)


def without_false_colour(pixels: NDArray[Number]) -> NDArray[Number]:
    """(H, W) if the three channels of (H, W, 3) are equal, as in a grey picture saved as RGB; else unchanged."""
    grey = pixels[..., 0]
    alike = (pixels[..., 1] == grey).all() and (pixels[..., 2] == grey).all()
    return np.ascontiguousarray(grey) if alike else pixels
