import pytest
import torch
from torch import Tensor

from tumorlens.training.guidance import guidance_loss


def scene(attended: tuple[slice, slice], covered: tuple[slice, slice]) -> tuple[Tensor, Tensor]:
    """Attention before its sigmoid, and coverage twice as fine, of one scan each."""
    attention = torch.full((1, 8, 8), -6.0)
    attention[0][attended] = 6.0
    coverage = torch.zeros(1, 16, 16)
    coverage[0][covered] = 1.0
    return attention, coverage


UPPER = (slice(2, 4), slice(2, 4)), (slice(4, 8), slice(4, 8))
OTHER = (slice(5, 7), slice(5, 7))
YES, NO = torch.tensor([True]), torch.tensor([False])


def test_attention_on_the_tumour_costs_next_to_nothing_and_beside_it_much() -> None:
    on = guidance_loss(*scene(*UPPER), YES, NO)
    beside = guidance_loss(*scene(OTHER, UPPER[1]), YES, NO)
    assert on < 0.1
    assert beside > 1


def test_a_scan_with_nothing_to_find_wants_no_attention() -> None:
    attention, coverage = scene(UPPER[0], (slice(0, 0), slice(0, 0)))
    assert guidance_loss(attention, coverage, NO, YES) > 5 * guidance_loss(attention - 12, coverage, NO, YES)


def test_a_tumour_without_an_outline_says_nothing_and_changes_nothing() -> None:
    attention, coverage = scene(*UPPER)
    assert guidance_loss(attention, coverage, NO, NO) == 0
    both = guidance_loss(
        torch.cat([attention, -attention]), torch.cat([coverage, coverage]), torch.cat([YES, NO]), torch.cat([NO, NO])
    )
    assert both == pytest.approx(guidance_loss(attention, coverage, YES, NO).item())


def test_descending_its_gradient_finds_the_tumour() -> None:
    _, coverage = scene(*UPPER)
    attention = torch.zeros(1, 8, 8, requires_grad=True)
    for _ in range(50):
        (gradient,) = torch.autograd.grad(guidance_loss(attention, coverage, YES, NO), attention)
        attention = (attention - 20 * gradient).detach().requires_grad_()
    assert attention[0][UPPER[0]].min() > 0
    assert attention[0, 5:, 5:].max() < 0
