"""The paper's protocol, and the same with duplicates kept together: the table "Diagnosis" of docs/benchmarks.md.

    python benchmarks/paper_protocol.py --data masoud             # all runs, about 25 minutes on two cores
    python benchmarks/paper_protocol.py --data phantoms --epochs 2   # a small size, for CI

Every run is a folder below runs/ and is resumed, or only read, if it is there. Prints the table in Markdown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tumorlens.evaluation.metrics import Estimate, Scores
from tumorlens.experiment import Listener, run_experiment
from tumorlens.training.callbacks import read_log
from tumorlens.training.config import TrainConfig
from tumorlens.training.run import Run

CASES = (("cnn_lstm", "random"), ("cnn_lstm", "grouped"), ("cnn", "random"), ("cnn", "grouped"))


def measure(data: Path, folder: Path, epochs: int, model: str, split: str) -> tuple[Run, Scores]:
    """Trains and tests one case, or finds it done."""
    place = folder / f"{data.name}-{model}-{split}"
    if (place / "config.yaml").exists():
        run = Run.open(place)
    else:
        run = Run.create(place, TrainConfig(model=model, split=split, epochs=epochs), [data])
    metrics = place / "evaluation" / "metrics.json"
    if not metrics.exists():
        return run, run_experiment(run, Listener(say=lambda text: print(f"  {text}", flush=True)))
    return run, Scores.model_validate_json(metrics.read_text(encoding="utf-8"))


def shown(estimate: Estimate) -> str:
    """A figure with its interval."""
    if estimate.value is None:
        return "undefined"
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


def main() -> None:
    """Runs all cases and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of a labelled set")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the runs go")
    parser.add_argument("--epochs", type=int, default=TrainConfig().epochs)
    arguments = parser.parse_args()
    rows = []
    for model, split in CASES:
        print(f"{model}, {split}", flush=True)
        run, scores = measure(arguments.data, arguments.runs, arguments.epochs, model, split)
        seconds = sorted(e.seconds for e in read_log(run.log))
        figures = (scores.accuracy, scores.macro_f1, scores.macro_auc)
        rows.append([model, split, *map(shown, figures), f"{seconds[len(seconds) // 2]:.1f}", str(len(seconds))])
    head = ["network", "split", "accuracy", "macro F1", "macro ROC-AUC", "s/epoch (median)", "epochs"]
    print()
    for cells in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
