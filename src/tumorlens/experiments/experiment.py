"""An experiment, start to end: data sets in; split, training, test and report out. `tumorlens train` is this."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import Logger

from tumorlens.card import WeightsCard, find_weights, read_card, write_card
from tumorlens.classifier import Classifier
from tumorlens.data.fingerprints import read_fingerprints, write_fingerprints
from tumorlens.data.loader import Slices, load_slices
from tumorlens.data.manifest import Manifest, find_set, merge, read_manifest
from tumorlens.data.split import Split, in_test_part, shared_groups, split_randomly, split_training
from tumorlens.errors import DataError
from tumorlens.evaluation.heatmaps.report import HeatmapScores, measure_heatmaps
from tumorlens.evaluation.metrics import Scores
from tumorlens.evaluation.testing.evaluate import evaluate
from tumorlens.evaluation.testing.report import ReportContext
from tumorlens.experiments.held_out import HeldFrom, HeldOut, fit_card, hold_out, learn_gate
from tumorlens.experiments.kinds import gather_examples, learn_kinds
from tumorlens.explain.cam import METHODS
from tumorlens.listener import SILENT, Listener
from tumorlens.model.weights import save_weights
from tumorlens.preprocess import Preprocessing
from tumorlens.training.callbacks import read_log
from tumorlens.training.config import TrainConfig
from tumorlens.training.fit import Machines, train
from tumorlens.training.run import Run
from tumorlens.version import __version__

_SYNTHETIC = "Made of phantoms: the figures say nothing about real patients."

HEADLINES = ("accuracy", "macro_f1", "macro_auc")
"""The figures of a card's scores."""


