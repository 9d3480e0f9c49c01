"""A node in this process whose analysis pretends, on free ports and in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rehearsal.archive import Archive
from rehearsal.kills import NEVER
from rehearsal.phantoms import prepare_pretend
from tests.node.helpers import PATIENCE, StartNode
from tumorlens import limits
from tumorlens.node.config import NodeConfig
from tumorlens.node.inbox import Inbox
from tumorlens.node.ledger import Ledger
from tumorlens.node.node import Node
from tumorlens.node.spool import Spool


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a caller take its time where a test is about something else: on a busy machine it does."""
    monkeypatch.setattr(limits, "REQUEST_SECONDS", PATIENCE)


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
    """A node's settings, to be changed. It takes a study for complete when `rehearsal.kills.complete` says so."""
    return {"folder": tmp_path / "node", "port": 0, "quiet_seconds": NEVER, "retries": {"first": 0.05, "longest": 0.2}}


@pytest.fixture
def start_node(settings: dict[str, Any], tmp_path: Path) -> Iterator[StartNode]:
    """Starts nodes, and stops them at the end."""
    started: list[Node] = []

    def start(prepare: Any = None, own_analysis: bool = False, **changes: Any) -> Node:
        prepare = prepare or (None if own_analysis else partial(prepare_pretend, tmp_path))
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
    return {"name": "archive", "host": "127.0.0.1", "port": archive.port, "ae_title": "ARCHIVE", "seconds": PATIENCE}
