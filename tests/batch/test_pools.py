"""Whoever does the chunks, the answers are the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tumorlens.batch import DOCUMENT, TABLES, Computing, Job, run
from tumorlens.batch.pools import processes
from tumorlens.errors import TumorLensError


def test_processes_give_what_one_process_gives(
    folder_of: Callable[[int], Path], tiny_weights: Path, tmp_path: Path
) -> None:
    scans, computing = folder_of(70), Computing(str(tiny_weights))
    outputs = [tmp_path / "alone", tmp_path / "together"]
    for output, jobs in zip(outputs, (1, 2), strict=True):
        outcome = run([scans], computing, Job(output=output, pictures=False), jobs=jobs)
        assert (outcome.findings, outcome.failures) == (70, 1)
    for name in (DOCUMENT, *TABLES):
        assert (outputs[0] / name).read_bytes() == (outputs[1] / name).read_bytes()


def test_a_worker_that_dies_is_said_and_what_is_done_is_kept(tmp_path: Path, tiny_weights: Path) -> None:
    with pytest.raises(TumorLensError, match="a worker process was killed"):
        list(processes(Computing("no such weights"), Job(), 1)([(0, [])]))
