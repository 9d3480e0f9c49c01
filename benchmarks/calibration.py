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
from tumorlens.classes import ClassSet
from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices, load_slices
from tumorlens.data.split import Split
from tumorlens.evaluation.calibration import (
    COVERAGE,
    CalibrationScores,
    at_temperature,
    fit_set_threshold,
    fit_temperature,
    score_calibration,
    score_sets,
)
from tumorlens.evaluation.evaluate import predict_slices
from tumorlens.evaluation.metrics import score
from tumorlens.evaluation.predictions import Predictions
from tumorlens.experiment import read_manifests
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
        """Predictions for a part of the scans, at temperature 1."""
        found = predict_slices(self.classifier, self.slices, part)
        card = self.classifier.card
        return replace(found, probabilities=at_temperature(found.probabilities, 1 / card.temperature))


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
        yield Fold(place.name, classifier, slices, split)


def measure(fold: Fold) -> tuple[CalibrationScores, Predictions, Predictions]:
    """Fits on the validation part, measures on the test part: (scores, calibrated validation and test)."""
    validation, test = fold.predict(fold.split.validation), fold.predict(fold.split.test)
    temperature = fit_temperature(np.log(validation.probabilities), validation.truth)
    validation, test = (
        replace(p, probabilities=at_temperature(p.probabilities, temperature)) for p in (validation, test)
    )
    threshold = fit_set_threshold(validation.probabilities, validation.truth)
    fitted = Calibration(scans=len(validation), coverage=COVERAGE, set_threshold=threshold, accepted=1)
    return score_calibration(test, score(test), temperature, fitted), validation, test


def other_rules(validation: Predictions, test: Predictions) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Sets by rules that were not chosen: (name, (N, C) sets of the test scans)."""
    # Adaptive prediction sets, Romano, Sesia and Candès 2020: classes by falling probability until they sum to enough.
    yield "APS", _most_probable(test.probabilities, _adaptive(validation))
    # A threshold of its own for each class, Vovk 2012: coverage of each class, at the price of larger sets.
    thresholds = []
    for index in range(len(validation.classes)):
        own = validation.truth == index
        thresholds.append(fit_set_threshold(validation.probabilities[own], validation.truth[own]))
    p = test.probabilities
    yield "a threshold for each class", (p >= thresholds) | (p == p.max(1, keepdims=True))


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
    errors, sets, rules = [], [], []
    for fold in read_folds(arguments.runs, arguments.data, arguments.fold):
        found, validation, test = measure(fold)
        classes: ClassSet = test.classes
        before, after = found.before, found.after
        errors.append(
            [fold.name, str(found.fitted_on), str(len(test)), f"{found.temperature:.2f}"]
            + [f"{b:.3f} → {a:.3f}" for b, a in ((before.ece, after.ece), *_pairs(found))]
        )
        by_class = [f"{c.coverage.value:.3f} ({c.mean_size:.2f})" for c in found.classes]
        low, high = found.expected
        sets.append(
            [
                fold.name,
                f"{found.set_threshold:.3f}",
                f"{low:.3f}–{high:.3f}",
                _interval(found),
                f"{found.sets.mean_size:.2f}",
                *by_class,
            ]
        )
        chosen = prediction_sets(test.probabilities, found.set_threshold)
        for name, inside in (("one threshold", chosen), *other_rules(validation, test)):
            scored = [score_sets("", inside, test, test.truth == i) for i in range(len(classes))]
            whole = score_sets("", inside, test, np.ones(len(test), bool))
            rules.append(
                [fold.name, name, f"{whole.coverage.value:.3f}", f"{whole.mean_size:.2f}"]
                + [f"{s.coverage.value:.3f}" for s in scored]
            )
    if not errors:
        raise SystemExit(f"{arguments.runs}: holds no finished run")
    names = [c.name for c in classes]
    print("\nErrors before and after\n")
    _table(["run", "validation", "test", "temperature", "ECE", "Brier", "log loss"], errors)
    print(f"\nSets that aim at {COVERAGE:.0%}: coverage, and mean size\n")
    _table(["run", "threshold", "expected", "coverage (95%)", "size", *(f"{n}: coverage (size)" for n in names)], sets)
    print("\nThe rule chosen against others\n")
    _table(["run", "rule", "coverage", "size", *names], rules)


def _pairs(found: CalibrationScores) -> list[tuple[float, float]]:
    before, after = found.before, found.after
    pairs = ((before.brier, after.brier), (before.log_loss, after.log_loss))
    return [(b.value or 0.0, a.value or 0.0) for b, a in pairs]


def _interval(found: CalibrationScores) -> str:
    coverage = found.sets.coverage
    return f"{coverage.value:.3f} ({coverage.low:.3f}–{coverage.high:.3f})"


def _table(head: list[str], rows: list[list[str]]) -> None:
    for cells in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
