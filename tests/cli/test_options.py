from __future__ import annotations

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize("command", ["train", "evaluate", "crossvalidate"])
def test_training_and_testing_need_data(run: Run, command: str) -> None:
    code, out, err = run(command)
    assert (code, out) == (2, "")
    assert err == "error: say where the scans are, with --data FOLDER\n"
