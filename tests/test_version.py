"""One version, wherever it is asked for."""

from importlib.metadata import version

from typer.testing import CliRunner

import tumorlens
from tumorlens.cli import app


def test_the_command_line_python_and_the_installed_package_tell_the_same_version() -> None:
    told = CliRunner().invoke(app, ["--version"])
    assert told.stdout == f"tumorlens {tumorlens.__version__}\n"
    assert version("tumorlens") == tumorlens.__version__
