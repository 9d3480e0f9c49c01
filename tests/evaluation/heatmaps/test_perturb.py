from collections.abc import Callable

import numpy as np
import torch
from scipy.stats import spearmanr

from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices
from tumorlens.evaluation.heatmaps.perturb import (
    align,
    corner_shifts,
    correlate,
    displacement,
    move,
    pixel_curves,
    randomize,
)
from tumorlens.model import Network


def test_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (2, 3, 8, 8)).astype(np.float32)  # with ties
    expected = [spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(correlate(a, b), expected)


def test_correlation_of_flat_maps() -> None:
    full, flat = np.random.default_rng(0).random((1, 4, 4), np.float32), np.zeros((1, 4, 4), np.float32)
    assert np.isnan(correlate(flat, full))[0]
    assert correlate(full, flat)[0] == 0


def test_curves_start_and_end_where_they_must(
    make_spotter: Callable[..., Classifier], make_spots: Callable[..., Slices]
) -> None:
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


def test_the_hottest_pixels_go_first(
    make_spotter: Callable[..., Classifier], make_spots: Callable[..., Slices]
) -> None:
    slices, classifier = make_spots(3), make_spotter()
    images, target = torch.from_numpy(slices.images[:3]), torch.zeros(3, dtype=torch.long)
    heat = images[:, 0] + 1e-3 * torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    curves = pixel_curves(classifier, images, torch.zeros_like(images), heat, target, steps=4)
    # The spot, less than a quarter of the picture, is gone after the first step, and back after it.
    np.testing.assert_allclose(curves["deletion"][:, 1], 0.25, atol=1e-6)
    np.testing.assert_allclose(curves["insertion"][:, 1], curves["insertion"][:, -1], atol=1e-6)


def test_randomising_a_part_leaves_the_others_and_the_network_itself(tiny_classifier: Classifier) -> None:
    network = tiny_classifier.network
    before = {name: p.clone() for name, p in network.named_parameters()}
    copy = randomize(network, ["head"], 0)
    changed = {name for name, p in copy.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name in before if name.startswith("head")}
    assert all(torch.equal(p, before[name]) for name, p in network.named_parameters())
    assert not copy.training
    again = randomize(network, ["head"], 0)
    assert all(torch.equal(p, q) for p, q in zip(copy.parameters(), again.parameters(), strict=True))


def test_randomising_leaves_the_callers_random_numbers_alone(tiny_classifier: Classifier) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    randomize(tiny_classifier.network, ["features", "head"], 0)
    assert torch.equal(torch.rand(1), expected)


def test_a_layer_that_cannot_restart_is_shuffled() -> None:
    class Scale(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.arange(50.0))

    network = Network()
    network.head = head = Scale()
    shuffled = randomize(network, ["head"], 0).head.scale
    assert isinstance(shuffled, torch.Tensor)
    assert not torch.equal(shuffled, head.scale)
    assert torch.equal(shuffled.sort().values, head.scale)


def test_a_moved_scan_aligns_with_itself() -> None:
    images = torch.rand(2, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    for shift in corner_shifts(20):
        moved = move(images, *shift)
        assert moved.shape == images.shape
        assert not torch.equal(moved, images)
        a, b = align(images[:, 0].numpy(), moved[:, 0].numpy(), *shift, 20)
        assert a.shape == (2, 19, 19)
        np.testing.assert_array_equal(a, b)


def test_displacement_is_a_share_of_the_side() -> None:
    before, after = np.zeros((2, 2, 10, 10), np.float32)
    before[0, 2, 3] = after[0, 5, 7] = before[1, 0, 0] = 1
    found = displacement(before, after, 10)
    assert found[0] == 0.5
    assert np.isnan(found[1])
