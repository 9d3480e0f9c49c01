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

import torch
from torch import Tensor

from tumorlens.errors import ConfigError
from tumorlens.explain.gradcam import Evidence, choose_targets, gather_evidence, weigh_by_mean_gradient
from tumorlens.model import AttentiveNetwork, Network, Reading


@dataclass(frozen=True)
class Method:
    """A way to make a heat map, (B, h, w) float32 >= 0.

    Attributes:
        title: What people call it.
        reference: The paper.
        meaning: How it is made, for a report.
        weigh: Makes it of the last feature maps and their gradient; works with every network.
        read: Makes it of an attentive network's own reading and the (B,) classes to explain, without a gradient.
    """

    title: str
    reference: str
    meaning: str
    weigh: Callable[[Evidence], Tensor] | None = None
    read: Callable[[Reading, Tensor], Tensor] | None = None


@dataclass(frozen=True, eq=False)
class Explanations:
    """A batch's logits, and its heat maps by several methods.

    Attributes:
        logits: (B, classes) float32, before the softmax.
        maps: (B, F, h, w) float32, the last feature maps.
        heat: For each method's key (B, h, w) float32 >= 0, not normalised. All zero where there is no evidence.
    """

    logits: Tensor
    maps: Tensor
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


def surplus(contributions: Tensor) -> Tensor:
    """What each place adds to a class's logit beyond what it adds to all of them, which the softmax cancels.

    (B, classes, h, w) -> the same.
    """
    return contributions - contributions.mean(1, keepdim=True)


def _contributions(reading: Reading, target: Tensor) -> Tensor:
    return torch.relu(surplus(reading.contributions)[torch.arange(len(target)), target])


def _attention(reading: Reading, _: Tensor) -> Tensor:
    """Where the network attends, whatever the class."""
    return reading.attention.sigmoid()


METHODS: dict[str, Method] = {
    "gradcam": Method("Grad-CAM", "Selvaraju et al. 2017", "Grad-CAM at the last convolution", weigh_by_mean_gradient),
    "gradcam++": Method(
        "Grad-CAM++", "Chattopadhay et al. 2018", "Grad-CAM++ at the last convolution", _weigh_by_positive_gradients
    ),
    "hirescam": Method("HiResCAM", "Draelos and Carin 2020", "HiResCAM at the last convolution", _multiply),
    "layercam": Method("LayerCAM", "Jiang et al. 2021", "LayerCAM at the last convolution", _multiply_positive),
    "contributions": Method(
        "contributions", "the logits' own summands", "What each place adds to the logit", read=_contributions
    ),
    "attention": Method("attention", "the network's own, of no class", "Where the network attends", read=_attention),
}
"""Every method by its key."""


def methods_for(network: Network) -> list[str]:
    """Keys of the methods that work with a network: all, but readings only where the network gives some."""
    return [key for key, method in METHODS.items() if method.weigh or isinstance(network, AttentiveNetwork)]


def shown_method(network: Network) -> str:
    """Key of the method whose maps findings carry: the exact one where there is one, else Grad-CAM."""
    return "contributions" if isinstance(network, AttentiveNetwork) else "gradcam"


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
    if network.training:
        raise ValueError("the network is in training mode; call network.eval() before explaining it")
    weighers = {key: weigh for key in chosen if (weigh := METHODS[key].weigh)}
    readers = {key: read for key in chosen if (read := METHODS[key].read)}
    heat: dict[str, Tensor] = {}
    maps = logits = None
    if weighers or not readers:
        evidence = gather_evidence(network, images, target)
        maps, logits = evidence.maps, evidence.logits
        heat |= {key: weigh(evidence) for key, weigh in weighers.items()}
    if readers:
        assert isinstance(network, AttentiveNetwork)
        with torch.no_grad():
            maps = network.features(images) if maps is None else maps
            places = network.read(maps)
            logits = places.logits if logits is None else logits
            classes = choose_targets(target, places.logits)
            heat |= {key: read(places, classes) for key, read in readers.items()}
    assert maps is not None
    assert logits is not None
    return Explanations(logits, maps, {key: heat[key] for key in chosen})
