"""Weights and their card: the pair is loaded whole and fitting, or not at all."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tumorlens import card as cards
from tumorlens.classifier import Classifier
from tumorlens.errors import ChecksumMismatch, ModelError
from tumorlens.model import weights as weights_module
from tumorlens.model.gate import Gate
from tumorlens.model.weights import load_gate, load_weights, save_weights


def _change_card(weights: Path, **changes: Any) -> None:
    path = weights.with_suffix(".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_was_saved_is_loaded(tiny_classifier: Classifier, tiny_weights: Path) -> None:
    network, card = load_weights(tiny_weights)
    assert card == tiny_classifier.card.model_copy(update={"sha256": card.sha256})
    assert card.sha256 == hashlib.sha256(tiny_weights.read_bytes()).hexdigest()
    assert not network.training
    images = torch.rand(2, 1, 32, 32)
    assert torch.equal(network(images), tiny_classifier.network(images))


def test_weights_in_half_precision_are_half_as_large_and_loaded_as_single(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    save_weights(tiny_classifier.network, tiny_classifier.card, whole)
    save_weights(tiny_classifier.network, tiny_classifier.card.model_copy(update={"half": True}), half)
    assert half.stat().st_size < 0.75 * whole.stat().st_size
    network, card = load_weights(half)
    assert card.half
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    images = torch.rand(2, 1, 32, 32)
    assert torch.allclose(network(images), tiny_classifier.network(images), atol=2e-2)
    save_weights(network, card, whole)
    assert whole.read_bytes() == half.read_bytes()


def _gate() -> Gate:
    rng = np.random.default_rng(0)
    images, pooled = rng.random((20, 1, 32, 32), np.float32), rng.random((20, 8), np.float32)
    return Gate.fit((images, pooled), (images, pooled))


def test_a_gate_lies_with_the_weights(tiny_classifier: Classifier, tmp_path: Path) -> None:
    path, gate = tmp_path / "w.safetensors", _gate()
    saved = save_weights(tiny_classifier.network, tiny_classifier.card, path, gate)
    network, card = load_weights(path)
    assert card == saved
    assert network.state_dict().keys() == tiny_classifier.network.state_dict().keys()
    found = load_gate(path)
    assert found is not None
    for name, tensor in gate.tensors().items():
        np.testing.assert_array_equal(found.tensors()[name], tensor)
    assert Classifier.load(path).gate is not None


def test_weights_without_a_gate_have_none(tiny_weights: Path) -> None:
    assert load_gate(tiny_weights) is None


def test_half_a_gate_is_refused(tiny_classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = dict(list(_gate().tensors().items())[:-1])
    monkeypatch.setattr(Gate, "tensors", lambda _: half)
    save_weights(tiny_classifier.network, tiny_classifier.card, tmp_path / "w.safetensors", _gate())
    with pytest.raises(ModelError, match=r"w\.safetensors: does not fit its card"):
        load_gate(tmp_path / "w.safetensors")


def test_weights_cut_off_while_they_are_replaced_have_no_card(
    tiny_classifier: Classifier, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card beside weights that are not its own would look complete, and be refused for ever."""
    monkeypatch.setattr(weights_module, "write_card", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        save_weights(tiny_classifier.network, tiny_classifier.card, tiny_weights, _gate())
    assert not tiny_weights.with_suffix(".json").exists()


def test_a_run_is_named_by_its_folder(tiny_classifier: Classifier, tmp_path: Path) -> None:
    saved = save_weights(tiny_classifier.network, tiny_classifier.card, tmp_path / "run" / "weights.safetensors")
    assert load_weights(tmp_path / "run")[1] == saved
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["weights.json", "weights.safetensors"]


def test_one_flipped_bit_is_noticed(tiny_weights: Path) -> None:
    data = bytearray(tiny_weights.read_bytes())
    data[-3] ^= 1
    tiny_weights.write_bytes(data)
    with pytest.raises(ChecksumMismatch, match=r"tiny\.safetensors: is damaged .* get the pair again"):
        load_weights(tiny_weights)


def test_cut_off_weights_are_noticed(tiny_weights: Path) -> None:
    tiny_weights.write_bytes(tiny_weights.read_bytes()[:500])
    with pytest.raises(ChecksumMismatch):
        load_weights(tiny_weights)


@pytest.mark.parametrize("data", [b"", b"no weights", bytes(200)])
def test_bytes_that_are_no_weights_are_refused_whatever_the_card_says(tiny_weights: Path, data: bytes) -> None:
    tiny_weights.write_bytes(data)
    _change_card(tiny_weights, sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(ModelError, match="does not fit its card"):
        load_weights(tiny_weights)


def test_a_pickle_is_never_opened(tiny_weights: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return pytest.fail, ("the pickle was opened",)

    data = pickle.dumps(Trap())
    tiny_weights.write_bytes(data)
    _change_card(tiny_weights, sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(ModelError):
        load_weights(tiny_weights)


@pytest.mark.parametrize(
    "changes",
    [
        {"network": "cnn"},
        {"network": "resnet"},
        {"options": {"widths": [4, 6, 9], "depth": 1, "hidden": 6}},
        {"options": {"widths": []}},
        {"options": {"wings": 2}},
        {"preprocessing": {"size": 32, "channels": 3}},
        {"classes": {"classes": [{"key": "a", "name": "a"}, {"key": "b", "name": "b"}]}},
    ],
)
def test_weights_that_do_not_fit_their_card_are_refused(tiny_weights: Path, changes: dict[str, Any]) -> None:
    _change_card(tiny_weights, **changes)
    with pytest.raises(ModelError, match=r"tiny\.safetensors: does not fit its card") as caught:
        load_weights(tiny_weights)
    assert "\n" not in str(caught.value)


def test_weights_without_a_card_are_refused(tiny_weights: Path) -> None:
    tiny_weights.with_suffix(".json").unlink()
    with pytest.raises(ModelError, match=r"tiny\.json: the weights' card is missing; keep it beside the weights"):
        load_weights(tiny_weights)


def test_an_unknown_name_lists_what_the_package_has(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cards, "SHIPPED", tiny_weights.parent)
    with pytest.raises(ModelError, match=r"^resnet: no such weights; .* one of: tiny$"):
        load_weights("resnet")
    assert load_weights("tiny")[1].name == "tiny"


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such weights"):
        load_weights(tmp_path)
