"""Weights and their card, written and loaded together: safetensors and JSON, never a pickle."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from tumorlens.card import WeightsCard, find_weights, read_card, write_card, write_whole
from tumorlens.errors import ChecksumMismatch, ConfigError, ModelError
from tumorlens.model.network import Network, build_network


def save_weights(network: Network, card: WeightsCard, path: Path) -> WeightsCard:
    """Writes weights and card, the card last: weights without one are not complete.

    Args:
        network: Whose weights to write.
        card: Its card; sha256 is filled in.
        path: The .safetensors file; the card lies beside it, with the suffix .json.

    Returns:
        The card as written.
    """
    data = save_tensors({k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()})
    card = card.model_copy(update={"sha256": hashlib.sha256(data).hexdigest()})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)
    write_card(card, path)
    return card


def load_weights(name_or_path: str | Path) -> tuple[Network, WeightsCard]:
    """Loads a network, in evaluation mode, with its card.

    Raises:
        ModelError: If there are no such weights, or they do not fit their card.
        ChecksumMismatch: If the weights are not those the card was written for.
    """
    path = find_weights(name_or_path)
    card = read_card(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); check who may read it") from error
    if hashlib.sha256(data).hexdigest() != card.sha256:
        raise ChecksumMismatch(f"{path}: is damaged or not the file its card describes; get the pair again")
    try:
        network = build_network(
            card.network, channels=card.preprocessing.channels, classes=len(card.classes), **card.options
        )
        network.load_state_dict(load_tensors(data))
    except (SafetensorError, RuntimeError, ConfigError) as error:
        raise ModelError(f"{path}: does not fit its card ({' '.join(str(error).split())[:200]})") from error
    return network.eval(), card
