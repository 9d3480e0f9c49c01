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
        return torch.cat([self.features(x), self.features(x.flip(3)).flip(3)], 1)


class _Mean(nn.Module):
    """The mean of a head's answers to both: (B, 2F, h, w) -> (B, classes)."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, maps: Tensor) -> Tensor:
        seen, mirrored = maps.chunk(2, 1)
        mean: Tensor = (self.head(seen) + self.head(mirrored.flip(3))) / 2
        return mean

    def read(self, maps: Tensor) -> Reading:
        seen, mirrored = maps.chunk(2, 1)
        one, other = self.head.read(seen), self.head.read(mirrored.flip(3))  # type: ignore[operator]
        return Reading(
            (one.logits + other.logits) / 2,
            (one.contributions + other.contributions.flip(3)) / 2,
            (one.attention + other.attention.flip(2)) / 2,
        )


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
