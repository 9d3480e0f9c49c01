"""Secondary Capture: a slice with heat map, contour and finding in one colour picture that every viewer shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from highdicom.sc import SCImage
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset

from tumorlens.card import WeightsCard
from tumorlens.overlay import draw_overlay, draw_scan
from tumorlens.results.objects import MANUFACTURER, Maker
from tumorlens.results.slices import AnalysedSlice, AnalysedStudy
from tumorlens.scan import Scan
from tumorlens.version import __version__
from tumorlens.wording import in_words, set_in_words

BANNER = "RESEARCH USE ONLY - NOT A DIAGNOSIS"
"""What is burned into every picture."""

SIDE = 640
"""Pixels of the scan's longer side, in the picture."""

_WIDTH = 760  # of the picture, so that the banner and the longest line fit
_TEXT, _SMALL, _HEADING = 17, 14, 22  # pixels
_BLACK, _GREY, _WHITE, _YELLOW = (0, 0, 0), (170, 170, 170), (240, 240, 240), (255, 206, 64)


def make_captures(maker: Maker) -> list[Dataset]:
    """Secondary Capture images (PS3.3 A.8.1), RGB, one a pictured slice.

    The heat map is drawn only where a tumour is present: heat over a head without one would look like a finding.
    """
    made = []
    for number, s in enumerate(maker.analysed.pictured, 1):
        result: Dataset = SCImage(
            pixel_array=np.asarray(draw_capture(maker.analysed, s, maker.card)),
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            patient_orientation=_orientation(s) or ("L", "P"),
            study_instance_uid=maker.analysed.identity.study,
            **maker.arguments("capture", number),
        )
        if _orientation(s) is None:
            result.PatientOrientation = None
        result.BurnedInAnnotation = "YES"
        result.ImageComments = f"{BANNER}. {_headline(maker.analysed)}. {_EXPLANATION}."
        result.DerivationDescription = "Heat map of an AI over a source image, with text"
        result.SourceImageSequence = [_source(s)]
        when = maker.analysed.when
        result.DateOfSecondaryCapture, result.TimeOfSecondaryCapture = when.strftime("%Y%m%d"), when.strftime("%H%M%S")
        result.SecondaryCaptureDeviceManufacturer = MANUFACTURER
        result.SecondaryCaptureDeviceManufacturerModelName = maker.algorithm
        result.SecondaryCaptureDeviceSoftwareVersions = [__version__, maker.weights[:12]]
        made.append(maker.finished(result))
    return made


def _orientation(s: AnalysedSlice) -> tuple[str, str] | None:
    """PatientOrientation: where rows and columns lead to, the nearest of L, R, A, P, F, H."""
    if s.geometry is None:
        return None
    names = (("L", "R"), ("P", "A"), ("H", "F"))  # of the axes' positive and negative ends
    vectors = (np.array(s.geometry.orientation[:3]), np.array(s.geometry.orientation[3:]))
    axes = [int(np.abs(v).argmax()) for v in vectors]
    if axes[0] == axes[1]:  # both at 45 degrees: the second takes its second nearest
        axes[1] = int(np.abs(vectors[1]).argsort()[1])
    row, column = (names[a][int(v[a] < 0)] for a, v in zip(axes, vectors, strict=True))
    return row, column


def _source(s: AnalysedSlice) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = s.header.sop_class, s.header.uid
    if s.frame_number is not None:
        item.ReferencedFrameNumber = s.frame_number
    return item


_EXPLANATION = "The heat map shows evidence for the class, it is no outline of what it names"


def _headline(analysed: AnalysedStudy) -> str:
    """The study's finding in a line."""
    study = analysed.study
    if study.unknown:
        return f"AI: {study.text}"
    of = f"mean of {len(study.key_slices)} slices" if len(study.key_slices) > 1 else "one slice"
    return f"AI: {study.text} ({of})"


