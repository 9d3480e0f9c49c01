"""Grad-CAM at the last convolution, without hooks.

Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, ICCV 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tumorlens.model import Network


@dataclass(frozen=True, eq=False)
class Explained:
    """A batch's logits and heat maps, from one pass.

    Attributes:
        logits: (B, classes) float32, before the softmax.
        heat: (B, h, w) float32 >= 0 at the last convolution's resolution, not normalised. All zero where nothing
            in the feature maps speaks for the class.
    """

    logits: Tensor
    heat: Tensor


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the class activation maps of a batch are made of.

    Attributes:
        logits: (B, classes) float32, before the softmax.
        target: (B,) int64, the classes explained.
        maps: (B, F, h, w) float32, feature maps of the last convolution.
        gradient: (B, F, h, w) float32, of each scan's logit of its `target` with respect to its `maps`.
    """

    logits: Tensor
    target: Tensor
    maps: Tensor
    gradient: Tensor


def grad_cam(network: Network, images: Tensor, target: Tensor | int | None = None) -> Explained:
    r"""Computes class activation maps.

    $$L^c = \mathrm{ReLU}\Big(\sum_k \alpha_k^c A^k\Big), \quad
    \alpha_k^c = \frac{1}{hw} \sum_{ij} \frac{\partial y^c}{\partial A^k_{ij}}$$

    with the feature maps $A^k$ of the last convolution and the logit $y^c$. It works whether or not the caller is
    under `torch.no_grad()` or `torch.inference_mode()`, and touches the gradient of no parameter.

    Args:
        network: In evaluation mode.
        images: (B, C, S, S) float32 in [0, 1].
        target: Class to explain: (B,) int64, one index for all, or None for each scan's most probable class.

    Raises:
        ValueError: If the network is in training mode: dropout would make every map another one.
    """
    evidence = gather_evidence(network, images, target)
    return Explained(evidence.logits, weigh_by_mean_gradient(evidence))


def weigh_by_mean_gradient(evidence: Evidence) -> Tensor:
    """The maps of `grad_cam`, (B, h, w) float32 >= 0, from evidence that is gathered already."""
    return torch.relu((evidence.gradient.mean((2, 3), keepdim=True) * evidence.maps).sum(1))


def gather_evidence(network: Network, images: Tensor, target: Tensor | int | None = None) -> Evidence:
    """Runs a batch forwards, and the head backwards. Arguments and errors are those of `grad_cam`."""
    if network.training:
        raise ValueError("the network is in training mode; call network.eval() before explaining it")
    # Tensors made under inference mode never carry gradients, so leave it, and take the images along as a copy.
    with torch.inference_mode(False), torch.enable_grad():
        with torch.no_grad():
            maps = network.features(images.clone() if images.is_inference() else images)
        maps = maps.detach().requires_grad_()
        # cuDNN's LSTM has no backward pass in evaluation mode; PyTorch's own has.
        with torch.backends.cudnn.flags(enabled=not maps.is_cuda):
            logits = network.head(maps.clone())  # a head may begin by changing its input in place
            chosen = choose_targets(target, logits)
            (gradient,) = torch.autograd.grad(logits.gather(1, chosen[:, None]).sum(), maps)
    return Evidence(logits.detach(), chosen, maps.detach(), gradient)


def choose_targets(target: Tensor | int | None, logits: Tensor) -> Tensor:
    """The classes to explain as (B,) int64: those given, one for all, or each scan's most probable one."""
    if target is None:
        return logits.detach().argmax(1)
    if isinstance(target, int):
        return torch.full((len(logits),), target, device=logits.device)
    return target.to(logits.device)
