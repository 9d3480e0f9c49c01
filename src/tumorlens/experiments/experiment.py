"""An experiment, start to end: data sets in; split, training, test and report out. `tumorlens train` is this."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from lightning.pytorch.loggers import Logger

from tumorlens.card import WeightsCard, read_card, write_card
from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices, load_slices
from tumorlens.data.manifest import Manifest, find_set, merge, read_manifest
from tumorlens.data.split import Split, in_test_part, shared_groups, split_randomly, split_training
from tumorlens.errors import DataError
from tumorlens.evaluation.heatmaps.report import HeatmapScores, measure_heatmaps
from tumorlens.evaluation.metrics import Scores
from tumorlens.evaluation.testing.evaluate import evaluate
from tumorlens.evaluation.testing.report import ReportContext
from tumorlens.experiments.held_out import HeldOut, fit_card, hold_out, learn_gate
from tumorlens.experiments.listener import Listener
from tumorlens.explain.cam import METHODS
from tumorlens.model.weights import save_weights
from tumorlens.training.callbacks import read_log
from tumorlens.training.config import TrainConfig
from tumorlens.training.fit import Machines, train
from tumorlens.training.run import Run
from tumorlens.version import __version__

_SYNTHETIC = "Made of phantoms: the figures say nothing about real patients."


def run_experiment(
    run: Run,
    listener: Listener | None = None,
    *,
    loggers: Sequence[Logger] = (),
    machines: Machines | None = None,
) -> Scores:
    """Trains a run, or goes on with it, and tests it. What is done already is not done again.

    In a distributed run, the process that `leads` calls it, and the others `follow_experiment`.

    Raises:
        Interrupted: If the user stopped the training; it can go on from the same folder.
        DataError: If the data cannot be used.
    """
    listener = listener or Listener()
    slices = load(read_manifests(run.data), run.config, listener)
    split = train_slices(run, slices, listener, loggers=loggers, machines=machines)
    return finish_slices(run, slices, split, listener)


def follow_experiment(folder: Path, machines: Machines) -> None:
    """Helps to train a run that another process leads: it writes nothing, and ends when the training does."""
    run = Run.follow(folder)
    train_slices(run, load(read_manifests(run.data), run.config, Listener()), Listener(), machines=machines)


def run_slices(run: Run, slices: Slices, listener: Listener) -> Scores:
    """The same as `run_experiment`, with scans that are loaded already."""
    return finish_slices(run, slices, train_slices(run, slices, listener), listener)


def finish_slices(run: Run, slices: Slices, split: Split, listener: Listener) -> Scores:
    """Calibrates and tests a run that is trained."""
    if read_card(run.weights).calibration is None and len(split.validation):
        calibrate(run, slices, split, listener)
    return test(run, slices, split, listener)


def train_slices(
    run: Run,
    slices: Slices,
    listener: Listener,
    *,
    loggers: Sequence[Logger] = (),
    machines: Machines | None = None,
) -> Split:
    """Trains a run, or goes on with it, without calibrating or testing it; what is done already is not done again."""
    config = run.config
    split = run.read_split(slices)
    if split is None:
        split = make_split(slices, config)
        run.write_split(slices, split)
    if not run.finished:
        counts = {name: len(part) for name, part in split.parts.items()}
        chosen = "choosing the epoch on {validation}, " if len(split.validation) else ""
        listener.say(("training on {train}, " + chosen + "keeping {test} for the test").format(**counts))
        train(
            run,
            slices,
            split,
            _card(run, slices, split),
            tell=lambda row: listener.epoch(row, config.epochs),
            loggers=loggers,
            machines=machines,
        )
    return split


def explain_run(run: Run, listener: Listener) -> HeatmapScores:
    """Measures a trained run's heat maps on its test part, and writes heatmaps.html beside its report."""
    slices = load(read_manifests(run.data), run.config, listener)
    split = run.read_split(slices)
    if split is None:
        raise DataError(f"{run.folder}: has no split; train it first")
    folder = run.folder / "evaluation"
    classifier = Classifier.load(run.folder)
    return measure_heatmaps(classifier, slices, split.validation, split.test, folder, tell=listener.say)


