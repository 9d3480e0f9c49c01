"""A cross-validation against its targets, fold by fold: the table "The model that ships" of docs/benchmarks.md.

    tumorlens crossvalidate --data masoud --model cnn_lstm_attention --output runs/cv-cnn_lstm_attention --final
    python benchmarks/folds.py runs/cv-cnn_lstm_attention --clean masoud.csv

Each fold's network is tested on its own test part, one scan of each duplicate group. Temperature and the heat map's
threshold are in its card, fitted on the other folds. Prints the table in Markdown: each fold, the mean over the folds,
and the mean over those that `--chosen-on` does not name; and another of how often the networks are right, by how sure
they are. `--clean` takes a manifest of `tumorlens data audit --write-manifest`, and adds accuracy without test scans of
which a copy stands in another fold. `--mirror` adds what the mean over each scan and its mirror image would give, for
twice the time. `--studies progression --label glioma` adds a table of what each fold's network says of whole studies of
another hospital.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tumorlens.classes import ClassSet
from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices, load_slices
from tumorlens.data.manifest import find_set, read_manifest
from tumorlens.evaluation.heatmaps.counterfactual import ask, summarize_asked
from tumorlens.evaluation.heatmaps.localization import judge_maps, summarize
from tumorlens.evaluation.metrics import Estimate, Scores, score
from tumorlens.evaluation.predictions import Predictions
from tumorlens.evaluation.studies.measure import measure_studies
from tumorlens.evaluation.studies.volumes import find_volumes
from tumorlens.evaluation.testing.evaluate import predict_slices
from tumorlens.experiments.crossvalidation import one_per_group
from tumorlens.experiments.experiment import read_manifests
from tumorlens.training.callbacks import read_log
from tumorlens.training.run import Run

COLUMNS = (
    "accuracy",
    "macro AUC",
    "glioma recall",
    "meningioma recall",
    "pointing",
    "Dice",
    "tumour gone: called nothing",
    "patched: unchanged",
    "ECE",
)
TARGETS = {
    64: (0.93, 0.993, 0.94, 0.86, 0.88, 0.65, 0.75, 0.93, 0.02),
    128: (0.96, 0.996, 0.96, 0.91, 0.95, 0.72, 0.85, 0.95, 0.02),
}
STUDY_COLUMNS = (
    "AUC, with neighbours",
    "false alarms",
    "missed",
    "AUC, alone",
    "false alarms",
    "missed",
    "pointing",
    "named rightly",
    "uncertain",
    "named wrongly",
)
STUDY_TARGETS = {
    64: ("0.88", "0.2", "0.2", "0.88", "0.2", "0.2", "0.75", "≥ 11 with uncertain", "", "≤ 1"),
    128: ("0.93", "0.1", "0.15", "0.93", "0.1", "0.15", "0.85", "12 with uncertain", "", "0"),
}


def measure(folder: Path, slices: Slices) -> tuple[list[float], list[str], Scores]:
    """The figures of one fold, the same with intervals, and its scores."""
    run, classifier = Run.open(folder), Classifier.load(folder)
    split = run.read_split(slices)
    assert split is not None
    scores = score(predict_slices(classifier, slices, split.test))
    method = classifier.heat_map.method
    empty = np.array([], np.intp)
    maps = summarize(judge_maps(classifier, slices, empty, split.test, methods=[method])).methods[0].overall
    recall = {c.key: c.recall for c in scores.classes}
    estimates = [scores.accuracy, scores.macro_auc, recall["glioma"], recall["meningioma"], maps.pointing, maps.dice]
    if (asked := ask(classifier, slices, split.test)) is not None:
        counterfactual = summarize_asked([asked]).overall
        estimates += [counterfactual.gone, counterfactual.unchanged]
    else:
        estimates += [Estimate(value=None, low=None, high=None)] * 2
    values = [e.value or 0.0 for e in estimates] + [scores.ece]
    return values, [*map(shown, estimates), f"{scores.ece:.3f}"], scores


def reliability(scored: Sequence[Scores]) -> list[list[str]]:
    """How often the folds' networks were right on scans they never saw, by how sure they were; rows of a table."""
    rows = []
    for bins in zip(*(scores.reliability for scores in scored), strict=True):
        full = [b for b in bins if b.count]
        if full:
            counts = [b.count for b in full]
            sure, right = (
                np.average([getattr(b, name) for b in full], weights=counts) for name in ("confidence", "accuracy")
            )
            rows.append([f"{bins[0].low:.2f}–{bins[0].high:.2f}", str(sum(counts)), f"{sure:.3f}", f"{right:.3f}"])
    return rows


