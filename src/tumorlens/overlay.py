"""Pictures of a finding: the heat map over the scan, with a contour and a colour bar."""

from __future__ import annotations

import zlib
from base64 import b85decode

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tumorlens.evidence import Region
from tumorlens.picture import to_picture
from tumorlens.scan import Scan

_CONTOUR = (64, 224, 255)
_GAP, _BAR = 8, 12  # pixels between scan and colour bar, and the bar's width


# Matplotlib's inferno, the steps from colour to colour: even steps of heat look like even steps, also to the
# colour-blind and in print.
_STEPS = (
    "c-oDU0S?132m>)>|Nn7WutSqh(=;`*&JGQ2gxP@22WAd)g9{))h?i~~Q@smZNdZ+{=Y*e-u3YTZwX_**Pk`8(XS&s)-1yPTt*!lK"
    "SD4Q*Rk@(TWV=-+`wa7&%|4tzydd}MyR4bI%Vd8--5M@D?1W2vhn0M@c5eB!*Ker$gA1naJUKhbTh_uoO1wKxf%iC^Q{Zvfn<JsE"
    "P)#oW&_SSL(2larD0r1(fOak~jRKE1CMRv6"
)
_PALETTE = np.frombuffer(zlib.decompress(b85decode(_STEPS)), np.uint8).reshape(256, 3).cumsum(0, np.uint8)


def colour(heatmap: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Heat in colours: (H, W) float32 in [0, 1] -> (H, W, 3) uint8."""
    return _PALETTE[np.clip(np.round(heatmap * 255), 0, 255).astype(np.uint8)]


def draw_scan(scan: Scan) -> Image.Image:
    """The scan as it is, RGB, at its own size."""
    return to_picture(scan.rgb)


def draw_overlay(
    scan: Scan,
    heatmap: NDArray[np.float32],
    region: Region | None = None,
    *,
    opacity: float = 0.6,
    colour_bar: bool = True,
) -> Image.Image:
    """Draws a heat map over its scan.

    The scan keeps its own size, pixel for pixel, from the top left corner; the colour bar stands to its right. Heat
    shows in proportion to itself, so that tissue without evidence looks as in the scan, and a flat map changes nothing.

    `heatmap` is (H, W) float32 in [0, 1] on the scan's own grid, `opacity` that of the hottest pixel, 0 to 1. The bar
    is left out for a flat map, which has no scale.

    Raises:
        ValueError: If heat map and scan differ in size.
    """
    if heatmap.shape != (scan.height, scan.width):
        raise ValueError(f"a heat map of {heatmap.shape} does not lie on a scan of {(scan.height, scan.width)}")
    alpha = (opacity * np.sqrt(np.clip(heatmap, 0, 1)))[..., None]
    blended = scan.rgb * 255 * (1 - alpha) + colour(heatmap) * alpha
    picture = Image.fromarray(np.round(blended).clip(0, 255).astype(np.uint8))
    if region is not None:
        # A contour counts from the corner of the picture, Pillow from the middle of its first pixel.
        line = [(x - 0.5, y - 0.5) for x, y in (*region.contour, region.contour[0])]
        width = max(1, round(min(scan.width, scan.height) / 200))
        ImageDraw.Draw(picture).line(line, fill=_CONTOUR, width=width, joint="curve")
    return _with_bar(picture) if colour_bar and heatmap.max() > 0 else picture


def draw_heatmap(heatmap: NDArray[np.float32]) -> Image.Image:
    """The heat map alone, in colours, (W, H) RGB."""
    return Image.fromarray(colour(heatmap))


def _with_bar(picture: Image.Image) -> Image.Image:
    """Adds a colour bar from 0 to the peak, 1, on the right."""
    size = int(np.clip(picture.height / 18, 8, 28))
    font = ImageFont.load_default(size)
    room = _GAP + _BAR + 4 + round(font.getlength("0.5")) + 4
    canvas = Image.new("RGB", (picture.width + room, picture.height), (0, 0, 0))
    canvas.paste(picture)
    top, bottom = size // 2 + 2, picture.height - size // 2 - 3
    ramp = np.linspace(1, 0, max(2, bottom - top), dtype=np.float32)[:, None].repeat(_BAR, 1)
    left = picture.width + _GAP
    canvas.paste(draw_heatmap(ramp), (left, top))
    draw = ImageDraw.Draw(canvas)
    for value in (0, 0.5, 1):
        y = bottom - value * (bottom - top)
        draw.text((left + _BAR + 4, y), f"{value:g}", fill=(230, 230, 230), font=font, anchor="lm")
    return canvas
