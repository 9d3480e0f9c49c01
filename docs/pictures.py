"""Draws the pictures of the docs, and the example in the package. All are phantoms.

python docs/pictures.py
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset

from tumorlens import Classifier
from tumorlens.finding import Finding
from tumorlens.formats.dicom.header import Header
from tumorlens.overlay import draw_overlay, draw_scan
from tumorlens.phantoms import EXAMPLE
from tumorlens.phantoms.phantom import Phantom, contact_sheet, make_phantoms, make_study
from tumorlens.place import SlicePlace
from tumorlens.results.capture import draw_capture
from tumorlens.results.identity import Identity
from tumorlens.results.slices import AnalysedSlice, AnalysedStudy
from tumorlens.study import SliceFinding, find_in_study

IMAGES = Path(__file__).parent / "images"
SIZE, GAP, INK, PAPER = 256, 16, (235, 235, 235), (18, 20, 24)


def finding_picture(phantom: Phantom, finding: Finding) -> Image.Image:
    """The scan, the overlay, and the finding in words."""
    assert finding.heatmap is not None
    assert finding.label is not None
    overlay = draw_overlay(phantom.scan, finding.heatmap, finding.region)
    words = 230
    canvas = Image.new("RGB", (SIZE + overlay.width + words + 4 * GAP, SIZE + 2 * GAP), PAPER)
    canvas.paste(draw_scan(phantom.scan), (GAP, GAP))
    canvas.paste(overlay, (SIZE + 2 * GAP, GAP))
    draw, left, top = ImageDraw.Draw(canvas), SIZE + overlay.width + 3 * GAP, GAP
    draw.text((left, top), finding.label, fill=INK, font=ImageFont.load_default(26))
    font = ImageFont.load_default(15)
    for number, (key, p) in enumerate(finding.probabilities.items()):
        y = top + 48 + number * 34
        draw.text((left, y), f"{key}  {p:.1%}", fill=INK, font=font)
        draw.rectangle((left, y + 20, left + round(p * words), y + 24), fill=(86, 156, 214))
    if finding.region and finding.region.box_mm:
        x0, y0, x1, y1 = finding.region.box_mm
        draw.text((left, top + 192), f"region {x1 - x0:.0f} x {y1 - y0:.0f} mm", fill=INK, font=font)
    draw.text((left, top + 228), "synthetic: a phantom", fill=(160, 160, 160), font=font)
    return canvas


def capture_picture(classifier: Classifier) -> Image.Image:
    """What a Secondary Capture shows of a phantom study."""
    phantoms = make_study(0, label="glioma", size=192, slices=24, seed=5)
    findings = classifier.find([p.scan for p in phantoms], target="glioma")
    classes = classifier.card.classes
    places = [SlicePlace.of(p.scan) for p in phantoms]
    study = find_in_study([SliceFinding(*each) for each in zip(findings, places, strict=True)], classes)
    slices = tuple(
        AnalysedSlice(Header(), 0, (p.scan.height, p.scan.width), place, f, p.scan)
        for p, place, f in zip(phantoms, places, findings, strict=True)
    )
    nobody = Identity("", Dataset())
    analysed = AnalysedStudy(nobody, slices, study, classes, (), 0, datetime(2026, 1, 1))
    return draw_capture(analysed, analysed.pictured[1], classifier.card)


def main() -> None:
    """Draws and saves them."""
    IMAGES.mkdir(exist_ok=True)
    sheet = contact_sheet(make_phantoms(32, size=128, seed=11, slices_per_series=1))
    sheet.save(IMAGES / "phantoms.png", optimize=True)
    classifier = Classifier.load()
    shown = [p for p in make_phantoms(40, size=SIZE, seed=5, slices_per_series=1) if p.label == "meningioma"]
    pairs = [(p, f) for p, f in zip(shown, classifier.find([p.scan for p in shown]), strict=True) if f.label == p.label]
    phantom, finding = max(pairs, key=lambda pair: pair[1].confidence or 0)
    finding_picture(phantom, finding).save(IMAGES / "finding.png", optimize=True)
    capture_picture(Classifier.load("cnn_lstm")).save(IMAGES / "secondary-capture.png", optimize=True)
    (example,) = make_phantoms(1, size=SIZE, seed=2032, labels=["glioma"])
    draw_scan(example.scan).convert("L").save(EXAMPLE, optimize=True)


if __name__ == "__main__":
    main()
