"""The graph says what PyTorch says, for every network, class and batch, and needs no PyTorch to say it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from tumorlens.card import WeightsCard, find_weights, read_card, shipped_weights
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.classifier import Classifier
from tumorlens.engines.eager import Eager
from tumorlens.engines.explaining import OUTPUTS, ExplainingNetwork
from tumorlens.engines.export import TOLERANCE, compare, export_graph
from tumorlens.engines.graph import Graph, graph_beside
from tumorlens.errors import ChecksumMismatch, ConfigError, ModelError
from tumorlens.explain.cam import explain
from tumorlens.formats import read_scans
from tumorlens.model import build_network
from tumorlens.model.gate import Gate
from tumorlens.model.weights import load_weights, save_weights
from tumorlens.preprocess import Preprocessing

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "attentive": ("cnn_lstm_attention", {"widths": [4, 6, 8], "maps": 6, "hidden": 5, "dense": 6}),
    "coarser": ("cnn_lstm_attention", {"widths": [4, 6, 8], "maps": 6, "hidden": 5, "reduction": 4, "block": 2}),
    "without LSTM": ("cnn_lstm_attention", {"widths": [4, 6], "depths": [1, 1], "maps": 6, "sequence": False}),
    "finds before it names": (
        "cnn_lstm_attention",
        {"widths": [4, 6, 8], "maps": 6, "hidden": 5, "dense": 6, "background": 0.01},
    ),
    "paper's": ("cnn_lstm", {"widths": [4, 6, 8], "depth": 1, "hidden": 6}),
    "usual notebook's": (
        "cnn_lstm",
        {"widths": [4, 6, 8], "depth": 1, "hidden": 6, "readout": "last", "bidirectional": False},
    ),
    "cnn": ("cnn", {"widths": [4, 6], "depth": 1}),
    "pretrained": ("cnn_lstm_efficientnet", {"maps": 8, "hidden": 5, "dense": 6, "block": 2}),
}


def pictures(count: int, seed: int) -> np.ndarray:
    """Coarse patterns, some bright and some dark: pure noise all looks the same to a network."""
    rng = np.random.default_rng(seed)
    coarse = np.kron(rng.random((count, 1, 8, 8), np.float32), np.ones((1, 1, 4, 4), np.float32))
    return coarse * rng.random((count, 1, 1, 1), np.float32)


def make(kind: str, folder: Path, *, mirrored: bool = False, gated: bool = True, half: bool = False) -> Path:
    """Untrained weights with random statistics, a gate, and a temperature."""
    name, options = KINDS[kind]
    torch.manual_seed(0)
    network = build_network(name, channels=1, classes=4, nothing=BRAIN_TUMORS.nothing, **options).eval()
    pretrained = network.begin()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d) and not pretrained:
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.3)
    card = WeightsCard(
        name="tiny",
        network=name,
        options=options,
        preprocessing=Preprocessing(size=32),
        classes=BRAIN_TUMORS,
        mirrored=mirrored,
        half=half,
        temperature=1.7,
    )
    path = folder / "w.safetensors"
    save_weights(network, card, path)
    if gated:
        eager = Eager.load(path)
        scans = pictures(80, 0)
        save_weights(network, card, path, Gate.fit((scans, eager.pool(scans)), (scans, eager.pool(scans))))
    return path


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


@pytest.mark.parametrize("kind", ["attentive", "paper's"])
def test_mirrored_answers_are_in_the_graph(kind: str, tmp_path: Path) -> None:
    weights = make(kind, tmp_path, mirrored=True, gated=False)
    export_graph(weights)
    classifier = Classifier.load(weights)
    images = np.random.default_rng(1).random((2, 1, 32, 32), np.float32)
    found = classifier.engine.answer(images)
    turned = classifier.engine.answer(np.ascontiguousarray(images[..., ::-1]))
    np.testing.assert_allclose(found.probabilities, turned.probabilities, atol=1e-6)
    np.testing.assert_allclose(found.probabilities, classifier.eager.answer(images).probabilities, atol=1e-6)
    assert found.distances is None
    assert classifier.judge(images) is None


def test_grad_cam_in_closed_form_is_that_of_autograd(tmp_path: Path) -> None:
    """Not only within the graph: the two halves of the package agree for each class."""
    network, _ = load_weights(make("paper's", tmp_path, gated=False))
    images = torch.rand(3, 1, 32, 32)
    _, heat = ExplainingNetwork(network, 1.0, None)(images)
    for target in range(4):
        expected = explain(network, images, target, ["gradcam"]).heat["gradcam"]
        torch.testing.assert_close(heat[:, target], expected, atol=1e-6, rtol=1e-3)


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


def test_other_weights_have_no_use_for_an_old_graph(tmp_path: Path) -> None:
    weights = make("cnn", tmp_path)
    export_graph(weights)
    network, card = load_weights(weights)
    save_weights(network, card.model_copy(update={"name": "new"}), weights)
    assert isinstance(Classifier.load(weights).engine, Eager)
    with pytest.raises(ModelError, match="write one with: tumorlens export"):
        Classifier.load(weights, engine="graph")


def test_a_damaged_graph_is_refused(tmp_path: Path) -> None:
    weights = make("cnn", tmp_path)
    path, _ = export_graph(weights)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ChecksumMismatch, match=r"w\.onnx: is damaged"):
        Classifier.load(weights)
    path.write_bytes(b"no graph")
    changed = json.loads(weights.with_suffix(".json").read_text())
    changed["graph_sha256"] = hashlib.sha256(b"no graph").hexdigest()
    weights.with_suffix(".json").write_text(json.dumps(changed))
    with pytest.raises(ModelError, match=r"w\.onnx: cannot be run"):
        Classifier.load(weights)
    path.unlink()
    assert isinstance(Classifier.load(weights).engine, Eager)


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
    assert graph.stat().st_size < 6e6
    assert compare(Eager.load(path), Graph(graph, card, 1)) < TOLERANCE


def test_a_picture_is_read_without_pytorch(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 80), dtype=np.uint8)).save(tmp_path / "a.jpg")
    code = "import sys; sys.modules['torch'] = None; from tumorlens.cli import main; main()"
    command = [sys.executable, "-c", code, "predict", str(tmp_path / "a.jpg"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (found,) = json.loads(done.stdout)["findings"]
    (expected,) = Classifier.load(engine="torch").find(read_scans(tmp_path / "a.jpg"))
    assert found["probabilities"] == pytest.approx(expected.probabilities, abs=1e-5)
    assert found["strangeness"] == pytest.approx(expected.strangeness, rel=1e-4)
    done = subprocess.run([*command, "--device", "auto"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run([*command, "--heat-map", "gradcam"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install '.[train]'" in done.stderr


def test_half_precision_halves_weights_and_graph_and_both_still_agree(tmp_path: Path) -> None:
    sizes = {}
    for half in (False, True):
        (tmp_path / str(half)).mkdir()
        weights = make("pretrained", tmp_path / str(half), half=half)
        graph, difference = export_graph(weights)
        assert difference < TOLERANCE
        sizes[half] = weights.stat().st_size, graph.stat().st_size
    for single, halved in zip(sizes[False], sizes[True], strict=True):
        assert halved < 0.6 * single
