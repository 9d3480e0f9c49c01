"""Networks by name."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tumorlens.errors import ConfigError
from tumorlens.model import Network, build_network, network_names
from tumorlens.model import network as registry


@pytest.mark.parametrize("name", ["cnn", "cnn_lstm"])
@pytest.mark.parametrize(("channels", "classes", "size"), [(1, 4, 64), (3, 2, 48), (1, 7, 16)])
def test_every_network_takes_any_channels_classes_and_size(name: str, channels: int, classes: int, size: int) -> None:
    network = build_network(name, channels=channels, classes=classes).eval()
    logits = network(torch.rand(2, channels, size, size))
    assert logits.shape == (2, classes)
    assert logits.isfinite().all()


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(ConfigError, match=r"no network is called 'resnet'; there are .*cnn, cnn_lstm"):
        build_network("resnet", channels=1, classes=4)


@pytest.mark.parametrize(
    "options",
    [{"depht": 2}, {"widths": []}, {"widths": [-4]}, {"hidden": 0}, {"readout": "sum"}, {"dropout": 7}],
)
def test_settings_that_no_network_can_have_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^cnn_lstm: "):
        build_network("cnn_lstm", channels=1, classes=4, **options)


@pytest.fixture
def _registry() -> Iterator[None]:
    before = dict(registry._REGISTRY)
    yield
    registry._REGISTRY.clear()
    registry._REGISTRY.update(before)


@pytest.mark.usefixtures("_registry")
def test_a_network_of_ones_own_is_built_by_its_name() -> None:
    @registry.register("mine")
    class Mine(Network):
        def __init__(self, channels: int, classes: int) -> None:
            super().__init__()
            self.features = torch.nn.Conv2d(channels, 3, 1)
            self.head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(classes))

    assert "mine" in network_names()
    assert isinstance(build_network("mine", channels=1, classes=2), Mine)
