"""Files in, findings and their pictures out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.batch.conftest import names, write_pages, write_scan
from tests.formats.test_registered import write_volume
from tumorlens.batch import DOCUMENT, TABLES, Job, find_in_files
from tumorlens.card import WeightsCard
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.classifier import Classifier
from tumorlens.errors import ConfigError
from tumorlens.model import build_network
from tumorlens.preprocess import Preprocessing


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


def test_sequences_of_a_patient_are_one_scan_and_a_missing_one_is_told(tmp_path: Path) -> None:
    card = WeightsCard(
        name="two",
        network="cnn",
        preprocessing=Preprocessing(size=16, sequences=("t1c", "flair")),
        classes=BRAIN_TUMORS,
    )
    two = Classifier.of(build_network("cnn", channels=2, classes=4), card)
    data = np.random.default_rng(0).integers(0, 900, (20, 24, 3))
    for patient, sequences in {"p1": ("t1c", "flair"), "p2": ("flair",)}.items():
        (tmp_path / patient).mkdir()
        for name in sequences:
            write_volume(tmp_path / patient / f"{name}.nii.gz", data)
    findings = find_in_files([tmp_path], two, Job()).findings
    assert [Path(f.source).parent.name for f in findings] == ["p1"] * 3 + ["p2"] * 3
    missing = "missing: t1c; the network answers without"
    assert [missing in f.warnings for f in findings] == [False] * 3 + [True] * 3
    assert all(f.label for f in findings)
    alone = find_in_files([write_scan(tmp_path / "other" / "a.png")], two, Job()).findings
    assert "it is none of t1c, flair" in alone[0].reason