def shown(estimate: Estimate) -> str:
    """A figure with its interval."""
    if estimate.value is None:
        return ""
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


def leaking(slices: Slices, manifest: Path) -> set[str]:
    """Names of scans of which the audit found a copy in another fold."""
    audited = read_manifest(manifest)
    group = {e.path.name: e.unit or e.name for e in audited.entries}
    folds: dict[str, set[int | None]] = {}
    for e in slices.manifest.entries:
        folds.setdefault(group[e.path.name], set()).add(e.fold)
    return {e.name for e in slices.manifest.entries if len(folds[group[e.path.name]]) > 1}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a Markdown table."""
    for cells in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(cells) + " |")


def main() -> None:
    """Measures every fold and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="folder of a cross-validation")
    parser.add_argument("--chosen-on", type=int, nargs="*", default=[0], help="folds that settings were chosen on")
    parser.add_argument("--mirror", action="store_true", help="also show test-time mirroring")
    parser.add_argument("--clean", type=Path, help="manifest that the audit wrote")
    parser.add_argument("--studies", type=Path, help="folder of whole studies with tumour masks")
    parser.add_argument("--label", help="class of those studies, where no table names it")
    arguments = parser.parse_args()
    places = sorted(p for p in arguments.runs.glob("fold-*") if Run.open(p).finished)
    if not places:
        raise SystemExit(f"{arguments.runs}: holds no finished fold")
    first = Classifier.load(places[0])
    every = load_slices(read_manifests(Run.open(places[0]).data), first.preprocessing)
    slices = one_per_group(every)
    values, rows, seconds, counts, scored = [], [], [], [], []
    for place in places:
        figures, cells, scores = measure(place, slices)
        scored.append(scores)
        log = read_log(Run.open(place).log)
        seconds += [row.seconds for row in log]
        counts.append(len(log))
        values.append(figures)
        rows.append([place.name.removeprefix("fold-"), str(scores.n), *cells])
    numbers = [int(p.name.removeprefix("fold-")) for p in places]
    blind = [i for i, number in enumerate(numbers) if number not in arguments.chosen_on]
    for name, chosen in (("mean", range(len(places))), (f"mean of {', '.join(str(numbers[i]) for i in blind)}", blind)):
        if len(chosen):
            rows.append([name, "", *(f"**{v:.3f}**" for v in np.mean([values[i] for i in chosen], 0))])
    size = first.preprocessing.size
    if size in TARGETS:
        rows.append(["target", "", *(f"{v:g}" for v in TARGETS[size])])
    parameters = sum(p.numel() for p in first.network.parameters())
    print(f"\n{first.card.network}, {size} x {size}, {parameters:,} parameters, {max(counts)} epochs")
    print(f"median {np.median(seconds):.1f} s an epoch, {sum(seconds) / len(places) / 60:.1f} min a fold\n")
    table(["fold", "scans", *COLUMNS], rows)
    print()
    table(["confidence", "scans", "mean confidence", "right"], reliability(scored))
    show_missed(arguments.runs, first.card.classes)
    if arguments.studies:
        show_studies(places, arguments.studies, arguments.label)
    if arguments.mirror:
        show_mirrored(places, slices)
    if arguments.clean:
        show_clean(places, slices, leaking(every, arguments.clean))


def show_missed(runs: Path, classes: ClassSet) -> None:
    """Prints how many tumours all folds' networks took for nothing, and how many of the others they named rightly."""
    path = runs / "predictions.csv"  # which crossvalidate writes when all folds are done
    nothing = np.array([c.nothing for c in classes])
    if not (nothing.any() and path.exists()):
        return
    found = Predictions.read_csv(path, classes)
    tumours, called = ~nothing[found.truth], ~nothing[found.predicted]
    if not (tumours & called).any():
        return
    by_class = ", ".join(
        f"{c.key} {(~called[found.truth == i]).mean():.1%}"
        for i, c in enumerate(classes)
        if not c.nothing and (found.truth == i).any()
    )
    right = (found.truth == found.predicted)[tumours & called].mean()
    print(f"\nCalled nothing: {(~called[tumours]).mean():.1%} of {tumours.sum():,} slices with a tumour ({by_class}).")
    print(f"Of those called a tumour, {right:.1%} are named rightly.")


