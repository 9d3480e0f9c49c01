"""On Ray, the same rows come out as here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tumorlens.batch import DOCUMENT, TABLES, Computing, Job, run
from tumorlens.cluster.connect import connect
from tumorlens.cluster.scoring import actors
from tumorlens.engines.export import export_graph
from tumorlens.errors import ConfigError, MissingExtra

# Ray warns of what it will change, and leaves sockets to the collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_a_cluster_gives_what_this_machine_gives(
    folder_of: Callable[[int], Path], tiny_weights: Path, tmp_path: Path
) -> None:
    export_graph(tiny_weights)  # PyTorch's last digits depend on the number of threads, which Ray sets
    scans, computing = folder_of(40), Computing(str(tiny_weights))
    here, there = (Job(output=tmp_path / name, target="glioma") for name in ("here", "there"))
    run([scans], computing, here, jobs=1)
    with connect(processors=2):
        outcome = run([scans], computing, there, pool=actors(computing, there, 2))
    assert (outcome.findings, outcome.failures) == (40, 1)
    for name in (DOCUMENT, *TABLES[:1]):
        expected = (tmp_path / "here" / name).read_text().replace(str(tmp_path / "here"), str(tmp_path / "there"))
        assert (tmp_path / "there" / name).read_text() == expected
    for picture in (tmp_path / "here").glob("*-*"):
        assert (tmp_path / "there" / picture.name).read_bytes() == picture.read_bytes()


def test_a_cluster_that_is_not_there_is_said() -> None:
    with (
        pytest.raises(
            ConfigError, match=r"--address 127.0.0.1:1: no Ray cluster answers .*; start one with: ray start --head"
        ),
        connect("127.0.0.1:1"),
    ):
        pass


def test_without_ray_the_extra_is_named(folder_of: Callable[[int], Path], tiny_weights: Path) -> None:
    code = "import sys; sys.modules['ray'] = None; from tumorlens.cli import main; main()"
    command = [sys.executable, "-c", code, "predict", str(folder_of(1)), "-w", str(tiny_weights), "--engine", "ray"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"error: {MissingExtra('a Ray cluster', 'cluster')}\n"
