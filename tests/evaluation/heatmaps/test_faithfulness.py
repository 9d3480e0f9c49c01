from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices
from tumorlens.evaluation.heatmaps.faithfulness import CHECKS, Faithfulness, measure_faithfulness
from tumorlens.model import AttentiveNetwork, Network, Reading


class Looks(AttentiveNetwork):
    """Answers as another network does, and attends to the input as it is told to, whatever the network."""

    def __init__(self, network: Network, attend: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.features, self.head = nn.Identity(), network  # the input itself is its last feature maps
        self.attend = attend

    def read(self, maps: Tensor) -> Reading:
        logits = self.head(maps)
        return Reading(logits, logits[:, :, None, None], torch.logit(self.attend(maps), 1e-6))


def looking(classifier: Classifier, attend: Callable[[Tensor], Tensor]) -> Classifier:
    return Classifier.of(Looks(classifier.network, attend), classifier.card)


@pytest.fixture
def measured(make_spotter: Callable[..., Classifier], make_spots: Callable[..., Slices]) -> Faithfulness:
    slices = make_spots(8)
    return measure_faithfulness(make_spotter(), slices.images[:8], slices.groups[:8], methods=["gradcam", "hirescam"])


def test_a_network_that_sees_the_spot_has_faithful_maps(measured: Faithfulness) -> None:
    gradcam = measured.methods[0]
    assert gradcam.figures["insertion"].value > measured.random_map["insertion"].value
    assert gradcam.figures["deletion"].value < measured.random_map["deletion"].value
    assert gradcam.figures["noise"].value > 0.9
    assert gradcam.figures["shift"].value > 0.6
    assert gradcam.figures["shift_peak"].value < 0.1
    assert gradcam.figures["mirror"].value == pytest.approx(1)
    assert not {"insertion", "deletion", "noise", "shift", "shift_peak", "mirror"} & set(gradcam.flags)


def test_every_check_has_a_figure_with_an_interval(measured: Faithfulness) -> None:
    for method in measured.methods:
        assert set(method.figures) == set(CHECKS)
        assert all(e.low <= e.value <= e.high for e in method.figures.values())
    assert measured.n == 8
    assert measured.groups == 4


def test_a_map_that_does_not_change_with_the_network_is_flagged(
    make_spotter: Callable[..., Classifier], make_spots: Callable[..., Slices]
) -> None:
    slices, classifier = make_spots(6), make_spotter()

    def brightness(images: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(images, 4)[:, 0]

    classifier = looking(classifier, brightness)  # knows nothing of any parameter
    found = measure_faithfulness(classifier, slices.images[:6], slices.groups[:6], methods=["attention"])
    (attention,) = found.methods
    assert attention.figures["random_network"].value == pytest.approx(1)
    assert attention.flags["random_network"] == attention.flags["random_head"] == "the map survives"


def test_a_map_that_points_the_wrong_way_is_flagged(
    make_spotter: Callable[..., Classifier], make_spots: Callable[..., Slices]
) -> None:
    slices, classifier = make_spots(6), make_spotter()
    classifier = looking(classifier, lambda images: 1 - torch.nn.functional.avg_pool2d(images, 4)[:, 0])
    found = measure_faithfulness(classifier, slices.images[:6], slices.groups[:6], methods=["attention"])
    assert found.methods[0].flags["insertion"] == "no better than a random map"
    assert found.methods[0].flags["deletion"] == "no better than a random map"


def test_a_map_tied_to_the_frame_is_no_equivariant_one(
    make_spotter: Callable[..., Classifier], make_spots: Callable[..., Slices]
) -> None:
    slices, classifier = make_spots(6), make_spotter()
    ramp = torch.linspace(0, 1, 16).expand(16, 16)
    classifier = looking(classifier, lambda images: ramp.expand(len(images), 16, 16))
    found = measure_faithfulness(classifier, slices.images[:6], slices.groups[:6], methods=["attention"])
    assert found.methods[0].figures["mirror"].value == pytest.approx(-1)
    assert found.methods[0].flags["mirror"] == "another map"


def test_blank_maps_are_no_better_than_chance_and_have_no_stability(
    make_spotter: Callable[..., Classifier], make_spots: Callable[..., Slices]
) -> None:
    slices = make_spots(4)
    classifier = make_spotter(bias=1000.0)  # always "no tumour", for which nothing speaks
    found = measure_faithfulness(classifier, slices.images[:4], slices.groups[:4], methods=["gradcam"])
    (gradcam,) = found.methods
    assert gradcam.figures["insertion"] == found.random_map["insertion"]
    assert gradcam.figures["noise"].value is None
    assert gradcam.figures["shift_peak"].value is None
    assert set(gradcam.flags) == {"insertion", "deletion"}


def test_the_sample_is_seeded_and_no_larger_than_asked(
    make_spotter: Callable[..., Classifier], make_spots: Callable[..., Slices]
) -> None:
    slices, classifier = make_spots(8), make_spotter()
    one, again = (
        measure_faithfulness(classifier, slices.images, slices.groups, methods=["gradcam"], sample=5, seed=3)
        for _ in range(2)
    )
    assert one.n == 5
    assert one == again
    assert Faithfulness.model_validate_json(one.model_dump_json()) == one
