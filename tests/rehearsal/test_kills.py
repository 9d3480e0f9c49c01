"""SIGKILL at every stage: what was accepted is kept, and every study has its one result."""

from pathlib import Path

import pytest

from rehearsal.kills import STAGES, kill_at


@pytest.mark.parametrize("stage", STAGES)
def test_a_kill_loses_and_doubles_nothing(stage: str, tmp_path: Path) -> None:
    counts = kill_at(stage, tmp_path, slices=6, studies=3, kills=3)
    assert (counts.accepted, counts.kept) == (18, 18)
    assert counts.stored == counts.studies + counts.grown == 3 + counts.grown
    assert counts.lost == counts.doubled == 0
