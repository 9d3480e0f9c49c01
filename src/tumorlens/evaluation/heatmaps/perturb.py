"""What is done to scans and networks to see whether heat maps follow, and how maps are compared.

References as in `faithfulness`.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import rankdata
from torch import Tensor, nn

from tumorlens.classifier import Classifier
from tumorlens.model import Network

STEPS = 16
"""Steps in which the pixels go or come; 96 of them changed no area by more than 0.003."""

NOISE = 0.02
"""Standard deviation of the noise, of intensities in [0, 1]."""

SHIFT = 0.05
"""How far scans are moved down and aside, as a share of their width."""

_BATCH = 16


def correlate(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float64]:
    """Spearman's rank correlation of maps, pair by pair; equal values share their rank.

    Takes (N, h, w) each; gives (N,) float64 in [-1, 1], NaN where `before` is flat, and 0 where only `after` is.
    """
    a, b = (rankdata(m.reshape(len(m), -1), axis=1) for m in (before, after))
    a, b = (m - m.mean(1, keepdims=True) for m in (a, b))
    spread, other = (a**2).sum(1), (b**2).sum(1)
    below = np.sqrt(spread * other)
    value = np.divide((a * b).sum(1), below, out=np.zeros(len(a)), where=below > 0)
    return np.where(spread > 0, value, np.nan)


def displacement(before: NDArray[np.float32], after: NDArray[np.float32], side: int) -> NDArray[np.float64]:
    """Distance of the hottest points, as a share of the side; NaN where either map is blank."""
    points = [np.unravel_index(m.reshape(len(m), -1).argmax(1), m.shape[1:]) for m in (before, after)]
    (y, x), (v, u) = points
    blank = (before.max((1, 2)) <= 0) | (after.max((1, 2)) <= 0)
    return np.where(blank, np.nan, np.hypot(y - v, x - u) / side)


def randomize(network: Network, parts: Sequence[str], seed: int) -> Network:
    """A copy of a network that has forgotten what some of its parts learnt.

    Layers start anew as before training; a layer that cannot has its own parameters' entries shuffled.

    `parts` are names of the network's attributes, such as "head"; the network itself stays as it is.
    """
    device = next(network.parameters()).device
    copy = deepcopy(network).cpu()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for part in parts:
            for module in getattr(copy, part).modules():
                _restart(module)
    return copy.to(device).eval()


def _restart(module: nn.Module) -> None:
    if callable(restart := getattr(module, "reset_parameters", None)):
        restart()
        return
    for parameter in module.parameters(recurse=False):
        parameter.copy_(parameter.flatten()[torch.randperm(parameter.numel())].reshape(parameter.shape))


def add_noise(images: Tensor, seed: Sequence[int]) -> Tensor:
    """The scans under normal noise, still in [0, 1]."""
    noise = np.random.default_rng(seed).normal(0, NOISE, tuple(images.shape)).astype(np.float32)
    return (images + torch.from_numpy(noise)).clamp(0, 1)


def corner_shifts(side: int) -> list[tuple[int, int]]:
    """Down and right, in pixels of the input: one to each corner."""
    step = max(1, round(SHIFT * side))
    return [(step, step), (step, -step), (-step, step), (-step, -step)]


def move(images: Tensor, down: int, right: int) -> Tensor:
    """The scans moved by whole pixels; what comes in is black."""
    padded = F.pad(images, (max(right, 0), max(-right, 0), max(down, 0), max(-down, 0)))
    height, width = images.shape[2:]
    return padded[..., max(-down, 0) : max(-down, 0) + height, max(-right, 0) : max(-right, 0) + width]


def align(
    before: NDArray[np.float32], after: NDArray[np.float32], down: int, right: int, side: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The part of the maps of a scan and of the scan moved that shows the same tissue, in pixels of the input."""
    a, b = (F.interpolate(torch.from_numpy(m)[:, None], (side, side), mode="bilinear")[:, 0] for m in (before, after))
    y, x = max(-down, 0), max(-right, 0)
    height, width = side - abs(down), side - abs(right)
    return (
        a[:, y : y + height, x : x + width].numpy(),
        b[:, y + down : y + down + height, x + right : x + right + width].numpy(),
    )


def pixel_curves(
    classifier: Classifier, images: Tensor, blurred: Tensor, heat: Tensor, target: Tensor, steps: int = STEPS
) -> dict[str, NDArray[np.float64]]:
    """The class's probability while pixels come and go, the hottest first.

    `images`, and `blurred`, what insertion starts from, are (B, C, S, S) float32 in [0, 1]; `heat` is (B, S, S), no two
    pixels of a scan equal; `target` is (B,) int64.

    Returns:
        "insertion" and "deletion", (B, steps + 1) float64 in [0, 1], from no pixel to all of them.
    """
    rank = heat.flatten(1).argsort(1, descending=True).argsort(1).reshape(heat.shape)
    cuts = torch.linspace(0, rank[0].numel(), steps + 1)
    chosen = rank[:, None, None] < cuts[None, :, None, None, None]  # (B, steps + 1, 1, S, S)
    curves = {}
    for check, before, after in (("insertion", blurred, images), ("deletion", images, torch.zeros_like(images))):
        changed = torch.where(chosen, after[:, None], before[:, None])
        p = classifier.probabilities(changed.flatten(0, 1).numpy())
        every = target.numpy().repeat(steps + 1)
        curves[check] = p[np.arange(len(p)), every].reshape(len(images), steps + 1)
    return curves


def insert_and_delete(
    classifier: Classifier,
    scans: Tensor,
    heat: NDArray[np.float32] | None,
    target: Tensor,
    fineness: tuple[int, ...],
    seed: int,
) -> dict[str, NDArray[np.float64]]:
    """Areas under the curves of `pixel_curves`.

    `scans` are (N, C, S, S) float32 in [0, 1], `target` (N,) int64. `heat` is (N, h, w); None takes a random map of
    `fineness` (h, w). Gives "insertion" and "deletion", (N,) float64 in [0, 1].
    """
    side = scans.shape[3]
    blurred = torch.from_numpy(ndimage.gaussian_filter(scans.numpy(), (0, 0, side / 16, side / 16)))
    # Equal pixels, such as all those without heat, go by the random map, too.
    coarse = np.random.default_rng(seed).random((len(scans), 1, *fineness), np.float32)
    lots = F.interpolate(torch.from_numpy(coarse), (side, side), mode="bilinear").flatten(1)
    areas: dict[str, list[NDArray[np.float64]]] = {"insertion": [], "deletion": []}
    for start in range(0, len(scans), _BATCH):
        part = slice(start, start + _BATCH)
        drawn = lots[part].argsort(1)
        fine = torch.zeros_like(lots[part])
        if heat is not None:
            fine = F.interpolate(torch.from_numpy(heat[part])[:, None], (side, side), mode="bilinear").flatten(1)
        order = drawn.gather(1, fine.gather(1, drawn).argsort(dim=1, stable=True))  # coldest first
        ranks = order.argsort(1).float().reshape(-1, side, side)
        for check, curve in pixel_curves(classifier, scans[part], blurred[part], ranks, target[part]).items():
            areas[check].append((curve[:, 1:] + curve[:, :-1]).mean(1) / 2)
    return {check: np.concatenate(values) for check, values in areas.items()}
