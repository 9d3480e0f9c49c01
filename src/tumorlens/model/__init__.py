"""The networks, and their weights."""

from tumorlens.model import cnn_lstm as _cnn_lstm  # noqa: F401  registers the networks
from tumorlens.model.network import Network, build_network, network_names

__all__ = ["Network", "build_network", "network_names"]
