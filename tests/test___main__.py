"""`python -m tumorlens` is the command."""

import subprocess
import sys

import tumorlens


def test_python_runs_the_package_as_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "tumorlens", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"tumorlens {tumorlens.__version__}\n"
