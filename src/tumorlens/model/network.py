"""What every network here is: `features` up to the last convolution, then `head`.

The cut is what makes Grad-CAM free of hooks: the heat map needs the last feature maps and the gradient of a logit
with respect to them, and both halves are plain calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from tumorlens.errors import ConfigError


class Network(nn.Module):
    """A classifier split at its last convolution.

    Subclasses set `features`, (B, channels, size, size) float32 in [0, 1] -> (B, F, h, w), and `head`,
    (B, F, h, w) -> (B, classes) logits.
    """

    features: nn.Module
    head: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, size, size) in [0, 1] -> (B, classes) logits; softmax makes them probabilities."""
        logits: Tensor = self.head(self.features(x))
        return logits

    def begin(self) -> str:
        """Makes the network ready for its first training step: loads features learnt elsewhere, where it has some.

        Returns:
            What they are and their licence, for the card; empty where there are none.
        """
        return ""


def biased(logits: Tensor, bias: Sequence[float]) -> Tensor:
    """(B, classes) logits with a number added to each class's, as calibration found; of no bias the same."""
    return logits + logits.new_tensor(bias) if bias else logits


@dataclass(frozen=True, eq=False)
class Reading:
    """What an attentive network makes of a batch, place by place.

    Attributes:
        logits: (B, classes) float32; the sum of the contributions over all places.
        contributions: (B, classes, h, w) float32, each place's part in each logit.
        attention: (B, h, w) float32, before its sigmoid: whether the place matters, whatever the class.
    """

    logits: Tensor
    contributions: Tensor
    attention: Tensor


class AttentiveNetwork(Network):
    """A network whose logits are a sum over places. Its head has `read` too, and outlines can guide its attention."""

    def read(self, maps: Tensor) -> Reading:
        """(B, F, h, w) last feature maps -> logits, and what each place adds to them."""
        reading: Reading = self.head.read(maps)  # type: ignore[operator]
        return reading


_REGISTRY: dict[str, type[Network]] = {}


def register(name: str) -> Callable[[type[Network]], type[Network]]:
    """Makes a network class buildable by name."""

    def add(network: type[Network]) -> type[Network]:
        _REGISTRY[name] = network
        return network

    return add


def network_names() -> list[str]:
    """The names `build_network` knows."""
    return sorted(_REGISTRY)


def build_network(name: str, *, channels: int, classes: int, nothing: Sequence[int] = (), **options: Any) -> Network:
    """Builds an untrained network.

    Args:
        name: One of `network_names()`.
        channels: Channels of the input, 1 or 3.
        classes: Number of outputs.
        nothing: Indices of the classes that mean nothing was found, for networks that find before they name.
        **options: The network's own settings, as its weights card holds them.

    Raises:
        ConfigError: If the name or an option is unknown, or no network can have it.
    """
    if name not in _REGISTRY:
        raise ConfigError(f"no network is called {name!r}; there are {', '.join(network_names())}")
    network = _REGISTRY[name]
    if issubclass(network, AttentiveNetwork):
        options["nothing"] = tuple(nothing)
    try:
        return network(channels=channels, classes=classes, **options)
    except (TypeError, ValueError, IndexError, RuntimeError) as error:  # what PyTorch's layers raise
        raise ConfigError(f"{name}: {error}") from error
