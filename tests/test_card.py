"""Weights cards."""

import json
from pathlib import Path

import pytest

from tumorlens import card as cards
from tumorlens.card import Calibration, WeightsCard, read_card, write_card
from tumorlens.classes import BRAIN_TUMORS, ClassSet
from tumorlens.classifier import Classifier
from tumorlens.errors import ModelError
from tumorlens.preprocess import Preprocessing


def test_a_card_survives_its_file(tmp_path: Path) -> None:
    card = WeightsCard(
        name="größe",
        network="cnn",
        options={"widths": [4, 8]},
        preprocessing=Preprocessing(size=48, channels=3, intensity="stretch", percentiles=(1, 99)),
        classes=ClassSet.of(["a", "b"]),
        temperature=1.7,
        calibration=Calibration(
            scans={"a": 30, "b": 20}, coverage=0.9, set_thresholds={"a": 0.2, "b": 0.5}, accepted=0.95
        ),
        cautions=("one", "two"),
        scores={"accuracy": {"value": 0.9, "low": 0.8, "high": None}},
    )
    write_card(card, tmp_path / "w.safetensors")
    assert read_card(tmp_path / "w.safetensors") == card
    assert [p.name for p in tmp_path.iterdir()] == ["w.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"name": "x"}',
        b'{"schema_version": 2, "name": "x", "network": "cnn", "preprocessing": {}, "classes": {"classes": '
        b'[{"key": "a", "name": "a"}, {"key": "b", "name": "b"}]}}',
    ],
)
def test_what_is_no_card_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"w\.json: is no weights card; take the pair from one training run"):
        read_card(tmp_path / "w.safetensors")


def test_a_card_from_before_there_was_calibration_is_read(tmp_path: Path, tiny_weights: Path) -> None:
    path = tiny_weights.with_suffix(".json")
    old = json.loads(path.read_text())
    del old["calibration"]
    path.write_text(json.dumps(old))
    assert read_card(tiny_weights).calibration is None


def test_a_temperature_must_be_positive() -> None:
    with pytest.raises(ValueError, match="temperature"):
        WeightsCard(name="x", network="cnn", preprocessing=Preprocessing(), classes=BRAIN_TUMORS, temperature=0)


def test_the_packages_weights_are_listed_with_their_cards(
    tiny_classifier: Classifier, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cards, "SHIPPED", tiny_weights.parent)
    assert cards.shipped_weights() == ["tiny"]
    assert [card.name for card in cards.shipped_cards()] == [tiny_classifier.card.name]
