"""Studies with a bright lesion and a classifier that finds what is bright (hospital_studies.py); and a node in this
process whose analysis pretends, on free ports and in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hospital_studies import GRIDS, BrightEngine, Grid, classic, save
from node_helpers import StartNode

from tumorlens.classifier import Classifier
from tumorlens.hospital.config import NodeConfig
from tumorlens.hospital.inbox import Inbox
from tumorlens.hospital.ledger import Ledger
from tumorlens.hospital.node import Node
from tumorlens.hospital.rehearsal.archive import Archive
from tumorlens.hospital.rehearsal.phantoms import prepare_pretend
from tumorlens.hospital.spool import Spool


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Path]:
    """Writes a study of one series, by default axial with a lesion; files are named against their order."""

    def make(grid: Grid = GRIDS["axial"], count: int = 11, lesion: bool = True, **options: object) -> Path:
        folder = tmp_path / "study"
        for i in range(count):
            ds = classic(grid, grid.position(i, count), lesion, number=i + 1, **options)
            save(ds, folder / f"s{ds.SeriesInstanceUID[-1]}-{count - i:03}.dcm")
        return folder

    return make


@pytest.fixture
def bright() -> Classifier:
    return Classifier(BrightEngine())


@pytest.fixture
def strange() -> Classifier:
    return Classifier(BrightEngine(unknown=True))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # pynetdicom leaves the socket of a refused connection to the garbage collector.
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))


@pytest.fixture
def archive() -> Iterator[Archive]:
    with Archive() as running:
        yield running


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "node")


@pytest.fixture
def ledger(spool: Spool) -> Iterator[Ledger]:
    opened = Ledger(spool.folder / "node.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def inbox(spool: Spool, ledger: Ledger) -> Inbox:
    return Inbox(spool, ledger)


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """A node's settings, to be changed."""
    return {"folder": tmp_path / "node", "port": 0, "quiet_seconds": 1.0, "retries": {"first": 0.05, "longest": 0.2}}


@pytest.fixture
def start_node(settings: dict[str, Any], tmp_path: Path) -> Iterator[StartNode]:
    """Starts nodes, and stops them at the end."""
    started: list[Node] = []

    def start(prepare: Any = None, **changes: Any) -> Node:
        prepare = prepare or partial(prepare_pretend, tmp_path)
        node = Node(NodeConfig.model_validate(settings | changes), prepare)
        started.append(node)
        node.start()
        return node

    yield start
    for node in started:
        node.stop()


@pytest.fixture
def destination(archive: Archive) -> dict[str, Any]:
    """The archive, as node.yaml names it."""
    return {"name": "archive", "host": "127.0.0.1", "port": archive.port, "ae_title": "ARCHIVE", "seconds": 5}
