"""The network with everything a finding needs, as one pass without autograd: what the graph holds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tumorlens.errors import ModelError
from tumorlens.explain.cam import surplus
from tumorlens.model import AttentiveNetwork, Network
from tumorlens.model.gate import Gate

OUTPUTS = ("probabilities", "heat_maps", "unknown_score", "strangeness")
"""Names of what comes out; the last two only where there is a gate."""


class ExplainingNetwork(nn.Module):
    """Calibrated probabilities, heat maps of all classes, and how strange the scan is.

    Args:
        network: Its heat maps are its contributions, or Grad-CAM's in closed form where its head has `weigh`.
        temperature: Divides the logits before the softmax.
        bias: Added to the logits before that, a number a class; empty is nothing.
        gate: For unknown scans; None leaves out the last two outputs.

    Raises:
        ModelError: If the network's heat maps need autograd.
    """

    bias: Tensor

    def __init__(self, network: Network, temperature: float, gate: Gate | None, *, bias: Sequence[float] = ()) -> None:
        super().__init__()
        if not isinstance(network, AttentiveNetwork) and not hasattr(network.head, "weigh"):
            raise ModelError(f"{type(network).__name__}: its heat maps need autograd, which no graph can hold")
        self.network, self.temperature, self.gate = network, temperature, gate
        self.register_buffer("bias", torch.tensor(bias or 0.0), persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(B, C, S, S) float32 in [0, 1] -> what `OUTPUTS` names.

        Returns:
            (B, classes) probabilities; (B, classes, h, w) heat maps >= 0, not normalised; (B,) unknown score, 1 being
            the limit; and (B, 18): the gate's two distances, and its 16 checks in standard deviations.
        """
        maps = self.network.features(image)
        if isinstance(self.network, AttentiveNetwork):
            reading = self.network.read(maps)
            logits, heat = reading.logits, torch.relu(surplus(reading.contributions))
        else:
            logits, weights = self.network.head.weigh(maps)  # type: ignore[operator]
            heat = torch.relu((weights @ maps.flatten(2)).unflatten(2, maps.shape[2:]))
        probabilities = torch.softmax((logits + self.bias) / self.temperature, 1)
        if self.gate is None:
            return probabilities, heat
        distances, standardised = self.gate.measure(image, maps.mean((2, 3)))
        return probabilities, heat, distances.amax(1), torch.cat([distances, standardised], 1)
