import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from tests.evaluation.conftest import MakePredictions
from tumorlens.classes import ClassSet
from tumorlens.errors import DataError
from tumorlens.evaluation.metrics import score
from tumorlens.evaluation.pages import plots
from tumorlens.evaluation.pages.plots import Theme


def texts(figure: Figure) -> list[str]:
    return [t.get_text() for t in figure.findobj(Text) if isinstance(t, Text)]


def history(n: int = 5, **changes: list[float]) -> list[dict[str, float]]:
    return [
        {"epoch": e, "train_loss": 1 / (e + 1), "val_loss": abs(e - 3) + 0.5, "val_accuracy": 0.1 * e, "lr": 1e-3}
        | {key: column[e] for key, column in changes.items()}
        for e in range(n)
    ]


def test_the_confusion_matrix_shows_counts_and_per_cent_of_the_true_class(make_predictions: MakePredictions) -> None:
    s = score(make_predictions(), resamples=0)
    shown = texts(plots.confusion_matrix_figure(s))
    for row in s.confusion:
        for count in row:
            assert f"{count}" in shown
            assert f"{count / sum(row):.1%}" in shown


def test_an_absent_class_can_be_plotted(make_predictions: MakePredictions) -> None:
    p = make_predictions(truth=np.arange(300) % 3)
    s = score(p, resamples=20)
    assert texts(plots.confusion_matrix_figure(s)).count("–") == 4
    assert not any("no tumour" in text for text in texts(plots.roc_figure(p, s)))
    plots.data_uri(plots.per_class_figure(s))


def test_the_roc_legend_tells_each_area(make_predictions: MakePredictions) -> None:
    p = make_predictions()
    s = score(p, resamples=0)
    shown = texts(plots.roc_figure(p, s))
    for name, estimate in [
        *((c.name, c.auc) for c in s.classes),
        ("micro average", s.micro_auc),
        ("macro average", s.macro_auc),
    ]:
        assert f"{name}  AUC {estimate.value:.3f}" in shown


def test_the_corner_is_enlarged_only_where_no_curve_runs(make_predictions: MakePredictions) -> None:
    for skill, expected in ((6, 1), (0.5, 0)):
        p = make_predictions(200, skill=skill)
        (axes,) = plots.roc_figure(p, score(p, resamples=0)).axes
        assert len(axes.child_axes) == expected


def test_the_best_epoch_is_marked() -> None:
    assert "best epoch (3)" in texts(plots.loss_figure(history()))
    assert "best epoch (1)" in texts(plots.loss_figure(history(), best=1))


def test_a_history_may_have_gaps() -> None:
    shown = texts(plots.loss_figure(history(val_loss=[None, float("nan"), 0.2, 0.4, float("inf")])))
    assert "best epoch (2)" in shown
    without = [{"epoch": 0, "train_loss": 1.0}, {"epoch": 1, "train_loss": 0.5}]
    assert not any("best" in text for text in texts(plots.loss_figure(without)))


def test_a_history_may_be_objects() -> None:
    @dataclass
    class Epoch:
        epoch: int
        train_loss: float
        val_loss: float

    assert "best epoch (7)" in texts(plots.loss_figure([Epoch(7, 1.0, 1.0)]))


def test_an_empty_history_is_refused() -> None:
    with pytest.raises(DataError, match="empty"):
        plots.loss_figure([])


@pytest.mark.parametrize("theme", [plots.LIGHT, plots.DARK], ids=["light", "dark"])
@pytest.mark.parametrize("count", [2, 9])
def test_every_plot_can_be_saved_and_embedded(
    make_predictions: MakePredictions, tmp_path: Path, theme: Theme, count: int
) -> None:
    p = make_predictions(100, classes=ClassSet.of([f"class {i}" for i in range(count)]))
    s = score(p, resamples=20)
    figures = [
        plots.confusion_matrix_figure(s, theme),
        plots.roc_figure(p, s, theme),
        plots.loss_figure(history(), theme),
        plots.reliability_figure(s, theme),
        plots.per_class_figure(s, theme),
    ]
    for figure in figures:
        plots.save_png(figure, tmp_path / "figure.png", theme)
        with Image.open(tmp_path / "figure.png") as png:
            assert png.width > 900
            assert "#" + png.convert("RGB").crop((1, 1, 2, 2)).tobytes().hex() == theme.paper
        kind, _, data = plots.data_uri(figure).partition(",")
        assert kind == "data:image/svg+xml;base64"
        assert base64.b64decode(data).rstrip().endswith(b"</svg>")


def test_the_same_figure_gives_the_same_text(make_predictions: MakePredictions) -> None:
    s = score(make_predictions(), resamples=20)
    assert plots.data_uri(plots.per_class_figure(s)) == plots.data_uri(plots.per_class_figure(s))
