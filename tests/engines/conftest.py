from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from tumorlens.card import WeightsCard
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.engines.eager import Eager
from tumorlens.model import build_network
from tumorlens.model.gate import Gate
from tumorlens.model.weights import save_weights
from tumorlens.preprocess import Preprocessing

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "attentive": ("cnn_lstm_attention", {"widths": [4, 6, 8], "maps": 6, "hidden": 5, "dense": 6}),
    "coarser": ("cnn_lstm_attention", {"widths": [4, 6, 8], "maps": 6, "hidden": 5, "reduction": 4, "block": 2}),
    "without LSTM": ("cnn_lstm_attention", {"widths": [4, 6], "depths": [1, 1], "maps": 6, "sequence": False}),
    "finds before it names": (
        "cnn_lstm_attention",
        {"widths": [4, 6, 8], "maps": 6, "hidden": 5, "dense": 6, "background": 0.01},
    ),
    "paper's": ("cnn_lstm", {"widths": [4, 6, 8], "depth": 1, "hidden": 6}),
    "usual notebook's": (
        "cnn_lstm",
        {"widths": [4, 6, 8], "depth": 1, "hidden": 6, "readout": "last", "bidirectional": False},
    ),
    "cnn": ("cnn", {"widths": [4, 6], "depth": 1}),
    "pretrained": ("cnn_lstm_efficientnet", {"maps": 8, "hidden": 5, "dense": 6, "block": 2}),
}


def pictures(count: int, seed: int) -> np.ndarray:
    """Coarse patterns, some bright and some dark: pure noise all looks the same to a network."""
    rng = np.random.default_rng(seed)
    coarse = np.kron(rng.random((count, 1, 8, 8), np.float32), np.ones((1, 1, 4, 4), np.float32))
    return coarse * rng.random((count, 1, 1, 1), np.float32)


def make(kind: str, folder: Path, *, mirrored: bool = False, gated: bool = True, half: bool = False) -> Path:
    """Untrained weights with random statistics, a gate, a temperature and a bias."""
    name, options = KINDS[kind]
    torch.manual_seed(0)
    network = build_network(name, channels=1, classes=4, nothing=BRAIN_TUMORS.nothing, **options).eval()
    pretrained = network.begin()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d) and not pretrained:
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.3)
    card = WeightsCard(
        name="tiny",
        network=name,
        options=options,
        preprocessing=Preprocessing(size=32),
        classes=BRAIN_TUMORS,
        mirrored=mirrored,
        half=half,
        temperature=1.7,
        bias={"glioma": 0.9, "no_tumor": -0.9},
    )
    path = folder / "w.safetensors"
    save_weights(network, card, path)
    if gated:
        eager = Eager.load(path)
        scans = pictures(80, 0)
        save_weights(network, card, path, Gate.fit((scans, eager.pool(scans)), (scans, eager.pool(scans))))
    return path
