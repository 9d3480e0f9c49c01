"""The ways to make a heat map, side by side and without hooks: one pass of the network serves them all.

References:
    Selvaraju et al., Grad-CAM: Visual explanations from deep networks via gradient-based localization, ICCV 2017.
    Chattopadhay et al., Grad-CAM++: Generalized gradient-based visual explanations, WACV 2018.
    Draelos and Carin, Use HiResCAM instead of Grad-CAM for faithful explanations, arXiv:2011.08891, 2020.
    Jiang et al., LayerCAM: Exploring hierarchical class activation maps for localization, IEEE TIP 30, 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tumorlens.errors import ConfigError
from tumorlens.model import AttentiveNetwork, Network, Reading
from tumorlens.model.network import biased


@dataclass(frozen=True)
class Method:
    """A way to make a heat map, (B, h, w) float32 >= 0.

    Attributes:
        meaning: How it is made, for a report.
        weigh: Makes it of the last feature maps and the gradient of the class's logit with respect to them, each
            (B, F, h, w); works with every network.
        read: Makes it of an attentive network's own reading and the (B,) classes to explain, without a gradient.
    """

    title: str
    reference: str
    meaning: str
    weigh: Callable[[Tensor, Tensor], Tensor] | None = None
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


def _weigh_by_mean_gradient(maps: Tensor, gradient: Tensor) -> Tensor:
    r"""Grad-CAM: every feature map by the mean of its gradient.

    $$L^c = \mathrm{ReLU}\Big(\sum_k \alpha_k^c A^k\Big), \quad
    \alpha_k^c = \frac{1}{hw} \sum_{ij} \frac{\partial y^c}{\partial A^k_{ij}}$$
    """
    return torch.relu((gradient.mean((2, 3), keepdim=True) * maps).sum(1))


def _weigh_by_positive_gradients(maps: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM++: positions with a positive gradient weigh by its square over the square and the cube, eq. 19."""
    square = gradient**2
    below = 2 * square + maps.sum((2, 3), keepdim=True) * gradient**3
    positive = (gradient > 0) & (below > 0)
    alpha = torch.where(positive, square / torch.where(positive, below, 1), 0)
    weights = (alpha * gradient).sum((2, 3), keepdim=True)
    return torch.relu((weights * maps).sum(1))


def _multiply(maps: Tensor, gradient: Tensor) -> Tensor:
    """HiResCAM: every position by its own gradient."""
    return torch.relu((gradient * maps).sum(1))


def _multiply_positive(maps: Tensor, gradient: Tensor) -> Tensor:
    """LayerCAM: every position by its own gradient where that is positive."""
    return torch.relu((torch.relu(gradient) * maps).sum(1))


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
    "gradcam": Method("Grad-CAM", "Selvaraju et al. 2017", "Grad-CAM at the last convolution", _weigh_by_mean_gradient),
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
    network: Network,
    images: Tensor,
    target: Tensor | int | None = None,
    methods: Iterable[str] | None = None,
    *,
    bias: Sequence[float] = (),
) -> Explanations:
    """Makes heat maps by several methods from one pass.

    It works whether or not the caller is under `torch.no_grad()` or `torch.inference_mode()`, and touches the gradient
    of no parameter.

    Args:
        network: In evaluation mode.
        images: (B, C, S, S) float32 in [0, 1].
        target: Class to explain: (B,) int64, one index for all, or None for each scan's most probable class.
        methods: Keys of `METHODS`; None takes all that work with the network.
        bias: Added to the logits, a number a class; it may change which class is the most probable.

    Raises:
        ConfigError: If a method is unknown or does not work with the network.
        ValueError: If the network is in training mode: dropout would make every map another one.
    """
    possible = methods_for(network)
    chosen = possible if methods is None else list(methods)
    if unknown := [key for key in chosen if key not in possible]:
        raise ConfigError(f"no heat maps by {unknown[0]!r} for this network; there are {', '.join(possible)}")
    if network.training:
        raise ValueError("the network is in training mode; call network.eval() before explaining it")
    weighers = {key: weigh for key in chosen if (weigh := METHODS[key].weigh)}
    readers = {key: read for key in chosen if (read := METHODS[key].read)}
    # Tensors made under inference mode never carry gradients, so leave it, and take the images along as a copy.
    with torch.inference_mode(False), torch.no_grad():
        maps = network.features(images.clone() if images.is_inference() else images).detach()
        reading = network.read(maps) if readers and isinstance(network, AttentiveNetwork) else None
    if weighers or reading is None:
        logits, gradient = _differentiate(network, maps, target, bias)
        heat = {key: weigh(maps, gradient) for key, weigh in weighers.items()}
    else:
        logits, heat = biased(reading.logits, bias), {}
    if reading is not None:
        classes = _choose_targets(target, logits)
        heat |= {key: read(reading, classes) for key, read in readers.items()}
    return Explanations(logits, maps, {key: heat[key] for key in chosen})


def _differentiate(
    network: Network, maps: Tensor, target: Tensor | int | None, bias: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Logits (B, classes), and the gradient of each scan's logit of its target with respect to its maps."""
    # cuDNN's LSTM has no backward pass in evaluation mode; PyTorch's own has.
    with torch.inference_mode(False), torch.enable_grad(), torch.backends.cudnn.flags(enabled=not maps.is_cuda):
        inputs = maps.detach().requires_grad_()
        logits = biased(network.head(inputs.clone()), bias)  # a head may begin by changing its input in place
        own = logits.gather(1, _choose_targets(target, logits)[:, None])
        (gradient,) = torch.autograd.grad(own.sum(), inputs)
    return logits.detach(), gradient


def _choose_targets(target: Tensor | int | None, logits: Tensor) -> Tensor:
    """The classes to explain as (B,) int64: those given, one for all, or each scan's most probable one."""
    if target is None:
        return logits.detach().argmax(1)
    if isinstance(target, int):
        return torch.full((len(logits),), target, device=logits.device)
    return target.to(logits.device)
