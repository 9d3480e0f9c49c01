"""What the gate's measurements mean, in words."""

import pytest

from tumorlens.strangeness import Kind, judge

USUAL = [0.0] * 16
TEXT = Kind(name="text", words="it has text in it", weights=(0.5,) + (0.0,) * 15, bias=0.0)
CT = Kind(name="CT", words="it looks like CT", weights=(0.0, 0.5) + (0.0,) * 14, bias=0.0)


def with_check(place: int, value: float) -> list[float]:
    return [value if i == place else 0.0 for i in range(16)]


def test_a_scan_within_both_limits_is_known_and_needs_no_reason() -> None:
    strange = judge((0.4, 0.9), USUAL, (TEXT, CT))
    assert (strange.score, strange.unknown, strange.reason) == (0.9, False, "")


@pytest.mark.parametrize(
    ("distances", "standardised", "words"),
    [
        ((1.2, 0.4), with_check(1, 3.0), "large parts are white"),
        ((1.2, 0.4), USUAL, "do not go together"),
        ((0.4, 1.2), USUAL, "a level of the head or an abnormality not seen in training"),
    ],
)
def test_beyond_a_limit_the_reason_says_what_is_unusual_and_how_far(
    distances: tuple[float, float], standardised: list[float], words: str
) -> None:
    strange = judge(distances, standardised)
    assert strange.unknown
    assert words in strange.reason
    assert "1.20" in strange.reason


def test_a_recognised_kind_makes_a_scan_unknown_by_itself_and_the_likest_is_named() -> None:
    strange = judge((0.1, 0.1), [3.0, 4.0, *USUAL[2:]], (TEXT, CT))
    assert strange.score == 2.0
    assert strange.reason.endswith("it looks like CT")


def test_what_is_far_from_all_scans_is_no_kind_of_scan() -> None:
    strange = judge((3.1, 2.2), [0.0, 4.0, *USUAL[2:]], (TEXT, CT))
    assert "large parts are white" in strange.reason
    assert "CT" not in strange.reason


def test_the_limit_is_never_shown_as_exceeded_by_nothing() -> None:
    assert "1.01" in judge((1.0001, 0), USUAL).reason
