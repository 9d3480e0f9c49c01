from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from pydicom import Dataset

from rehearsal.kills import wait_for
from rehearsal.phantoms import pretend
from tests.node.helpers import StartNode, deliver, study_of, until
from tumorlens.errors import ConfigError
from tumorlens.listener import Listener
from tumorlens.node.isolation import Analyse
from tumorlens.node.status import dead_letters, retry


def _fails() -> Analyse:
    def run(paths: Sequence[Path], listener: Listener, _folder: Path) -> list[Dataset]:
        if len(paths) < 3:
            raise ValueError("too few")
        return pretend(paths, listener)

    return run


def test_a_study_that_fails_is_a_dead_letter_until_it_is_tried_again(start_node: StartNode) -> None:
    node = start_node(_fails, analysis={"tries": 2})
    deliver(node, study_of("fails", 2))
    deliver(node, study_of("good", 3))
    until(node, dead=1, done=1)
    (letter,) = dead_letters(node.ledger)
    assert letter.what == "study"
    assert "ValueError" in letter.reason
    assert retry(node.ledger, [letter.id]) == 1
    wait_for(lambda: node.ledger.value("SELECT tries FROM revisions WHERE state = 'dead'") == 2)
    with pytest.raises(ConfigError, match="no such dead letter"):
        retry(node.ledger, ["s999"])
