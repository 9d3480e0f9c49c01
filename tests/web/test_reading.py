from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.conftest import Page
from tumorlens import Classifier, read_scans


def test_the_findings_are_those_of_the_command_line(page: Page, jpeg: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg)
    (expected,) = Classifier.load("cnn_lstm").find(read_scans(tmp_path / "a.jpg"))
    case = page.read({"a.jpg": jpeg})
    document = page.get(f"/cases/{case['id']}/findings").json()

    (finding,) = document["findings"]
    assert finding["probabilities"] == pytest.approx(expected.probabilities)
    assert expected.region is not None
    assert tuple(finding["region"]["box"]) == expected.region.box
    assert document["weights"]["sha256"] == expected.weights.sha256


def test_files_of_a_case_do_not_depend_on_each_other(page: Page, jpeg: bytes) -> None:
    case = page.read({"good.jpg": jpeg, "bad.png": b"\x89PNG\r\n\x1a\n" + b"rubbish" * 20, "note.txt": b"hello"})

    assert (case["status"], case["slices"]) == ("done", 1)
    assert {f["name"] for f in case["failures"]} == {"bad.png", "file 3"}
    assert all("; " in f["error"] for f in case["failures"])
