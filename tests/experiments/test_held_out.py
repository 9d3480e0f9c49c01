import json
from pathlib import Path
from typing import Any

import pytest

from tests.experiments.conftest import QUICK
from tumorlens.card import read_card, write_card
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.classifier import Classifier
from tumorlens.evaluation.metrics import Scores
from tumorlens.experiments.experiment import Experiment
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
