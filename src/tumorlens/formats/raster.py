"""PNG, JPEG, TIFF and BMP, through Pillow."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tumorlens import limits
from tumorlens.errors import TooLarge
from tumorlens.formats.checks import check_size, parsing
from tumorlens.grey import divide, grey_of, without_false_colour
from tumorlens.modality import is_colourful
from tumorlens.scan import Scan

_FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # lengths; two letters alone are too little to go by
_DEEP = {"I;16": "I", "I;16L": "I", "I;16B": "I", "I;16N": "I"}  # what cannot be averaged, and the same that can
_WHITE_IS_ZERO = 0  # TIFF 6.0, PhotometricInterpretation


def sniff(head: bytes) -> bool:
    """Whether a file that begins so is one of the four."""
    is_bmp = head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS
    return head.startswith(_SIGNATURES) or is_bmp


def read(path: str, _axis: str = "axial", _keep: bool = False) -> Iterator[Scan]:
    """Reads a picture, or the pages of a TIFF.

    8-bit values are divided by 255. 16-bit grey is divided by the least 2ⁿ − 1 (n from 8 to 16) that is not
    below its brightest pixel, so that 12-bit MR in a 16-bit file is not black. Float in [0, 1] stays as it is;
    other float, 32-bit and negative values are stretched between robust percentiles, with a warning.
    What is transparent is black, as air is in MR and CT, and in a picture in colour white, as glass is. EXIF
    orientation is applied. Pictures of more than `limits.PIXELS`, such as a telephone's, are read at a half, a third,
    … of their size, with a warning. There is no spacing: what such files carry is print resolution, not the size of
    the head.

    Yields:
        The picture; of a TIFF every page, as frames.

    Raises:
        NotAScan: If most values are no numbers.
        TooLarge: If a picture has more pixels than `limits.PICTURE`.
    """
    with parsing(path):
        # Given the path, Pillow maps uncompressed TIFFs into memory, and garbles those on their side.
        file = open(path, "rb")  # noqa: PTH123, SIM115 - the path stays the string the caller gave
    with file:
        with parsing(path):
            try:
                image = Image.open(file, formats=_FORMATS)
            except Image.DecompressionBombError as error:
                raise TooLarge(path, "the picture has far too many pixels", "scale it down") from error
        for page in count():
            with parsing(path):
                if not _turn_to(image, page):
                    return
                check_size(path, image.height, image.width, most=limits.PICTURE)
                pixels, warnings = _pixels(path, image)
            yield Scan(pixels, path, frame=page, warnings=warnings, unitless=image.mode.startswith(("I", "F")))


def _turn_to(image: Image.Image, page: int) -> bool:
    """Turns to a page, if there is one. Only a TIFF has pages; other formats' frames are animations."""
    if page and image.format != "TIFF":
        return False
    try:
        image.seek(page)
    except EOFError:
        return False
    return True


def _pixels(path: str, image: Image.Image) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    white_is_zero = image.format == "TIFF" and image.tag_v2.get(262) == _WHITE_IS_ZERO  # type: ignore[attr-defined]
    image.load()
    deep = image.mode.startswith(("I", "F"))
    mode = "RGBA" if image.has_transparency_data else "L" if image.mode in ("1", "L") else "RGB"
    smaller, doubts = _reduced(image, _DEEP.get(image.mode, image.mode) if deep else mode)
    upright = ImageOps.exif_transpose(smaller)
    if deep:
        pixels, warnings = grey_of(path, np.asarray(upright))
        # Pillow turns 8-bit pictures round itself, deeper ones not.
        return (1 - pixels if white_is_zero else pixels), (*warnings, *doubts)
    values = np.asarray(upright.convert(mode))
    if mode == "RGBA":
        colour, opaque = divide(values[..., :3], 255), divide(values[..., 3:], 255)
        colour *= opaque
        if is_colourful(colour, opaque):
            colour = (colour + 1 - opaque).clip(0, 1)
        return without_false_colour(colour), doubts
    return divide(values if mode == "L" else without_false_colour(values), 255), doubts


def _reduced(image: Image.Image, mode: str) -> tuple[Image.Image, tuple[str, ...]]:
    """A picture of at most `limits.PIXELS`, in a mode that can be averaged, and a warning if it was larger."""
    factor = math.isqrt(max(0, image.width * image.height - 1) // limits.PIXELS) + 1
    if factor == 1:
        return image, ()
    smaller = (image if image.mode == mode else image.convert(mode)).reduce(factor)
    return smaller, (f"{image.width} × {image.height} pixels are read at 1/{factor} of that size",)
