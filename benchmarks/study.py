"""What the slices of a study say together: rules that make one finding of many, on phantom studies.

    python benchmarks/study.py                       # 400 studies to choose on, 400 others to report on
    python benchmarks/study.py --count 8 --slices 8  # a small run

A study is a series of parallel slices over a whole phantom head, in a plane and contrast drawn at random, of a patient
with a lesion or, as often as of each kind of tumour, without. Prints one table for the seed that rules are chosen on,
and one for the seed that they are reported on. Phantoms are no patients: the tables compare rules with each other and
say nothing of how well a study of a hospital is read.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tumorlens.classes import BRAIN_TUMORS
from tumorlens.classifier import Classifier
from tumorlens.data.phantom import PLANES, make_study
from tumorlens.data.phantom_tissue import CONTRASTS
from tumorlens.evaluation._intervals import estimate_means
from tumorlens.evaluation.metrics import Estimate
from tumorlens.study import NEIGHBOURS, find_in_study

NOTHING = BRAIN_TUMORS.keys.index(next(c.key for c in BRAIN_TUMORS if c.nothing))
Probabilities = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Study:
    """What was said of a study's slices.

    Attributes:
        truth: Index of its class.
        p: (slices, classes) probabilities of the slices that are like the training's; all if none is.
        shipped: Index of the class that `find_in_study` gives it.
    """

    truth: int
    p: Probabilities
    shipped: int


def draw(count: int, slices: int, seed: int, classifier: Classifier) -> list[Study]:
    """Draws studies, and has their slices classified."""
    keys = classifier.card.classes.keys
    studies = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        label = BRAIN_TUMORS.keys[number % len(BRAIN_TUMORS)]
        plane = str(rng.choice(PLANES, p=[0.46, 0.27, 0.27]))
        contrast = str(rng.choice(CONTRASTS, p=[0.1, 0.7, 0.1, 0.1]))
        phantoms = make_study(number, label=label, plane=plane, contrast=contrast, slices=slices, seed=seed)
        findings = classifier.find([p.scan for p in phantoms], explain=False)
        p = np.array([[f.probabilities[key] for key in keys] for f in findings])
        known = np.array([f.unknown is None or not f.unknown.unknown for f in findings])
        shipped = keys.index(find_in_study(findings, classifier.card.classes).label)
        studies.append(Study(keys.index(label), p[known] if known.any() else p, shipped))
    return studies


def best_row(width: int, least: float | None = None) -> Callable[[Probabilities], int]:
    """The mean of the `width` slices in a row that together most probably show something.

    Args:
        width: Slices in a row.
        least: Probability of showing something from which the study does; None lets the most probable class decide.
    """

    def rule(p: Probabilities) -> int:
        rows = [p[i : i + width].mean(0) for i in range(max(1, len(p) - width + 1))]
        return decide(max(rows, key=lambda row: 1 - row[NOTHING]), least)

    return rule


def decide(row: Probabilities, least: float | None) -> int:
    """The class of mean probabilities."""
    if least is None:
        return int(row.argmax())
    tumours = row.copy()
    tumours[NOTHING] = 0
    return int(tumours.argmax()) if 1 - row[NOTHING] >= least else NOTHING


def votes(least: float) -> Callable[[Probabilities], int]:
    """The tumour that most slices show, if at least that share of all shows one; `least` 0 takes a majority of all."""

    def rule(p: Probabilities) -> int:
        counts = np.bincount(p.argmax(1), minlength=p.shape[1])
        if least == 0:
            return int(counts.argmax())
        tumours = counts.copy()
        tumours[NOTHING] = 0
        return int(tumours.argmax()) if tumours.sum() >= least * len(p) else NOTHING

    return rule


RULES: dict[str, Callable[[Probabilities], int]] = {
    "mean of all slices": lambda p: int(p.mean(0).argmax()),
    "most frequent class": votes(0),
    "most frequent tumour, if 1 slice in 4 shows one": votes(0.25),
    "the slice that most probably shows something": best_row(1),
    **{f"mean of {k} in a row": best_row(k) for k in (2, 3, 4, 5, 7)},
    **{
        f"mean of {k} in a row, a tumour from {least:.0%}": best_row(k, least)
        for k in (3, 5)
        for least in (0.5, 0.8, 0.9, 0.95)
    },
}


def table(studies: list[Study]) -> str:
    """A line for each rule, in Markdown."""
    truth = np.array([s.truth for s in studies])
    tumour = truth != NOTHING
    lines = [
        "| rule | accuracy | sensitivity | specificity | class right, of tumours found |",
        "| --- |" + " --- |" * 4,
    ]
    for name, rule in {f"shipped: `find_in_study`, {NEIGHBOURS} in a row": None, **RULES}.items():
        said = np.array([s.shipped if rule is None else rule(s.p) for s in studies])
        found = said != NOTHING
        values = np.column_stack(
            [
                said == truth,
                np.where(tumour, found, np.nan),
                np.where(tumour, np.nan, ~found),
                np.where(tumour & found, said == truth, np.nan),
            ]
        ).astype(float)
        # A patient a study, so each is a group of its own.
        cells = [in_words(e) for e in estimate_means(values, [str(i) for i in range(len(studies))])]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def in_words(estimate: Estimate) -> str:
    """A share in percent, with its 95% interval."""
    if estimate.value is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.0%}"
    return f"{estimate.value:.0%} ({estimate.low:.0%}–{estimate.high:.0%})"


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="cnn_lstm")
    parser.add_argument("--count", type=int, default=400, help="studies of each seed")
    parser.add_argument("--slices", type=int, default=24, help="slices of a study")
    parser.add_argument("--seeds", type=int, nargs=2, default=(101, 102), help="to choose on, and to report on")
    options = parser.parse_args()
    classifier = Classifier.load(options.weights, threads=1)
    for what, seed in zip(("chosen on", "reported on"), options.seeds, strict=True):
        studies = draw(options.count, options.slices, seed, classifier)
        print(f"{what} seed {seed}: {len(studies)} studies of {options.slices} slices, weights {options.weights}\n")
        print(table(studies) + "\n")


if __name__ == "__main__":
    main()
