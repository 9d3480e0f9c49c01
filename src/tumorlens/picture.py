"""Pixels as a picture, and a picture as an address that holds it."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def to_picture(pixels: NDArray[np.float32]) -> Image.Image:
    """Pixels in [0, 1], (H, W) grey or (H, W, 3) RGB, as a picture of that size."""
    return Image.fromarray(np.round(pixels * 255).clip(0, 255).astype(np.uint8))


def embedded(image: Image.Image) -> str:
    """A picture as an address that holds it, for HTML and JSON."""
    file = BytesIO()
    image.save(file, "PNG", compress_level=1)
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
