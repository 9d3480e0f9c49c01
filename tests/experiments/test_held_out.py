import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.experiments.conftest import QUICK
from tumorlens.card import WeightsCard, read_card, write_card
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices, load_slices
from tumorlens.data.manifest import Entry, Manifest, read_manifest
from tumorlens.evaluation.metrics import Scores
from tumorlens.experiments.experiment import Experiment
from tumorlens.experiments.held_out import HeldOut, fit_card, hold_out, learn_gate
from tumorlens.model import build_network
from tumorlens.model.gate import Gate
from tumorlens.phantoms.dataset import write_phantoms
from tumorlens.preprocess import Preprocessing
from tumorlens.training.config import read_config
from tumorlens.training.run import Run


def test_calibration_and_gate_come_from_the_validation_part_and_are_measured_on_the_test_part(
    done: tuple[Run, Scores, list[str]],
) -> None:
    run, scores, _ = done
    card, classifier = read_card(run.weights), Classifier.load(run.folder)
    parts = list(run.read_parts().values())
    assert sum(card.calibration.scans.values()) == parts.count("validation")
    assert set(card.calibration.set_thresholds) == set(BRAIN_TUMORS.keys)
    assert classifier.gate is not None
    assert scores.calibrated
    told = json.loads((run.folder / "evaluation" / "metrics.json").read_text())["calibration"]
    assert told["temperature"] == card.temperature
    assert told["after"]["log_loss"]["value"] == scores.log_loss.value
    assert told["sets"]["n"] == scores.n
    assert 0 <= told["accepted"]["value"] <= 1
    page = (run.folder / "evaluation" / "report.html").read_text()
    assert "Calibration" in page
    assert "Uncalibrated" not in page
    assert (run.folder / "evaluation" / "plots" / "reliability_before.png").exists()


@pytest.mark.parametrize("killed_in", ["save_weights", "write_card"])
def test_a_run_killed_while_it_is_calibrated_goes_on_to_the_same_end(
    done: tuple[Run, Scores, list[str]], easy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_in: str
) -> None:
    run = Run.create(tmp_path / "run", read_config(None, QUICK), [easy])
    place = "tumorlens.experiments.experiment" if killed_in == "save_weights" else "tumorlens.model.weights"
    calls = []

    def kill(*arguments: Any) -> None:
        calls.append(arguments)
        if killed_in == "write_card" and len(calls) == 1:  # the training's own
            write_card(*arguments)
        else:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"{place}.{killed_in}", kill)
        with pytest.raises(KeyboardInterrupt):
            Experiment.load(run).complete()
    assert not (run.folder / "evaluation").exists()
    Experiment.load(run).complete()
    whole, resumed = read_card(done[0].weights), read_card(run.weights)
    assert resumed.calibration == whole.calibration
    assert resumed.sha256 == whole.sha256


def held_out(n: int, twins: NDArray[np.float64]) -> HeldOut:
    """Scans that a network names rightly, three times in four."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 4
    seen = np.where(rng.random(n) < 0.75, labels, rng.integers(0, 4, n))
    probabilities = np.full((n, 4), 0.1)
    probabilities[np.arange(n), seen] = 0.7
    return HeldOut(labels, probabilities, twins, np.ones((n, 2)), np.zeros((n, 16)), np.zeros((0, 19)))


def test_twins_make_up_for_tumour_free_scans_that_are_lacking(tiny_classifier: Classifier) -> None:
    card, nothing = tiny_classifier.card, list(BRAIN_TUMORS.keys).index("no_tumor")
    seen = np.full((100, 4), 0.2)
    seen[:, 0] = 0.4  # every twin is called a glioma

    def biases(tumour_free: int, twins: NDArray[np.float64]) -> tuple[float, ...]:
        whole = held_out(400, twins)
        rows = np.concatenate(
            [np.flatnonzero(whole.labels != nothing), np.flatnonzero(whole.labels == nothing)[:tumour_free]]
        )
        part = replace(
            whole, **{f: getattr(whole, f)[rows] for f in ("labels", "probabilities", "distances", "checks")}
        )
        fitted = fit_card(card, part, "contributions", "out-of-fold")
        assert fitted.calibration is not None
        assert fitted.calibration.scans["no_tumor"] == tumour_free  # twins are no scans
        return fitted.biases

    without, with_twins = biases(20, np.empty((0, 4))), biases(20, seen)
    assert with_twins[nothing] > without[nothing] + 0.5
    assert with_twins[0] < without[0] - 0.3
    np.testing.assert_allclose(biases(100, seen), biases(100, np.empty((0, 4))), atol=0.01)  # none are lacking


def test_twins_are_made_of_outlined_scans_where_a_class_means_nothing_found(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    write_phantoms(tmp_path / "phantoms", 40, size=32)
    slices = load_slices(read_manifest(tmp_path / "phantoms"), tiny_classifier.preprocessing)
    gate = learn_gate(tiny_classifier, slices, np.arange(20))
    held = hold_out(tiny_classifier, gate, slices, np.arange(20, 40))
    assert 0 < len(held.twins) <= 20
    np.testing.assert_allclose(held.twins.sum(1), 1)
    pooled = HeldOut.pool([held, held])
    assert len(pooled.twins) == 2 * len(held.twins)
    assert len(pooled.labels) == 40


def test_that_a_sequence_is_missing_is_not_strange_by_itself() -> None:
    rule = Preprocessing(size=16, sequences=("t1c", "flair"))
    card = WeightsCard(name="two", network="cnn", preprocessing=rule, classes=BRAIN_TUMORS)
    torch.manual_seed(0)
    two = Classifier.of(build_network("cnn", channels=2, classes=4), card)
    images = np.random.default_rng(0).uniform(0.2, 0.8, (300, 2, 16, 16)).astype(np.float32)
    entries = tuple(Entry(Path(f"{i}.png"), f"{i}.png", "glioma") for i in range(300))
    slices = Slices(images, np.zeros(300, np.int64), Manifest(entries, BRAIN_TUMORS))
    lacking = images[:20].copy()
    lacking[:, 1] = 0

    def accepted(gate: Gate, seen: NDArray[np.float64]) -> float:
        limit = np.quantile(seen.max(1), 0.95)
        return float((gate.distances(lacking, two.pool(lacking)).max(1) <= limit).mean())

    everything = np.arange(300)
    gate = learn_gate(two, slices, everything)
    assert accepted(gate, hold_out(two, gate, slices, everything).distances) >= 0.9
    whole = Gate.learn(images, two.pool(images))
    assert accepted(whole, whole.distances(images, two.pool(images))) == 0, "it is, to a gate that knows none"