def load(manifest: Manifest, config: TrainConfig, listener: Listener) -> Slices:
    """Reads a manifest's scans by a run's rule, and says which could not be read."""
    slices = load_slices(manifest, config.preprocessing, progress=listener.progress)
    for failure in slices.failures:
        listener.say(f"left out: {failure.error}")
    return slices


def read_manifests(paths: Sequence[Path]) -> Manifest:
    """Reads several data sets as one."""
    return merge([read_manifest(path) for path in paths])


def make_split(slices: Slices, config: TrainConfig) -> Split:
    """Divides scans as the settings say; see `TrainConfig.split`.

    Raises:
        DataError: If the data have no such split, or too few scans for it.
    """
    entries = slices.manifest.entries
    shares = {"validation": config.validation, "seed": config.seed}
    if config.split == "all":
        everything, nothing = np.arange(len(slices)), np.array([], np.intp)
        return Split(everything, nothing, nothing)
    if config.split == "random":
        return split_randomly(slices.labels, [e.name for e in entries], test=config.test, **shares)  # type: ignore[arg-type]
    if config.split == "grouped":
        return split_randomly(slices.labels, slices.groups, test=config.test, **shares)  # type: ignore[arg-type]
    held = np.array([in_test_part(e, config.split) for e in entries])
    if not held.any():
        raise DataError(f"no scan belongs to the test part of the split {config.split!r}; try --split grouped")
    return split_training(slices.labels, slices.groups, np.flatnonzero(~held), np.flatnonzero(held), **shares)  # type: ignore[arg-type]


def calibrate(run: Run, slices: Slices, split: Split, listener: Listener) -> None:
    """Fits calibration, gate and the heat map's threshold on a trained run's validation part, into its weights.

    Weights and card are written anew, the card last; a run cut off in between counts as unfinished, and goes on from
    its last checkpoint.
    """
    listener.say(f"fitting calibration and the gate for unknown scans on {len(split.validation)} validation scans")
    classifier = Classifier.load(run.folder)
    gate = learn_gate(classifier, slices, split.train)
    held = hold_out(classifier, gate, slices, split.validation)
    card = fit_card(classifier.card, held, classifier.heat_map.method, "validation")
    save_weights(classifier.network, card, run.weights, gate.limited(held.distances))


def calibrate_out_of_fold(run: Run, slices: Slices, split: Split, held: HeldOut) -> None:
    """The same, on scans that networks of the same recipe held out, none of them among the run's own test scans."""
    classifier = Classifier.load(run.folder)
    gate = learn_gate(classifier, slices, split.train)
    card = fit_card(classifier.card, held, classifier.heat_map.method, "out-of-fold")
    save_weights(classifier.network, card, run.weights, gate.limited(held.distances))


def test(run: Run, slices: Slices, split: Split, listener: Listener) -> Scores:
    """Tests a trained run on its test part, writes evaluation/ in its folder, and the scores into its card."""
    classifier = Classifier.load(run.folder)
    card = classifier.card
    context = ReportContext(
        title=f"{card.name}: {card.network} on {_names(run.data)}",
        data=card.data,
        synthetic=slices.manifest.synthetic,
        model=card.network,
        date=dt.date.today().isoformat(),
        version=__version__,
        weights=card.name,
        weights_sha256=card.sha256,
        split={name: len(part) for name, part in split.parts.items()},
        grouped_by=slices.manifest.unit,
        split_seed=run.config.seed,
        cautions=[c for c in card.cautions if c != _SYNTHETIC],  # the report says that by itself
        command=f"tumorlens evaluate {run.folder}",
        training={k: v for k, v in card.training.items() if k != "settings"},
        best_epoch=card.training.get("best_epoch"),
        heat_map=f"{METHODS[classifier.heat_map.method].meaning}, for the predicted class, divided by its peak.",
    )
    scores = evaluate(
        classifier,
        slices,
        split.test,
        run.folder / "evaluation",
        context,
        history=read_log(run.log),
        tell=listener.say,
    )
    headline = {name: getattr(scores, name).model_dump() for name in ("accuracy", "macro_f1", "macro_auc")}
    write_card(card.model_copy(update={"scores": {"n": scores.n, "groups": scores.groups, **headline}}), run.weights)
    return scores


