"""What several sequences of one patient are worth, on phantoms: all, each alone, each one missing. Prints Markdown.

python benchmarks/sequences.py /tmp/sequences            # draws, trains five networks, tests; goes on where it was

Networks are trained on one set of phantoms and tested on another, of other patients. "Alone" is a network of its own,
trained on that sequence only; "missing" is the network of all sequences, which is not shown one of them. Accuracy is of
all slices, those that the gate calls unknown too.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices, load_slices
from tumorlens.data.manifest import read_manifest
from tumorlens.evaluation.metrics import score
from tumorlens.evaluation.testing.evaluate import predict_slices
from tumorlens.experiments.experiment import Experiment
from tumorlens.phantoms.dataset import write_phantoms
from tumorlens.phantoms.tissue import CONTRASTS
from tumorlens.training.config import read_config
from tumorlens.training.run import Run

MODEL = "cnn_lstm_attention_fast"


def main() -> None:
    """Draws what is not drawn yet, trains what is not trained yet, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for phantoms and runs")
    parser.add_argument("--count", type=int, default=600, help="slices that train")
    parser.add_argument("--test", type=int, default=600, help="slices that test")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--size", type=int, default=64, help="pixels along a side")
    options = parser.parse_args()
    sets = {"train": (options.count, 0), "test": (options.test, 1)}
    for name, (count, seed) in sets.items():
        if not (options.folder / name / "manifest.csv").exists():
            write_phantoms(options.folder / name, count, size=options.size, seed=seed, sequences=CONTRASTS)
    trained = {names: _train(options.folder, names, options) for names in (CONTRASTS, *((c,) for c in CONTRASTS))}
    tests = read_manifest(options.folder / "test")
    print(f"{MODEL}, {options.size} px, {options.count} slices, {options.epochs} epochs; {options.test} test slices")
    print("| shown | accuracy | macro AUC | unknown |\n| --- | --- | --- | --- |")
    for names, classifier in trained.items():
        slices = load_slices(tests, classifier.preprocessing)
        _print("all four" if len(names) > 1 else f"{names[0]} alone", classifier, slices)
        if len(names) > 1:
            for channel, name in enumerate(names):
                images = slices.images.copy()
                images[:, channel] = 0
                _print(f"{name} missing", classifier, replace(slices, images=images))


def _train(folder: Path, names: tuple[str, ...], options: argparse.Namespace) -> Classifier:
    """The network of some sequences, trained unless it was before."""
    path = folder / "runs" / "-".join(names)
    settings = {
        "model": MODEL,
        "preprocessing": {"size": options.size, "sequences": list(names)},
        # Twins are made of one channel; a short training takes a short average.
        "twins": 0.0,
        "patched": 0.0,
        "transplants": 0.0,
        "averaging": 0.98,
        "epochs": options.epochs,
        "patience": options.epochs,
        "batch_size": 16,
        "test": 0.02,
    }
    held = (path / "config.yaml").exists()
    run = Run.open(path) if held else Run.create(path, read_config(None, settings), [folder / "train"])
    if not run.finished:
        experiment = Experiment.load(run)
        experiment.train()
        experiment.calibrate()
    return Classifier.load(path)


def _print(shown: str, classifier: Classifier, slices: Slices) -> None:
    scores = score(predict_slices(classifier, slices, np.arange(len(slices))))
    figures = (f"{s.value:.3f} ({s.low:.3f}-{s.high:.3f})" for s in (scores.accuracy, scores.macro_auc))
    unknown = np.mean([strange.unknown for strange in classifier.judge(slices.images) or ()])
    print(f"| {shown} | {' | '.join(figures)} | {unknown:.1%} |", flush=True)


if __name__ == "__main__":
    main()
