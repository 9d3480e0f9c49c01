"""Validation at a site: a locked network on a hospital's own labelled scans. `tumorlens validate` is this.

Nothing is fitted on the site's scans. Files found -> labelled -> readable -> each picture once -> analysed; figures
with intervals, subgroups, failures, and whether the site keeps what the weights card promises.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tumorlens.card import WeightsCard, find_weights
from tumorlens.classes import ClassSet
from tumorlens.classifier import Classifier
from tumorlens.data.fingerprints import Fingerprints, read_fingerprints
from tumorlens.data.loader import Slices, load_slices
from tumorlens.data.manifest import Manifest, merge, read_manifest
from tumorlens.errors import DataError
from tumorlens.evaluation.metrics import Estimate, Scores, score
from tumorlens.evaluation.pages.gallery import WRONG, GalleryCase
from tumorlens.evaluation.predictions import Predictions
from tumorlens.evaluation.site.figures import (
    FACT_NAMES,
    AgainstCard,
    calibration_lines,
    compare,
    compare_one,
    set_figures,
    steady_scores,
    subgroups,
)
from tumorlens.evaluation.site.report import write_validation
from tumorlens.evaluation.site.validation import Step, Unreadable, Validation
from tumorlens.evaluation.testing.evaluate import make_case, predict_slices
from tumorlens.files import write_table
from tumorlens.formats import find_sources
from tumorlens.listener import SILENT, Listener, counted
from tumorlens.scan import FACTS
from tumorlens.version import __version__

_TRAINED = "one that the network was trained on"
_UNKNOWN = "of a class the network does not know"
_UNLABELLED = "in no class folder, or not in the table"


def validate_site(
    weights: str | Path,
    data: Sequence[Path],
    folder: Path,
    *,
    device: str = "cpu",
    listener: Listener = SILENT,
) -> Validation:
    """Tests locked weights on a site's labelled scans, and writes the report.

    `data` are folders of class folders, or CSV manifests; files of classes the network does not know are counted. Into
    the folder go validation.html, validation.json, claim.md, tripod_ai.md, model_card.md, predictions.csv, plots and
    key.csv. Only key.csv names files; it is for the site's own eyes.

    Raises:
        ChecksumMismatch: If the weights are not those their card describes.
        DataError: If no scan can be analysed, or all are of one class.
    """
    classifier = Classifier.load(weights, device=device)
    card = classifier.card
    listener.say(f"locked weights {card.name}: sha256 {card.sha256}, as its card says")
    manifest, steps = read_site(data, card.classes, listener)
    listener.say(f"reading {len(manifest)} files")
    slices = load_slices(manifest, card.preprocessing, progress=listener.progress)
    trained = read_fingerprints(find_weights(weights))
    kept, copies = each_once(slices, trained)
    unreadable, reasons = _unreadable(slices)
    readable = steps[-1].count - len(slices.failures)
    steps.append(Step(name="readable", count=readable, unit="files", excluded=reasons))
    if len(slices) != readable:  # a file may hold several
        steps.append(Step(name="in these files", count=len(slices), unit="slices"))
    steps.append(Step(name="analysed, each picture once", count=len(kept), unit="slices", excluded=copies))
    listener.say(f"testing on {len(kept)} slices")
    predictions = _anonymous(predict_slices(classifier, slices, kept, listener.progress), slices, kept)
    listener.say("scoring, with 1,000 resamples for the intervals")
    calibrated = card.calibration is not None
    scores = steady_scores(score(predictions, calibrated=calibrated, progress=listener.progress), predictions)
    facts = [_facts(slices, i) for i in kept]
    comparisons = compare(scores, card.scores)
    coverage, size = set_figures(classifier.prediction_sets(predictions.probabilities), predictions)
    if coverage is not None and card.calibration is not None:
        promised = Estimate(value=card.calibration.coverage)
        comparisons.append(compare_one("coverage", "Coverage of the prediction sets", coverage, promised))
    listener.say("asking the gate which scans are unlike those of the training")
    judged = classifier.judge(slices.images[kept], progress=listener.progress)
    validation = Validation(
        site=" and ".join(path.name if path.is_dir() else path.stem for path in data),
        date=dt.date.today().isoformat(),
        version=__version__,
        synthetic=slices.manifest.synthetic,
        card=card,
        grouped_by=slices.manifest.unit,
        flow=tuple(steps),
        counts={c.name: (c.support, c.groups) for c in scores.classes},
        scores=scores,
        calibration=tuple(calibration_lines(predictions)),
        comparisons=tuple(comparisons),
        coverage=coverage,
        set_size=size,
        unknown=None if judged is None else sum(one.unknown for one in judged),
        subgroups=tuple(subgroups(predictions, facts, scores)),
        unreadable=tuple(unreadable),
        cautions=tuple(_cautions(card, scores, comparisons, facts, told=trained is not None)),
        command=f"tumorlens validate {' '.join(f'--data {p.name}' for p in data)} --weights {card.name}",
    )
    failures = choose_failures(predictions)
    listener.say(f"explaining {sum(map(len, failures.values()))} failures")
    gallery = {
        kind: [
            _failure(classifier, slices, predictions, int(kept[row]), row) for row in counted(rows, listener.progress)
        ]
        for kind, rows in failures.items()
    }
    listener.say("writing the report")
    write_validation(folder, validation, predictions, gallery)
    _write_key(folder / "key.csv", slices, kept, predictions)
    return validation


def read_site(data: Sequence[Path], classes: ClassSet, listener: Listener = SILENT) -> tuple[Manifest, list[Step]]:
    """Reads what the site has, and says what is left out for its label.

    A label the network does not know is told, but not kept: it may be a patient's folder.

    Returns:
        The files with labels the network knows, and the first steps of the flow.

    Raises:
        DataError: If there are none.
    """
    manifests, files_found, excluded, strange = [], 0, Counter[str](), set()
    for path in data:
        manifest = read_manifest(path)
        listed = {e.path for e in manifest.entries} | {Path(f.source).absolute() for f in manifest.failures}
        files = {Path(s.path).absolute() for s in find_sources(path) if s.error is None} if path.is_dir() else set()
        excluded[_UNLABELLED] += len(files - listed)
        files_found += len(files | listed)
        kept = []
        for entry in manifest.entries:
            index = classes.match(entry.label)
            if index is None:
                excluded[_UNKNOWN] += 1
                strange.add(entry.label)
            else:
                kept.append(replace(entry, label=classes[index].key))
        manifests.append(replace(manifest, entries=tuple(kept), classes=classes))
    if strange:
        listener.say(f"left out: {excluded[_UNKNOWN]} files of other classes ({', '.join(sorted(strange))})")
    whole = merge(manifests)
    if not len(whole):
        raise DataError(f"no file is labelled as one of {', '.join(classes.keys)}; name the class folders so")
    labelled = len(whole) + len(whole.failures)
    return whole, [
        Step(name="found", count=files_found, unit="files"),
        Step(name="labelled with a known class", count=labelled, unit="files", excluded=+excluded),
    ]


def each_once(slices: Slices, trained: Fingerprints | None = None) -> tuple[NDArray[np.intp], dict[str, int]]:
    """The slices to analyse: one of each picture, and one of each duplicate group where the data name these.

    Pictures are the same if the network's input is, bit for bit. One that stands under two classes is left out, and so
    is one that trained the network, as far as `trained`, the fingerprints of those, tells.

    Returns:
        Indices into the slices, ascending, and how many were left out, by reason.

    Raises:
        DataError: If none is left.
    """
    same: dict[bytes, list[int]] = {}
    for i, image in enumerate(slices.images):
        same.setdefault(image.tobytes(), []).append(i)
    excluded, kept = Counter[str](), []
    for indices in same.values():
        if len(set(slices.labels[indices].tolist())) > 1:
            excluded["the same picture under two classes"] += len(indices)
        else:
            excluded["the same picture as another"] += len(indices) - 1
            kept.append(indices[0])
    copies = [e.duplicate_group or f"only {e.name}" for e in slices.manifest.entries]
    first = {copies[i]: i for i in sorted(kept, reverse=True)}
    excluded["of a duplicate group that is in already"] += len(kept) - len(first)
    kept = list(first.values())
    if not kept:
        raise DataError("every picture stands under two classes; no scan is left to analyse")
    if trained is not None and slices.fingerprints is not None:
        known = {copies[i] for i in np.flatnonzero(np.isin(slices.fingerprints, trained))}
        new = [i for i in kept if copies[i] not in known]
        excluded[_TRAINED] += len(kept) - len(new)
        if not (kept := new):
            raise DataError("every picture trained these weights, so there is nothing to test; validate on others")
    return np.array(sorted(kept)), dict(+excluded)


def choose_failures(predictions: Predictions) -> dict[str, list[int]]:
    """Rows of wrong cases, the surest first, at most 24 of each kind: missed, called something else, false alarms."""
    nothing = np.array([c.nothing for c in predictions.classes])
    truth, predicted = nothing[predictions.truth], nothing[predictions.predicted]
    kinds = {
        "missed": ~truth & predicted,
        "mixed up": (predictions.truth != predictions.predicted) & (truth == predicted),
        "false alarms": truth & ~predicted,
    }
    surest = np.argsort(-predictions.confidence, kind="stable")
    return {kind: [int(i) for i in surest if is_so[i]][:WRONG] for kind, is_so in kinds.items()}


def _facts(slices: Slices, index: int) -> dict[str, str]:
    entry = slices.manifest.entries[index]
    return {**entry.facts, **({"source": entry.source} if entry.source else {})}


def _anonymous(predictions: Predictions, slices: Slices, kept: NDArray[np.intp]) -> Predictions:
    """The predictions under case numbers; groups are numbered as they come, which leads back to nobody."""
    word = "patient" if "patient" in slices.manifest.unit else "group"
    numbers = {group: number for number, group in enumerate(dict.fromkeys(predictions.groups.tolist()), 1)}
    facts = [_facts(slices, i) for i in kept]
    present = [name for name in (*FACTS, "source") if any(name in f for f in facts)]
    return replace(
        predictions,
        names=[f"case {number:04d}" for number in range(1, len(kept) + 1)],
        groups=np.array([f"{word} {numbers[group]:04d}" for group in predictions.groups]),
        extra={name: [f.get(name, "") for f in facts] for name in present},
    )


def _failure(classifier: Classifier, slices: Slices, predictions: Predictions, index: int, row: int) -> GalleryCase:
    case = make_case(classifier, slices, predictions, index, row)
    return replace(case, name=f"{predictions.names[row]} · {predictions.groups[row]}")


def _unreadable(slices: Slices) -> tuple[list[Unreadable], dict[str, int]]:
    """The files that could not be read, under numbers; messages begin with the file's name, which is cut off."""
    paths = {e.name: str(e.path) for e in slices.manifest.entries}
    listed, reasons = [], Counter[str]()
    for number, failure in enumerate(slices.failures, 1):
        reason = failure.error
        for name in (paths.get(failure.source, ""), failure.source):
            _, prefix, rest = reason.rpartition(f"{name}: ") if name else ("", "", "")
            reason = rest if prefix else reason
        listed.append(Unreadable(name=f"file {number:04d}", reason=reason))
        reasons[reason.partition(";")[0]] += 1
    return listed, dict(reasons)