@dataclass
class Experiment:
    """A training run and its scans: trained, calibrated and tested, each unless it was done before.

    Attributes:
        run: The run's folder and settings.
        slices: The scans, by the run's own preprocessing.
        listener: Told what is being done.
    """

    run: Run
    slices: Slices
    listener: Listener = SILENT

    @classmethod
    def load(cls, run: Run, listener: Listener = SILENT) -> Experiment:
        """Reads a run's scans.

        Raises:
            DataError: If the data cannot be used.
        """
        return cls(run, load(read_manifests(run.data), run.config.preprocessing, listener), listener)

    @cached_property
    def split(self) -> Split:
        """Which scans train, validate and test: as the run's folder says, or made and written there."""
        split = self.run.read_split(self.slices)
        if split is None:
            split = make_split(self.slices, self.run.config)
            self.run.write_split(self.slices, split)
        return split

    def complete(self, *, loggers: Sequence[Logger] = (), machines: Machines | None = None) -> Scores:
        """Trains, or goes on with it, calibrates and tests.

        In a distributed run, the process that `leads` calls it, and the others `train`.

        Raises:
            Interrupted: If the user stopped the training; it can go on from the same folder.
            DataError: If the data have no such split, or too few scans for it.
        """
        self.train(loggers=loggers, machines=machines)
        if len(self.split.validation):
            self.calibrate()
        return self.test()

    def train(self, *, loggers: Sequence[Logger] = (), machines: Machines | None = None) -> None:
        """Trains, or goes on with it; weights and card then lie in the run's folder.

        Raises:
            Interrupted: If the user stopped the training; it can go on from the same folder.
        """
        split = self.split
        if self.run.finished:
            return
        counts = {name: len(part) for name, part in split.parts.items()}
        chosen = "choosing the epoch on {validation}, " if len(split.validation) else ""
        self.listener.say(("training on {train}, " + chosen + "keeping {test} for the test").format(**counts))
        card = _card(self.run, self.slices, split)
        # Before there are weights: none without them can then look finished.
        self.write_fingerprints(self.slices.pick(np.concatenate([split.train, split.validation])))
        train(self.run, self.slices, split, card, listener=self.listener, loggers=loggers, machines=machines)

    def write_fingerprints(self, trained: Slices) -> None:
        """Writes beside the weights which pictures they learn from."""
        if trained.fingerprints is not None:
            write_fingerprints(self.run.weights, trained.fingerprints.tolist())

    def calibrate(self, held: HeldOut | None = None) -> None:
        """Fits calibration, gate and the heat map's threshold into the trained weights, unless they have them.

        Weights and card are written anew, the card last; a run cut off in between counts as unfinished, and goes on
        from its last checkpoint.

        `held` is what networks of the same recipe said of scans they were not trained on, none of them among this run's
        test scans; None takes the run's own validation part.
        """
        if self.card.calibration is not None:
            return
        classifier = Classifier.load(self.run.folder)
        gate = learn_gate(classifier, self.slices, self.split.train)
        source: HeldFrom = "out-of-fold"
        if held is None:
            source, count = "validation", len(self.split.validation)
            self.listener.say(f"fitting calibration and the gate for unknown scans on {count} validation scans")
            held = hold_out(classifier, gate, self.slices, self.split.validation)
        training, config = self.slices.images[self.split.train], self.run.config
        examples = gather_examples(training, config.unlike, config.preprocessing, config.seed)
        kinds = learn_kinds(gate, training, (held.checks, held.labels), examples)
        card = fit_card(classifier.card, held, classifier.heat_map.method, source, kinds)
        save_weights(classifier.network, card, self.run.weights, gate.limited(held.distances, held.labels))

    def hold_out(self) -> HeldOut:
        """What the trained network says of its test part."""
        classifier = Classifier.load(self.run.folder)
        gate = learn_gate(classifier, self.slices, self.split.train)
        return hold_out(classifier, gate, self.slices, self.split.test)

    def test(self, folder: Path | None = None, *, device: str = "cpu") -> Scores:
        """Tests the trained network on its test part.

        Into `folder`; without one, into evaluation/ of the run's folder and the card's scores.
        """
        run, slices, classifier = self.run, self.slices, Classifier.load(self.run.folder, device=device)
        card = classifier.card
        context = _context(
            classifier,
            slices,
            title=f"{card.name}: {card.network} on {_names(run.data)}",
            data=card.data,
            split={name: len(part) for name, part in self.split.parts.items()},
            split_seed=run.config.seed,
            cautions=[c for c in card.cautions if c != _SYNTHETIC],  # the report says that by itself
            command=f"tumorlens evaluate {run.folder}",
            training={k: v for k, v in card.training.items() if k != "settings"},
            best_epoch=card.training.get("best_epoch"),
        )
        scores = evaluate(
            classifier,
            slices,
            self.split.test,
            folder or run.folder / "evaluation",
            context,
            history=read_log(run.log),
            listener=self.listener,
        )
        if folder is None:
            self.write_scores(scores)
        return scores

    def explain(self, folder: Path | None = None, *, device: str = "cpu") -> HeatmapScores:
        """Measures the trained network's heat maps on its test part, and writes heatmaps.html beside its report."""
        classifier, split = Classifier.load(self.run.folder, device=device), self.split
        folder = folder or self.run.folder / "evaluation"
        return measure_heatmaps(classifier, self.slices, split.validation, split.test, folder, listener=self.listener)

    @property
    def card(self) -> WeightsCard:
        """The card of the trained weights."""
        return read_card(self.run.weights)

    def write_scores(self, scores: Scores, **more: str) -> None:
        """Writes headline figures, and what else changes, into the card."""
        headline = {name: getattr(scores, name).model_dump() for name in HEADLINES}
        figures = {"n": scores.n, "groups": scores.groups, **headline}
        write_card(self.card.model_copy(update={"scores": figures, **more}), self.run.weights)


def load(manifest: Manifest, preprocessing: Preprocessing, listener: Listener = SILENT) -> Slices:
    """Reads a manifest's scans by a network's rule, and says which could not be read."""
    listener.say(f"reading {len(manifest)} files")
    slices = load_slices(manifest, preprocessing, progress=listener.progress)
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


