"""Slices in stacks, each in the order its slices lie in the head."""

from __future__ import annotations

import pytest

from tumorlens.place import SlicePlace
from tumorlens.sequence import SeriesInfo
from tumorlens.study.stacks import Stack, stacks_of

AXIAL, CORONAL = (1.0, 0, 0, 0, 1, 0), (1.0, 0, 0, 0, 0, -1)


def stacks(*places: SlicePlace) -> list[Stack[int]]:
    return stacks_of(range(len(places)), lambda i: places[i])


def place(depth: float | None, number: int = 0, orientation: tuple[float, ...] | None = AXIAL) -> SlicePlace:
    return SlicePlace(series="s", number=(number, 0), orientation=orientation, depth=depth)


def test_slices_come_by_depth() -> None:
    (stack,) = stacks(place(10), place(-5), place(0))
    assert (stack.slices, stack.depths, stack.spacing) == ((1, 2, 0), (-5, 0, 10), 7.5)
    assert str(stack) == "3 axial slices, 7.5 mm apart"


def test_repetitions_of_a_place_stay_together_in_order_of_acquisition() -> None:
    (stack,) = stacks(place(5, 4), place(0.001, 3), place(5.003, 2), place(0, 1))
    assert stack.slices == (3, 1, 2, 0)


def test_without_depths_slices_come_as_they_were_taken() -> None:
    (stack,) = stacks(place(3, 2), place(None, 1), place(1, 3))
    assert (stack.slices, stack.depths, stack.spacing) == ((1, 0, 2), (), None)


@pytest.mark.parametrize("turned", [(1.0, 0.001, 0, 0, 1, 0), (0.9999, 0, 0, 0, 1, 0)])
def test_rounding_of_orientations_makes_no_second_stack(turned: tuple[float, ...]) -> None:
    assert len(stacks(place(0), place(5, orientation=turned))) == 1


def test_planes_series_and_sequences_are_stacks_of_their_own() -> None:
    other = place(0).model_copy(update={"series": "other"})
    echo = place(0).model_copy(update={"info": SeriesInfo(sequence="T2")})
    found = stacks(place(0), place(0, orientation=CORONAL), other, echo, place(1), place(1, orientation=None))
    assert [stack.slices for stack in found] == [(0, 4), (1,), (5,), (2,), (3,)]
    assert [stack.plane for stack in found] == ["axial", "coronal", None, "axial", "axial"]


def test_an_image_that_is_given_twice_is_there_once() -> None:
    same = place(0).model_copy(update={"instance": "i"})
    (stack,) = stacks(same, place(1), same)
    assert stack.slices == (0, 1)
