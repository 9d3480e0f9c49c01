"""Answers that are the mean over a scan and its mirror image."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tumorlens.card import WeightsCard
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.explain.cam import explain, methods_for
from tumorlens.model import AttentiveNetwork, Network, build_network
from tumorlens.model.mirrored import mirror, unmirrored
from tumorlens.model.weights import load_weights, save_weights
from tumorlens.preprocess import Preprocessing

OPTIONS: dict[str, dict[str, Any]] = {
    "cnn_lstm": {"widths": [4, 6], "depth": 1, "hidden": 4},
    "cnn_lstm_attention": {"widths": [4, 6], "depths": [0, 0], "maps": 6, "hidden": 4, "dense": 6},
}


@pytest.fixture(params=list(OPTIONS))
def network(request: pytest.FixtureRequest) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_network(request.param, channels=1, classes=4, **OPTIONS[request.param]).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def test_logits_are_the_mean_of_both(network: Network, images: torch.Tensor) -> None:
    expected = (network(images) + network(images.flip(3))) / 2
    torch.testing.assert_close(mirror(network)(images), expected)


def test_every_map_of_the_mirror_image_is_the_mirrored_map(network: Network, images: torch.Tensor) -> None:
    both = mirror(network).eval()
    assert methods_for(both) == methods_for(network)
    for target in range(4):
        seen, turned = explain(both, images, target), explain(both, images.flip(3), target)
        for key, heat in seen.heat.items():
            torch.testing.assert_close(turned.heat[key].flip(2), heat, msg=key)


def test_contributions_still_sum_to_the_logits(images: torch.Tensor) -> None:
    both = mirror(build_network("cnn_lstm_attention", channels=1, classes=4, **OPTIONS["cnn_lstm_attention"]).eval())
    assert isinstance(both, AttentiveNetwork)
    reading = both.read(both.features(images))
    torch.testing.assert_close(reading.contributions.sum((2, 3)), both(images))
    torch.testing.assert_close(reading.logits, both(images))


def test_weights_are_those_of_the_network_itself_and_the_card_says_how_to_ask_it(
    network: Network, images: torch.Tensor, tmp_path: Path
) -> None:
    name = "cnn_lstm_attention" if isinstance(network, AttentiveNetwork) else "cnn_lstm"
    card = WeightsCard(
        name="both", network=name, options=OPTIONS[name], preprocessing=Preprocessing(size=32), classes=BRAIN_TUMORS
    )
    plain, mirrored = tmp_path / "plain.safetensors", tmp_path / "mirrored.safetensors"
    save_weights(network, card, plain)
    save_weights(mirror(network), card.model_copy(update={"mirrored": True}), mirrored)
    assert plain.read_bytes() == mirrored.read_bytes()
    loaded, _ = load_weights(mirrored)
    torch.testing.assert_close(loaded(images), mirror(network)(images))
    assert not loaded.training
    assert unmirrored(loaded) is not loaded
    assert unmirrored(network) is network
