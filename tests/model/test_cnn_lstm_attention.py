"""The network whose logits are a sum over places."""

from collections.abc import Iterator
from typing import Any, Literal

import pytest
import torch
from torch import nn

from tumorlens.errors import ConfigError
from tumorlens.model import build_network
from tumorlens.model.cnn_lstm_attention import CnnLstmAttention, DetectingHead, PlacesHead

SMALL: dict[str, Any] = {"widths": (6, 8, 10), "depths": (1, 0, 1), "maps": 8, "hidden": 6, "dense": 8}


@pytest.fixture(autouse=True)
def _own_seed() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_the_last_maps_are_as_fine_as_asked(reduction: int) -> None:
    network = CnnLstmAttention(**SMALL, reduction=reduction, block=1).eval()
    maps = network.features(torch.rand(2, 1, 32, 32))
    assert maps.shape == (2, 8, 32 // reduction, 32 // reduction)
    assert maps.min() >= 0


@pytest.mark.parametrize("readout", ["attention", "mean", "last"])
@pytest.mark.parametrize("sequence", [True, False])
def test_the_contributions_sum_to_the_logits(readout: Literal["attention", "mean", "last"], sequence: bool) -> None:
    network = CnnLstmAttention(**SMALL, readout=readout, sequence=sequence).eval()
    images = torch.rand(3, 1, 32, 32)
    reading = network.read(network.features(images))
    assert reading.contributions.shape == (3, 4, 16, 16)
    assert reading.attention.shape == (3, 16, 16)
    torch.testing.assert_close(reading.contributions.sum((2, 3)), network(images))


def test_attention_decides_how_much_a_place_counts() -> None:
    head = CnnLstmAttention(**SMALL).eval().head
    assert isinstance(head, PlacesHead)
    maps = torch.rand(1, 8, 16, 16)
    reading = head.read(maps)
    shares = head._shares(reading.attention[:, None])[0, 0].detach()
    assert shares.sum() == pytest.approx(1, abs=0.01)
    assert shares.argmax() == reading.attention[0].argmax()


def test_read_out_at_its_last_place_it_holds_all_evidence_there() -> None:
    network = CnnLstmAttention(**SMALL, readout="last").eval()
    contributions = network.read(network.features(torch.rand(1, 1, 32, 32))).contributions[0]
    assert contributions[:, :-1].abs().max() == contributions[:, :, :-1].abs().max() == 0
    assert contributions[:, -1, -1].abs().min() > 0


def test_through_the_lstms_every_place_knows_of_every_other() -> None:
    def reach(**options: Any) -> torch.Tensor:
        network = CnnLstmAttention(**SMALL, **options).eval()
        maps = torch.rand(1, 8, 16, 16, requires_grad=True)
        network.read(maps).attention[0, 0, 0].backward()
        return maps.grad[0].abs().sum(0)

    assert (reach() > 0).all()
    alone = reach(sequence=False)
    assert (alone[:4, :4] > 0).all()  # its own block
    assert not alone[4:].any()
    assert not alone[:, 4:].any()
    forwards = reach(bidirectional=False)  # the first place comes first: nothing was read before it
    assert not forwards[4:].any()


def test_a_scans_answer_does_not_depend_on_its_neighbours_in_the_batch() -> None:
    network, images = CnnLstmAttention(**SMALL).eval(), torch.rand(4, 1, 32, 32)
    torch.testing.assert_close(network(images)[2:3], network(images[2:3]))


def test_every_parameter_learns() -> None:
    network = CnnLstmAttention(**SMALL)
    for module in network.modules():  # residual blocks begin as nothing, and would let no gradient through
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    network(torch.rand(4, 1, 32, 32)).logsumexp(1).sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(
    "options", [{"widths": (8,), "depths": (1,)}, {"depths": (1, 1)}, {"reduction": 3}, {"readout": "first"}]
)
def test_what_no_network_can_have_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"^cnn_lstm_attention: "):
        build_network("cnn_lstm_attention", channels=1, classes=4, **{**SMALL, **options})


def _detecting(**options: Any) -> CnnLstmAttention:
    torch.manual_seed(0)
    made = build_network(
        "cnn_lstm_attention_fast", channels=1, classes=4, nothing=[3], background=0.01, **options
    ).eval()
    assert isinstance(made, CnnLstmAttention)
    return made


def test_a_head_that_finds_first_still_adds_up_to_its_logits() -> None:
    network, x = _detecting(), torch.rand(3, 1, 64, 64)
    reading = network.read(network.features(x))
    assert torch.allclose(reading.contributions.sum((2, 3)), reading.logits, atol=1e-5)
    assert torch.allclose(network(x), reading.logits)


def test_the_more_is_attended_the_more_probable_is_any_class_but_nothing() -> None:
    network = _detecting()
    maps = network.features(torch.rand(1, 1, 64, 64))
    something = []
    for bias in (-9.0, -5.0, -1.0, 3.0):
        torch.nn.init.constant_(network.head.get_parameter("attention.bias"), bias)
        something.append(1 - float(network.head(maps).detach().softmax(1)[0, 3]))
    assert something == sorted(something)
    assert something[-1] - something[0] > 0.2


def test_evidence_tells_tumours_apart_and_cannot_call_any_of_them_nothing() -> None:
    network = _detecting()
    maps = network.features(torch.rand(1, 1, 64, 64))
    before = network.head(maps)
    with torch.no_grad():
        network.head.get_parameter("evidence.bias").add_(torch.tensor([2.0, 2.0, 2.0, 50.0]))
    assert torch.allclose(network.head(maps), before, atol=1e-4)
    with torch.no_grad():
        network.head.get_parameter("evidence.bias")[1] += 5
    after = network.head(maps)
    assert after[0, 1] > before[0, 1]
    assert after[0, 0] < before[0, 0]
    assert torch.allclose(after[0, 3], before[0, 3])


def test_without_a_class_that_means_nothing_a_network_only_names() -> None:
    made = build_network("cnn_lstm_attention_fast", channels=1, classes=4, background=0.01)
    assert type(made.head) is PlacesHead
    assert type(_detecting().head) is DetectingHead


@pytest.mark.parametrize(("nothing", "background"), [([], 0.1), ([0, 1], 0.1), ([1], 0.0)])
def test_a_head_cannot_find_among_one_kind_of_classes_or_without_a_background(
    nothing: list[int], background: float
) -> None:
    with pytest.raises(ValueError, match="finding needs"):
        DetectingHead(8, 4, 4, 2, nothing=nothing, background=background, block=4, dropout=0.0)
