"""Two networks on the same scans: differences, their intervals, and what is no pair."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.evaluation.conftest import MakePredictions
from tumorlens.classes import ClassSet
from tumorlens.errors import DataError
from tumorlens.evaluation.comparing.paired import FIGURES, compare, pair
from tumorlens.evaluation.metrics import score
from tumorlens.evaluation.predictions import Predictions
from tumorlens.listener import Listener

NAMES = ("one", "other")


def other_on_the_same(make: MakePredictions, first: Predictions, skill: float, seed: int = 1) -> Predictions:
    made = make(len(first), skill=skill, seed=seed, truth=first.truth, classes=first.classes)
    return replace(made, names=first.names, groups=first.groups)


def test_figures_are_those_of_each_alone_and_differences_theirs(make_predictions: MakePredictions) -> None:
    first = make_predictions(200, groups=50)
    second = other_on_the_same(make_predictions, first, 2.5)
    result = compare(NAMES, first, second)
    alone = [score(first), score(second)]
    for row in result.figures:
        if row.key in ("found", "cleared"):
            continue
        # Same groups, same seed, same draws: the intervals are those that each report gives.
        assert row.first == getattr(alone[0], row.key)
        assert row.second == getattr(alone[1], row.key)
        assert row.difference.value == pytest.approx(row.second.value - row.first.value)
    assert [row.name for row in result.recalls] == [c.name for c in first.classes]
    assert {row.key for row in result.figures} == set(FIGURES)
    assert (result.n, result.groups, result.left_out) == (200, 50, (0, 0))


def test_what_is_better_is_told_from_what_chance_makes(make_predictions: MakePredictions) -> None:
    first = make_predictions(400, skill=1.0)
    second = other_on_the_same(make_predictions, first, 3)
    verdicts = {row.key: row.verdict for row in compare(NAMES, first, second).figures}
    assert verdicts["accuracy"] == verdicts["macro_auc"] == verdicts["log_loss"] == "better"
    turned = compare(NAMES, second, first)
    assert {row.verdict for row in turned.figures if row.key in ("accuracy", "brier", "log_loss")} == {"worse"}
    alike = compare(NAMES, first, first)
    assert {row.verdict for row in (*alike.figures, *alike.recalls)} == {"no telling"}
    assert all(row.difference.value == row.difference.low == row.difference.high == 0 for row in alike.figures)


def test_a_paired_interval_is_narrower_than_those_of_two_alone(make_predictions: MakePredictions) -> None:
    first = make_predictions(300, groups=60)
    rng = np.random.default_rng(5)
    logits = np.log(first.probabilities) + 0.2 * rng.normal(size=first.probabilities.shape)
    second = replace(first, probabilities=np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
    (row,) = (r for r in compare(NAMES, first, second).figures if r.key == "accuracy")
    assert row.difference.high - row.difference.low < (row.first.high - row.first.low) / 2


def test_only_scans_of_both_are_compared_whatever_their_order(make_predictions: MakePredictions) -> None:
    first = make_predictions(100)
    second = other_on_the_same(make_predictions, first, 2).pick(np.arange(99, 19, -1))
    one, other = pair(first, second)
    assert one.names == other.names
    assert (one.truth == other.truth).all()
    result = compare(NAMES, first, second)
    assert (result.n, result.left_out) == (80, (20, 0))
    assert any("left out: 20 of the first" in note for note in result.notes)
    (area,) = (r.second.value for r in result.figures if r.key == "macro_auc")
    assert area == pytest.approx(roc_auc_score(other.truth, other.probabilities, multi_class="ovr"))


def test_the_coarser_groups_count(make_predictions: MakePredictions) -> None:
    first = make_predictions(120)
    second = replace(other_on_the_same(make_predictions, first, 2), groups=np.array([f"p{i // 4}" for i in range(120)]))
    assert compare(NAMES, first, second).groups == compare(NAMES, second, first).groups == 30


def test_agreement_adds_up(make_predictions: MakePredictions) -> None:
    first = make_predictions(150)
    second = other_on_the_same(make_predictions, first, 1)
    a = compare(NAMES, first, second, resamples=0).agreement
    one, other = first.predicted == first.truth, second.predicted == second.truth
    assert a.both_right + a.only_first == one.sum()
    assert a.both_right + a.only_second == other.sum()
    assert sum(a.model_dump().values()) == 150


def test_without_a_common_scan_figures_stand_side_by_side(make_predictions: MakePredictions) -> None:
    first = make_predictions(100)
    second = replace(make_predictions(80, seed=3), names=[f"elsewhere/{i}" for i in range(80)])
    result = compare(NAMES, first, second, resamples=50)
    assert result.n == 0
    assert result.agreement is None
    assert {row.verdict for row in result.figures} == {"no telling"}
    assert all(row.difference.value is None for row in result.figures)
    assert "No scan was tested by both" in result.notes[0]


def test_what_cannot_be_compared_is_refused(make_predictions: MakePredictions) -> None:
    first = make_predictions(40)
    with pytest.raises(DataError, match="other classes"):
        compare(NAMES, first, make_predictions(40, classes=ClassSet.of(["a", "b"])))
    relabelled = replace(first, truth=(first.truth + 1) % 4)
    with pytest.raises(DataError, match="another label"):
        compare(NAMES, first, relabelled)
    alone = first.pick(np.flatnonzero(first.truth == 0))
    with pytest.raises(DataError, match="of one class"):
        compare(NAMES, alone, alone)


def test_few_groups_are_said_and_progress_is_told(make_predictions: MakePredictions) -> None:
    first = make_predictions(60, groups=10)
    told: list[tuple[int, int]] = []
    result = compare(NAMES, first, first, resamples=120, listener=Listener(progress=lambda *at: told.append(at)))
    assert any("Only 10 groups" in note for note in result.notes)
    assert told == [(50, 120), (100, 120), (120, 120)]


def test_a_comparison_shows_itself_in_a_notebook(make_predictions: MakePredictions) -> None:
    same = make_predictions(60, groups=40)
    html = compare(("<one>", "other"), same, same, resamples=50)._repr_html_()
    assert "<th>1: &lt;one&gt;</th>" in html
    assert "recall of glioma" in html
    assert "<td>0.000 (0.000 to 0.000)</td><td>no telling</td>" in html
