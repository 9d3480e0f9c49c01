"""The README's Python lines, typed as into a notebook: each runs, and what it shows can be read."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.studies import GRIDS, classic, save

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
UNREADABLE = re.compile(r"array\(|dtype=|object at 0x|\.{3}\]")
"""What a terse `repr` has not: arrays, and addresses in memory."""


def type_in(lines: str, names: dict[str, Any]) -> list[object]:
    """Runs lines one statement after another, and gives the values that a notebook would show."""
    shown = []
    for statement in ast.parse(lines).body:
        if isinstance(statement, ast.Expr):
            shown.append(eval(compile(ast.Expression(statement.value), "README", "eval"), names))
        else:
            exec(compile(ast.Module([statement], []), "README", "exec"), names)
    return [value for value in shown if value is not None]


def test_the_readmes_python_can_be_typed_into_a_notebook(
    make_study: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (lines,) = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)
    make_study()
    save(classic(GRIDS["axial"], GRIDS["axial"].position(5, 11), True, number=1), tmp_path / "scan.dcm")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}

    (overlay,) = type_in(lines, names)
    printed = capsys.readouterr().out
    assert isinstance(overlay, Image.Image)
    finding, study, answer = (names[name] for name in ("finding", "study", "answer"))
    assert [line.split()[0] for line in printed.splitlines()] == [str(finding).split()[0], str(answer).split()[0]]
    assert str(finding) in printed
    assert str(answer) in printed
    for text in (printed, *map(repr, (finding, study, answer, names["classifier"]))):
        assert not UNREADABLE.search(text), text
        assert max(map(len, text.splitlines())) < 1000
    for value in (finding, study, answer):
        assert "<table" in value._repr_html_()
