from __future__ import annotations

import numpy as np
import pytest
import torch

from tumorlens.classifier import Classifier
from tumorlens.engines.eager import choose_device
from tumorlens.errors import ConfigError
from tumorlens.scan import Scan


def _scans(count: int = 5, seed: int = 0) -> list[Scan]:
    rng = np.random.default_rng(seed)
    shapes = [(40, 40), (64, 50), (33, 90), (120, 120), (50, 70)]
    return [Scan(rng.random(shapes[i % 5], np.float32), f"{i}.png", frame=i) for i in range(count)]


def test_the_callers_gradient_mode_does_not_matter(tiny_classifier: Classifier) -> None:
    (expected,) = tiny_classifier.find(_scans(1), target="glioma")
    with torch.inference_mode():
        (found,) = tiny_classifier.find(_scans(1), target="glioma")
    np.testing.assert_array_equal(found.heatmap, expected.heatmap)


@pytest.mark.parametrize("name", ["warp", "", "cuda:99", "meta", "cpu:x"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"no device .* here; use --device cpu, or auto"):
        choose_device(name)


def test_auto_finds_a_device() -> None:
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    assert choose_device("cpu").type == "cpu"