def draw_capture(analysed: AnalysedStudy, s: AnalysedSlice, card: WeightsCard) -> Image.Image:
    """A pictured slice with its finding, as it goes into a Secondary Capture.

    An RGB picture: the banner, the slice with square pixels, with heat map and contour if a tumour is present, and
    the finding below.
    """
    assert s.scan is not None
    scan, factors = _enlarged(s.scan)
    if analysed.presence == "present" and s.finding.heatmap is not None:
        heat = Image.fromarray(s.finding.heatmap).resize((scan.width, scan.height), Image.Resampling.BICUBIC)
        region = s.finding.region
        if region is not None:
            contour = tuple((x * factors[1], y * factors[0]) for x, y in region.contour)
            region = region.model_copy(update={"contour": contour})
        picture = draw_overlay(scan, np.asarray(heat).clip(0, 1), region)
    else:
        picture = draw_scan(scan)
    lines = _lines(analysed, s, card)
    top = _HEADING + 20
    canvas = Image.new("RGB", (_WIDTH, top + picture.height + _height(lines) + 16), _BLACK)
    draw = ImageDraw.Draw(canvas)
    draw.text((_WIDTH / 2, top / 2), BANNER, fill=_YELLOW, font=ImageFont.load_default(_HEADING), anchor="mm")
    canvas.paste(picture, ((_WIDTH - picture.width) // 2, top))
    y = top + picture.height + 10
    for text, size, colour in lines:
        draw.text((16, y), text, fill=colour, font=ImageFont.load_default(size))
        y += size + 8
    return canvas


def _enlarged(scan: Scan) -> tuple[Scan, tuple[float, float]]:
    """The scan with square pixels, its longer side `SIDE` pixels, and the factors of its rows and columns."""
    row_step, column_step = scan.spacing or (1.0, 1.0)
    tall, wide = scan.height * row_step, scan.width * column_step
    height, width = (max(1, round(SIDE * v / max(tall, wide))) for v in (tall, wide))
    planes = scan.pixels[..., None] if scan.pixels.ndim == 2 else scan.pixels
    channels = [_resized(planes[..., c], (width, height)) for c in range(planes.shape[2])]
    pixels = np.stack(channels, axis=2) if len(channels) == 3 else channels[0]
    return replace(scan, pixels=pixels), (height / scan.height, width / scan.width)


def _resized(plane: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    image = Image.fromarray(np.ascontiguousarray(plane)).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32).clip(0, 1)


def _lines(analysed: AnalysedStudy, s: AnalysedSlice, card: WeightsCard) -> list[tuple[str, int, tuple[int, int, int]]]:
    """What stands below the picture: text, its size and its colour."""
    names = {c.key: c.name for c in analysed.classes}
    place = next(i for i, other in enumerate(analysed.slices, 1) if other is s)
    here = f"This slice ({place} of {len(analysed.slices)}): "
    if s.finding.label is None:
        here += "unlike the scans of the training"
    else:
        words = (in_words(s.finding.probabilities, card.classes), set_in_words(s.finding, card))
        here += "; ".join(text for text in words if text)
    lines = [(_headline(analysed), _HEADING, _WHITE)]
    if not analysed.study.unknown:
        ranked = sorted(analysed.study.probabilities.items(), key=lambda item: -item[1])
        lines.append(("    ".join(f"{names[k]} {p:.0%}" for k, p in ranked), _TEXT, _WHITE))
    lines.append((_fitting(here, "", _TEXT), _TEXT, _WHITE))
    if analysed.presence == "present":
        lines.append((f"{_EXPLANATION}.", _SMALL, _GREY))
    if analysed.warnings:
        more = f" (and {len(analysed.warnings) - 1} more in the report)" if len(analysed.warnings) > 1 else ""
        lines.append((_fitting(f"Warning: {analysed.warnings[0]}", more), _SMALL, _YELLOW))
    weights = s.finding.weights
    lines.append((f"{MANUFACTURER} {__version__}, weights {weights.name} {weights.sha256[:12]}", _SMALL, _GREY))
    return lines


def _fitting(text: str, end: str, size: int = _SMALL) -> str:
    """A line that is cut where the picture ends."""
    font = ImageFont.load_default(size)
    if font.getlength(text + end) <= _WIDTH - 32:
        return text + end
    while text and font.getlength(f"{text}...{end}") > _WIDTH - 32:
        text = text[:-1]
    return f"{text}...{end}"


def _height(lines: list[tuple[str, int, tuple[int, int, int]]]) -> int:
    return sum(size + 8 for _, size, _ in lines)
