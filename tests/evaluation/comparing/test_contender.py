"""What a folder says of a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluation.conftest import MakePredictions
from tumorlens.classes import BRAIN_TUMORS, ClassSet
from tumorlens.errors import ConfigError
from tumorlens.evaluation.comparing.contender import read_contender


@pytest.mark.parametrize("where", [".", "evaluation"])
def test_predictions_are_found_in_a_folder_or_its_evaluation(
    make_predictions: MakePredictions, tmp_path: Path, where: str
) -> None:
    folder = tmp_path / "mine"
    (folder / where).mkdir(parents=True)
    made = make_predictions(20)
    made.write_csv(folder / where / "predictions.csv")
    tested = read_contender(folder)
    assert (tested.name, tested.run, tested.card, tested.history) == ("mine", None, None, [])
    assert tested.predictions.classes == BRAIN_TUMORS
    assert (tested.predictions.probabilities == made.probabilities).all()


def test_other_classes_are_read_from_the_columns(make_predictions: MakePredictions, tmp_path: Path) -> None:
    classes = ClassSet.of(["covid", "healthy"])
    make_predictions(20, classes=classes).write_csv(tmp_path / "predictions.csv")
    assert read_contender(tmp_path).predictions.classes.keys == ("covid", "healthy")


def test_what_holds_no_predictions_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="test it first: tumorlens evaluate"):
        read_contender(tmp_path)
    (tmp_path / "predictions.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="no table of predictions"):
        read_contender(tmp_path)
