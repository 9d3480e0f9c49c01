"""Calibration and prediction sets, fold by fold: the table "Calibration" of docs/benchmarks.md.

    tumorlens crossvalidate --data masoud --output runs/cv     # makes the folds
    python benchmarks/calibration.py --data masoud --runs runs/cv

Temperature and set threshold are fitted anew on each fold's validation part, and measured on its test part, so runs
that were trained before there was calibration serve as well. Prints the tables in Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tumorlens.card import Calibration
from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices, load_slices
from tumorlens.data.split import Split
from tumorlens.evaluation.calibration import (
    COVERAGE,
    CalibrationScores,
    Scaling,
    fit_set_threshold,
    fit_set_thresholds,
    score_calibration,
)
from tumorlens.evaluation.metrics import Estimate, score
from tumorlens.evaluation.predictions import Predictions
from tumorlens.evaluation.testing.evaluate import predict_slices
from tumorlens.experiments.experiment import read_manifests
from tumorlens.finding import prediction_sets
from tumorlens.training.run import Run


@dataclass(frozen=True, eq=False)
class Fold:
    """A finished run with its scans.

    Attributes:
        name: Of its folder.
        classifier: Its network, with what was fitted to it, if anything was.
        slices: All scans.
        split: Their parts.
    """

    name: str
    classifier: Classifier
    slices: Slices
    split: Split

    def predict(self, part: NDArray[np.intp]) -> Predictions:
        """Predictions for a part of the scans, of the network as it was trained."""
        found = predict_slices(self.classifier, self.slices, part)
        scaling = Scaling.of_card(self.classifier.card)
        return replace(found, probabilities=scaling.undo(found.probabilities))


def read_folds(folder: Path, data: list[Path], names: list[str]) -> Iterator[Fold]:
    """The finished runs of a cross-validation, or a single one; scans are read once for each rule of preprocessing."""
    places = sorted(folder.glob("fold-*")) if not (folder / "config.yaml").exists() else [folder]
    loaded: dict[str, Slices] = {}
    for place in places:
        run = Run.open(place)
        if not run.finished or (names and place.name not in names):
            continue
        classifier = Classifier.load(place)
        rule = classifier.preprocessing
        slices = loaded.setdefault(repr(rule), load_slices(read_manifests(data or run.data), rule))
        split = run.read_split(slices)
        assert split is not None
        if not len(split.validation):
            raise SystemExit(f"{place}: has no validation part; benchmarks/folds.py shows what out-of-fold scans gave")
        yield Fold(place.name, classifier, slices, split)


def measure(fold: Fold) -> tuple[CalibrationScores, Predictions, Predictions]:
    """Fits on the validation part, measures on the test part: (scores, calibrated validation and test)."""
    validation, test = fold.predict(fold.split.validation), fold.predict(fold.split.test)
    scaling = Scaling.fit(np.log(validation.probabilities), validation.truth)
    validation, test = (replace(p, probabilities=scaling.apply(p.probabilities)) for p in (validation, test))
    keys = test.classes.keys
    thresholds = fit_set_thresholds(validation.probabilities, validation.truth)
    counts = np.bincount(validation.truth, minlength=len(keys)).tolist()
    fitted = Calibration(
        scans=dict(zip(keys, counts, strict=True)),
        coverage=COVERAGE,
        set_thresholds=dict(zip(keys, thresholds, strict=True)),
        accepted=1,
    )
    return score_calibration(test, score(test), scaling, fitted), validation, test


def rules(validation: Predictions, test: Predictions) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Sets by the rule chosen and by others: (name, (N, C) sets of the test scans)."""
    p = test.probabilities
    by_class = fit_set_thresholds(validation.probabilities, validation.truth)
    yield "a threshold for each class (chosen)", prediction_sets(p, by_class)
    one = fit_set_threshold(validation.probabilities, validation.truth)
    yield "one threshold", prediction_sets(p, [one] * p.shape[1])
    # Romano, Sesia and Candès 2020, without their lottery: classes by falling probability until they sum to enough.
    yield "adaptive sets (APS)", _most_probable(p, _adaptive(validation))


def _adaptive(validation: Predictions) -> float:
    p, rows = validation.probabilities, np.arange(len(validation))
    own = p[rows, validation.truth]
    needed = np.where(p >= own[:, None], p, 0).sum(1)
    place = int(np.ceil((len(needed) + 1) * COVERAGE)) - 1
    return float(np.sort(needed)[place]) if place < len(needed) else 1.0


def _most_probable(probabilities: NDArray[np.float64], mass: float) -> NDArray[np.bool_]:
    order = np.argsort(-probabilities, axis=1)
    ranked = np.take_along_axis(probabilities, order, 1)
    inside = ranked.cumsum(1) <= mass
    inside[:, 0] = True
    sets = np.empty_like(inside)
    np.put_along_axis(sets, order, inside, 1)
    return sets


def main() -> None:
    """Measures every finished fold and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="folder of a cross-validation, or of one run")
    parser.add_argument("--data", type=Path, action="append", help="the data sets, if they moved since the training")
    parser.add_argument("--fold", action="append", default=[], help="only this one, such as fold-0; may be repeated")
    arguments = parser.parse_args()
    errors, sets, compared = [], [], []
    for fold in read_folds(arguments.runs, arguments.data, arguments.fold):
        found, validation, test = measure(fold)
        errors.append(
            [fold.name, str(len(validation)), str(len(test)), f"{found.temperature:.2f}"]
            + [f"{b:.3f} → {a:.3f}" for b, a in ((found.before.ece, found.after.ece), *_pairs(found))]
        )
        for s in (found.sets, *found.classes):
            expected = f"{s.expected[0]:.3f}–{s.expected[1]:.3f}"
            cells = [_shown(s.coverage), expected, f"{s.mean_size:.2f}", str(s.fitted_on), str(s.n)]
            sets.append([fold.name, s.name, *cells])
        for name, inside in rules(validation, test):
            held, size = inside[np.arange(len(test)), test.truth], inside.sum(1)
            by_class = [f"{held[test.truth == i].mean():.3f}" for i in range(len(test.classes))]
            compared.append([fold.name, name, f"{held.mean():.3f}", f"{size.mean():.2f}", *by_class])
    if not errors:
        raise SystemExit(f"{arguments.runs}: holds no finished run")
    print("\nErrors before and after\n")
    _table(["run", "validation", "test", "temperature", "ECE", "Brier", "log loss"], errors)
    print(f"\nSets that aim at {COVERAGE:.0%} in each class\n")
    _table(["run", "scans of", "coverage (95%)", "expected", "mean size", "validation", "test"], sets)
    print("\nThe rule chosen against others: coverage, mean size, coverage of each class\n")
    _table(["run", "rule", "coverage", "size", *(c.name for c in test.classes)], compared)


def _pairs(found: CalibrationScores) -> list[tuple[float, float]]:
    before, after = found.before, found.after
    pairs = ((before.brier, after.brier), (before.log_loss, after.log_loss))
    return [(b.value or 0.0, a.value or 0.0) for b, a in pairs]


def _shown(estimate: Estimate) -> str:
    interval = "" if estimate.low is None else f" ({estimate.low:.3f}–{estimate.high:.3f})"
    return f"{estimate.value:.3f}{interval}"


def _table(head: list[str], rows: list[list[str]]) -> None:
    for cells in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
