"""The page that compares two networks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.evaluation.conftest import MakePredictions
from tests.evaluation.testing.test_report import Page
from tests.experiments.conftest import QUICK, write_set
from tumorlens.evaluation.comparing.contender import Contender, read_contender
from tumorlens.evaluation.comparing.report import disagreements, write_comparison
from tumorlens.experiments.experiment import Experiment
from tumorlens.training.config import read_config
from tumorlens.training.run import Run


def contender(make: MakePredictions, name: str, **options: object) -> Contender:
    return Contender(Path(name), name, make(80, **options))


def test_two_runs_on_the_same_scans_are_shown_with_curves_and_heat_maps(tmp_path: Path) -> None:
    data = write_set(tmp_path / "easy")
    for name, seed in (("one", 0), ("other", 1)):
        settings = QUICK | {"name": f"<{name}>", "epochs": 1, "split": "fold:0", "seed": seed}
        Experiment.load(Run.create(tmp_path / name, read_config(None, settings), [data])).complete()
    first, second = read_contender(tmp_path / "one"), read_contender(tmp_path / "other")
    result = write_comparison(first, second, tmp_path / "out")
    text = (tmp_path / "out" / "comparison.html").read_text()
    page = Page(text)

    assert result.n == len(first.predictions) > 0
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["first"] == "<one>"
    assert {p.stem for p in (tmp_path / "out" / "plots").glob("*.png")} == {
        "differences", "learning", "reliability", "roc",
    }  # fmt: skip
    assert "&lt;one&gt;" in text
    assert "<one>" not in text
    assert first.card.sha256 in text
    pictures = [dict(attributes)["src"] for tag, attributes in page.tags if tag == "img"]
    assert all(src.startswith("data:") for src in pictures)
    apart = (first.predictions.predicted != second.predictions.predicted).any()
    assert any(src.startswith("data:image/jpeg") for src in pictures) == apart


def test_predictions_alone_are_compared_without_pictures(make_predictions: MakePredictions, tmp_path: Path) -> None:
    one = contender(make_predictions, "one")
    other = Contender(Path("other"), "other", make_predictions(80, seed=2, truth=one.predictions.truth))
    write_comparison(one, other, tmp_path)
    text = (tmp_path / "comparison.html").read_text()
    assert "they take two training runs" in text
    assert "Right by the first alone" in text
    assert "learning" not in {p.stem for p in (tmp_path / "plots").glob("*.png")}


def test_different_scans_are_marked_as_not_comparable(make_predictions: MakePredictions, tmp_path: Path) -> None:
    one = contender(make_predictions, "one")
    elsewhere = replace(make_predictions(80, seed=2), names=[f"elsewhere/{i}" for i in range(80)])
    write_comparison(one, Contender(Path("other"), "other", elsewhere), tmp_path)
    text = (tmp_path / "comparison.html").read_text()
    assert "Different scans: not comparable" in text
    assert "Where they disagree" not in text


def test_disagreements_are_of_each_kind_and_the_surest_come_first(make_predictions: MakePredictions) -> None:
    first = make_predictions(300)
    second = make_predictions(300, seed=4, truth=first.truth)
    kinds = disagreements(first, second, most=5)
    only_first, only_second, neither = (kind.rows for kind in kinds)
    assert all(len(kind.rows) == 5 for kind in kinds)
    assert (first.predicted[only_first] == first.truth[only_first]).all()
    assert (second.predicted[only_first] != first.truth[only_first]).all()
    assert (np.diff(second.confidence[only_first]) <= 0).all()
    assert (second.predicted[only_second] == first.truth[only_second]).all()
    assert (first.predicted[neither] != second.predicted[neither]).all()
