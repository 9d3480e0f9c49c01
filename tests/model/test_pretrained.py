"""Weights as a plain module."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import tumorlens.model
from tumorlens.classifier import Classifier
from tumorlens.errors import ModelError, NotAScan
from tumorlens.phantoms import EXAMPLE
from tumorlens.preprocess import Preprocessing
from tumorlens.scan import Scan


def test_a_module_says_what_the_classifier_says(tiny_weights: Path) -> None:
    model = tumorlens.model.load(tiny_weights)
    assert isinstance(model, nn.Module)
    assert not model.training
    with torch.inference_mode():
        probabilities = model(model.prepare([EXAMPLE, np.eye(64)])).softmax(1)
    classifier = Classifier.load(tiny_weights)
    expected = classifier.probabilities(classifier.prepare([f.scan for f in classifier.find([EXAMPLE, np.eye(64)])]))
    np.testing.assert_allclose(probabilities.numpy(), expected, atol=1e-6)
    assert model.classes == classifier.card.classes.keys


def test_its_calibration_is_the_cards(tiny_classifier: Classifier) -> None:
    card = tiny_classifier.card.model_copy(update={"temperature": 2.0, "bias": {"glioma": 0.5}})
    images = torch.rand(2, 1, 32, 32)
    module = tumorlens.model.Pretrained(tiny_classifier.network, card)
    expected = Classifier.of(tiny_classifier.network, card).probabilities(images.numpy())
    np.testing.assert_allclose(module(images).softmax(1).detach().numpy(), expected, atol=1e-6)
    assert not torch.equal(module(images), tiny_classifier.network(images))


def test_it_can_be_trained_on_and_saved_as_any_module(tiny_weights: Path) -> None:
    model = tumorlens.model.load(tiny_weights)
    nn.functional.cross_entropy(model.train()(torch.rand(4, 1, 32, 32)), torch.arange(4)).backward()
    assert all(p.grad is not None for p in model.parameters())
    again = tumorlens.model.load(tiny_weights)
    again.load_state_dict(model.state_dict())


def test_weights_that_are_not_there_are_said() -> None:
    with pytest.raises(ModelError, match="no such weights"):
        tumorlens.model.load("nowhere")


def test_a_scan_that_no_input_can_be_made_of_is_refused(tiny_classifier: Classifier) -> None:
    rule = Preprocessing(size=32, windows=((40.0, 80.0),))
    card = tiny_classifier.card.model_copy(update={"preprocessing": rule})
    scan = Scan(np.eye(32, dtype=np.float32), "ct16.png", unitless=True)
    with pytest.raises(NotAScan, match=r"ct16\.png: nothing says which of its numbers are Hounsfield units; give the"):
        tumorlens.model.Pretrained(tiny_classifier.network, card).prepare(scan)
