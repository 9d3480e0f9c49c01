"""Figures for notebooks."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from tests.evaluation.conftest import MakePredictions, make_predictions  # noqa: F401  # a fixture
from tumorlens import plot
from tumorlens.classifier import Classifier
from tumorlens.errors import ConfigError, DataError
from tumorlens.evaluation.comparing.paired import compare
from tumorlens.evaluation.metrics import score
from tumorlens.evaluation.pages.plots import DARK, LIGHT
from tumorlens.scan import Scan


def drawn(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def test_scores_and_comparisons_are_drawn_on_opaque_paper(make_predictions: MakePredictions) -> None:  # noqa: F811
    predictions, other = make_predictions(80, groups=40), make_predictions(80, groups=40, skill=1)
    scores = score(predictions, resamples=20)
    compared = compare(("one", "two"), predictions, other, resamples=20)
    for dark, theme in ((False, LIGHT), (True, DARK)):
        for figure in (
            plot.confusion(scores, dark=dark),
            plot.classes(scores, dark=dark),
            plot.roc(predictions, dark=dark),
            plot.reliability(scores, dark=dark),
            plot.comparison(compared, dark=dark),
        ):
            assert to_rgba(figure.get_facecolor()) == to_rgba(theme.paper)  # opaque
            assert drawn(figure).startswith(b"\x89PNG")
    legend = {text.get_text() for text in plot.roc(predictions, scores).axes[0].get_legend().get_texts()}
    assert any("macro average" in text for text in legend)


def test_findings_stand_in_rows_under_their_names(tiny_classifier: Classifier, phantom_scan: Scan) -> None:
    found = tiny_classifier.find([phantom_scan] * 3)
    figure = plot.findings(found, columns=2)
    shown = [axes for axes in figure.axes if axes.get_images()]
    assert [" ".join(axes.get_title().split()) for axes in shown] == [str(f) for f in found]
    assert all(len(line) <= 30 for axes in shown for line in axes.get_title().splitlines())
    assert len(figure.axes) == 4
    with pytest.raises(ConfigError, match="nothing to draw"):
        plot.findings([])


def test_losses_are_those_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "epoch,train_loss,val_loss,val_accuracy,learning_rate,seconds\n1,1.4,1.3,0.3,0.001,2\n2,1.2,1.1,0.5,0.001,2\n"
    )
    upper, lower = plot.losses(tmp_path).axes
    assert np.asarray(upper.get_lines()[1].get_ydata()).tolist() == [1.3, 1.1]
    assert np.asarray(lower.get_lines()[0].get_ydata()).tolist() == [0.3, 0.5]
    with pytest.raises(DataError, match="history is empty"):
        plot.losses(tmp_path / "nowhere")
