from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize("command", ["train", "evaluate", "crossvalidate"])
def test_training_and_testing_need_data(run: Run, command: str) -> None:
    code, out, err = run(command)
    assert (code, out) == (2, "")
    assert err == "error: say where the scans are, with --data FOLDER\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("tumorlens pre", "predict"),
        ("tumorlens data ge", "get"),
        ("tumorlens data get ma", "masoud"),
        ("tumorlens predict --wei", "--weights"),
        ("tumorlens predict --weights cnn_lstm_attention_f", "cnn_lstm_attention_fast"),
    ],
)
def test_a_shell_completes_commands_options_and_weights(line: str, completed: str, shell: str) -> None:
    # As the scripts do that `tumorlens --install-completion` gives these shells.
    asked = {
        "_TUMORLENS_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split()) - 1),
    }
    command = [sys.executable, "-c", "from tumorlens.cli import main; main()"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | asked, check=False)
    assert completed in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_the_script_of_each_shell_can_be_shown(shell: str) -> None:
    command = [sys.executable, "-c", "from tumorlens.cli import main; main()"]
    asked = {"_TUMORLENS_COMPLETE": f"source_{shell}"}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | asked, check=False)
    assert "_TUMORLENS_COMPLETE" in done.stdout
