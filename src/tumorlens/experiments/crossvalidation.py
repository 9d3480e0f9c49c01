"""The score that counts: folds that share no patient, series or duplicate, one scan per duplicate group.

Beside it the publisher's split, where there is one. The difference is named for what it is: leakage. And, where asked
for, weights trained on all folds: what they could not be tested on any more, the folds' networks tell of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from tumorlens.data.loader import Slices
from tumorlens.data.manifest import Entry
from tumorlens.data.split import make_folds
from tumorlens.errors import ConfigError, DataError
from tumorlens.evaluation.metrics import Estimate, Scores, score
from tumorlens.evaluation.predictions import Predictions
from tumorlens.experiments.experiment import HEADLINES, Experiment, load, read_manifests
from tumorlens.experiments.held_out import HeldOut
from tumorlens.files import write_atomically
from tumorlens.listener import SILENT, Listener
from tumorlens.training.config import TrainConfig
from tumorlens.training.run import Run

Trainer = Callable[[Sequence[Experiment], Listener], None]
"""Trains several experiments, so that nothing but calibrating and testing is left to do."""


class CrossValidation(BaseModel, frozen=True):
    """What a cross-validation found, as in crossvalidation.json.

    Attributes:
        pooled: Scores of all folds' test parts together; its intervals are those to report.
        spread: Mean and standard deviation over the folds of each headline figure.
        sources: Scores by source, where the data name sources and the scores can be had.
        publisher: Scores on the publisher's split, where there is one and it was asked for.
        leakage: The publisher's figures less the pooled ones.
    """

    folds: dict[int, Scores]
    pooled: Scores
    spread: dict[str, tuple[float, float]]
    sources: dict[str, Scores]
    publisher: Scores | None = None
    leakage: dict[str, float] = {}


def crossvalidate(
    data: Sequence[Path],
    config: TrainConfig,
    folder: Path,
    *,
    folds: int = 5,
    publisher: bool = True,
    final: bool = False,
    listener: Listener = SILENT,
    trainer: Trainer | None = None,
) -> CrossValidation:
    """Trains and tests fold by fold. A fold that is done is not done again, and one that was cut off goes on.

    With `validation: 0` in the settings, all of the other folds train, and each fold's calibration is fitted on what
    the other folds' networks said of the scans that they were not trained on.

    The folds of the data's manifests are taken; without any, `folds` stratified ones are made that keep groups whole.
    Each fold's run, crossvalidation.json and predictions.csv go into the folder; the settings' own split is not used.
    `publisher` also trains on the publisher's split, where the data have one, and `final` on all folds, into final/,
    calibrated by all out-of-fold predictions. `trainer` trains all the runs beforehand, such as `train_on_ray`.

    Raises:
        ConfigError: If the folder holds a cross-validation with other settings.
        DataError: If a fold tears a group apart or is empty.
    """
    if final and config.validation:
        raise ConfigError("weights trained on all folds have no validation part; set validation=0")
    slices = with_folds(load(read_manifests(data), config.preprocessing, listener), folds, config.seed)
    single = one_per_group(slices)

    def begin(name: str, split: str, slices: Slices, weights: str = "") -> Experiment:
        settings = config.model_copy(update={"split": split, "name": weights or name})
        return Experiment(_open(folder / name, settings, data), slices, listener)

    numbers = sorted({e.fold for e in single.manifest.entries if e.fold is not None})
    tests = {n: begin(f"fold-{n}", f"fold:{n}", single) for n in numbers}
    published = last = None
    if publisher and any(e.split == "testing" for e in slices.manifest.entries):
        published = begin("publisher", "publisher", slices)
    if final:
        last = begin("final", "all", single, config.name or config.model)
    if trainer is not None:
        trainer([e for e in (*tests.values(), published, last) if e is not None], listener)
    held = {} if config.validation else _hold_out(tests, listener)
    scored: dict[int, Scores] = {}
    tested: list[Predictions] = []
    for number, experiment in tests.items():
        listener.say(f"fold {number} of {len(numbers)}")
        scored[number], predictions = _complete(experiment)
        tested.append(predictions)
    pooled = _pool(tested)
    pooled.write_csv(folder / "predictions.csv")
    total = score(pooled)
    publishers: Scores | None = None
    if published is not None:
        listener.say("the publisher's split")
        publishers, _ = _complete(published)
    result = CrossValidation(
        folds=scored,
        pooled=total,
        spread={f: _spread([getattr(s, f) for s in scored.values()]) for f in HEADLINES},
        sources=_by_source(pooled),
        publisher=publishers,
        leakage={} if publishers is None else {f: _difference(publishers, total, f) for f in HEADLINES},
    )
    write_atomically(folder / "crossvalidation.json", result.model_dump_json(indent=1).encode() + b"\n")
    if last is not None:
        listener.say("training on all folds")
        last.train()
        last.write_fingerprints(slices)  # the copies too, of which one trained
        last.calibrate(HeldOut.pool(list(held.values())))
        words = (
            f"all {len(single)} scans, one of each duplicate group; the scores are out-of-fold: those of "
            f"{len(held)} networks of the same recipe, each trained on the other folds and tested on its own"
        )
        last.write_scores(total, split=words)
        listener.say(f"weights trained on all folds: {last.run.folder}")
    return result


def _hold_out(folds: dict[int, Experiment], listener: Listener) -> dict[int, HeldOut]:
    """Trains every fold, then calibrates each on what the others' networks say of the scans they were not trained on.

    Returns:
        What each fold's network says of its own test part.
    """
    held: dict[int, HeldOut] = {}
    for number, experiment in folds.items():
        listener.say(f"training fold {number} of {len(folds)}")
        experiment.train()
        held[number] = experiment.hold_out()
    for number, experiment in folds.items():
        if experiment.card.calibration is None:
            others = HeldOut.pool([h for other, h in held.items() if other != number])
            listener.say(f"fitting calibration and gate of fold {number} on {len(others.labels)} scans of the others")
            experiment.calibrate(others)
    return held


def with_folds(slices: Slices, folds: int, seed: int) -> Slices:
    """The slices with a fold each: the manifest's own, or stratified ones that keep groups whole.

    Raises:
        DataError: If only some scans have a fold, or the manifest's folds tear a group apart.
    """
    entries = slices.manifest.entries
    given = [e.fold is not None for e in entries]
    if all(given):
        _check_folds(entries)
        return slices
    if any(given):
        raise DataError(f"{given.count(False)} of {len(entries)} scans have no fold; give every scan one, or none")
    try:
        numbers = make_folds(slices.labels, slices.groups, folds, seed)
    except ValueError as error:
        raise DataError(f"cannot make {folds} folds: {error}; use fewer with --folds") from error
    folded = tuple(replace(e, fold=int(f)) for e, f in zip(entries, numbers, strict=True))
    return replace(slices, manifest=replace(slices.manifest, entries=folded))


def _check_folds(entries: Sequence[Entry]) -> None:
    first: dict[str, Entry] = {}
    for entry in entries:
        if entry.unit is None:
            continue
        other = first.setdefault(entry.unit, entry)
        if other.fold != entry.fold:
            raise DataError(
                f"the folds tear a group apart: {other.name} is in fold {other.fold}, {entry.name} in fold "
                f"{entry.fold}, and they belong together; give one group one fold"
            )


def one_per_group(slices: Slices) -> Slices:
    """The first scan of each duplicate group; all scans where nothing is known of copies."""
    _, first = np.unique([e.duplicate_group or f"only {e.name}" for e in slices.manifest.entries], return_index=True)
    return slices.pick(np.sort(first))


def _open(folder: Path, config: TrainConfig, data: Sequence[Path]) -> Run:
    if not (folder / "config.yaml").exists():
        return Run.create(folder, config, data)
    run = Run.open(folder)
    if run.config != config:
        raise ConfigError(f"{folder}: was begun with other settings; choose another --output, or delete it")
    return run


def _complete(experiment: Experiment) -> tuple[Scores, Predictions]:
    """An experiment's scores and predictions; it is run unless they are there."""
    folder, manifest = experiment.run.folder / "evaluation", experiment.slices.manifest
    if not (folder / "metrics.json").exists():
        experiment.complete()
    scores = Scores.model_validate_json((folder / "metrics.json").read_text(encoding="utf-8"))
    predictions = Predictions.read_csv(folder / "predictions.csv", manifest.classes)
    source = {e.name: e.source or "" for e in manifest.entries}
    return scores, replace(predictions, extra={"source": [source[name] for name in predictions.names]})


def _pool(parts: Sequence[Predictions]) -> Predictions:
    return Predictions(
        classes=parts[0].classes,
        truth=np.concatenate([p.truth for p in parts]),
        probabilities=np.concatenate([p.probabilities for p in parts]),
        names=[name for p in parts for name in p.names],
        groups=np.concatenate([p.groups for p in parts]),
        extra={"source": [s for p in parts for s in p.extra["source"]]},
    )


def _by_source(pooled: Predictions) -> dict[str, Scores]:
    sources = np.array(pooled.extra["source"])
    scores = {}
    for source in sorted(set(sources.tolist()) - {""}):
        rows = np.flatnonzero(sources == source)
        if len(np.unique(pooled.truth[rows])) > 1:
            scores[source] = score(pooled.pick(rows))
    return scores


def _spread(estimates: Sequence[Estimate]) -> tuple[float, float]:
    values = np.array([e.value for e in estimates if e.value is not None])
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0


def _difference(published: Scores, pooled: Scores, figure: str) -> float:
    one, other = getattr(published, figure).value, getattr(pooled, figure).value
    return float("nan") if one is None or other is None else one - other
