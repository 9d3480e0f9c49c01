from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tumorlens.classifier import Classifier
from tumorlens.errors import ConfigError
from tumorlens.explain.cam import METHODS, explain, methods_for, shown_method
from tumorlens.model import AttentiveNetwork, Network, build_network


class Linear(Network):
    """Logits are linear in the feature maps, so gradients are known: they are the weights."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.features = nn.Identity()
        linear = nn.Linear(weights[0].numel(), len(weights), bias=False)
        self.head = nn.Sequential(nn.Flatten(), linear)
        with torch.no_grad():
            linear.weight.copy_(weights.flatten(1))
        self.eval()


@pytest.fixture
def linear() -> tuple[Linear, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(3, 2, 4, 4, generator=generator)  # classes, maps, rows, columns
    return Linear(weights), weights, torch.rand(5, 2, 4, 4, generator=generator)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def test_every_method_gives_a_map_without_negative_heat(tiny_classifier: Classifier, images: Tensor) -> None:
    found = explain(tiny_classifier.network, images)
    assert set(found.heat) == set(METHODS) - {"contributions", "attention"}
    for heat in found.heat.values():
        assert heat.shape == (3, 8, 8)
        assert heat.min() >= 0
        assert not heat.requires_grad


def test_the_method_findings_use_is_grad_cam_itself(tiny_classifier: Classifier, images: Tensor) -> None:
    assert shown_method(tiny_classifier.network) == "gradcam"
    alone, together = (explain(tiny_classifier.network, images, methods=m) for m in (["gradcam"], None))
    assert torch.equal(together.heat["gradcam"], alone.heat["gradcam"])
    assert torch.equal(together.logits, alone.logits)


def test_hirescam_is_gradient_times_activation(linear: tuple[Linear, Tensor, Tensor]) -> None:
    network, weights, maps = linear
    heat = explain(network, maps, 1, ["hirescam"]).heat["hirescam"]
    torch.testing.assert_close(heat, torch.relu((weights[1] * maps).sum(1)))


def test_hirescam_adds_up_to_the_logit_where_all_evidence_is_positive(linear: tuple[Linear, Tensor, Tensor]) -> None:
    _, weights, maps = linear
    positive = Linear(weights.abs())
    found = explain(positive, maps, 0, ["hirescam"])
    torch.testing.assert_close(found.heat["hirescam"].sum((1, 2)), found.logits[:, 0])


def test_layercam_takes_positive_gradients_only(linear: tuple[Linear, Tensor, Tensor]) -> None:
    network, weights, maps = linear
    heat = explain(network, maps, 2, ["layercam"]).heat["layercam"]
    torch.testing.assert_close(heat, (weights[2].clamp(min=0) * maps).sum(1))


def test_grad_cam_plus_plus_is_equation_19_written_out(linear: tuple[Linear, Tensor, Tensor]) -> None:
    network, weights, maps = linear
    found = explain(network, maps, 0, ["gradcam++"]).heat["gradcam++"].numpy()
    g, expected = weights[0].numpy().astype(float), np.zeros((5, 4, 4))
    for b in range(5):
        for k in range(2):
            a, weight = maps[b, k].numpy().astype(float), 0.0
            for y in range(4):
                for x in range(4):
                    if g[k, y, x] > 0:
                        d = g[k, y, x]
                        weight += d**2 / (2 * d**2 + a.sum() * d**3) * d
            expected[b] += weight * a
    np.testing.assert_allclose(found, np.maximum(expected, 0), rtol=1e-4)


def test_grad_cam_plus_plus_is_blank_and_finite_where_no_gradient_is_positive(
    linear: tuple[Linear, Tensor, Tensor],
) -> None:
    _, weights, maps = linear
    heat = explain(Linear(-weights.abs()), maps, 0, ["gradcam++"]).heat["gradcam++"]
    assert torch.equal(heat, torch.zeros_like(heat))


def test_each_scan_may_have_its_own_class(tiny_classifier: Classifier, images: Tensor) -> None:
    network = tiny_classifier.network
    mixed = explain(network, images, torch.tensor([2, 0, 1])).heat
    for row, target in enumerate((2, 0, 1)):
        for key, heat in explain(network, images, target).heat.items():
            torch.testing.assert_close(mixed[key][row], heat[row])


@pytest.fixture
def attentive() -> AttentiveNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        options: dict[str, Any] = {"widths": (6, 8), "depths": (0, 0), "maps": 8, "hidden": 4, "dense": 8}
        network = build_network("cnn_lstm_attention", channels=1, classes=4, **options).eval()
    assert isinstance(network, AttentiveNetwork)
    return network


def test_only_a_network_that_attends_has_maps_of_its_own(
    tiny_classifier: Classifier, attentive: AttentiveNetwork
) -> None:
    assert set(methods_for(attentive)) == set(METHODS)
    assert not {"attention", "contributions"} & set(methods_for(tiny_classifier.network))
    assert shown_method(attentive) == "contributions"


def test_attention_is_the_networks_own_and_of_no_class(attentive: AttentiveNetwork, images: Tensor) -> None:
    one, other = (explain(attentive, images, target).heat["attention"] for target in (0, 2))
    assert torch.equal(one, other)
    torch.testing.assert_close(one, attentive.read(attentive.features(images)).attention.sigmoid().detach())


def test_contributions_tell_the_class_from_the_mean_of_all_classes_exactly(
    attentive: AttentiveNetwork, images: Tensor
) -> None:
    """Over all classes they cancel, and where none is negative their sum is the logit's lead over the mean logit."""
    places = attentive.read(attentive.features(images))
    lead = places.contributions - places.contributions.mean(1, keepdim=True)
    for target in range(4):
        heat = explain(attentive, images, target, ["contributions"]).heat["contributions"]
        torch.testing.assert_close(heat, torch.relu(lead[:, target]).detach())
    torch.testing.assert_close(lead.sum((2, 3)), places.logits - places.logits.mean(1, keepdim=True))


def test_readings_need_no_gradient_and_agree_with_the_other_methods_pass(
    attentive: AttentiveNetwork, images: Tensor
) -> None:
    together = explain(attentive, images)
    with torch.inference_mode():
        alone = explain(attentive, images.clone(), methods=["contributions"])
    torch.testing.assert_close(alone.heat["contributions"], together.heat["contributions"])
    torch.testing.assert_close(alone.logits, together.logits)
    torch.testing.assert_close(alone.maps, together.maps)


def test_a_method_that_does_not_work_is_refused(tiny_classifier: Classifier, images: Tensor) -> None:
    with pytest.raises(ConfigError, match=r"'attention'.*there are gradcam,"):
        explain(tiny_classifier.network, images, methods=["attention"])
    with pytest.raises(ConfigError, match="'magic'"):
        explain(tiny_classifier.network, images, methods=["magic"])


def test_it_works_under_inference_mode(tiny_classifier: Classifier, images: Tensor) -> None:
    expected = explain(tiny_classifier.network, images).heat["layercam"]
    with torch.inference_mode():
        found = explain(tiny_classifier.network, images.clone()).heat["layercam"]
    torch.testing.assert_close(found, expected)
