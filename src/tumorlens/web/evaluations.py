"""Pages that audits, tests and validations wrote: found in a folder the server was told of, and shown as they are."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DEPTH = 4
"""Folders below the one that was named in which pages are looked for: runs/mine/evaluation has three."""

MOST = 200
"""Pages that are listed."""

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox"
)
"""What such a page may do: show itself. They hold their pictures and styles, and need no script."""

_TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class EvaluationReport:
    """A report of an evaluation, one HTML file.

    Attributes:
        name: Its path in the folder, with slashes.
        title: What it calls itself.
        written: When; seconds since 1970.
    """

    name: str
    title: str
    written: float


class EvaluationReports:
    """Reports of evaluations in a folder; none without one."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else folder.resolve()

    def all(self) -> list[EvaluationReport]:
        """All pages, the newest first."""
        found = (_report(path, name) for name, path in self._files())
        return sorted((p for p in found if p), key=lambda report: -report.written)[:MOST]

    def find(self, name: str) -> Path | None:
        """The file of a page, by its name; None if there is none, or it lies elsewhere."""
        return dict(self._files()).get(name)

    def _files(self) -> Iterator[tuple[str, Path]]:
        """Names and files. A link that leads out of the folder is not followed, nor is what is hidden."""
        if self._folder is None:
            return
        for place, folders, files in os.walk(self._folder):
            depth = len(Path(place).relative_to(self._folder).parts)
            folders[:] = sorted(f for f in folders if not f.startswith(".")) if depth < DEPTH else []
            for file in sorted(files):
                path = Path(place, file)
                if file.endswith(".html") and not file.startswith(".") and self._is_inside(path):
                    yield path.relative_to(self._folder).as_posix(), path

    def _is_inside(self, path: Path) -> bool:
        assert self._folder is not None
        return path.is_file() and path.resolve().is_relative_to(self._folder)


def _report(path: Path, name: str) -> EvaluationReport | None:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            head = file.read(4096)
        written = path.stat().st_mtime
    except OSError:  # gone meanwhile, or not ours to read
        return None
    title = _TITLE.search(head)
    return EvaluationReport(name, html.unescape(title[1]).strip() if title else name, written)
