"""On Ray, the same rows come out as here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tumorlens.batch import DOCUMENT, TABLES, Computing, Job, run
from tumorlens.cluster.connect import connect
from tumorlens.cluster.scoring import actors
from tumorlens.engines.export import export_graph

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
