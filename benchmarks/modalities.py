"""Modalities: how colourful sets are, which weights know which sets, scores of CT and tiles. Prints Markdown.

python benchmarks/modalities.py colours masoud head_ct lung_histology   # sets in the folder TUMORLENS_DATA names
python benchmarks/modalities.py unknown --weights cnn_lstm_efficientnet runs/ct/fold-0 --sets head_ct lung_histology
python benchmarks/modalities.py folds runs/ct                           # of a cross-validation, whole or begun
python benchmarks/modalities.py leak runs/tiles/fold-0                  # tiles whose spot trained, against new spots
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices
from tumorlens.data.manifest import find_set, read_manifest
from tumorlens.evaluation.metrics import Estimate, score
from tumorlens.evaluation.predictions import Predictions
from tumorlens.experiments.experiment import load, read_manifests
from tumorlens.formats import read_scans
from tumorlens.modality import BUILT_IN, find_modality
from tumorlens.scan import Scan
from tumorlens.training.run import Run


def row(*cells: object) -> None:
    """Prints a line of a table."""
    print("| " + " | ".join(map(str, cells)) + " |")


def head(*cells: str) -> None:
    """Prints a table's head."""
    row(*cells)
    row(*["---"] * len(cells))


def scans_of(name: Path, every: int) -> list[Scan]:
    """One picture of so many of a set."""
    return [scan for entry in read_manifest(find_set(name)).entries[::every] for scan in read_scans(entry.path)]


def colours(options: argparse.Namespace) -> None:
    """How colourful pictures are, and which modalities' weights refuse them by that."""
    modalities = [find_modality(path.stem) for path in sorted(BUILT_IN.glob("*.yaml"))]
    refused = [f"refused by {m.code} weights" for m in modalities]
    head("set", "pictures", "least colourful", "most colourful", *refused)
    for name in options.sets:
        scans = scans_of(name, options.every)
        spreads = [float(np.ptp(s.pixels, axis=2).mean()) if s.pixels.ndim == 3 else 0.0 for s in scans]
        shares = [f"{np.mean([bool(m.refuses(s)) for s in scans]):.1%}" for m in modalities]
        row(name.name, len(scans), f"{min(spreads):.3f}", f"{max(spreads):.3f}", *shares)


def unknown(options: argparse.Namespace) -> None:
    """How many scans of each set are unknown to each of several weights, and how many of those by colour or file."""
    classifiers = [Classifier.load(name) for name in options.weights]
    head("set", "pictures", *(f"unknown to {c.card.modality.code} weights {c.card.name}" for c in classifiers))
    for name in options.sets:
        scans = scans_of(name, options.every)
        cells = []
        for classifier in classifiers:
            rule, modality = classifier.card.preprocessing, classifier.card.modality
            # What is refused is unknown whatever the network says, so it need not be asked.
            left = [s for s in scans if not modality.refuses(s, sees_colour=rule.in_colour)]
            strange = sum(f.unknown for f in classifier.find_each(left, explain=False))
            refused = len(scans) - len(left)
            cells.append(f"{(refused + strange) / len(scans):.1%} ({refused} by colour, {strange} by the gate)")
        row(name.name, len(scans), *cells)


def folds(options: argparse.Namespace) -> None:
    """Scores of each fold that is trained, and of all together, with 95% intervals by group."""
    head("fold", "pictures", "accuracy", "macro F1", "macro AUC")
    parts = []
    for folder in sorted(options.runs.glob("fold-*")):
        if (run := Run.open(folder)).finished:
            parts.append(_tested(run, raw=options.raw))
            _scores(folder.name.removeprefix("fold-"), parts[-1])
    _scores(
        f"{len(parts)} together",
        Predictions(
            classes=parts[0].classes,
            truth=np.concatenate([p.truth for p in parts]),
            probabilities=np.concatenate([p.probabilities for p in parts]),
            names=[name for p in parts for name in p.names],
            groups=np.concatenate([p.groups for p in parts]),
        ),
    )


def leak(options: argparse.Namespace) -> None:
    """Scores on new spots, and on tiles that did not train themselves but show a spot that did.

    A random split of tiles puts most of the test there. How many, is drawn beside it.
    """
    run = Run.open(options.run)
    slices = load(read_manifests(run.data), run.config.preprocessing)
    split = run.read_split(slices)
    assert split is not None
    trained = {slices.groups[i] for i in split.train}
    copies = np.array([g in trained for g in slices.groups])
    copies[split.train] = False
    head("tiles", "pictures", "accuracy", "macro F1", "macro AUC")
    _scores("of spots that trained nothing", _tested(run))
    _scores("not trained on, of spots that were", _predict(run, slices.pick(np.flatnonzero(copies))))
    order = np.random.default_rng(0).permutation(len(slices))
    test, rest = order[: len(order) // 5], order[len(order) // 5 :]
    groups = np.array(slices.groups)
    known = np.isin(groups[test], groups[rest]).mean()
    print(f"\nOf a random fifth of all {len(slices)} tiles, {known:.1%} show a spot of which another tile would train.")


def _tested(run: Run, *, raw: bool = False) -> Predictions:
    manifest, parts = read_manifests(run.data), run.read_parts()
    test = tuple(e for e in manifest.entries if parts.get(e.name) == "test")
    return _predict(run, load(replace(manifest, entries=test), run.config.preprocessing), raw=raw)


def _predict(run: Run, part: Slices, *, raw: bool = False) -> Predictions:
    classifier = Classifier.load(run.folder)
    card = classifier.card
    probabilities = classifier.probabilities(part.images, batch_size=32)
    if raw:
        bias = np.array([card.bias.get(key, 0.0) for key in card.classes.keys])
        logits = card.temperature * np.log(np.maximum(probabilities, 1e-30)) - bias
        probabilities = np.exp(logits - logits.max(1, keepdims=True))
        probabilities /= probabilities.sum(1, keepdims=True)
    return Predictions(
        classes=card.classes,
        truth=part.labels,
        probabilities=probabilities,
        names=[e.name for e in part.manifest.entries],
        groups=np.array(part.groups, str),
    )


def _scores(name: str, predictions: Predictions) -> None:
    scores = score(predictions)
    row(name, scores.n, *map(_shown, (scores.accuracy, scores.macro_f1, scores.macro_auc)))


def _shown(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


def main() -> None:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    every = {"type": int, "default": 1, "help": "take one picture of so many"}
    for command in (colours, unknown):
        added = commands.add_parser(command.__name__, help=command.__doc__)
        added.add_argument("--every", **every)  # type: ignore[arg-type]
        added.set_defaults(command=command)
        if command is colours:
            added.add_argument("sets", nargs="+", type=Path)
        else:
            added.add_argument("--weights", nargs="+", required=True)
            added.add_argument("--sets", nargs="+", type=Path, required=True)
    added = commands.add_parser("folds", help=folds.__doc__)
    added.add_argument("runs", type=Path)
    added.add_argument("--raw", action="store_true", help="as the networks say, before each fold's own calibration")
    added.set_defaults(command=folds)
    added = commands.add_parser("leak", help=leak.__doc__)
    added.add_argument("run", type=Path)
    added.set_defaults(command=leak)
    options = parser.parse_args()
    options.command(options)


if __name__ == "__main__":
    main()
