"""Files in, findings and their pictures out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.batch.conftest import names, write_pages, write_scan
from tumorlens.batch import DOCUMENT, TABLES, Job, find_in_files
from tumorlens.classifier import Classifier
from tumorlens.errors import ConfigError


def test_without_an_output_nothing_is_written(tiny_classifier: Classifier, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "a.png")
    (record,) = find_in_files([scan], tiny_classifier, Job()).findings
    assert record.heatmap is record.overlay is None
    assert names(tmp_path) == {"a.png"}


def test_without_explaining_only_the_document_is_written(tiny_classifier: Classifier, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "a.png")
    find_in_files([scan], tiny_classifier, Job(output=tmp_path / "out", explain=False))
    assert names(tmp_path / "out") == {DOCUMENT, *TABLES}


def test_a_document_stands_only_where_all_was_written(tiny_classifier: Classifier, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        write_scan(tmp_path / "in" / name)
    job = Job(output=tmp_path / "out", target="glioma")
    find_in_files([tmp_path / "in"], tiny_classifier, job)
    assert DOCUMENT in names(tmp_path / "out")
    (tmp_path / "out" / "b-overlay.png").unlink()
    (tmp_path / "out" / "b-overlay.png" / "in the way").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"b-overlay\.png: cannot be written .*; free space or choose another"):
        find_in_files([tmp_path / "in"], tiny_classifier, job)
    assert DOCUMENT not in names(tmp_path / "out")
    assert not [name for name in names(tmp_path / "out") if name.endswith(".part")]


def test_progress_counts_files_to_the_end(tiny_classifier: Classifier, tmp_path: Path) -> None:
    write_scan(tmp_path / "a.png")
    write_pages(tmp_path / "b.tif", 3)
    calls: list[tuple[int, int]] = []
    find_in_files([tmp_path], tiny_classifier, Job(), progress=lambda *call: calls.append(call))
    assert calls == [(0, 2), (1, 2), (2, 2)]
