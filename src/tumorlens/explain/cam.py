"""The ways to make a heat map, side by side: one pass of the network serves them all.

References:
    Selvaraju et al., Grad-CAM, ICCV 2017.
    Chattopadhay et al., Grad-CAM++: Generalized gradient-based visual explanations, WACV 2018.
    Draelos and Carin, Use HiResCAM instead of Grad-CAM for faithful explanations, arXiv:2011.08891, 2020.
    Jiang et al., LayerCAM: Exploring hierarchical class activation maps for localization, IEEE TIP 30, 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from tumorlens.errors import ConfigError
from tumorlens.explain.gradcam import Evidence, gather_evidence, weigh_by_mean_gradient
from tumorlens.model import Network


@runtime_checkable
class Attends(Protocol):
    """A network that says by itself where it looked."""

    def attention_map(self, images: Tensor) -> Tensor:
        """(B, C, S, S) float32 in [0, 1] -> (B, h, w) float32 >= 0, over the same square; of no class in particular."""
        ...


@dataclass(frozen=True)
class Method:
    """A way to make a heat map.

    Attributes:
        title: What people call it.
        reference: The paper.
        weigh: Makes (B, h, w) float32 >= 0 of the evidence; None for the network's own attention.
    """

    title: str
    reference: str
    weigh: Callable[[Evidence], Tensor] | None


@dataclass(frozen=True, eq=False)
class Explanations:
    """A batch's logits, and its heat maps by several methods.

    Attributes:
        logits: (B, classes) float32, before the softmax.
        heat: For each method's key (B, h, w) float32 >= 0, not normalised. All zero where there is no evidence.
    """

    logits: Tensor
    heat: Mapping[str, Tensor]


def _weigh_by_positive_gradients(evidence: Evidence) -> Tensor:
    """Grad-CAM++: positions with a positive gradient weigh by its square over the square and the cube, eq. 19."""
    maps, gradient = evidence.maps, evidence.gradient
    square = gradient**2
    below = 2 * square + maps.sum((2, 3), keepdim=True) * gradient**3
    positive = (gradient > 0) & (below > 0)
    alpha = torch.where(positive, square / torch.where(positive, below, 1), 0)
    weights = (alpha * gradient).sum((2, 3), keepdim=True)
    return torch.relu((weights * maps).sum(1))


def _multiply(evidence: Evidence) -> Tensor:
    """HiResCAM: every position by its own gradient."""
    return torch.relu((evidence.gradient * evidence.maps).sum(1))


def _multiply_positive(evidence: Evidence) -> Tensor:
    """LayerCAM: every position by its own gradient where that is positive."""
    return torch.relu((torch.relu(evidence.gradient) * evidence.maps).sum(1))


METHODS: dict[str, Method] = {
    "gradcam": Method("Grad-CAM", "Selvaraju et al. 2017", weigh_by_mean_gradient),
    "gradcam++": Method("Grad-CAM++", "Chattopadhay et al. 2018", _weigh_by_positive_gradients),
    "hirescam": Method("HiResCAM", "Draelos and Carin 2020", _multiply),
    "layercam": Method("LayerCAM", "Jiang et al. 2021", _multiply_positive),
    "attention": Method("attention", "the network's own", None),
}
"""Every method by its key."""

SHOWN = "gradcam"
"""The method whose maps findings carry."""


def methods_for(network: Network) -> list[str]:
    """Keys of the methods that work with a network: all, but attention only where it has some."""
    return [key for key, method in METHODS.items() if method.weigh or isinstance(network, Attends)]


def explain(
    network: Network, images: Tensor, target: Tensor | int | None = None, methods: Iterable[str] | None = None
) -> Explanations:
    """Makes heat maps by several methods from one pass.

    Args:
        network: In evaluation mode.
        images: (B, C, S, S) float32 in [0, 1].
        target: Class to explain: (B,) int64, one index for all, or None for each scan's most probable class.
        methods: Keys of `METHODS`; None takes all that work with the network.

    Raises:
        ConfigError: If a method is unknown or does not work with the network.
        ValueError: If the network is in training mode.
    """
    possible = methods_for(network)
    chosen = possible if methods is None else list(methods)
    if unknown := [key for key in chosen if key not in possible]:
        raise ConfigError(f"no heat maps by {unknown[0]!r} for this network; there are {', '.join(possible)}")
    evidence = gather_evidence(network, images, target)
    heat = {}
    for key in chosen:
        weigh = METHODS[key].weigh
        if weigh is not None:
            heat[key] = weigh(evidence)
        else:
            assert isinstance(network, Attends)
            with torch.no_grad():
                heat[key] = network.attention_map(images).detach()
    return Explanations(evidence.logits, heat)
