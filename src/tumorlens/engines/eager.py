"""The network in PyTorch: for training, evaluation, other devices, and heat maps that need a gradient."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tumorlens.card import HeatMapRule, WeightsCard
from tumorlens.engines import Answers, Target
from tumorlens.errors import ConfigError
from tumorlens.explain.cam import explain as make_maps
from tumorlens.explain.cam import methods_for, shown_method
from tumorlens.model import Network
from tumorlens.model.gate import Gate
from tumorlens.model.network import biased
from tumorlens.model.weights import load_gate, load_weights


class Eager:
    """A network, its card and its gate on a device.

    Args:
        network: Its parameters fit the card.
        card: Says what its input and output mean.
        device: Where to compute: "cpu", "cuda", "cuda:1", "mps", or "auto" for the best there is.
        gate: Tells scans like those of the training from anything else; without one, no scan is called unknown.

    Raises:
        ConfigError: If there is no such device.
    """

    def __init__(self, network: Network, card: WeightsCard, device: str = "cpu", gate: Gate | None = None) -> None:
        self.card, self.gate = card, gate
        self.device = choose_device(device)
        self.network = network.to(self.device).eval()

    @classmethod
    def load(cls, weights: str | Path, device: str = "cpu") -> Eager:
        """Loads weights; names, files and errors are those of `load_weights`."""
        network, card = load_weights(weights)
        return cls(network, card, device, load_gate(weights))

    @property
    def rule(self) -> HeatMapRule:
        """Which heat map findings carry, from the card; by the network's kind where that says nothing."""
        return self.card.heat_map or HeatMapRule(method=shown_method(self.network))

    @property
    def methods(self) -> list[str]:
        """Keys of the ways to make heat maps that this network has."""
        return methods_for(self.network)

    def answer(
        self,
        images: NDArray[np.float32],
        *,
        explain: bool = True,
        target: Target = None,
        method: str | None = None,
    ) -> Answers:
        """Answers a batch; see `Engine`. `method` is the key of another way to make heat maps.

        Raises:
            ConfigError: If the network has no heat maps by `method`.
        """
        if explain and target == "all":
            each = [self.answer(images, target=i, method=method) for i in range(len(self.card.classes))]
            return replace(each[0], heat=np.stack([a.heat for a in each if a.heat is not None], 1))
        batch = torch.from_numpy(images).to(self.device)
        if explain:
            key = method or self.rule.method
            explained = make_maps(
                self.network, batch, None if target == "all" else target, [key], bias=self.card.biases
            )
            logits, maps, heat = explained.logits, explained.maps, explained.heat[key].cpu().numpy()
        else:
            with torch.inference_mode():
                maps = self.network.features(batch)
                logits, heat = biased(self.network.head(maps), self.card.biases), None
        # On the CPU, because Apple's GPUs have no float64.
        probabilities = torch.softmax(logits.cpu().double() / self.card.temperature, 1).numpy()
        if self.gate is None:
            return Answers(probabilities, heat)
        with torch.inference_mode():
            means = maps.mean((2, 3)).cpu().double()
            distances, standardised = self.gate.measure(torch.from_numpy(images).double(), means)
        return Answers(probabilities, heat, distances.numpy(), standardised.numpy())

    def pool(self, images: NDArray[np.float32], *, batch_size: int = 256) -> NDArray[np.float32]:
        """The last feature maps' means over the picture, (N, C, S, S) float32 -> (N, F) float32."""
        with torch.inference_mode():
            batches = (batch.to(self.device) for batch in torch.from_numpy(images).split(batch_size))
            return np.concatenate([self.network.features(batch).mean((2, 3)).cpu() for batch in batches])


def choose_device(name: str) -> torch.device:
    """The device a name means, "auto" CUDA or Apple's GPU where there is one; ConfigError if the machine has none."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()  # "meta" and the like compute nothing
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"no device {name!r} here; use --device cpu, or auto for the best there is") from error
    return device
