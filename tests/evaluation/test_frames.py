"""Figures as pandas frames, and without pandas."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.conftest import MakePredictions
from tumorlens.errors import MissingExtra
from tumorlens.evaluation.comparing.paired import compare
from tumorlens.evaluation.frames import frame_of
from tumorlens.evaluation.metrics import Estimate, score


def test_an_interval_becomes_three_columns() -> None:
    rows = {"a": {"n": 3, "x": Estimate(value=0.5, low=0.4, high=0.6)}, "b": {"n": 4, "x": Estimate(value=None)}}
    frame = frame_of(rows, "what")
    assert frame.index.name == "what"
    assert list(frame.columns) == ["n", "x", "x_low", "x_high"]
    assert frame.loc["a"].tolist() == [3, 0.5, 0.4, 0.6]
    assert np.isnan(frame.loc["b", "x"])


def test_scores_predictions_and_comparisons_show_themselves_as_frames(make_predictions: MakePredictions) -> None:
    predictions = make_predictions(80, groups=20)
    scores = score(predictions, resamples=50)
    overall, classes = scores.to_frame(), scores.classes_frame()
    assert overall.loc["accuracy", "value"] == scores.accuracy.value
    assert overall.loc["brier", "value_high"] == scores.brier.high
    assert classes.loc["glioma", "recall_low"] == scores.classes[0].recall.low
    assert classes["support"].sum() == 80

    table = predictions.to_frame()
    assert list(table.index) == list(predictions.names)
    assert (table["label"] == table["predicted"]).mean() == pytest.approx(scores.accuracy.value)
    assert (table["p_glioma"].to_numpy() == predictions.probabilities[:, 0]).all()

    compared = compare(("one", "other"), predictions, predictions, resamples=50).to_frame()
    assert compared.loc["accuracy", "difference"] == 0
    assert isinstance(compared, pd.DataFrame)
    assert "recall of glioma" in compared.index


def test_extra_columns_go_along(make_predictions: MakePredictions) -> None:
    from dataclasses import replace

    predictions = replace(make_predictions(5), extra={"fold": list("01234")})
    assert predictions.to_frame()["fold"].tolist() == list("01234")


def test_without_pandas_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match="a pandas frame"):
        frame_of({}, "x")


def test_scoring_does_not_load_pandas() -> None:
    code = "import sys; import tumorlens.evaluation.metrics; assert 'pandas' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
