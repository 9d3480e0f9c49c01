"""The graph says what PyTorch says, for every network, class and batch, and needs no PyTorch to say it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.engines.conftest import KINDS, make, pictures
from tumorlens.card import WeightsCard, find_weights, read_card, shipped_weights
from tumorlens.classifier import Classifier
from tumorlens.engines.eager import Eager
from tumorlens.engines.explaining import OUTPUTS
from tumorlens.engines.export import TOLERANCE, compare, export_graph
from tumorlens.engines.graph import Graph, graph_beside
from tumorlens.errors import ConfigError, ModelError


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_says_what_pytorch_says(kind: str, tmp_path: Path) -> None:
    weights = make(kind, tmp_path)
    path, difference = export_graph(weights)
    assert path == weights.with_suffix(".onnx")
    assert difference < TOLERANCE
    classifier = Classifier.load(weights)
    assert isinstance(classifier.engine, Graph)
    images = pictures(19, 1)
    for count in (1, 16, 19):
        for target in (None, 2):
            found = classifier.engine.answer(images[:count], target=target)
            expected = classifier.eager.answer(images[:count], target=target)
            np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)
            assert found.heat is not None
            assert expected.heat is not None
            np.testing.assert_allclose(found.heat, expected.heat, atol=1e-4 * float(expected.heat.max()) + 1e-9)
            np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(found.standardised, expected.standardised, atol=1e-3, rtol=1e-4)


def test_the_file_explains_itself(tmp_path: Path) -> None:
    weights = make("attentive", tmp_path)
    path, _ = export_graph(weights, tmp_path / "elsewhere.onnx")
    model = onnx.load(path)
    assert [o.name for o in model.graph.output] == list(OUTPUTS)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    card = read_card(weights)
    assert metadata["weights_sha256"] == card.sha256
    assert WeightsCard.model_validate_json(metadata["card"]).preprocessing == card.preprocessing
    assert str(tmp_path) not in model.SerializeToString().decode("latin-1")
    assert graph_beside(weights, card) is None  # written elsewhere, it is no engine of these weights


def test_a_graph_that_answers_otherwise_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = make("cnn", tmp_path)
    monkeypatch.setattr("tumorlens.engines.export.compare", lambda *_: 0.1)
    with pytest.raises(ModelError, match=r"differs from PyTorch by 0\.1; not written"):
        export_graph(weights)
    assert not list(tmp_path.glob("*.onnx*"))
    assert read_card(weights).graph_sha256 == ""


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"x\.onnx: cannot be written"):
        export_graph(make("cnn", tmp_path), tmp_path / "none" / "x.onnx")


@pytest.mark.parametrize("name", shipped_weights())
def test_the_weights_in_the_package_have_their_graph(name: str) -> None:
    path = find_weights(name)
    card = read_card(path)
    graph = graph_beside(path, card)
    assert graph is not None
    assert graph.stat().st_size < 8e6
    assert compare(Eager.load(path), Graph(graph, card, 1)) < TOLERANCE


def test_half_precision_halves_weights_and_graph_and_both_agree_and_run_merged(tmp_path: Path) -> None:
    sizes = {}
    for half in (False, True):
        (tmp_path / str(half)).mkdir()
        weights = make("pretrained", tmp_path / str(half), half=half)
        graph, difference = export_graph(weights)
        assert difference < TOLERANCE
        sizes[half] = weights.stat().st_size, graph.stat().st_size
        assert "BatchNormalization" not in _operations_of(graph, tmp_path / "optimised.onnx")
    for single, halved in zip(sizes[False], sizes[True], strict=True):
        assert halved < 0.6 * single


def _operations_of(graph: Path, optimised: Path) -> set[str]:
    """What a runtime makes of a graph. Normalisations left there would take half of a pass of the default weights."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(optimised)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    operations = {node.op_type for node in onnx.load(optimised).graph.node}
    assert "Conv" in operations
    return operations
