"""What a plot's points say, and where they lie."""

from __future__ import annotations

import json

import pytest
from matplotlib.figure import Figure

from tests.evaluation.conftest import MakePredictions
from tumorlens.evaluation.metrics import score
from tumorlens.evaluation.pages import plots
from tumorlens.evaluation.pages.points import as_json, points_of


def test_points_lie_where_they_are_drawn() -> None:
    figure = Figure(figsize=(4, 2))
    axes = figure.add_axes((0.25, 0.5, 0.5, 0.25), xlim=(0, 1), ylim=(0, 10), xlabel="share (of all)", ylabel="count")
    axes.plot([0, 0.5, 1], [0, 5, 10], label="curve  AUC 0.9")
    axes.plot([0, 1], [0, 10])  # a reference line, without a label
    axes.bar([0.5], [2.5], width=0.1)
    assert points_of(figure) == [
        (0.25, 0.5, "curve: share 0, count 0"),
        (0.5, 0.375, "curve: share 0.5, count 5"),
        (0.75, 0.25, "curve: share 1, count 10"),
        (0.5, pytest.approx(0.4375, abs=1e-4), "share 0.5: count 2.5"),
    ]


def test_a_mark_beside_a_named_row_says_the_name(make_predictions: MakePredictions) -> None:
    scores = score(make_predictions(100), resamples=20)
    words = [text for _, _, text in points_of(plots.per_class_figure(scores))]
    first = scores.classes[0]
    assert f"{first.name}, recall: {first.recall.value:.3g}" in words
    assert len(words) == 3 * len(scores.classes)


def test_plots_above_each_other_share_the_name_of_their_axis() -> None:
    figure = Figure()
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.plot([0, 0.5, 1], [0, 5, 10], label="ours")
    upper.set(ylabel="count")
    lower.set(xlabel="confidence (of the class)")
    assert points_of(figure)[1][2] == "ours: confidence 0.5, count 5"


def test_long_curves_are_thinned_and_all_of_it_is_json(make_predictions: MakePredictions) -> None:
    predictions = make_predictions(2000, skill=0.5)
    figure = plots.roc_figure(predictions, score(predictions, resamples=0))
    points = json.loads(as_json(figure))
    assert 100 < len(points) <= 6 * 60
    assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y, _ in points)
