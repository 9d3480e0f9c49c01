"""What leakage is worth: the table "Diagnosis" of docs/benchmarks.md.

    python benchmarks/leakage.py --data masoud                        # about an hour on two cores
    python benchmarks/leakage.py --data phantoms --epochs 2           # a small size, for CI

The same network four times: by the paper's protocol (all scans pooled, a random stratified 80:20 split), on the
publisher's split where there is one, cross-validated on folds that share no picture but tear patients apart, and on
folds that share no patient. Every run is a folder below --runs and is resumed, or only read, if it is there. Prints the
table in Markdown. --folds-only leaves the first two out.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from tumorlens.data.manifest import COPIES, read_manifest
from tumorlens.evaluation.metrics import Estimate, Scores
from tumorlens.experiments.crossvalidation import crossvalidate
from tumorlens.experiments.experiment import Experiment
from tumorlens.listener import Listener
from tumorlens.training.callbacks import read_log
from tumorlens.training.config import TrainConfig
from tumorlens.training.run import Run


def paper_protocol(data: Path, folder: Path, config: TrainConfig) -> tuple[Run, Scores]:
    """Trains and tests on a random split, or finds it done."""
    if (folder / "config.yaml").exists():
        run = Run.open(folder)
    else:
        run = Run.create(folder, config.model_copy(update={"split": "random"}), [data])
    metrics = folder / "evaluation" / "metrics.json"
    if not metrics.exists():
        return run, Experiment.load(run, listener()).complete()
    return run, Scores.model_validate_json(metrics.read_text(encoding="utf-8"))


def forget_patients(data: Path, folder: Path) -> Path | None:
    """Writes a table of the same scans that knows copies and no patients; None where that is all it knows anyway."""
    manifest = read_manifest(data)
    if not any(e.group for e in manifest.entries) or not any(e.duplicate_group for e in manifest.entries):
        return None
    entries = tuple(replace(e, path=e.path.resolve(), group=None, fold=None) for e in manifest.entries)
    path = folder / "patients-forgotten.csv"
    folder.mkdir(parents=True, exist_ok=True)
    replace(manifest, entries=entries, unit=COPIES).write(path)
    return path


def listener() -> Listener:
    """Prints what is going on."""
    return Listener(say=lambda text: print(f"  {text}", flush=True))


def shown(estimate: Estimate) -> str:
    """A figure with its interval."""
    if estimate.value is None:
        return "–"
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


def row(name: str, scores: Scores) -> list[str]:
    """A line of the table: its name, scans, accuracy, macro F1 and ROC-AUC, and the recall of each class."""
    figures = (scores.accuracy, scores.macro_f1, scores.macro_auc, *(c.recall for c in scores.classes))
    return [name, str(scores.n), *map(shown, figures)]


def main() -> None:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of a labelled set")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the runs go")
    parser.add_argument("--model", default="cnn_lstm")
    parser.add_argument("--epochs", type=int, default=TrainConfig().epochs)
    parser.add_argument("--threads", type=int, default=0, help="processor threads of each training")
    parser.add_argument("--folds-only", action="store_true", help="leave out what is not cross-validated")
    arguments = parser.parse_args()
    config = TrainConfig(model=arguments.model, epochs=arguments.epochs, threads=arguments.threads)
    runs: Path = arguments.runs

    rows, seconds = [], []
    if not arguments.folds_only:
        print("the paper's protocol", flush=True)
        run, random = paper_protocol(arguments.data, runs / f"paper-{arguments.model}", config)
        rows.append(row("random 80:20, scan by scan (the paper's)", random))
        seconds = sorted(e.seconds for e in read_log(run.log))
    print("folds", flush=True)
    found = crossvalidate(
        [arguments.data],
        config,
        runs / f"cv-{arguments.model}",
        publisher=not arguments.folds_only,
        listener=listener(),
    )
    if found.publisher is not None:
        rows.append(row("the publisher's split", found.publisher))
    if (forgotten := forget_patients(arguments.data, runs)) is not None:
        print("folds that tear patients apart", flush=True)
        torn = crossvalidate(
            [forgotten], config, runs / f"cv-{arguments.model}-torn", publisher=False, listener=listener()
        )
        rows.append(row(f"{len(torn.folds)} folds that tear patients apart, one scan of each picture", torn.pooled))
    rows.append(row(f"{len(found.folds)} folds that keep patients whole, one scan of each picture", found.pooled))
    rows += [row(f"of these, from {source}", scores) for source, scores in found.sources.items()]
    recalls = [f"{c.name} recall" for c in found.pooled.classes]
    head = ["tested on", "scans", "accuracy", "macro F1", "macro ROC-AUC", *recalls]
    print()
    for cells in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(cells) + " |")
    spread = ", ".join(f"{k.replace('_', ' ')} {mean:.3f} ± {sd:.3f}" for k, (mean, sd) in found.spread.items())
    print(f"\nMean and standard deviation over the folds: {spread}.")
    if found.publisher is not None:
        print("Leakage (publisher's split less folds): " + ", ".join(f"{k} {v:+.3f}" for k, v in found.leakage.items()))
    if seconds:
        print(
            f"Training by the paper's protocol: {seconds[len(seconds) // 2]:.1f} s an epoch (median of {len(seconds)})."
        )


if __name__ == "__main__":
    main()