def _cautions(
    card: WeightsCard,
    scores: Scores,
    comparisons: Sequence[AgainstCard],
    facts: Sequence[dict[str, str]],
    *,
    told: bool,
) -> list[str]:
    cautions = [f"The network itself: {caution}" for caution in card.cautions]
    checked = (
        "Pictures that trained the network are left out, where the pixels are the same; copies of them, and other "
        "slices of the same patients, are not recognised."
        if told
        else "Whether a scan here stood in the network's training data is not checked."
    )
    cautions.append(f"{checked} The card says: trained on {card.data or 'unnamed data'}.")
    if any(c.verdict == "above" for c in comparisons):
        cautions.append(
            "Better than promised is a reason to look: shared patients, or easier cases, would do the same."
        )
    if absent := [c.name for c in scores.classes if not c.support]:
        cautions.append(f"There is no scan of {', '.join(absent)} here: the card's figures are over other classes.")
    cautions.append("Pictures that are the same bit for bit were counted once; near copies were not looked for.")
    missing = [FACT_NAMES[name] for name in FACTS if not any(name in f for f in facts)]
    if missing:
        cautions.append(f"Neither files nor table give {', '.join(missing)}: there are no subgroups by it.")
    return cautions


def _write_key(path: Path, slices: Slices, kept: NDArray[np.intp], predictions: Predictions) -> None:
    """Which case is which file. The only file of a validation that may lead back to a patient."""
    files = [slices.manifest.entries[index].name for index in kept]
    rows = list(zip(predictions.names, predictions.groups, files, strict=True))
    rows += [(f"file {number:04d}", "", failure.source) for number, failure in enumerate(slices.failures, 1)]
    write_table(path, ("case", "group", "file"), rows)
