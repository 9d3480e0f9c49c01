"""What heat maps are worth, measured: heatmaps.json, and one self-contained page that explains it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydantic import BaseModel

from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices, read_scan
from tumorlens.evaluation.heatmaps.counterfactual import Counterfactual, ask, summarize_asked
from tumorlens.evaluation.heatmaps.faithfulness import CHECKS, PEAK_JUMPS, SIMILAR, Faithfulness, measure_faithfulness
from tumorlens.evaluation.heatmaps.judge import BASELINES
from tumorlens.evaluation.heatmaps.localization import (
    Localization,
    MethodLocalization,
    ScanLocalization,
    judge_maps,
    summarize,
    title_of,
)
from tumorlens.evaluation.pages.gallery import picture_uri
from tumorlens.evaluation.pages.page import load_template, per_cent
from tumorlens.evidence import Region
from tumorlens.explain.cam import METHODS
from tumorlens.explain.region import find_region
from tumorlens.files import write_atomically
from tumorlens.listener import SILENT, Listener
from tumorlens.outline import Outline
from tumorlens.overlay import draw_overlay, draw_scan
from tumorlens.scan import Scan
from tumorlens.version import __version__

CASES = 6
"""Best, median and worst cases a page shows, each."""

NO_OUTLINES = "No test scan has a radiologist's outline, so nothing is said about whether maps lie on tumours."

_TEMPLATE = Path(__file__).with_name("heatmaps.html.j2")
_SIDE = 640  # pixels; lines are drawn at this size, then scaled down with the picture, which smooths them
_OUTLINE, _REGION = (255, 255, 255), (64, 224, 255)


class HeatmapScores(BaseModel, frozen=True):
    """What heatmaps.json holds.

    Attributes:
        shown: Key of the method whose maps findings carry.
        localization: Maps of the predicted class against outlines; None where no test scan has one.
        localization_true: The same for maps of the true class.
        notes: What was left out, and what speaks against trusting single figures.
    """

    version: str
    weights: str
    weights_sha256: str
    shown: str
    localization: Localization | None
    localization_true: Localization | None
    counterfactual: Counterfactual | None = None
    faithfulness: Faithfulness
    notes: list[str] = []


def measure_heatmaps(
    classifier: Classifier,
    slices: Slices,
    validation: NDArray[np.intp],
    test: NDArray[np.intp],
    folder: Path,
    *,
    listener: Listener = SILENT,
) -> HeatmapScores:
    """Measures heat maps, and writes heatmaps.html and heatmaps.json.

    `slices` are scans by the classifier's own preprocessing and classes. Thresholds are chosen on those of
    `validation`, which may be none, and figures are of those of `test`.

    Raises:
        MissingExtra: If Jinja2 is not installed.
        OSError: If a file cannot be written.
    """
    template = load_template(_TEMPLATE)  # what is not installed is missed before minutes of work
    localization = of_true_class = None
    if any(slices.manifest.entries[i].outline for i in test):
        localization = summarize(judge_maps(classifier, slices, validation, test, listener=listener))
        of_true_class = summarize(judge_maps(classifier, slices, validation, test, target="true", listener=listener))
    listener.say("replacing tumours by healthy tissue")
    asked = ask(classifier, slices, test, progress=listener.progress)
    faithfulness = measure_faithfulness(
        classifier, slices.images[test], [slices.groups[i] for i in test], listener=listener
    )
    scores = HeatmapScores(
        version=__version__,
        weights=classifier.card.name,
        weights_sha256=classifier.card.sha256,
        shown=classifier.heat_map.method,
        localization=localization,
        localization_true=of_true_class,
        counterfactual=None if asked is None else summarize_asked([asked]),
        faithfulness=faithfulness,
        notes=_notes(localization),
    )
    listener.say("drawing cases")
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "heatmaps.html"
    page.unlink(missing_ok=True)  # where it is, it belongs to the heatmaps.json beside it
    shown = None if localization is None else _method(localization, scores.shown)
    text = template.render(
        scores=scores,
        localization=localization,
        shown=shown,
        verdict="" if localization is None or shown is None else _verdict(localization, shown),
        best=None if localization is None else _method(localization, localization.best_baseline),
        of_true_class={m.key: m for m in of_true_class.methods} if of_true_class else {},
        checks=CHECKS,
        methods=METHODS,
        baselines=BASELINES,
        names={c.key: c.name for c in classifier.card.classes},
        cases=_cards(scores, classifier, slices),
        card=classifier.card,
        data=_describe(slices),
        grouped_by=slices.manifest.unit,
        synthetic=slices.manifest.synthetic,
        similar=SIMILAR,
        jump=PEAK_JUMPS,
        date=dt.date.today().isoformat(),
    )
    write_atomically(folder / "heatmaps.json", scores.model_dump_json(indent=1).encode() + b"\n")
    write_atomically(page, text.encode("utf-8", "backslashreplace"))
    return scores


def choose_extremes(scans: Sequence[ScanLocalization], each: int = CASES) -> dict[str, list[ScanLocalization]]:
    """The best, median and worst scans by Dice, then by the share of heat inside; no scan is chosen twice."""
    order = sorted(scans, key=lambda s: (-s.dice, -s.mass, s.name))
    each = min(each, len(order) // 3)
    middle = len(order) // 2 - each // 2
    return {
        "best": order[:each],
        "median": order[middle : middle + each],
        "worst": order[::-1][:each],
    }


def draw_case(
    scan: Scan, outline: Outline, heatmap: NDArray[np.float32] | None, threshold: float
) -> tuple[Image.Image, Image.Image | None]:
    """Draws a scan with its outline in white, and beside it the heat with its region and box in blue.

    `heatmap` is (H, W) float32 in [0, 1] on the scan's own grid, and `threshold` the share of its peak that bounds the
    region. The second picture is None where there is no heat, or none but zeros.
    """
    original = _with_lines(draw_scan(scan), outline, None)
    if heatmap is None or not heatmap.any():
        return original, None
    region = find_region(heatmap, scan.spacing, threshold)
    return original, _with_lines(draw_overlay(scan, heatmap, colour_bar=False), outline, region)


def _with_lines(picture: Image.Image, outline: Outline, region: Region | None) -> Image.Image:
    scale = _SIDE / max(picture.size)
    width, height = (round(side * scale) for side in picture.size)
    large = picture.resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(large)

    def line(points: Sequence[tuple[float, float]], fill: tuple[int, int, int], thickness: int) -> None:
        # Points count from the corner of the picture, Pillow from the middle of its first pixel.
        closed = [(x - 0.5, y - 0.5) for x, y in (*points, points[0])]
        draw.line(closed, fill=fill, width=thickness, joint="curve")

    if region is not None:
        x0, y0, x1, y1 = (v * scale for v in region.box)
        line([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], _REGION, 2)
        line([(x * scale, y * scale) for x, y in region.contour], _REGION, 4)
    line([(float(x) * width, float(y) * height) for x, y in outline.points], _OUTLINE, 4)
    return large


def _cards(scores: HeatmapScores, classifier: Classifier, slices: Slices) -> dict[str, list[dict[str, object]]]:
    """The cases as the page shows them, by kind."""
    if scores.localization is None:
        return {}
    entries = {e.name: e for e in slices.manifest.entries}
    names = {c.key: c.name for c in classifier.card.classes}
    threshold = _method(scores.localization, scores.shown).threshold
    cards: dict[str, list[dict[str, object]]] = {}
    for kind, chosen in choose_extremes(scores.localization.scans).items():
        cards[kind] = []
        for case in chosen:
            entry = entries[case.name]
            assert entry.outline is not None
            scan = read_scan(entry)
            (finding,) = classifier.find([scan], target=case.predicted)
            original, overlay = draw_case(scan, entry.outline, None if case.blank else finding.heatmap, threshold)
            cards[kind].append(
                {
                    "case": case,
                    "truth": names[case.label],
                    "predicted": names[case.predicted],
                    "original": picture_uri(original),
                    "overlay": None if overlay is None else picture_uri(overlay),
                }
            )
    return cards


def _notes(localization: Localization | None) -> list[str]:
    if localization is None:
        return [NO_OUTLINES]
    if localization.n == localization.groups:
        return ["Every scan is its own group: where several show one patient, the intervals are too narrow."]
    return []


def _method(localization: Localization, key: str) -> MethodLocalization:
    return next(m for m in localization.methods if m.key == key)


def _verdict(localization: Localization, shown: MethodLocalization) -> str:
    """The main result in a sentence."""
    best = _method(localization, localization.best_baseline)
    low, high = shown.gain.low, shown.gain.high
    if low is None or high is None:
        compared = "beside"
    else:
        compared = "more often than" if low > 0 else "less often than" if high < 0 else "about as often as"
    return (
        f"The hottest point of {shown.title} lies on the tumour, or just beside it, in "
        f"{per_cent(shown.overall.pointing.value)} of {localization.n:,} scans: {compared} the best baseline, "
        f"“{title_of(best.key)}”, which looks at no network ({per_cent(best.overall.pointing.value)}). "
        f"{per_cent(shown.overall.mass.value)} of its heat lies inside the outline, and the tumour covers "
        f"{per_cent(_method(localization, 'chance').overall.mass.value)} of the picture."
    )


def _describe(slices: Slices) -> str:
    counts = ", ".join(f"{count:,} {key}" for key, count in slices.manifest.counts.items())
    return f"{len(slices):,} scans in all ({counts})"