def show_studies(places: Sequence[Path], folder: Path, label: str | None) -> None:
    """Prints what each fold's network says of whole studies, and the means."""
    volumes, rows, values = find_volumes(find_set(folder)), [], []
    for place in places:
        classifier = Classifier.load(place)
        scores = measure_studies(classifier, volumes, label=label)
        uncertain = sum(row.uncertain for row in scores.studies)
        rightly = sum(row.label == row.truth and not row.uncertain for row in scores.studies)
        counts = [rightly, uncertain, len(scores.studies) - rightly - uncertain]
        alone, context = scores.alone, scores.in_context
        figures = [context.auc, context.false_alarms, context.missed, alone.auc, alone.false_alarms, alone.missed]
        figures.append(scores.pointing)
        rows.append([place.name.removeprefix("fold-"), *map(shown, figures), *map(str, counts)])
        values.append([*(f.value or 0.0 for f in figures), *counts])
    rows.append(["mean", *(f"**{v:.3f}**" for v in np.mean(values, 0))])
    if classifier.preprocessing.size in STUDY_TARGETS:
        rows.append(["target", *STUDY_TARGETS[classifier.preprocessing.size]])
    print(f"\n{len(volumes)} whole studies in {folder.name}\n")
    table(["fold", *STUDY_COLUMNS], rows)


def show_mirrored(places: Sequence[Path], slices: Slices) -> None:
    """Prints accuracy, AUC and meningioma recall of the mean over scan and mirror image; means over the folds."""
    rows: dict[str, list[tuple[float, ...]]] = {"as it is": [], "mean with the mirror image": []}
    for place in places:
        split, classifier = Run.open(place).read_split(slices), Classifier.load(place)
        assert split is not None
        plain = predict_slices(classifier, slices, split.test)
        mirrored = classifier.probabilities(np.ascontiguousarray(slices.images[split.test][..., ::-1]))
        mean = np.sqrt(plain.probabilities * mirrored)  # of the logits
        both = replace(plain, probabilities=mean / mean.sum(1, keepdims=True))
        for name, predictions in zip(rows, (plain, both), strict=True):
            scores = score(predictions)
            recall = next(c.recall.value for c in scores.classes if c.key == "meningioma")
            rows[name].append((scores.accuracy.value or 0, scores.macro_auc.value or 0, recall or 0))
    print("\nTest-time mirroring, means over the folds\n")
    cells = [[name, *(f"{v:.4f}" for v in np.mean(values, 0))] for name, values in rows.items()]
    table(["probabilities", "accuracy", "macro AUC", "meningioma recall"], cells)


def show_clean(places: Sequence[Path], slices: Slices, copies: set[str]) -> None:
    """Prints accuracy and recall without test scans of which a copy stands in another fold."""
    right, labels, clean = [], [], []
    for place in places:
        split = Run.open(place).read_split(slices)
        assert split is not None
        predictions = predict_slices(Classifier.load(place), slices, split.test)
        right.append(predictions.predicted == predictions.truth)
        labels.append(predictions.truth)
        clean.append(np.array([name not in copies for name in predictions.names]))
    hits, truth, kept = map(np.concatenate, (right, labels, clean))
    keys = slices.manifest.classes.keys
    print("\nAll folds together, with and without scans of which the audit found a copy in another fold\n")
    rows = []
    for name, chosen in (("all", np.ones(len(hits), bool)), ("without copies", kept)):
        recalls = [f"{hits[chosen & (truth == i)].mean():.3f}" for i in range(len(keys))]
        rows.append([name, str(chosen.sum()), f"{hits[chosen].mean():.3f}", *recalls])
    table(["scans", "n", "accuracy", *(f"recall: {key}" for key in keys)], rows)


if __name__ == "__main__":
    main()
