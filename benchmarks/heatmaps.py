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

from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices
from tumorlens.data.split import Split
from tumorlens.evaluation.heatmaps.counterfactual import ask, summarize_asked
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


def show_without_tumour(opened: Sequence[tuple[Classifier, Slices, Split]]) -> None:
    """Prints what becomes of the answer when the tumour is replaced, or tissue is pasted elsewhere."""
    asked = [part for c, s, split in opened if (part := ask(c, s, split.test)) is not None]
    if not asked:
        return
    measured = summarize_asked(asked)
    show(
        "Tumours replaced by healthy tissue of another patient, and such tissue pasted off the tumour",
        ["scans", "n", "recall as they are", "replaced: nothing found", "replaced: still named", "pasted: unchanged"],
        [
            [name, f"{m.n:,}", *(share(e) for e in (m.recall, m.gone, m.still_named, m.unchanged))]
            for name, m in {"all": measured.overall, **measured.classes}.items()
        ],
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
