"""Tables that things show themselves by in notebooks."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


def html_table(names: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table for notebooks, with `names` as its head; None is an empty cell, and nothing in a cell is read as HTML."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    lines = ("".join(f"<td>{'' if cell is None else escape(str(cell))}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
