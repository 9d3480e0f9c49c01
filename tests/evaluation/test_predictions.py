from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluation.conftest import MakePredictions
from tumorlens.classes import BRAIN_TUMORS, ClassSet
from tumorlens.errors import DataError
from tumorlens.evaluation.predictions import Predictions

TWO = ClassSet.of(["cat", "dog"])


def two(**changes: Any) -> Predictions:
    columns: dict[str, Any] = {
        "classes": TWO,
        "truth": np.array([0, 1]),
        "probabilities": np.array([[0.9, 0.1], [0.6, 0.4]]),
        "names": ["a.png", "b.png"],
    }
    return Predictions(**(columns | changes))


def test_the_most_probable_class_is_predicted() -> None:
    predictions = two()
    assert predictions.predicted.tolist() == [0, 0]
    assert predictions.confidence.tolist() == [0.9, 0.6]
    assert len(predictions) == 2


def test_a_scan_without_a_group_is_its_own() -> None:
    assert len(set(two().groups)) == 2
    assert two(groups=np.array(["patient", ""])).groups.tolist() == ["patient", "b.png"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_csv_round_trip_keeps_everything(
    tmp_path: Path, make_predictions: MakePredictions, dtype: type[np.floating]
) -> None:
    made = make_predictions(50, groups=9)
    hostile = [
        "<script>.png",
        'quote".png',
        "comma,.png",
        "line\nbreak.png",
        "return\r.png",
        "bytes\udcff.png",
        "é.png",
    ]
    before = Predictions(
        classes=made.classes,
        truth=made.truth,
        probabilities=made.probabilities.astype(dtype),
        names=[*hostile, *made.names[len(hostile) :]],
        groups=made.groups,
        extra={"fold": [str(i % 5) for i in range(50)], "source": ["somewhere"] * 50},
    )
    before.write_csv(tmp_path / "p.csv")
    after = Predictions.read_csv(tmp_path / "p.csv", BRAIN_TUMORS)
    assert np.array_equal(after.probabilities, before.probabilities)
    assert np.array_equal(after.truth, before.truth)
    assert np.array_equal(after.groups, before.groups)
    assert after.names == before.names
    assert after.extra == before.extra


def test_csv_columns_are_named_as_promised(tmp_path: Path) -> None:
    two().write_csv(tmp_path / "p.csv")
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert lines == [
        "path,group,label,predicted,p_cat,p_dog",
        "a.png,a.png,cat,cat,0.9,0.1",
        "b.png,b.png,dog,cat,0.6,0.4",
    ]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"truth": np.array([0, 2])}, "outside"),
        ({"truth": np.array([0, -1])}, "outside"),
        ({"truth": np.array([0.0, 1.0])}, "integers"),
        ({"truth": np.array([], int), "names": [], "probabilities": np.empty((0, 2))}, "one scan at least"),
        ({"probabilities": np.array([[0.9, 0.1]])}, "shape"),
        ({"probabilities": np.array([[0.9, 0.1], [2.0, -1.0]])}, "negative"),
        ({"probabilities": np.array([[0.9, 0.1], [np.nan, 1.0]])}, "not a number"),
        ({"probabilities": np.array([[0.9, 0.1], [3.0, 1.0]])}, "softmax"),
        ({"names": ["a.png"]}, "names"),
        ({"names": ["a.png", "a.png"]}, "same scan"),
        ({"groups": np.array(["a"])}, "groups"),
        ({"extra": {"fold": ["1"]}}, "fold"),
        ({"extra": {"label": ["1", "2"]}}, "label"),
    ],
)
def test_columns_that_cannot_be_are_refused(
    changes: dict[str, Any] | dict[str, list[str]] | dict[str, dict[str, list[str]]], problem: str
) -> None:
    with pytest.raises(DataError, match=problem):
        two(**changes)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("path,group,label,p_cat\na,a,cat,1\n", "p_dog"),
        ("", "path"),
        ("path,group,label,p_cat,p_dog\na,a,horse,1,0\n", "line 2"),
        ("path,group,label,p_cat,p_dog\na,a,cat,one,0\n", "not a number"),
        ("path,group,label,p_cat,p_dog\na,a,cat\n", "whole"),
        ("path,group,label,p_cat,p_dog\na,a,cat,1,0,9\n", "whole"),
        ("path,group,label,p_cat,p_dog\n", "one scan at least"),
    ],
)
def test_a_table_that_is_none_of_ours_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(DataError, match=problem):
        Predictions.read_csv(tmp_path / "p.csv", TWO)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        Predictions.read_csv(tmp_path / "nowhere.csv", TWO)
