"""Pictures that are no whole scan of a head, made of scans: with text or a frame, cut off, without the skull.

They teach the gate what it should recognise and name; see `experiments.kinds`.
"""

from __future__ import annotations

import string
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tumorlens.errors import needs_extra

Picture = NDArray[np.float32]
Maker = Callable[[Picture, np.random.Generator], Picture | None]

_FINER = 4  # text is drawn so many times finer than the picture, as a scanner's page is
_LETTERS = string.ascii_uppercase + string.digits + ".:/ "
_DARK = 0.08  # what is darker lies outside of the head
_LEAST_BRAIN = 0.08  # of the picture


def with_text_or_frame(picture: Picture, rng: np.random.Generator) -> Picture:
    """A scan with lines of text, a frame, or a bar along one side, as screenshots and figures have them.

    Args:
        picture: (S, S) float32 in [0, 1].
        rng: Draws which, where and how bright.
    """
    size = len(picture) * _FINER
    page = Image.fromarray(np.rint(picture * 255).astype(np.uint8)).resize((size, size), Image.Resampling.BILINEAR)
    draw, tone = ImageDraw.Draw(page), int(rng.uniform(170, 255))
    which = rng.choice(["text", "frame", "both"])
    if which != "frame":
        for _ in range(rng.integers(2, 6)):
            words = "".join(rng.choice(list(_LETTERS), rng.integers(5, 18)))
            height = rng.choice([rng.uniform(0, 0.12), rng.uniform(0.85, 0.95)])
            font = ImageFont.load_default(size=int(rng.uniform(0.05, 0.11) * size))
            draw.text((rng.uniform(0, 0.75) * size, height * size), words, fill=tone, font=font)
    if which != "text":
        if rng.random() < 0.5:
            draw.rectangle((0, 0, size - 1, size - 1), outline=tone, width=1 + int(rng.uniform(0.01, 0.05) * size))
        else:
            wide = rng.uniform(0.05, 0.18) * size
            bars = [(0, 0, size, wide), (0, size - wide, size, size), (0, 0, wide, size), (size - wide, 0, size, size)]
            draw.rectangle(bars[rng.integers(4)], fill=tone)
    return _shrunk(page, len(picture))


def cut_off(picture: Picture, rng: np.random.Generator) -> Picture:
    """A scan that lacks a quarter to half of itself at one side: black there, or gone and the rest fitted in."""
    size = len(picture)
    lost = int(rng.uniform(0.25, 0.55) * size)
    rows, columns = [
        (slice(lost, None), slice(None)),
        (slice(size - lost), slice(None)),
        (slice(None), slice(lost, None)),
        (slice(None), slice(size - lost)),
    ][rng.integers(4)]
    rest = picture[rows, columns]
    kept = np.zeros_like(picture)
    if rng.random() < 0.5:
        kept[rows, columns] = rest
        return kept
    top, left = ((size - n) // 2 for n in rest.shape)
    kept[top : top + rest.shape[0], left : left + rest.shape[1]] = rest
    return kept


def without_skull(picture: Picture, rng: np.random.Generator) -> Picture | None:
    """About what skull stripping leaves of a scan: the head less a rim; None where that leaves hardly anything."""
    with needs_extra("learning what other pictures look like", "train"):
        from scipy import ndimage
    parts, count = ndimage.label(ndimage.binary_fill_holes(ndimage.binary_opening(picture > _DARK)))
    if not count:
        return None
    head = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    depth = ndimage.distance_transform_edt(np.pad(head, 1))[1:-1, 1:-1]
    brain = depth > rng.uniform(0.07, 0.13) * len(picture)
    if brain.mean() < _LEAST_BRAIN:
        return None
    rest = picture * ndimage.gaussian_filter(brain.astype(np.float32), 0.5)
    stretched: Picture = np.clip(rest / max(np.quantile(rest[brain], 0.995), 0.05), 0, 1).astype(np.float32)
    return stretched


def _shrunk(page: Image.Image, size: int) -> Picture:
    return np.asarray(page.resize((size, size), Image.Resampling.BOX), np.float32) / np.float32(255)


MADE: dict[str, tuple[str, Maker]] = {
    "text": ("it has text or a frame in it", with_text_or_frame),
    "cut off": ("part of the head is cut off", cut_off),
    "skull-stripped": ("it looks skull-stripped, and such scans were not seen in training", without_skull),
}
"""Kinds of pictures that can be made of scans of heads, with the words for them."""
