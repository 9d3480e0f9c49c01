"""The mean of a network's answers to a scan and to its mirror image: steadier, for twice the time.

The left and the right half of a head look alike, and training shows both. The mean of sums over places is a sum over
places, so heat maps stay exact. (Simonyan and Zisserman, Very deep convolutional networks, ICLR 2015, average over
mirrored images.)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tumorlens.model.network import AttentiveNetwork, Network, Reading


class _BothWays(nn.Module):
    """Features of the scan and, turned back, of its mirror image: (B, C, S, S) -> (B, 2F, h, w)."""

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features

    def forward(self, x: Tensor) -> Tensor:
        seen, mirrored = _halves(self.features(torch.cat([x, x.flip(3)])))
        return torch.cat([seen, mirrored.flip(3)], 1)


class _Mean(nn.Module):
    """The mean of a head's answers to both: (B, 2F, h, w) -> (B, classes)."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, maps: Tensor) -> Tensor:
        logits, mirrored = _halves(self.head(_stacked(maps)))
        mean: Tensor = (logits + mirrored) / 2
        return mean

    def read(self, maps: Tensor) -> Reading:
        both: Reading = self.head.read(_stacked(maps))  # type: ignore[operator]
        (logits, contributions, attention), mirrored = zip(
            *map(_halves, (both.logits, both.contributions, both.attention)), strict=True
        )
        return Reading(
            (logits + mirrored[0]) / 2,
            (contributions + mirrored[1].flip(3)) / 2,
            (attention + mirrored[2].flip(2)) / 2,
        )

    def weigh(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        logits, weights = self.head.weigh(_stacked(maps))  # type: ignore[operator]
        (logits, mirrored), (own, other) = _halves(logits), _halves(weights)
        # A mean over positions is the same of a map and of its mirror image.
        return (logits + mirrored) / 2, torch.cat([own, other], 2) / 2


def _stacked(maps: Tensor) -> Tensor:
    """(B, 2F, h, w) -> (2B, F, h, w): both as one batch, the mirror image's as the network saw them."""
    seen, mirrored = maps.chunk(2, 1)
    return torch.cat([seen, mirrored.flip(3)])


def _halves(batch: Tensor) -> tuple[Tensor, Tensor]:
    """The scans' half of a batch of 2B, and their mirror images'."""
    half = batch.shape[0] // 2  # not len(), which would fix the size of an exported graph
    return batch[:half], batch[half:]


class _Mirrored(Network):
    """A network that looks at each scan and at its mirror image; `network` is the one it asks."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.features, self.head = _BothWays(network.features), _Mean(network.head)
        self.network = network


class _MirroredAttentive(_Mirrored, AttentiveNetwork):
    """The same of an attentive network, and attentive itself."""


def mirror(network: Network) -> Network:
    """The network whose logits, and whose places' parts in them, are the mean over a scan and its mirror image."""
    return _MirroredAttentive(network) if isinstance(network, AttentiveNetwork) else _Mirrored(network)


def unmirrored(network: Network) -> Network:
    """The network that `mirror` was given; any other one as it is."""
    return network.network if isinstance(network, _Mirrored) else network
