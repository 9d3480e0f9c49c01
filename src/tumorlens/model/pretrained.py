"""Weights as a plain PyTorch module, for whoever trains, explains or ships with tools of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tumorlens.card import WeightsCard
from tumorlens.defaults import DEFAULT_WEIGHTS
from tumorlens.errors import NotAScan
from tumorlens.formats.inputs import Given, as_scans
from tumorlens.model.network import Network, biased
from tumorlens.model.weights import load_weights
from tumorlens.scan import Scan


class Pretrained(nn.Module):
    """A trained network with all that its card says of input and output, as an `nn.Module`.

        model = tumorlens.model.load()
        probabilities = model(model.prepare("scan.dcm")).softmax(1)
        dict(zip(model.classes, probabilities[0].tolist()))

    It knows no unknown scans and makes no heat maps; `tumorlens.Classifier` does.

    Attributes:
        network: The network itself: `features` up to its last convolution, then `head`.
        card: The card of its weights.
    """

    def __init__(self, network: Network, card: WeightsCard) -> None:
        super().__init__()
        self.network, self.card = network, card

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, size, size) float32 in [0, 1] -> (B, classes) logits, whose softmax is calibrated."""
        return biased(self.network(images), self.card.biases) / self.card.temperature

    @property
    def classes(self) -> tuple[str, ...]:
        """Keys of the classes, in the order of the outputs."""
        return self.card.classes.keys

    def prepare(self, scans: Given) -> Tensor:
        """Scans, arrays, files or folders -> (B, channels, size, size) float32 in [0, 1], by the rule in the card.

        Raises:
            InputError: The first file that cannot be read, or scan that no input can be made of.
            TypeError: If `scans` are no scans.
        """
        device = next(self.network.parameters()).device
        return torch.from_numpy(np.stack([self._input(scan) for scan in as_scans(scans)])).to(device)

    def _input(self, scan: Scan) -> NDArray[np.float32]:
        rule = self.card.preprocessing
        if reason := rule.refuses(scan):
            problem, _, remedy = reason.partition("; ")
            raise NotAScan(scan.source, problem, remedy)
        return rule(scan)


def load(weights: str | Path = DEFAULT_WEIGHTS) -> Pretrained:
    """Loads weights as an `nn.Module`, in evaluation mode, on the CPU.

    Args:
        weights: Weights in the package by name, a .safetensors file, the folder of a training run or of a model hub, or
            hf://OWNER/NAME.

    Raises:
        ModelError: If there are no such weights, or they do not fit their card.
        ChecksumMismatch: If they are not those the card was written for.
    """
    network, card = load_weights(weights)
    return Pretrained(network, card).eval()
