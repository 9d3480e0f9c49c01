"""What heat maps are worth: the tables of docs/heatmaps.md.

    python benchmarks/heatmaps.py runs/cv-cnn_lstm/fold-*     # about two minutes a fold on one core
    python benchmarks/heatmaps.py demo/run --sample 20        # a small size, for CI

Takes folders of finished runs of one network. Each is measured on its own test part, with thresholds from its own
validation part, or from the other runs' test parts where it has none; the test scans of all of them make one table.
Faithfulness is measured on the first run. One table asks whether the networks need the tumour at all.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices
from tumorlens.data.split import Split
from tumorlens.evaluation.heatmaps.faithfulness import CHECKS, SAMPLE, Faithfulness, measure_faithfulness
from tumorlens.evaluation.heatmaps.localization import (
    Judged,
    Localization,
    Target,
    judge_maps,
    pool,
    summarize,
    threshold_curves,
)
from tumorlens.evaluation.intervals import estimate_means
from tumorlens.evaluation.metrics import Estimate
from tumorlens.experiments.experiment import load, read_manifests
from tumorlens.training.run import Run

Row = Sequence[str]


def open_run(folder: Path) -> tuple[Classifier, Slices, Split]:
    """A run's network, scans and split."""
    run = Run.open(folder)
    slices = load(read_manifests(run.data), run.config.preprocessing)
    split = run.read_split(slices)
    if split is None:
        raise SystemExit(f"{folder}: has no split yet; let it finish")
    return Classifier.load(folder), slices, split


def share(estimate: Estimate) -> str:
    """Per cent with the interval."""
    if estimate.value is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.1%}"
    return f"{estimate.value:.1%} ({100 * estimate.low:.1f}–{100 * estimate.high:.1f})"


def number(estimate: Estimate) -> str:
    """Three decimals with the interval."""
    if estimate.value is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def show(title: str, head: Row, rows: Sequence[Row]) -> None:
    """Prints a table in Markdown."""
    print(f"\n{title}\n")
    for cells in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(cells) + " |")


def show_localization(found: Localization) -> None:
    """Prints the overall table, and the pointing game by class and size."""
    title = (
        f"Maps of the {found.target} class: {found.n:,} test scans with outlines, {found.groups:,} groups; "
        f"thresholds from {found.fitted_on:,} validation scans"
    )
    columns: dict[str, Callable[[Estimate], str]] = {
        "pointing": share,
        "pointing_strict": share,
        "mass": share,
        "dice": number,
        "iou": number,
        "box": share,
        "blank": share,
    }
    show(
        title,
        ["method", "pointing game", "strict", "heat inside", "Dice", "IoU", "box", "blank", "threshold", "gain"],
        [
            [
                m.title,
                *(form(getattr(m.overall, key)) for key, form in columns.items()),
                f"{m.threshold:.2f}",
                number(m.gain),
            ]
            for m in found.methods
        ],
    )
    parts = {name: f.n for kind in (found.methods[0].classes, found.methods[0].sizes) for name, f in kind.items()}
    show(
        "Pointing game by class and size",
        ["method", *(f"{name} (n = {n:,})" for name, n in parts.items())],
        [[m.title, *(share(({**m.classes, **m.sizes})[name].pointing) for name in parts)] for m in found.methods],
    )


def show_faithfulness(found: Faithfulness) -> None:
    """Prints the checks; what fails one is in bold."""
    rows = []
    for key, check in CHECKS.items():
        cells = [f"**{number(m.figures[key])}**" if key in m.flags else number(m.figures[key]) for m in found.methods]
        controls = [number(c[key]) if key in c else "–" for c in (found.random_map, found.random_pixels)]
        rows.append([check.title, check.better, *cells, *controls])
    show(
        f"Faithfulness on {found.n:,} scans, {found.groups:,} groups, seed {found.seed}; bold fails",
        ["check", "better", *(m.title for m in found.methods), "random map", "random pixels"],
        rows,
    )


def filled(image: NDArray[np.float32], place: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The scan, (1, S, S), with a place and two pixels around it filled smoothly from what surrounds it."""
    hole = ndimage.binary_dilation(place, iterations=2)
    known = ndimage.gaussian_filter((~hole).astype(np.float32), 4) + 1e-6
    smooth = ndimage.gaussian_filter(image[0] * ~hole, 4) / known
    return np.where(hole, smooth, image[0])[None].astype(np.float32)


def show_without_tumour(opened: Sequence[tuple[Classifier, Slices, Split]]) -> None:
    """Prints how often each class is still named when its tumour is filled from its surroundings.

    The control fills the same shape at the mirrored place. It is none for tumours on the midline, which it covers.
    """
    rows: list[list[str]] = []
    right: dict[str, list[NDArray[np.bool_]]] = {"as it is": [], "tumour filled": [], "mirrored place filled": []}
    labels, groups = [], []
    for classifier, slices, split in opened:
        outlines = {i: o for i in split.test.tolist() if (o := slices.manifest.entries[i].outline)}
        chosen, size = list(outlines), slices.images.shape[-1]
        places = [o.coverage(size, size) > 0.1 for o in outlines.values()]
        images = slices.images[chosen]
        changed = {
            "as it is": images,
            "tumour filled": np.stack([filled(x, p) for x, p in zip(images, places, strict=True)]),
            "mirrored place filled": np.stack([filled(x, p[:, ::-1]) for x, p in zip(images, places, strict=True)]),
        }
        for name, scans in changed.items():
            right[name].append(classifier.probabilities(scans).argmax(1) == slices.labels[chosen])
        labels += [slices.manifest.entries[i].label for i in chosen]
        groups += [slices.groups[i] for i in chosen]
    classes = [key for key in opened[0][0].card.classes.keys if key in labels]
    members = np.array(labels)[:, None] == classes
    for name, parts in right.items():
        table = np.where(members, np.concatenate(parts)[:, None], np.nan)
        rows.append([name, *(share(e) for e in estimate_means(table, groups))])
    counts = members.sum(0)
    show(
        "Recall of each class on scans whose tumour is covered, at the network's resolution",
        ["scan", *(f"{key} (n = {n:,})" for key, n in zip(classes, counts, strict=True))],
        rows,
    )


def judge_all(opened: Sequence[tuple[Classifier, Slices, Split]], target: Target) -> list[Judged]:
    """Each run's maps against the outlines of its test part."""
    if all(len(split.validation) for _, _, split in opened):
        return [judge_maps(c, s, split.validation, split.test, target=target) for c, s, split in opened]
    curves = [threshold_curves(c, s, split.test, target=target) for c, s, split in opened]
    judged = []
    for i, (c, s, split) in enumerate(opened):
        others = [curve for j, curve in enumerate(curves) if j != i]
        chosen = np.concatenate(others) if others else None
        judged.append(judge_maps(c, s, split.validation, split.test, target=target, curves=chosen))
    return judged


def main() -> None:
    """Measures the runs and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished runs")
    parser.add_argument("--targets", nargs="+", default=["predicted", "true"], help="whose maps: predicted, true")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="scans for faithfulness")
    arguments = parser.parse_args()
    opened = [open_run(folder) for folder in arguments.runs]
    for target in arguments.targets:
        show_localization(summarize(pool(judge_all(opened, target))))
    show_without_tumour(opened)
    classifier, slices, split = opened[0]
    groups = [slices.groups[i] for i in split.test]
    show_faithfulness(measure_faithfulness(classifier, slices.images[split.test], groups, sample=arguments.sample))


if __name__ == "__main__":
    main()
