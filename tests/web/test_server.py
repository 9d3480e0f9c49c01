from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from tumorlens.cli import app


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["serve", "--home", str(tmp_path), "--port", port, "--no-open"])
    assert "choose another --port" in str(result.exception)
