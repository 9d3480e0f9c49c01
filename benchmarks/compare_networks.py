"""Networks side by side on the same fold and by the same protocol: the table "Networks" of docs/benchmarks.md.

    pip install monai                                             # for densenet121, nothing else needs it
    python benchmarks/compare_networks.py --data masoud --folds 0
    python benchmarks/compare_networks.py --data masoud --folds 0 1 2 3 4 --networks cnn cnn_lstm

Every run is a folder below --runs, laid out as `tumorlens crossvalidate` does, and is resumed, or only read, if it is
there. One scan of each duplicate group trains and tests. Prints the table in Markdown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from tumorlens.data.loader import Slices
from tumorlens.evaluation.metrics import Estimate, Scores
from tumorlens.experiments.crossvalidation import one_per_group
from tumorlens.experiments.experiment import Experiment, load, read_manifests
from tumorlens.listener import Listener
from tumorlens.model.network import Network, build_network, register
from tumorlens.training.callbacks import read_log
from tumorlens.training.config import TrainConfig
from tumorlens.training.run import Run


@register("densenet121")
class DenseNet121(Network):
    """MONAI's DenseNet121, cut at its last convolution. For comparison only: it is 24 times as large."""

    def __init__(self, channels: int = 1, classes: int = 4) -> None:
        from monai.networks.nets import DenseNet121 as MonaiDenseNet121

        super().__init__()
        whole = MonaiDenseNet121(spatial_dims=2, in_channels=channels, out_channels=classes)
        self.features, self.head = whole.features, whole.class_layers


LINES = Listener(
    say=lambda text: print(f"  {text}", flush=True),
    epoch=lambda row, total: print(f"  {row.epoch}/{total} {row.val_accuracy:.3f} {row.seconds:.0f} s", flush=True),
)


def measure(data: Path, runs: Path, network: str, fold: int, epochs: int, slices: Slices) -> tuple[Scores, list[float]]:
    """Scores of a network on a fold, and the seconds of each epoch."""
    place = runs / f"cv-{network}" / f"fold-{fold}"
    if (place / "config.yaml").exists():
        run = Run.open(place)
    else:
        run = Run.create(place, TrainConfig(model=network, split=f"fold:{fold}", epochs=epochs), [data])
    metrics = place / "evaluation" / "metrics.json"
    if metrics.exists():
        scores = Scores.model_validate_json(metrics.read_text(encoding="utf-8"))
    else:
        scores = Experiment(run, slices, LINES).complete()
    return scores, [row.seconds for row in read_log(run.log)]


def shown(estimate: Estimate) -> str:
    """A figure with its interval."""
    if estimate.value is None:
        return "undefined"
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


def main() -> None:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a labelled set with folds")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--folds", type=int, nargs="+", default=[0])
    parser.add_argument("--networks", nargs="+", default=["cnn", "cnn_lstm", "densenet121"])
    parser.add_argument("--epochs", type=int, default=TrainConfig().epochs)
    arguments = parser.parse_args()
    slices = one_per_group(load(read_manifests([arguments.data]), TrainConfig().preprocessing))
    rows = []
    for network in arguments.networks:
        parameters = sum(p.numel() for p in build_network(network, channels=1, classes=4).parameters())
        for fold in arguments.folds:
            print(f"{network}, fold {fold}", flush=True)
            scores, seconds = measure(arguments.data, arguments.runs, network, fold, arguments.epochs, slices)
            figures = (scores.accuracy, scores.macro_f1, scores.macro_auc)
            median = sorted(seconds)[len(seconds) // 2]
            size = f"{parameters / 1e6:.2f} M"
            rows.append([network, size, str(fold), *map(shown, figures), f"{median:.1f}", str(len(seconds))])
    head = ["network", "parameters", "fold", "accuracy", "macro F1", "macro ROC-AUC", "s/epoch (median)", "epochs"]
    print(f"\nPyTorch {torch.__version__}, {torch.get_num_threads()} thread(s)\n")
    for cells in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
