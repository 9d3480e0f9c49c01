"""Weights and their card, written and loaded together: safetensors and JSON, never a pickle."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from tumorlens.card import WeightsCard, find_weights, read_card, read_weights, write_card
from tumorlens.errors import ConfigError, ModelError
from tumorlens.files import write_atomically
from tumorlens.model.gate import Gate
from tumorlens.model.mirrored import mirror, unmirrored
from tumorlens.model.network import Network, build_network

_GATE = "unknown."  # prefix of the gate's tensors


def save_weights(network: Network, card: WeightsCard, path: Path, gate: Gate | None = None) -> WeightsCard:
    """Writes weights and card, the card last: weights without one are not complete.

    An earlier card is removed first, so that none ever stands beside weights that are not its own.

    Args:
        network: Whose weights to write.
        card: Its card; sha256 is filled in.
        path: The .safetensors file; the card lies beside it, with the suffix .json.
        gate: Goes into the same file, if there is one.

    Returns:
        The card as written.
    """
    tensors = {k: v.detach().cpu().contiguous() for k, v in unmirrored(network).state_dict().items()}
    if card.half:
        tensors = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    if gate is not None:
        tensors |= {_GATE + name: torch.from_numpy(value) for name, value in gate.tensors().items()}
    data = save_tensors(tensors)
    # A graph of the weights before is none of these.
    card = card.model_copy(update={"sha256": hashlib.sha256(data).hexdigest(), "graph_sha256": ""})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").unlink(missing_ok=True)
    write_atomically(path, data)
    write_card(card, path)
    return card


def load_weights(name_or_path: str | Path) -> tuple[Network, WeightsCard]:
    """Loads a network, in evaluation mode, with its card.

    Raises:
        ModelError: If there are no such weights, or they do not fit their card.
        ChecksumMismatch: If the weights are not those the card was written for.
    """
    path, card, data = _read(name_or_path)
    try:
        network = build_for(card)
        network.load_state_dict({k: v for k, v in load_tensors(data).items() if not k.startswith(_GATE)})  # widens
    except (SafetensorError, RuntimeError, ConfigError) as error:
        raise _misfit(path, error) from error
    return (mirror(network) if card.mirrored else network).eval(), card


def build_for(card: WeightsCard) -> Network:
    """The untrained network that a card describes; errors are those of `build_network`."""
    channels, classes = card.preprocessing.channels, card.classes
    return build_network(card.network, channels=channels, classes=len(classes), nothing=classes.nothing, **card.options)


def load_gate(name_or_path: str | Path) -> Gate | None:
    """Loads the gate for unknown scans that lies with the weights, or None if there is none.

    Raises:
        ModelError: If there are no such weights, or half a gate.
        ChecksumMismatch: If the weights are not those the card was written for.
    """
    path, _, data = _read(name_or_path)
    try:
        gate = {k.removeprefix(_GATE): v.numpy() for k, v in load_tensors(data).items() if k.startswith(_GATE)}
        return Gate.of_tensors(gate) if gate else None
    except (SafetensorError, KeyError) as error:
        raise _misfit(path, error) from error


def _read(name_or_path: str | Path) -> tuple[Path, WeightsCard, bytes]:
    path = find_weights(name_or_path)
    card = read_card(path)
    return path, card, read_weights(path, card)


def _misfit(path: Path, error: Exception) -> ModelError:
    return ModelError(f"{path}: does not fit its card ({' '.join(str(error).split())[:200]})")
