"""The paper's network, and the one without its LSTM."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from tumorlens.model.cnn_lstm import Cnn, CnnLstm, SequenceHead


@pytest.fixture(autouse=True)
def _own_seed() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_features_end_on_a_convolution_at_a_quarter_of_the_input() -> None:
    for network in (CnnLstm().eval(), Cnn().eval()):
        maps = network.features(torch.rand(2, 1, 64, 64))
        assert maps.shape == (2, 96, 16, 16)
        assert maps.min() >= 0


def test_a_scans_answer_does_not_depend_on_its_neighbours_in_the_batch() -> None:
    network, images = CnnLstm().eval(), torch.rand(4, 1, 64, 64)
    torch.testing.assert_close(network(images)[2:3], network(images[2:3]))


def test_the_lstm_sees_the_order_of_the_positions_and_the_cnn_does_not() -> None:
    maps = torch.rand(1, 96, 16, 16)
    turned = maps.flip(2, 3)
    lstm, cnn = CnnLstm().eval(), Cnn().eval()
    torch.testing.assert_close(cnn.head(maps), cnn.head(turned))
    assert not torch.allclose(lstm.head(maps), lstm.head(turned), atol=1e-6)


def test_both_networks_have_the_same_features_so_that_only_the_lstm_differs() -> None:
    def shapes(module: nn.Module) -> list[torch.Size]:
        return [p.shape for p in module.parameters()]

    assert shapes(CnnLstm().features) == shapes(Cnn().features)
    assert any(isinstance(m, nn.LSTM) for m in CnnLstm().modules())
    assert not any(isinstance(m, nn.LSTM) for m in Cnn().modules())


def test_the_usual_notebooks_readout_takes_the_last_state() -> None:
    network = CnnLstm(readout="last", bidirectional=False).eval()
    head = network.head
    assert isinstance(head, SequenceHead)
    states, _ = head.lstm(head.pool(torch.zeros(1, 96, 16, 16)).flatten(2).transpose(1, 2))
    expected = head.dense(states[:, -1])
    torch.testing.assert_close(network.head(torch.zeros(1, 96, 16, 16)), expected)


def test_every_parameter_learns() -> None:
    network = CnnLstm()
    network(torch.rand(4, 1, 64, 64)).logsumexp(1).sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []
