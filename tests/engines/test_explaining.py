from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.engines.conftest import make
from tumorlens.classifier import Classifier
from tumorlens.engines.explaining import ExplainingNetwork
from tumorlens.engines.export import export_graph
from tumorlens.explain.cam import explain
from tumorlens.model.weights import load_weights


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
