from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.formats.test_registered import write_volume
from tests.web.conftest import Page
from tumorlens import Classifier, read_scans
from tumorlens.card import WeightsCard
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.model import build_network
from tumorlens.model.weights import save_weights
from tumorlens.preprocess import Preprocessing


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


def test_sequences_of_a_case_are_read_as_one_and_a_missing_one_is_told(
    open_page: Callable[..., Page], tmp_path: Path
) -> None:
    rule = Preprocessing(size=16, sequences=("t1c", "flair"))
    card = WeightsCard(name="two", network="cnn", preprocessing=rule, classes=BRAIN_TUMORS)
    save_weights(build_network("cnn", channels=2, classes=4), card, tmp_path / "two.safetensors")
    data = np.random.default_rng(0).integers(0, 900, (40, 48, 3))
    flair = write_volume(tmp_path / "p1_flair.nii.gz", data).read_bytes()
    t1c = write_volume(tmp_path / "p1_t1c.nii.gz", data[::-1]).read_bytes()
    page = open_page(weights=str(tmp_path / "two.safetensors"))

    begun = page.new_case({"p1_t1c.nii.gz": t1c, "p1_flair.nii.gz": flair})
    page.post(f"/cases/{begun}/start")
    both = page.wait(begun, 300)
    assert (both["status"], both["slices"]) == ("done", 3)
    shown = [s["finding"] for s in page.get(f"/cases/{both['id']}/slices").json()]
    assert [f["source"] for f in shown] == [f"p1_t1c.nii.gz, slice {n}" for n in (1, 2, 3)]
    assert not any("missing" in text for f in shown for text in f["warnings"])

    answer = page.post("/findings", params={"name": "p1_flair.nii.gz"}, content=flair).json()
    assert [f["warnings"][0] for f in answer["findings"]] == ["missing: t1c; the network answers without"] * 3
