"""The main path, top to bottom: scan -> input -> engine: probabilities, heat map, strangeness -> finding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from tumorlens.card import HeatMapRule, WeightsCard, find_weights, read_card, read_weights
from tumorlens.defaults import DEFAULT_WEIGHTS
from tumorlens.engines import Answers, Engine, Target
from tumorlens.engines.graph import Graph, graph_beside
from tumorlens.errors import ModelError, needs_extra
from tumorlens.evidence import Evidence
from tumorlens.explain.region import find_region
from tumorlens.finding import Finding, WeightsId, prediction_sets
from tumorlens.formats import Axis, Paths
from tumorlens.formats.inputs import Given, as_scans
from tumorlens.listener import SILENT, Progress
from tumorlens.place import SlicePlace
from tumorlens.preprocess import Preprocessing
from tumorlens.scan import Scan
from tumorlens.strangeness import Strangeness, judge
from tumorlens.study import SliceFinding, Study, StudyFinding, find_in_study, read_study

if TYPE_CHECKING:
    from tumorlens.classes import ScanClass
    from tumorlens.engines.eager import Eager
    from tumorlens.model import Network
    from tumorlens.model.gate import Gate

EngineName = Literal["auto", "graph", "torch"]


class FindOptions(TypedDict, total=False):
    """Options of `Classifier.find_each`: those of `Classifier.find`."""

    explain: bool
    target: str | None
    method: str | None
    batch_size: int


class Classifier:
    """Trained network for inference: predictions with calibrated probabilities and heat maps.

        classifier = Classifier.load()
        for finding in classifier.find(read_scans("scan.dcm")):
            print(finding)

    The graph that ships beside the weights answers where there is one. PyTorch is loaded when something asks for the
    network itself: another device, or a heat map that needs a gradient.

    Args:
        engine: What computes.
        weights: Where the engine's weights came from, for when the network itself is asked for.
    """

    def __init__(self, engine: Engine, weights: str | Path = "") -> None:
        self.engine = engine
        self._weights = weights

    @classmethod
    def of(cls, network: Network, card: WeightsCard, device: str = "cpu", gate: Gate | None = None) -> Classifier:
        """The classifier of a network in memory; arguments and errors are those of `Eager`."""
        from tumorlens.engines.eager import Eager

        return cls(Eager(network, card, device, gate))

    @classmethod
    def load(
        cls,
        weights: str | Path = DEFAULT_WEIGHTS,
        *,
        device: str = "cpu",
        engine: EngineName = "auto",
        threads: int = 0,
    ) -> Classifier:
        """Loads weights from the package by name, or from a .safetensors file or a training run's folder.

        Args:
            weights: Which.
            device: Where to compute: "cpu", "cuda", "mps", or "auto" for the best there is. Others than the CPU need
                PyTorch.
            engine: "graph", "torch", or "auto": the graph on a CPU, if one lies beside the weights.
            threads: Processor threads of the graph; 0 takes all.

        Raises:
            ModelError: If there are none, or they do not fit their card.
            ChecksumMismatch: If they are not those the card was written for.
            ConfigError: If there is no such device.
            MissingExtra: If it takes PyTorch, and that is not installed.
        """
        path = find_weights(weights)
        card = read_card(path)
        graph = graph_beside(path, card)
        if engine == "graph" and graph is None:
            raise ModelError(f"{path}: has no graph beside it; write one with: tumorlens export --weights {weights}")
        if graph is not None and engine != "torch" and (device == "cpu" or (device == "auto" and not _accelerated())):
            read_weights(path, card)  # the graph answers; but a pair of which one is damaged is none
            return cls(Graph(graph, card, threads), weights)
        what = f"{weights}: weights without a graph beside them" if graph is None else f"computing on {device!r}"
        return cls(_eager(weights, device, what), weights)

    @property
    def card(self) -> WeightsCard:
        """The card of its weights."""
        return self.engine.card

    @cached_property
    def eager(self) -> Eager:
        """The network in PyTorch, loaded when it is first asked for."""
        if isinstance(self.engine, Graph):
            return _eager(self._weights, "cpu", "another heat map than the weights' own")
        return self.engine  # type: ignore[return-value]

    @property
    def network(self) -> Network:
        """The network itself, in evaluation mode."""
        return self.eager.network

    @property
    def gate(self) -> Gate | None:
        """The network's gate for unknown scans."""
        return self.eager.gate

    @property
    def weights(self) -> WeightsId:
        """Name and checksum of the weights."""
        return WeightsId(name=self.card.name, sha256=self.card.sha256)

    def __repr__(self) -> str:
        keys, kind = ", ".join(self.card.classes.keys), type(self.engine).__name__
        return f"<Classifier {self.card.name!r}: {keys}; {kind}>"

    def find(
        self,
        scans: Given,
        *,
        explain: bool = True,
        target: str | None = None,
        method: str | None = None,
        batch_size: int = 64,
    ) -> list[Finding]:
        """Predictions for scans, with heat maps.

        Args:
            scans: A scan, an array of pixels, a file or folder, or several of these; see `as_scans`.
            explain: Whether to make heat maps and regions.
            target: Key of the class to make heat maps for; None explains each scan's most probable class.
            method: Key of the way to make heat maps, of `tumorlens.explain.cam.METHODS`; None takes the card's.
            batch_size: Scans computed at once.

        Raises:
            ModelError: If the network has no class `target`.
            ConfigError: If the network has no heat maps by `method`.
            ValueError: If `batch_size` is not positive.
            TypeError: If `scans` are no scans.
            InputError: The first file that cannot be read.
        """
        held = list(as_scans(scans))
        findings = self.find_each(held, explain=explain, target=target, method=method, batch_size=batch_size)
        return [replace(finding, scan=scan) for finding, scan in zip(findings, held, strict=True)]

    def find_each(self, scans: Given, **options: Unpack[FindOptions]) -> Iterator[Finding]:
        """Predictions as `find` makes them, with its arguments, as an iterator that holds one batch in memory."""
        target, batch_size = options.get("target"), options.get("batch_size", 64)
        if target is not None and target not in self.card.classes.keys:
            raise ModelError(f"no class {target!r}; {self.card.name} tells apart {', '.join(self.card.classes.keys)}")
        for batch in _batches(scans, batch_size):
            yield from self._find_batch(batch, options.get("explain", True), target, options.get("method"))

    def explain_each(self, scans: Given, *, batch_size: int = 64) -> Iterator[tuple[Finding, dict[str, Evidence]]]:
        """Predictions as an iterator, each with the heat maps of all classes, from one forward pass.

        Evidence is by class key. It is empty for an unknown scan, and lacks a class that means nothing was found.
        """
        for batch in _batches(scans, batch_size):
            answers = self.engine.answer(self.prepare(batch), target="all")
            assert answers.heat is not None
            top = answers.probabilities.argmax(1)
            own = replace(answers, heat=answers.heat[np.arange(len(batch)), top])
            findings = self._findings(batch, own, None, self.heat_map)
            for scan, heat, finding in zip(batch, answers.heat, findings, strict=True):
                yield finding, {} if finding.unknown else self._evidence_by_class(heat, scan)

    def _evidence_by_class(self, heat: NDArray[np.float32], scan: Scan) -> dict[str, Evidence]:
        """Evidence for each class that means something was found, by key, of (classes, h, w) heat maps."""
        pairs = zip(self.card.classes, heat, strict=True)
        return {c.key: self._evidence(h, scan, c, self.heat_map) for c, h in pairs if not c.nothing}

    def find_study(
        self, study: Study | Paths, *, explain: bool = True, axis: Axis = "axial", batch_size: int = 64
    ) -> StudyFinding:
        """The finding of a study or volume, and of each of its slices.

        Args:
            study: The study, or the files and folders of one.
            explain: Whether to make heat maps of the key slices, for the study's class if that is a tumour.
            axis: The plane that NIfTI volumes are cut in, where paths are given.
            batch_size: Scans computed at once.

        Raises:
            NotOneStudy: If there are DICOM files of several studies.
            InputError: If no slice can be read.
        """
        if not isinstance(study, Study):
            study = read_study(study, axis=axis)
        scans, classes = study.scans, self.card.classes
        findings = self.find(scans, explain=False, batch_size=batch_size)

        def together() -> StudyFinding:
            slices = [SliceFinding(f, SlicePlace.of(scan)) for f, scan in zip(findings, scans, strict=True)]
            return find_in_study(slices, classes, self.card.study, source=study.source, failures=study.failures)

        result = together()
        if not explain or result.label is None or classes[classes.keys.index(result.label)].nothing:
            return result
        key = [scans[i] for i in result.key_slices]
        explained = self.find(key, target=result.label, batch_size=batch_size)
        for i, finding in zip(result.key_slices, explained, strict=True):
            findings[i] = finding
        return together()

    def _find_batch(
        self, scans: list[Scan], explain: bool, target: str | None, method: str | None
    ) -> Iterator[Finding]:
        images = self.prepare(scans)
        asked: Target = None if target is None else self.card.classes.keys.index(target)
        rule = self.heat_map
        if explain and method not in (None, rule.method):
            # Half its peak bounds the region of a map that the card has no rule for.
            rule = HeatMapRule(method=method)
            answers = self.eager.answer(images, target=asked, method=method)
        else:
            answers = self.engine.answer(images, explain=explain, target=asked)
        targets = None if asked is None else np.full(len(scans), asked)
        yield from self._findings(scans, answers, targets, rule)

    def _findings(
        self, scans: list[Scan], answers: Answers, targets: NDArray[np.intp] | None, rule: HeatMapRule
    ) -> Iterator[Finding]:
        """The findings of an engine's answers.

        The answers' heat maps, if any, speak for `targets`, (B,) the classes that were asked for, or each scan's most
        probable one, and were made by `rule`.
        """
        strangeness: Sequence[Strangeness | None] = self._strangeness(answers) or [None] * len(scans)
        sets = self.prediction_sets(answers.probabilities)
        for index, (scan, p, strange) in enumerate(zip(scans, answers.probabilities, strangeness, strict=True)):
            common: dict[str, Any] = {"source": scan.source, "frame": scan.frame, "weights": self.weights}
            warnings = [*scan.warnings, *self._doubts(scan)]
            if strange is not None:
                common |= {"strangeness": strange.score, "unknown": strange.unknown, "reason": strange.reason}
            if foreign := self._foreign(scan):
                common |= {"unknown": True, "reason": foreign}
            if common.get("unknown"):
                yield Finding(label=None, probabilities={}, warnings=tuple(warnings), **common)
                continue
            classes = self.card.classes
            explained = classes[int(p.argmax() if targets is None else targets[index])]
            heatmap = region = None
            # Evidence that there is nothing to find has no place in the picture.
            if answers.heat is not None and not (explained.nothing and targets is None):
                heatmap, region = self._evidence(answers.heat[index], scan, explained, rule)
                if not heatmap.any():
                    warnings.append(f"no positive evidence: nothing in the scan speaks for {explained.name}")
            yield Finding(
                label=classes.keys[int(p.argmax())],
                probabilities={key: float(value) for key, value in zip(classes.keys, p, strict=True)},
                heatmap=heatmap,
                region=region,
                explained=explained.key,
                method="" if heatmap is None else rule.method,
                warnings=tuple(warnings),
                prediction_set=sets[index],
                **common,
            )

    def _evidence(self, heat: NDArray[np.float32], scan: Scan, target: ScanClass, rule: HeatMapRule) -> Evidence:
        """A heat map of the network, (h, w), on the scan's own grid with its peak at 1, and its region."""
        heatmap = self.preprocessing.restore(heat, scan)
        if (peak := heatmap.max()) > 0:
            heatmap /= peak
        region = None if target.nothing else find_region(heatmap, scan.spacing, rule.threshold)
        return Evidence(heatmap, region)

    @property
    def preprocessing(self) -> Preprocessing:
        """The rule that makes the network's input, from the card."""
        return self.card.preprocessing

    @property
    def heat_map(self) -> HeatMapRule:
        """Method and threshold of the heat maps that findings carry."""
        return self.engine.rule

    def prepare(self, scans: list[Scan]) -> NDArray[np.float32]:
        """Scans -> the network's input, (B, C, S, S) float32 in [0, 1]."""
        return np.stack([self.preprocessing(scan) for scan in scans])

    def probabilities(
        self, images: NDArray[np.float32], *, batch_size: int = 256, progress: Progress = SILENT.progress
    ) -> NDArray[np.float64]:
        """Probabilities of scans that are preprocessed already, (N, C, S, S) float32 -> (N, classes) float64."""
        return np.concatenate([answers.probabilities for answers in self._answers(images, batch_size, progress)])

    def judge(
        self, images: NDArray[np.float32], *, batch_size: int = 256, progress: Progress = SILENT.progress
    ) -> list[Strangeness] | None:
        """Strangeness of scans that are preprocessed already, (N, C, S, S) float32; None without a gate."""
        batches = [self._strangeness(answers) for answers in self._answers(images, batch_size, progress)]
        return None if None in batches else [strange for batch in batches for strange in batch or ()]

    def _strangeness(self, answers: Answers) -> list[Strangeness] | None:
        if answers.distances is None or answers.standardised is None:
            return None
        kinds = self.card.calibration.kinds if self.card.calibration else ()
        pairs = zip(answers.distances.tolist(), answers.standardised.tolist(), strict=True)
        return [judge(distances, standardised, kinds) for distances, standardised in pairs]

    def _answers(self, images: NDArray[np.float32], size: int, progress: Progress) -> Iterator[Answers]:
        for start in range(0, len(images), size):
            yield self.engine.answer(images[start : start + size], explain=False)
            progress(min(start + size, len(images)), len(images))

    def pool(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Global average pooling of the last feature maps, (N, C, S, S) float32 -> (N, F) float32."""
        return self.eager.pool(images)

    def prediction_sets(self, probabilities: np.ndarray) -> list[tuple[str, ...]]:
        """Conformal prediction sets: keys, the most probable first; empty if the card has no thresholds.

        Args:
            probabilities: (N, classes) calibrated probabilities.
        """
        if self.card.calibration is None:
            return [()] * len(probabilities)
        keys = self.card.classes.keys
        thresholds = self.card.calibration.set_thresholds
        sets = prediction_sets(probabilities, [thresholds[key] for key in keys])
        return [
            tuple(keys[i] for i in np.argsort(-p, kind="stable") if inside[i])
            for p, inside in zip(probabilities, sets, strict=True)
        ]

    def _foreign(self, scan: Scan) -> str:
        """Why the scan is none of the kind that the weights know, by what its file says; empty where it is."""
        rule = self.preprocessing
        return self.card.modality.refuses(scan, sees_colour=rule.in_colour) or rule.refuses(scan)

    def _doubts(self, scan: Scan) -> Iterator[str]:
        """What of the scan speaks against trusting a finding."""
        if min(scan.height, scan.width) < self.preprocessing.size:
            yield f"the scan is smaller ({scan.width} x {scan.height}) than the network's input"
        if missing := self.preprocessing.missing(scan):
            yield f"missing: {', '.join(missing)}; the network answers without"
        if self.preprocessing.channels == 1 and scan.pixels.ndim == 3:
            yield "a colour picture; the network sees its greyscale"


def _batches(scans: Given, size: int) -> Iterator[list[Scan]]:
    if size < 1:
        raise ValueError(f"batch_size must be at least 1, not {size}")
    remaining = as_scans(scans)
    while batch := list(islice(remaining, size)):
        yield batch


def _eager(weights: str | Path, device: str, what: str) -> Eager:
    with needs_extra(what, "train"):
        from tumorlens.engines.eager import Eager
    return Eager.load(weights, device)


def _accelerated() -> bool:
    """Whether there is a GPU, and PyTorch to use it."""
    try:
        from tumorlens.engines.eager import choose_device
    except ModuleNotFoundError:
        return False
    return choose_device("auto").type != "cpu"
