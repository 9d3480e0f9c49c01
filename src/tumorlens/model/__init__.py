"""The networks, and their weights."""

from tumorlens.model import cnn_lstm as _cnn_lstm  # noqa: F401  registers the networks
from tumorlens.model import cnn_lstm_attention as _cnn_lstm_attention  # noqa: F401
from tumorlens.model import efficientnet as _efficientnet  # noqa: F401
from tumorlens.model.network import AttentiveNetwork, Network, Reading, build_network, network_names
from tumorlens.model.pretrained import Pretrained, load

__all__ = ["AttentiveNetwork", "Network", "Pretrained", "Reading", "build_network", "load", "network_names"]
