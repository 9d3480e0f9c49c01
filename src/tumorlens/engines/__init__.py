"""What computes: the graph that ships beside the weights, without torch, or the network in PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tumorlens.card import HeatMapRule, WeightsCard

Target = int | Literal["all"] | None
"""Whose heat maps are wanted: those of a class by its index, of all classes, or of each input's most probable one."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What an engine says of a batch of inputs.

    Attributes:
        probabilities: (B, classes) float64, calibrated; rows sum to 1.
        heat: (B, h, w) float32 >= 0, evidence for one class a scan, not normalised; (B, classes, h, w) of all
            classes; None where not asked for.
        distances: (B, 2) how strange each input is, see `Gate.measure`; None where the weights have no gate.
        standardised: (B, 16) what its checks found; None where the weights have no gate.
    """

    probabilities: NDArray[np.float64]
    heat: NDArray[np.float32] | None = None
    distances: NDArray[np.float64] | None = None
    standardised: NDArray[np.float64] | None = None


class Engine(Protocol):
    """Answers batches of inputs, by the card of its weights; `rule` says which heat maps it makes."""

    @property
    def card(self) -> WeightsCard: ...  # noqa: D102

    @property
    def rule(self) -> HeatMapRule: ...  # noqa: D102

    def answer(self, images: NDArray[np.float32], *, explain: bool = True, target: Target = None) -> Answers:
        """Answers a batch, (B, C, S, S) float32 in [0, 1]; with `explain`, also with heat maps of a class."""
