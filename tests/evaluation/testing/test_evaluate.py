import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tumorlens.card import WeightsCard
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices, load_slices
from tumorlens.data.manifest import read_manifest
from tumorlens.evaluation.testing.evaluate import evaluate, make_case, predict_slices
from tumorlens.evaluation.testing.report import ReportContext
from tumorlens.listener import Listener
from tumorlens.preprocess import Preprocessing


@pytest.fixture
def classifier(tiny_classifier: Classifier) -> Classifier:
    """The tiny network, at a temperature that must show in its probabilities."""
    card = tiny_classifier.card.model_copy(update={"temperature": 0.01, "preprocessing": Preprocessing(size=32)})
    assert isinstance(card, WeightsCard)
    return Classifier.of(tiny_classifier.network, card)


@pytest.fixture
def slices(tmp_path: Path) -> Slices:
    """Twelve pictures of 40 x 30 pixels, and two pages of a TIFF file."""
    rng = np.random.default_rng(0)

    def picture() -> Image.Image:
        return Image.fromarray(rng.integers(0, 256, (30, 40), np.uint8))

    for number in range(12):
        folder = tmp_path / "set" / BRAIN_TUMORS.keys[number % 4]
        folder.mkdir(parents=True, exist_ok=True)
        picture().save(folder / f"{number}.png")
    picture().save(tmp_path / "set" / "glioma" / "pages.tif", save_all=True, append_images=[picture()])
    return load_slices(read_manifest(tmp_path / "set"), Preprocessing(size=32))


@pytest.fixture
def context() -> ReportContext:
    return ReportContext(title="Test", data="made up", synthetic=True, model="cnn_lstm", date="today", version="0")


def test_predictions_are_what_the_classifier_finds_in_the_files(classifier: Classifier, slices: Slices) -> None:
    indices = np.array([3, 0, 7])
    predictions = predict_slices(classifier, slices, indices)
    entries = [slices.manifest.entries[i] for i in indices]
    assert list(predictions.names) == [e.name for e in entries]
    assert [BRAIN_TUMORS.keys[t] for t in predictions.truth] == [e.label for e in entries]
    for row, index in enumerate(indices):
        case = make_case(classifier, slices, predictions, int(index), row)
        assert case.truth == slices.manifest.entries[index].label
        assert case.predicted == BRAIN_TUMORS.keys[predictions.predicted[row]]
        assert list(case.probabilities.values()) == pytest.approx(predictions.probabilities[row].tolist())


def test_evaluate_scores_the_part_and_writes_its_report(
    tmp_path: Path, classifier: Classifier, slices: Slices, context: ReportContext
) -> None:
    told: list[str] = []
    indices = np.arange(1, 9)
    scores = evaluate(classifier, slices, indices, tmp_path / "out", context, listener=Listener(told.append))
    assert scores.n == 8
    assert told[0] == "testing on 8 scans"
    assert "writing the report" in told
    with (tmp_path / "out" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["path"] for r in rows] == [slices.manifest.entries[i].name for i in indices]
    truth, right = slices.labels[indices], sum(r["label"] == r["predicted"] for r in rows)
    assert scores.accuracy.value == pytest.approx(right / 8)
    assert [c.support for c in scores.classes] == np.bincount(truth, minlength=4).tolist()
    assert (tmp_path / "out" / "report.html").exists()


def test_the_gallery_shows_the_page_that_was_tested(classifier: Classifier, slices: Slices) -> None:
    names = [e.name for e in slices.manifest.entries]
    first, second = names.index("glioma/pages.tif#0"), names.index("glioma/pages.tif#1")
    indices = np.array([first, second])
    predictions = predict_slices(classifier, slices, indices)
    cases = [make_case(classifier, slices, predictions, int(i), row) for row, i in enumerate(indices)]
    assert [c.name for c in cases] == ["glioma/pages.tif#0", "glioma/pages.tif#1"]
    shown = [np.asarray(c.original) for c in cases]
    assert shown[0].shape[:2] == (30, 40)
    assert not np.array_equal(shown[0], shown[1])
