"""`tumorlens compare`: what it prints and writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.evaluation.predictions import Predictions


def write(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(4), 60)
    groups = np.array([f"g{i // 2}" for i in range(60)])
    folder.mkdir()
    Predictions(BRAIN_TUMORS, np.arange(60) % 4, p, [f"{i}.png" for i in range(60)], groups).write_csv(
        folder / "predictions.csv"
    )


@pytest.mark.filterwarnings("ignore::UserWarning:matplotlib.*")
def test_two_folders_are_compared(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "one", 0)
    write(tmp_path / "other", 1)
    code, out, err = run("compare", "one", "other", "-o", "out")
    assert code == 0
    assert "macro ROC-AUC" in out
    assert "no telling" in out
    assert "60 scans: " in err
    assert "report: out/comparison.html" in err
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["n"] == 60


def test_a_folder_without_predictions_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "one", 0)
    (tmp_path / "untested").mkdir()
    code, _, err = run("compare", "one", "untested")
    assert code == 2
    assert err == "error: untested: holds no predictions.csv; test it first: tumorlens evaluate untested\n"
    code, _, err = run("compare", "one", "nowhere")
    assert code == 2
    assert err.startswith("error: nowhere: there is no such folder; give that of a training run")
