"""What each part of a network and its training is worth: the tables "Ablations" of docs/benchmarks.md.

    python benchmarks/ablations.py --data masoud --studies progression --label glioma    # the default's, folds 0 and 1
    python benchmarks/ablations.py --data masoud --set preprocessing.size=64    # the same, four times as fast
    python benchmarks/ablations.py --data masoud --model cnn_lstm_attention              # 64 x 64, about 35 minutes
    python benchmarks/ablations.py --data phantoms --epochs 1 --folds 0 1                # a small size, for CI

One part is taken away at a time; everything else stays, the number of epochs too. All other folds train, and the last
epoch's averaged weights count. Every run is a folder below --runs, and is resumed, or only read, if it is there. The
heat map's threshold is chosen on the other fold. `--studies` adds what the networks say of whole studies, means over
the folds. Prints the table in Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices
from tumorlens.data.manifest import find_set
from tumorlens.evaluation.heatmaps.localization import judge_maps, pool, summarize, threshold_curves
from tumorlens.evaluation.intervals import estimate_means
from tumorlens.evaluation.metrics import Estimate, score
from tumorlens.evaluation.predictions import Predictions
from tumorlens.evaluation.studies.measure import measure_studies
from tumorlens.evaluation.studies.volumes import find_volumes
from tumorlens.evaluation.testing.evaluate import predict_slices
from tumorlens.experiments.crossvalidation import one_per_group, with_folds
from tumorlens.experiments.experiment import Experiment, load, read_manifests
from tumorlens.listener import Listener
from tumorlens.training.config import parse_settings, read_config
from tumorlens.training.run import Run

WHOLE = "all of it"
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "cnn_lstm_attention": {
        WHOLE: {},
        "no LSTM": {"options": {"sequence": False}},
        "LSTM one way only": {"options": {"bidirectional": False}},
        "no attention: the mean of all places": {"options": {"readout": "mean"}},
        "read out at the last place": {"options": {"readout": "last"}},
        "no guidance": {"guidance": 0},
        "no augmentation": {"augmentation": 0},
    },
    "cnn_lstm_efficientnet": {
        WHOLE: {},
        "no counterfactuals": {"twins": 0, "patched": 0, "transplants": 0},
        "no transplants": {"transplants": 0},
        "no control patches": {"patched": 0},
        "no pretrained features": {"options": {"pretrained": False}},
        "all stages trained": {"options": {"frozen": 0}},
    },
}


@dataclass(frozen=True, eq=False)
class Trained:
    """A variant's network on one fold."""

    classifier: Classifier
    test: NDArray[np.intp]


def train_variant(settings: dict[str, Any], name: str, fold: int, runs: Path, slices: Slices, data: Path) -> Trained:
    """Trains a variant on all folds but one, or goes on with it, or finds it done."""
    model = settings["model"]
    place = runs / f"ablation-{model}" / name.replace(" ", "-").replace(":", "") / f"fold-{fold}"
    config = read_config(None, {**settings, "split": f"fold:{fold}", "validation": 0, **VARIANTS[model][name]})
    run = Run.open(place) if (place / "config.yaml").exists() else Run.create(place, config, [data])
    said = Listener(epoch=lambda row, total: print(f"  {row.epoch}/{total} {row.seconds:.1f} s", flush=True))
    experiment = Experiment(run, slices, said)
    experiment.train()
    return Trained(Classifier.load(place), experiment.split.test)


def measure(trained: Sequence[Trained], slices: Slices) -> tuple[list[Estimate], NDArray[np.bool_], Predictions]:
    """Accuracy, AUC, meningioma recall, pointing game and Dice over the test parts; and which scans were right."""
    parts = [predict_slices(t.classifier, slices, t.test) for t in trained]
    predictions = Predictions(
        classes=parts[0].classes,
        truth=np.concatenate([p.truth for p in parts]),
        probabilities=np.concatenate([p.probabilities for p in parts]),
        names=[name for p in parts for name in p.names],
        groups=np.concatenate([p.groups for p in parts]),
    )
    scores = score(predictions)
    methods = ["contributions"]
    curves = [threshold_curves(t.classifier, slices, t.test, methods=methods) for t in trained]
    judged = []
    for i, t in enumerate(trained):
        others = [c for j, c in enumerate(curves) if j != i] or curves
        judged.append(judge_maps(t.classifier, slices, t.test, t.test, methods=methods, curves=np.concatenate(others)))
    maps = summarize(pool(judged)).methods[0].overall
    meningioma = next(c for c in scores.classes if c.key == "meningioma")
    right = predictions.predicted == predictions.truth
    return [scores.accuracy, scores.macro_auc, meningioma.recall, maps.pointing, maps.dice], right, predictions


def ask_studies(trained: Sequence[Trained], folder: Path, label: str | None) -> list[str]:
    """Means over the networks on whole studies: AUC, false alarms and missed with neighbours, and named rightly."""
    volumes = find_volumes(folder)
    found = [measure_studies(t.classifier, volumes, label=label) for t in trained]
    columns = ("auc", "false_alarms", "missed")
    figures = [[getattr(scores.in_context, name).value for scores in found] for name in columns]
    return [f"{np.mean(values):.3f}" for values in [*figures, [scores.named_rightly.value for scores in found]]]


def shown(estimate: Estimate) -> str:
    """A figure with its interval."""
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


def main() -> None:
    """Trains what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a labelled set with outlines")
    parser.add_argument("--model", default="cnn_lstm_efficientnet", choices=list(VARIANTS))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of all trainings")
    parser.add_argument("--variants", nargs="+", help="only these parts, by their names in the table")
    parser.add_argument("--studies", help="a folder of whole studies with masks, or its name")
    parser.add_argument("--label", help="class of those studies, where their table names none")
    parser.add_argument("--only-train", action="store_true", help="train, and print no table")
    arguments = parser.parse_args()
    model, studies = arguments.model, arguments.studies
    settings = {"model": model, "epochs": arguments.epochs} | parse_settings(arguments.set)
    config = read_config(None, settings)
    slices = one_per_group(with_folds(load(read_manifests([arguments.data]), config.preprocessing), 5, 0))
    measured: dict[str, tuple[list[Estimate], NDArray[np.bool_], Predictions]] = {}
    asked: dict[str, list[str]] = {}
    for name in arguments.variants or VARIANTS[model]:
        trained = []
        for fold in arguments.folds:
            print(f"{name}, fold {fold}", flush=True)
            trained.append(train_variant(settings, name, fold, arguments.runs, slices, arguments.data))
        if not arguments.only_train:
            measured[name] = measure(trained, slices)
            asked[name] = ask_studies(trained, find_set(Path(studies)), arguments.label) if studies else []
    rows = []
    for name, (figures, right, predictions) in measured.items():
        lost = ""
        if name != next(iter(measured)):  # scan by scan against the whole, so that what is hard for both cancels
            whole = next(iter(measured.values()))[1]
            (difference,) = estimate_means((right.astype(float) - whole)[:, None], predictions.groups)
            lost = f"{difference.value:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"
        rows.append([name, *map(shown, figures), lost, *asked[name]])
    if rows:
        size = f"{config.preprocessing.size} pixels a side, {config.epochs} epochs"
        print(f"\n{model}, folds {', '.join(map(str, arguments.folds))}, {size}\n")
        columns = ["accuracy", "macro AUC", "meningioma recall", "pointing", "Dice", "accuracy less that of all of it"]
        more = ["studies: AUC", "false alarms", "missed", "named rightly"] if studies else []
        head = ["variant", *columns, *more]
        for cells in (head, ["---"] * len(head), *rows):
            print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
