import pytest

from tumorlens.evaluation.metrics import Estimate
from tumorlens.evaluation.pages.page import decimal, interval, per_cent


@pytest.mark.parametrize(
    ("value", "share", "figure"),
    [
        (None, "–", "–"),
        (1.0, "100.0%", "1.000"),
        (0.9999, ">99.9%", ">0.999"),
        (0.0, "0.0%", "0.000"),
        (0.0001, "<0.1%", "0.000"),
        (0.93516, "93.5%", "0.935"),
    ],
)
def test_figures_are_not_rounded_to_perfection(value: float | None, share: str, figure: str) -> None:
    assert per_cent(value) == share
    assert decimal(value) == figure


def test_intervals_read_well() -> None:
    assert interval(Estimate(value=0.5, low=0.4, high=0.6)) == "40.0–60.0%"
    assert interval(Estimate(value=0.9, low=0.8, high=0.9999)) == "80.0 – >99.9%"
    assert interval(Estimate(value=0.9)) == ""