def evaluate_weights(
    weights: str,
    data: Sequence[Path],
    split: str,
    folder: Path,
    listener: Listener = SILENT,
    *,
    device: str = "cpu",
) -> Scores:
    """Tests any weights on any labelled scans.

    The labels of the data must be among the weights' classes. `split` is "all" scans, the "publisher"'s testing part,
    or "fold:K".

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
    slices = load(manifest, card.preprocessing, listener)
    doubt, remembered = _of_training(slices, weights, card)
    sets = [argument for path in data for argument in ("--data", str(path))]
    context = _context(
        classifier,
        slices,
        title=f"{card.name} on {_names(data)}",
        data=f"{_names(data)}, {split}: {len(slices)} scans",
        cautions=[doubt],
        notes=[doubt] if remembered else [],
        command=shlex.join(["tumorlens", "evaluate", "--weights", weights, *sets, "--split", split]),
    )
    return evaluate(classifier, slices, np.arange(len(slices)), folder, context, listener=listener)


def _of_training(slices: Slices, weights: str, card: WeightsCard) -> tuple[str, bool]:
    """How many scans trained the weights that are tested on them, in words; and whether any is known to have."""
    told = f"The weights' card says: trained on {card.data or 'unnamed data'}; {card.split or 'unknown split'}."
    trained = read_fingerprints(find_weights(weights))
    if trained is None or slices.fingerprints is None:
        return f"Whether these scans stood in the training data is not known here. {told}", False
    count = int(np.isin(slices.fingerprints, trained).sum())
    if not count:
        return (
            "None of these scans trained the weights. Whether copies of them did, or other slices of the same "
            f"patients, is not known here. {told}"
        ), False
    figures = "the figures say how well they are remembered"
    return f"{count} of these {len(slices)} scans trained the weights: {figures}. {told}", True


def cautions(slices: Slices, split: Split, config: TrainConfig) -> list[str]:
    """What speaks against trusting scores on this split, a sentence or two each."""
    doubts = list(config.cautions)
    if slices.manifest.synthetic:
        doubts.append(_SYNTHETIC)
    alone = sum(e.unit is None for e in slices.manifest.entries) / len(slices)
    if alone:
        which = "Nothing in the data says" if alone == 1 else f"For {alone:.0%} of the scans, nothing says"
        doubts.append(
            f"{which} which scans belong to one patient, and this split was not checked for duplicates: the figures "
            "may measure memory as much as diagnosis."
        )
    if (shared := shared_groups(slices.groups, split)) > 0:
        doubts.append(
            f"{shared:.0%} of the test scans share their {slices.manifest.unit} with a scan the network was trained "
            "on: the figures measure memory as much as diagnosis. Compare with --split grouped."
        )
    return doubts


def _context(classifier: Classifier, slices: Slices, **more: Any) -> ReportContext:
    """What any report of these weights says of them, and more."""
    card = classifier.card
    return ReportContext(
        synthetic=slices.manifest.synthetic,
        model=card.network,
        date=dt.date.today().isoformat(),
        version=__version__,
        weights=card.name,
        weights_sha256=card.sha256,
        grouped_by=slices.manifest.unit,
        heat_map=f"{METHODS[classifier.heat_map.method].meaning}, for the predicted class, divided by its peak.",
        **more,
    )


def _card(run: Run, slices: Slices, split: Split) -> WeightsCard:
    config = run.config
    counts = ", ".join(f"{count} {key}" for key, count in slices.manifest.counts.items())
    parts = ", ".join(f"{len(part)} {name}" for name, part in split.parts.items())
    return WeightsCard(
        name=config.name or run.folder.resolve().name,
        network=config.model,
        options=config.options,
        preprocessing=config.preprocessing,
        half=config.half,
        mirrored=config.mirrored,
        modality=config.modality,
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
