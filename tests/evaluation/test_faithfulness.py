import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from tumorlens.evaluation.faithfulness import (
    CHECKS,
    Faithfulness,
    correlate,
    measure_faithfulness,
    pixel_curves,
    randomize,
)


@pytest.fixture
def measured(make_spotter, make_spots):
    slices = make_spots(8)
    return measure_faithfulness(make_spotter(), slices.images[:8], slices.groups[:8], methods=["gradcam", "hirescam"])


def test_a_network_that_sees_the_spot_has_faithful_maps(measured):
    gradcam = measured.methods[0]
    assert gradcam.figures["insertion"].value > measured.random_map["insertion"].value
    assert gradcam.figures["deletion"].value < measured.random_map["deletion"].value
    assert gradcam.figures["noise"].value > 0.9
    assert gradcam.figures["shift"].value > 0.6
    assert gradcam.figures["shift_peak"].value < 0.1
    assert gradcam.figures["mirror"].value == pytest.approx(1)
    assert not {"insertion", "deletion", "noise", "shift", "shift_peak", "mirror"} & set(gradcam.flags)


def test_every_check_has_a_figure_with_an_interval(measured):
    for method in measured.methods:
        assert set(method.figures) == set(CHECKS)
        assert all(e.low <= e.value <= e.high for e in method.figures.values())
    assert measured.n == 8
    assert measured.groups == 4


def test_a_map_that_does_not_change_with_the_network_is_flagged(make_spotter, make_spots):
    slices, classifier = make_spots(6), make_spotter()

    def brightness(images):
        return torch.nn.functional.avg_pool2d(images, 4)[:, 0]

    classifier.network.attention_map = brightness  # knows nothing of any parameter
    found = measure_faithfulness(classifier, slices.images[:6], slices.groups[:6], methods=["attention"])
    (attention,) = found.methods
    assert attention.figures["random_network"].value == pytest.approx(1)
    assert attention.flags["random_network"] == attention.flags["random_head"] == "the map survives"


def test_a_map_that_points_the_wrong_way_is_flagged(make_spotter, make_spots):
    slices, classifier = make_spots(6), make_spotter()
    classifier.network.attention_map = lambda images: 1 - torch.nn.functional.avg_pool2d(images, 4)[:, 0]
    found = measure_faithfulness(classifier, slices.images[:6], slices.groups[:6], methods=["attention"])
    assert found.methods[0].flags["insertion"] == "no better than a random map"
    assert found.methods[0].flags["deletion"] == "no better than a random map"


def test_a_map_tied_to_the_frame_is_no_equivariant_one(make_spotter, make_spots):
    slices, classifier = make_spots(6), make_spotter()
    ramp = torch.linspace(0, 1, 16).expand(16, 16)
    classifier.network.attention_map = lambda images: ramp.expand(len(images), 16, 16)
    found = measure_faithfulness(classifier, slices.images[:6], slices.groups[:6], methods=["attention"])
    assert found.methods[0].figures["mirror"].value == pytest.approx(-1)
    assert found.methods[0].flags["mirror"] == "another map"


def test_blank_maps_are_no_better_than_chance_and_have_no_stability(make_spotter, make_spots):
    slices = make_spots(4)
    classifier = make_spotter(bias=1000.0)  # always "no tumour", for which nothing speaks
    found = measure_faithfulness(classifier, slices.images[:4], slices.groups[:4], methods=["gradcam"])
    (gradcam,) = found.methods
    assert gradcam.figures["insertion"] == found.random_map["insertion"]
    assert gradcam.figures["noise"].value is None
    assert gradcam.figures["shift_peak"].value is None
    assert set(gradcam.flags) == {"insertion", "deletion"}


def test_the_sample_is_seeded_and_no_larger_than_asked(make_spotter, make_spots):
    slices, classifier = make_spots(8), make_spotter()
    one, again = (
        measure_faithfulness(classifier, slices.images, slices.groups, methods=["gradcam"], sample=5, seed=3)
        for _ in range(2)
    )
    assert one.n == 5
    assert one == again
    assert Faithfulness.model_validate_json(one.model_dump_json()) == one


def test_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (2, 3, 8, 8)).astype(np.float32)  # with ties
    expected = [spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(correlate(a, b), expected)


def test_correlation_of_flat_maps():
    full, flat = np.random.default_rng(0).random((1, 4, 4)), np.zeros((1, 4, 4))
    assert np.isnan(correlate(flat, full))[0]
    assert correlate(full, flat)[0] == 0


def test_curves_start_and_end_where_they_must(make_spotter, make_spots):
    slices, classifier = make_spots(3), make_spotter()
    images = torch.from_numpy(slices.images[:3])
    heat = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    blurred, target = torch.full_like(images, 0.1), torch.zeros(3, dtype=torch.long)
    curves = pixel_curves(classifier, images, blurred, heat, target, steps=4)
    whole = classifier.probabilities(slices.images[:3])[:, 0]
    nothing = classifier.probabilities(np.zeros((3, 1, 64, 64), np.float32))[:, 0]
    assert curves["insertion"].shape == (3, 5)
    np.testing.assert_allclose(curves["insertion"][:, -1], whole)
    np.testing.assert_allclose(curves["deletion"][:, 0], whole)
    np.testing.assert_allclose(curves["deletion"][:, -1], nothing)


def test_the_hottest_pixels_go_first(make_spotter, make_spots):
    slices, classifier = make_spots(3), make_spotter()
    images, target = torch.from_numpy(slices.images[:3]), torch.zeros(3, dtype=torch.long)
    heat = images[:, 0] + 1e-3 * torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    curves = pixel_curves(classifier, images, torch.zeros_like(images), heat, target, steps=4)
    # The spot, less than a quarter of the picture, is gone after the first step, and back after it.
    np.testing.assert_allclose(curves["deletion"][:, 1], 0.25, atol=1e-6)
    np.testing.assert_allclose(curves["insertion"][:, 1], curves["insertion"][:, -1], atol=1e-6)


def test_randomising_a_part_leaves_the_others_and_the_network_itself(tiny_classifier):
    network = tiny_classifier.network
    before = {name: p.clone() for name, p in network.named_parameters()}
    copy = randomize(network, ["head"], 0)
    changed = {name for name, p in copy.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name in before if name.startswith("head")}
    assert all(torch.equal(p, before[name]) for name, p in network.named_parameters())
    assert not copy.training
    again = randomize(network, ["head"], 0)
    assert all(torch.equal(p, q) for p, q in zip(copy.parameters(), again.parameters(), strict=True))


def test_randomising_leaves_the_callers_random_numbers_alone(tiny_classifier):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    randomize(tiny_classifier.network, ["features", "head"], 0)
    assert torch.equal(torch.rand(1), expected)


def test_a_layer_that_cannot_restart_is_shuffled():
    class Scale(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.arange(50.0))

    network = torch.nn.Module()
    network.head = Scale()
    copy = randomize(network, ["head"], 0)
    assert not torch.equal(copy.head.scale, network.head.scale)
    assert torch.equal(copy.head.scale.sort().values, network.head.scale)
