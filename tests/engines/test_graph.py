from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.engines.conftest import make
from tumorlens.classifier import Classifier
from tumorlens.engines.eager import Eager
from tumorlens.engines.export import export_graph
from tumorlens.engines.graph import Graph
from tumorlens.errors import ChecksumMismatch, ModelError
from tumorlens.formats import read_scans
from tumorlens.model.weights import load_weights, save_weights


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


def test_a_bit_that_is_flipped_beside_a_good_graph_is_noticed(tmp_path: Path) -> None:
    weights = make("cnn", tmp_path)
    export_graph(weights)
    assert isinstance(Classifier.load(weights).engine, Graph)
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ChecksumMismatch, match=r"w\.safetensors: is damaged .* get the pair again"):
        Classifier.load(weights)


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
