"""Readers' assessments as a data set: a manifest that training and evaluation take, with its pictures."""

from __future__ import annotations

import csv
import io
import secrets
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from tumorlens.web.store import Store
from tumorlens.web.tables import UNSURE, Feedback

README = """Feedback of readers, exported by TumorLens.

manifest.csv   path, label, series and outline of every slice that readers agree on; train on this folder with:
                   tumorlens train --data FOLDER
feedback.csv   everything that was said, also by readers who are unsure or disagree
images/        the slices

Slices of one case share a series, so that no split tears them apart.
"""


def export_feedback(store: Store, folder: Path) -> Path | None:
    """The archive, in a file of its own in a folder; None if there would be no slice in it."""
    feedback = store.feedback()
    usable = [f for f in _agreed(feedback) if store.pictures(f.case_id, f.slice).scan.is_file()]
    if not usable:
        return None
    path = folder / f".export-{secrets.token_hex(8)}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        manifest = [("path", "label", "series", "source", "outline")]
        for f in usable:
            name = f"images/{f.case_id}-{f.slice:05d}.png"
            archive.write(store.pictures(f.case_id, f.slice).scan, name)
            manifest.append((name, f.label, f.case_id, "feedback", f.outline))
        archive.writestr("manifest.csv", _csv(manifest))
        columns = ("case_id", "slice", "reader", "said", "verdict", "label", "comment", "outline")
        archive.writestr("feedback.csv", _csv([columns, *([_cell(getattr(f, c)) for c in columns] for f in feedback)]))
        archive.writestr("README.txt", README)
    return path


def _agreed(feedback: Iterable[Feedback]) -> Iterator[Feedback]:
    """Of each slice on which all who are sure agree, their last word; one with an outline, if there is one."""
    last: dict[tuple[str, int], dict[str, Feedback]] = {}
    for f in feedback:  # the oldest first
        last.setdefault((f.case_id, f.slice), {})[f.reader] = f
    for readers in last.values():
        sure = [f for f in readers.values() if f.verdict != UNSURE]
        if len({f.label for f in sure}) == 1:
            yield max(sure, key=lambda f: (bool(f.outline), f.said))


def _csv(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
