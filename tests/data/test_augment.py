from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from tumorlens.data.augment import augment, augment_with, without_some


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def blobs(count: int, row: float, column: float, size: int = 32) -> Tensor:
    """Pictures of one bright blob at a place given in fractions."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    distance = (y - row * size) ** 2 + (x - column * size) ** 2
    return torch.exp(-distance / (0.1 * size) ** 2).expand(count, 1, size, size).contiguous()


def centre(images: Tensor) -> Tensor:
    """(B, 2): row and column of each picture's centre of mass, in fractions."""
    size = images.shape[-1]
    weight = images.sum(1) ** 3  # shading and noise must not count
    place = torch.arange(size) + 0.5
    total = weight.sum((1, 2))
    return torch.stack([(weight.sum(2) * place).sum(1), (weight.sum(1) * place).sum(1)], 1) / total[:, None] / size


@pytest.mark.parametrize("shape", [(5, 1, 64, 64), (3, 3, 32, 32), (1, 1, 17, 17)])
@pytest.mark.parametrize("strength", [0.3, 1, 3])
def test_shape_range_and_type_stay(shape: tuple[int, int, int, int], strength: float) -> None:
    changed = augment(torch.rand(shape), strength)
    assert changed.shape == shape
    assert changed.dtype == torch.float32
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert changed.isfinite().all()
    assert not changed.requires_grad


def test_strength_0_changes_nothing() -> None:
    images = torch.rand(4, 1, 32, 32)
    assert torch.equal(augment(images, 0), images)


def test_the_batch_given_is_left_as_it_is() -> None:
    images = torch.rand(4, 1, 32, 32)
    before = images.clone()
    augment(images)
    assert torch.equal(images, before)


def test_every_picture_changes_in_its_own_way() -> None:
    changed = augment(blobs(16, 0.4, 0.4)).flatten(1)
    assert (torch.cdist(changed, changed) + torch.eye(16)).min() > 0.05


def test_same_seed_same_changes() -> None:
    images = torch.rand(4, 1, 32, 32)
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(augment(images))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_nothing_is_turned_upside_down() -> None:
    rows = centre(augment(blobs(500, row=0.2, column=0.5)))[:, 0]
    assert rows.max() < 0.5


def test_half_of_the_pictures_are_mirrored() -> None:
    columns = centre(augment(blobs(1000, row=0.5, column=0.2)))[:, 1]
    assert 0.44 < (columns > 0.5).float().mean() < 0.56
    assert ((columns < 0.4) | (columns > 0.6)).all()  # the others stay on their side


def test_strength_sets_how_far_pictures_move() -> None:
    def spread(strength: float) -> float:
        places = centre(augment(blobs(500, 0.3, 0.5), strength))
        return float(places[:, 0].std())

    assert 0 < spread(0.3) < spread(1)


def test_colours_of_a_picture_change_together() -> None:
    grey = torch.rand(64, 1, 32, 32).expand(64, 3, 32, 32)
    changed = augment(grey)
    colour = (changed.amax(1) - changed.amin(1)).mean((1, 2))
    assert colour.max() < 0.06  # noise alone differs


@pytest.mark.parametrize("warp", [0, 0.1])
def test_an_outline_moves_with_its_picture(warp: float) -> None:
    images = blobs(200, 0.3, 0.35)
    coverage = images[:, 0].clone()
    changed, moved = augment_with(images, coverage, 1.0, warp)
    torch.testing.assert_close(centre(moved[:, None]), centre(changed), atol=0.02, rtol=0)
    assert moved.min() >= 0
    assert moved.max() <= 1


def test_every_other_picture_is_bent() -> None:
    changed, _ = augment_with(blobs(400, 0.3, 0.3), None, 0.001, 0.1)
    moved = (centre(changed)[:, 0] - centre(blobs(1, 0.3, 0.3))[0, 0]).abs() > 0.005
    assert 0.3 < moved.float().mean() < 0.55  # every other picture, and few of these not at this place


def test_without_outlines_there_are_none() -> None:
    assert augment_with(torch.rand(2, 1, 16, 16), None)[1] is None


def _tile() -> Tensor:
    """A tile whose four corners differ in each colour, (1, 3, 16, 16)."""
    tile = torch.full((1, 3, 16, 16), 0.8)
    tile[0, 0, :4, :4], tile[0, 1, :4, -4:], tile[0, 2, -4:, :4] = 0.3, 0.4, 0.5
    return tile


def test_tiles_lie_in_all_eight_ways_and_heads_in_two() -> None:
    torch.manual_seed(0)
    tiles = _tile().expand(400, -1, -1, -1)
    turned, _ = augment_with(tiles, None, 1e-6, upright=False, stained=True)
    assert len(torch.unique(turned[..., 1::13, 1::13].flatten(1).mul(20).round(), dim=0)) == 8
    heads, _ = augment_with(tiles, None, 1e-6)
    assert len(torch.unique(heads[..., 1::13, 1::13].flatten(1).mul(20).round(), dim=0)) == 2


def test_stains_vary_and_glass_stays_glass() -> None:
    torch.manual_seed(0)
    violet = torch.tensor([0.45, 0.3, 0.6])[None, :, None, None].expand(64, -1, 16, 16)
    varied, _ = augment_with(violet, None, 1.0, upright=False, stained=True)
    assert varied.std(0).mean() > 0.01
    assert varied.flatten(2).std(2).max() < 1e-4  # the same all over a picture, its corners too
    assert 0 <= varied.min() <= varied.max() <= 1
    glass, _ = augment_with(torch.ones(64, 3, 16, 16), None, 1.0, upright=False, stained=True)
    assert glass.min() > 0.9


def test_sequences_are_left_out_at_random_and_one_always_stays() -> None:
    torch.manual_seed(0)
    images = torch.rand(2000, 4, 8, 8) + 0.1
    images[:, 3] = 0  # missing already
    kept = without_some(images, 0.25).flatten(2).amax(2) > 0
    assert kept.any(1).all()
    assert not kept[:, 3].any()
    assert 0.74 < kept[:, :3].float().mean() < 0.78
    alone = torch.zeros(500, 4, 8, 8)
    alone[:, 2] = 1
    assert torch.equal(without_some(alone, 0.9), alone)
    assert torch.equal(without_some(images, 0.0), images)
