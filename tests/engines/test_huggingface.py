"""A hub's folder: its own library reads the model card, and we read the weights back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard

from tumorlens.card import find_weights, read_card, shipped_weights
from tumorlens.classifier import Classifier
from tumorlens.engines.graph import Graph
from tumorlens.engines.huggingface import export_hub_folder, model_card
from tumorlens.errors import ChecksumMismatch, ConfigError


def test_the_folder_answers_as_the_weights_it_was_made_of(tiny_weights: Path, tmp_path: Path) -> None:
    folder = export_hub_folder(tiny_weights, tmp_path / "hub" / "tiny")
    assert {p.name for p in folder.iterdir()} == {"README.md", "config.json", "model.json", "model.safetensors"}
    images = np.random.default_rng(0).random((3, 1, 32, 32), np.float32)
    there, here = Classifier.load(folder), Classifier.load(tiny_weights)
    assert (there.probabilities(images) == here.probabilities(images)).all()
    assert there.weights == here.weights


@pytest.mark.parametrize("name", shipped_weights())
def test_shipped_weights_take_their_graph_along(name: str, tmp_path: Path) -> None:
    folder = export_hub_folder(name, tmp_path / name)
    assert isinstance(Classifier.load(folder).engine, Graph)
    config = json.loads((folder / "config.json").read_text())
    assert tuple(config["id2label"].values()) == read_card(find_weights(name)).classes.keys
    assert not list(folder.glob("*.fingerprints"))  # what is given away does not tell which pictures trained it


@pytest.mark.parametrize("name", shipped_weights())
def test_the_hubs_own_library_reads_the_model_card(name: str) -> None:
    card = read_card(find_weights(name))
    read = ModelCard(model_card(card))
    data: Any = read.data
    assert data.license == "apache-2.0"
    assert data.library_name == "tumorlens"
    assert data.pipeline_tag == "image-classification"
    results = {result.metric_type: result.metric_value for result in data.eval_results or []}
    accuracy = card.scores.get("accuracy", {}).get("value")
    assert results.get("accuracy") == (None if accuracy is None else round(accuracy, 4))
    for said in (card.name, "not a medical device", *card.cautions):
        assert said in read.text


def test_damaged_weights_and_a_folder_that_is_there_are_refused(tiny_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exists already; choose another --output"):
        export_hub_folder(tiny_weights, tmp_path)
    tiny_weights.write_bytes(b"x")
    with pytest.raises(ChecksumMismatch):
        export_hub_folder(tiny_weights, tmp_path / "new")
    assert not (tmp_path / "new").exists()
