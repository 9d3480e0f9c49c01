from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.web.conftest import PASSWORD
from tumorlens.cli import app


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "in the clear"),
        (["--host", "0.0.0.0", "--insecure-http", "--no-accounts"], "takes accounts"),
        (["--host", "0.0.0.0", "--insecure-http"], "nobody could log in"),
        (["--tls-key", "key.pem"], "go together"),
        (["--tls-key", "no.pem", "--tls-certificate", "no.pem"], "no such file"),
        (["--proxy", "127.0.0.1", "--no-accounts"], "let everybody in"),
        (["--database", "mysql://x/y"], "postgresql://"),
        (["--database", "postgresql://u:secret@127.0.0.1:1/x"], "cannot be reached"),
        (["--weights", "nothing"], "nothing"),
    ],
)
def test_serve_says_what_is_wrong_with_how_it_is_run(
    tmp_path: Path, arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TUMORLENS_DATABASE", raising=False)
    result = CliRunner().invoke(app, ["serve", "--home", str(tmp_path / "home"), "--no-open", *arguments])

    assert result.exit_code != 0
    assert words in str(result.exception)
    assert "secret" not in str(result.exception)


def test_accounts_from_the_command_line(tmp_path: Path) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["accounts", *arguments, "--home", str(tmp_path)])

    (tmp_path / "password").write_text(PASSWORD + "\n")
    given = ("--password-file", str(tmp_path / "password"))
    assert run("add", "ann", "--role", "admin", *given).exit_code == 0
    assert run("add", "jane", *given).exit_code == 0
    assert "ann" in run("list").stdout
    assert run("token", "jane").stdout.startswith("tl_")
    assert run("password", "jane", *given).exit_code == 0
    assert "an account jane already" in str(run("add", "jane", *given).exception)
    assert "no account" in str(run("remove", "joe").exception)
    assert "last admin" in str(run("remove", "ann").exception)
    assert run("remove", "jane").exit_code == 0
    (tmp_path / "short").write_text("short")
    assert "shorter than 12" in str(run("add", "eve", "--password-file", str(tmp_path / "short")).exception)


@pytest.mark.parametrize(
    ("page", "arguments", "words"),
    [
        ("", [], "add a line 'page: {}'"),
        ("page: {}", ["--weights", "cnn_lstm_attention_fast"], "beside a node the page has the node's"),
        ("page: {destinations: [pacs]}", [], "pacs is not among destinations"),
    ],
)
def test_serve_says_what_is_wrong_with_its_node(tmp_path: Path, page: str, arguments: list[str], words: str) -> None:
    config = tmp_path / "node.yaml"
    config.write_text(f"folder: node\nweights: cnn_lstm\n{page}\n")
    given = ["serve", "--home", str(tmp_path / "home"), "--no-open", "--node", str(config), *arguments]
    result = CliRunner().invoke(app, given)

    assert result.exit_code != 0
    assert words in str(result.exception)
    assert not (tmp_path / "node").exists()
