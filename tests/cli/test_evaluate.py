"""`tumorlens evaluate`: what it heeds, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tumorlens.experiments import experiment


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--split", "fold:1"], "--split: it divides --data"),
        (["--studies", "s", "--split", "fold:1"], "--split: it divides --data"),
        (["--heatmaps"], "--heatmaps: it needs a run and its own test part"),
        (["run", "--data", "scans", "--heatmaps"], "--heatmaps: it needs a run and its own test part"),
        (["run", "--studies", "s", "--heatmaps"], "--heatmaps: it needs a run and its own test part"),
        (["run", "--studies", "s", "--data", "scans"], "--data: --studies names the scans already"),
        (["run", "--weights", "cnn_lstm"], "--weights: RUN names the weights already"),
        (["run", "--label", "glioma"], "--label: it is of --studies"),
        (["run"], "run: is no folder of a training run"),
    ],
)
def test_evaluate_refuses_what_it_would_not_heed(run: Run, arguments: list[str], said: str) -> None:
    code, _, err = run("evaluate", *arguments)
    assert code == 2
    assert err.startswith(f"error: {said}")


def test_weights_are_tested_on_the_data_and_into_the_folder_that_were_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[object] = []

    def test(weights: str, data: list[Path], split: str, folder: Path, _: object, *, device: str) -> None:
        asked.extend([weights, data, split, folder, device])
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "evaluate_weights", test)
    code, _, _ = run(
        "evaluate", "runs/mine", "--data", "scans", "--split", "publisher", "-o", "out", "--device", "cuda"
    )
    assert code == 130
    assert asked == ["runs/mine", [Path("scans")], "publisher", Path("out"), "cuda"]
