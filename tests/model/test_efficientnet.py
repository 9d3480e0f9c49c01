import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
import torch

from tumorlens.errors import ChecksumMismatch, MissingExtra
from tumorlens.model import AttentiveNetwork, Network, build_network, efficientnet


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    made = build_network("cnn_lstm_efficientnet", channels=1, classes=4, nothing=[3])
    made.begin()
    return made.eval()


def test_its_maps_are_a_quarter_as_fine_as_the_input_and_its_answer_is_their_sum(network: Network) -> None:
    assert isinstance(network, AttentiveNetwork)
    x = torch.rand(2, 1, 64, 64)
    maps = network.features(x)
    assert maps.shape == (2, 64, 16, 16)
    reading = network.read(maps)
    assert torch.allclose(reading.contributions.sum((2, 3)), network(x), atol=1e-5)


def test_a_grey_picture_is_the_same_in_one_channel_as_in_three(network: Network) -> None:
    three = build_network("cnn_lstm_efficientnet", channels=3, classes=4)
    three.begin()
    x = (torch.rand(1, 1, 64, 64) * 255 - 127) / 128
    stem, wide = (n.features.get_submodule("stem") for n in (network, three.eval()))
    assert torch.allclose(stem(x), wide(x.expand(-1, 3, -1, -1)), atol=1e-4)


def test_an_ablation_begins_without_pretrained_features() -> None:
    fresh = build_network("cnn_lstm_efficientnet", channels=1, classes=4, pretrained=False)
    weight = fresh.features.get_parameter("stages.0.0.layers.0.weight")
    before = weight.clone()
    assert fresh.begin() == ""
    assert torch.equal(before, weight)


def test_every_pretrained_tensor_up_to_the_last_maps_is_used(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    real = torch.load
    monkeypatch.setattr(torch, "load", lambda *a, **k: given.setdefault("state", real(*a, **k)))
    made = build_network("cnn_lstm_efficientnet", channels=3, classes=4)
    made.begin()
    own = {float(v.double().sum()) for v in made.features.state_dict().values()}
    body = {k: v for k, v in given["state"].items() if not k.startswith(("_conv_head", "_bn1.", "_fc"))}
    assert len(body) > 280
    assert all(float(v.double().sum()) in own for v in body.values())


def test_half_precision_training_keeps_the_channelwise_convolutions_single(network: Network) -> None:
    layer = efficientnet.Depthwise(8, 3)
    x = torch.rand(1, 8, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), layer(x.bfloat16().float()), atol=2e-2)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match="train"):
        build_network("cnn_lstm_efficientnet", channels=1, classes=4).begin()


def test_another_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"something else")
    spec = ModuleSpec("x", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(efficientnet, "find_spec", lambda _: spec)
    with pytest.raises(ChecksumMismatch, match="install the package again"):
        build_network("cnn_lstm_efficientnet", channels=1, classes=4).begin()


def test_loading_weights_needs_no_pretrained_file() -> None:
    build_network("cnn_lstm_efficientnet", channels=1, classes=4, nothing=[3])
    assert efficientnet.PRETRAINED_PACKAGE not in sys.modules
