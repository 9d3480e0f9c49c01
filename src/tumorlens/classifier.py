"""The main path, top to bottom: scan -> input -> features -> head -> probabilities and heat map -> finding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tumorlens import DEFAULT_WEIGHTS
from tumorlens.card import HeatMapRule, WeightsCard
from tumorlens.errors import ConfigError, ModelError
from tumorlens.explain.cam import explain as make_maps
from tumorlens.explain.cam import shown_method
from tumorlens.explain.region import find_region
from tumorlens.finding import Finding, WeightsId, prediction_sets
from tumorlens.model import Network
from tumorlens.model.weights import load_gate, load_weights
from tumorlens.preprocess import Preprocessing
from tumorlens.scan import Scan
from tumorlens.unknown import Gate, Unknown

CLOSE_CALL = 0.6
"""Below this probability of the most probable class, a finding says that it is a close call."""


class Classifier:
    """A network with its weights card.

        classifier = Classifier.load()
        for finding in classifier.find(read_scans("scan.dcm")):
            print(finding.label, finding.confidence)

    Args:
        network: Its parameters fit the card.
        card: Says what its input and output mean.
        device: Where to compute: "cpu", "cuda", "cuda:1", "mps", or "auto" for the best there is.
        gate: Tells scans like those of the training from anything else; without one, no scan is called unknown.

    Raises:
        ConfigError: If there is no such device.
    """

    def __init__(self, network: Network, card: WeightsCard, device: str = "cpu", gate: Gate | None = None) -> None:
        self.card = card
        self.gate = gate
        self.device = choose_device(device)
        self.network = network.to(self.device).eval()

    @classmethod
    def load(cls, weights: str | Path = DEFAULT_WEIGHTS, *, device: str = "cpu") -> Classifier:
        """Loads weights from the package by name, or from a .safetensors file or a training run's folder.

        Raises:
            ModelError: If there are none, or they do not fit their card.
            ChecksumMismatch: If they are not those the card was written for.
        """
        network, card = load_weights(weights)
        return cls(network, card, device, load_gate(weights))

    @property
    def weights(self) -> WeightsId:
        """Which weights these are."""
        return WeightsId(name=self.card.name, sha256=self.card.sha256)

    def find(
        self,
        scans: Iterable[Scan],
        *,
        explain: bool = True,
        target: str | None = None,
        method: str | None = None,
        batch_size: int = 64,
    ) -> list[Finding]:
        """Says what each scan shows, how sure that is, and where the evidence lies.

        Args:
            scans: Any number of slices of any size.
            explain: Whether to make heat maps and regions.
            target: Key of the class to make heat maps for; None explains each scan's most probable class.
            method: Key of the way to make heat maps, of `tumorlens.explain.cam.METHODS`; None takes the card's.
            batch_size: Scans computed at once.

        Raises:
            ModelError: If the network has no class `target`.
            ConfigError: If the network has no heat maps by `method`.
            ValueError: If `batch_size` is not positive.
        """
        return list(self.find_each(scans, explain=explain, target=target, method=method, batch_size=batch_size))

    def find_each(
        self,
        scans: Iterable[Scan],
        *,
        explain: bool = True,
        target: str | None = None,
        method: str | None = None,
        batch_size: int = 64,
    ) -> Iterator[Finding]:
        """The same as `find`, one finding after another: it holds one batch in memory."""
        if target is not None and target not in self.card.classes.keys:
            raise ModelError(f"no class {target!r}; {self.card.name} tells apart {', '.join(self.card.classes.keys)}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        remaining = iter(scans)
        while batch := list(islice(remaining, batch_size)):
            yield from self._find_batch(batch, explain, target, self._rule_for(method))

    def _rule_for(self, method: str | None) -> HeatMapRule:
        """The card's rule, or half the peak of another method's maps."""
        return self.heat_map if method in (None, self.heat_map.method) else HeatMapRule(method=method)

    def _find_batch(self, scans: list[Scan], explain: bool, target: str | None, rule: HeatMapRule) -> Iterator[Finding]:
        classes = self.card.classes
        images = self.prepare(scans)
        if explain:
            asked = None if target is None else classes.keys.index(target)
            explained = make_maps(self.network, images, asked, [rule.method])
            logits, maps, heat = explained.logits, explained.maps, explained.heat[rule.method].cpu().numpy()
        else:
            with torch.inference_mode():
                maps = self.network.features(images)
                logits, heat = self.network.head(maps), None
        probabilities = self.calibrate(logits)
        sets = self.prediction_sets(probabilities)
        judged: list[Unknown] | list[None] = [None] * len(scans)
        if self.gate is not None:
            judged = self.gate.judge(images.cpu().numpy(), maps.mean((2, 3)).cpu().numpy())
        for index, (scan, p) in enumerate(zip(scans, probabilities, strict=True)):
            label = classes[int(p.argmax())]
            explained_class = label if target is None else classes[classes.keys.index(target)]
            unknown = judged[index]
            warnings = [unknown.reason] if unknown and unknown.unknown else []
            warnings += [*scan.warnings, *self._doubts(scan, p)]
            heatmap = region = None
            if heat is not None:
                heatmap = self.preprocessing.restore(heat[index], scan)
                peak = heatmap.max()
                if peak > 0:
                    heatmap /= peak
                else:
                    warnings.append(f"no positive evidence: nothing in the scan speaks for {explained_class.name}")
                if not explained_class.nothing:
                    region = find_region(heatmap, scan.spacing, rule.threshold)
            yield Finding(
                source=scan.source,
                frame=scan.frame,
                label=label.key,
                probabilities={key: float(value) for key, value in zip(classes.keys, p, strict=True)},
                weights=self.weights,
                heatmap=heatmap,
                region=region,
                explained=explained_class.key,
                method=rule.method if explain else "",
                warnings=tuple(warnings),
                prediction_set=sets[index],
                unknown=unknown,
            )

    @property
    def preprocessing(self) -> Preprocessing:
        """The rule that makes the network's input, from the card."""
        return self.card.preprocessing

    @property
    def heat_map(self) -> HeatMapRule:
        """Which heat map findings carry, from the card; by the network's kind where that says nothing."""
        return self.card.heat_map or HeatMapRule(method=shown_method(self.network))

    def prepare(self, scans: list[Scan]) -> Tensor:
        """Scans -> the network's input, (B, C, S, S) float32 in [0, 1]."""
        return torch.from_numpy(np.stack([self.preprocessing(scan) for scan in scans])).to(self.device)

    def probabilities(self, images: np.ndarray, *, batch_size: int = 256) -> np.ndarray:
        """Probabilities of scans that are preprocessed already, (N, C, S, S) float32 -> (N, classes) float64."""
        with torch.inference_mode():
            batches = (torch.from_numpy(images[i : i + batch_size]) for i in range(0, len(images), batch_size))
            return np.concatenate([self.calibrate(self.network(b.to(self.device))) for b in batches])

    def calibrate(self, logits: Tensor) -> np.ndarray:
        """Logits (B, classes) -> probabilities (B, classes) float64, by softmax at the card's temperature."""
        # On the CPU, because Apple's GPUs have no float64.
        return torch.softmax(logits.cpu().double() / self.card.temperature, 1).numpy()

    def prediction_sets(self, probabilities: np.ndarray) -> list[tuple[str, ...]]:
        """Keys of the classes that cannot be ruled out, the most probable first; empty if the card has no thresholds.

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

    def judge(self, images: np.ndarray) -> list[Unknown] | None:
        """How strange scans are that are preprocessed already, (N, C, S, S) float32; None without a gate."""
        return None if self.gate is None else self.gate.judge(images, self.pool(images))

    def pool(self, images: np.ndarray, *, batch_size: int = 256) -> np.ndarray:
        """The last feature maps' means over the picture, (N, C, S, S) float32 -> (N, F) float32."""
        with torch.inference_mode():
            batches = (torch.from_numpy(images[i : i + batch_size]) for i in range(0, len(images), batch_size))
            return np.concatenate([self.network.features(b.to(self.device)).mean((2, 3)).cpu() for b in batches])

    def _doubts(self, scan: Scan, probabilities: np.ndarray) -> Iterator[str]:
        """What speaks against trusting a finding."""
        first, second = np.argsort(probabilities)[::-1][:2]
        if probabilities[first] < CLOSE_CALL:
            names = self.card.classes
            yield (
                f"close call: {names[first].name} {probabilities[first]:.2f}, "
                f"{names[second].name} {probabilities[second]:.2f}"
            )
        if min(scan.height, scan.width) < self.preprocessing.size:
            yield f"the scan is smaller ({scan.width} x {scan.height}) than the network's input"
        if self.preprocessing.channels == 1 and scan.pixels.ndim == 3:
            yield "a colour picture; the network sees its greyscale"


def choose_device(name: str) -> torch.device:
    """The device a name means; "auto" is CUDA or Apple's GPU where there is one, else the CPU.

    Raises:
        ConfigError: If the machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()  # "meta" and the like compute nothing
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"no device {name!r} here; use --device cpu, or auto for the best there is") from error
    return device