def evaluate_weights(
    weights: str, data: Sequence[Path], split: str, folder: Path, listener: Listener, *, device: str = "cpu"
) -> Scores:
    """Tests any weights on any labelled scans.

    Args:
        weights: As `Classifier.load` takes them.
        data: The data sets; their labels must be among the weights' classes.
        split: "all" scans, the "publisher"'s testing part, or "fold:K".
        folder: Where the report goes.
        listener: What to tell.
        device: Where to compute.

    Raises:
        DataError: If no scan belongs to the part, or a label is none of the weights' classes.
    """
    data = [find_set(path) for path in data]
    classifier = Classifier.load(weights, device=device)
    card = classifier.card
    manifest = merge([read_manifest(path, card.classes) for path in data])
    if split != "all":
        chosen = [e for e in manifest.entries if in_test_part(e, split)]
        if not chosen:
            raise DataError(f"no scan belongs to --split {split}; try --split all")
        manifest = replace(manifest, entries=tuple(chosen))
    slices = load_slices(manifest, card.preprocessing, progress=listener.progress)
    for failure in slices.failures:
        listener.say(f"left out: {failure.error}")
    found = [
        "Whether these scans stood in the training data is not known here. The weights' card says: "
        f"trained on {card.data or 'unnamed data'}; {card.split or 'unknown split'}."
    ]
    sets = [argument for path in data for argument in ("--data", str(path))]
    context = ReportContext(
        title=f"{card.name} on {_names(data)}",
        data=f"{_names(data)}, {split}: {len(slices)} scans",
        synthetic=manifest.synthetic,
        model=card.network,
        date=dt.date.today().isoformat(),
        version=__version__,
        weights=card.name,
        weights_sha256=card.sha256,
        grouped_by=slices.manifest.unit,
        cautions=found,
        command=shlex.join(["tumorlens", "evaluate", "--weights", weights, *sets, "--split", split]),
        heat_map=f"{METHODS[classifier.heat_map.method].meaning}, for the predicted class, divided by its peak.",
    )
    return evaluate(classifier, slices, np.arange(len(slices)), folder, context, tell=listener.say)


def cautions(slices: Slices, split: Split, config: TrainConfig) -> list[str]:
    """What speaks against trusting scores on this split, a sentence or two each."""
    found = list(config.cautions)
    if slices.manifest.synthetic:
        found.append(_SYNTHETIC)
    alone = sum(e.unit is None for e in slices.manifest.entries) / len(slices)
    if alone:
        which = "Nothing in the data says" if alone == 1 else f"For {alone:.0%} of the scans, nothing says"
        found.append(
            f"{which} which scans belong to one patient, and this split was not checked for duplicates: the figures "
            "may measure memory as much as diagnosis."
        )
    if (shared := shared_groups(slices.groups, split)) > 0:
        found.append(
            f"{shared:.0%} of the test scans share their {slices.manifest.unit} with a scan the network was trained "
            "on: the figures measure memory as much as diagnosis. Compare with --split grouped."
        )
    return found


def _card(run: Run, slices: Slices, split: Split) -> WeightsCard:
    config = run.config
    counts = ", ".join(f"{count} {key}" for key, count in slices.manifest.counts.items())
    parts = ", ".join(f"{len(part)} {name}" for name, part in split.parts.items())
    return WeightsCard(
        name=config.name or run.folder.resolve().name,
        network=config.model,
        options=config.options,
        preprocessing=config.preprocessing,
        mirrored=config.mirrored,
        classes=slices.manifest.classes,
        data=f"{_names(run.data)}: {len(slices)} scans ({counts}){_drawn(slices)}",
        split=f"{config.split}, by {slices.manifest.unit}, seed {config.seed}: {parts}",
        cautions=tuple(cautions(slices, split, config)),
    )


def _drawn(slices: Slices) -> str:
    """How many of the scans are phantoms, in words, or nothing."""
    drawn = sum(e.source == "synthetic" for e in slices.manifest.entries)
    return f", {drawn} of them synthetic" if drawn else ""


def _names(paths: Sequence[Path]) -> str:
    folders = (p.resolve() if p.is_dir() else p.resolve().parent for p in paths)
    return " and ".join(p.name for p in folders)
