from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.web.conftest import Page
from tumorlens.data.manifest import read_manifest

SQUARE = [[0.2, 0.2], [0.4, 0.2], [0.4, 0.5], [0.2, 0.5]]


def exported(page: Page, folder: Path) -> Path:
    answer = page.get("/feedback/export")
    assert answer.status_code == 200, answer.text
    zipfile.ZipFile(io.BytesIO(answer.content)).extractall(folder)
    return folder


def test_the_export_is_a_data_set(page: Page, jpeg: bytes, archive: bytes, tmp_path: Path) -> None:
    one = page.read({"a.jpg": jpeg})["id"]
    study = page.read({"s.zip": archive})["id"]
    page.post(f"/cases/{one}/feedback", json={"slice": 1, "verdict": "unsure"})
    page.post(f"/cases/{one}/feedback", json={"slice": 1, "verdict": "agree", "outline": SQUARE})
    page.post(f"/cases/{study}/feedback", json={"slice": 2, "verdict": "other", "label": "glioma"})
    page.post(f"/cases/{study}/feedback", json={"slice": 3, "verdict": "other", "label": "no_tumor"})
    page.post(f"/cases/{study}/feedback", json={"slice": 4, "verdict": "unsure", "comment": "=HYPERLINK(1)"})
    folder = exported(page, tmp_path)
    manifest = read_manifest(folder)

    labels = {e.name: e.label for e in manifest.entries}
    assert labels == {
        f"images/{one}-00001.png": "meningioma",
        f"images/{study}-00002.png": "glioma",
        f"images/{study}-00003.png": "no_tumor",
    }
    assert manifest.unit == "series"
    assert {e.group for e in manifest.entries} == {one, study}
    outlined = next(e for e in manifest.entries if e.label == "meningioma")
    assert outlined.outline is not None
    assert outlined.outline.points.tolist() == SQUARE
    rows = list(csv.DictReader((folder / "feedback.csv").read_text("utf-8").splitlines()))
    assert len(rows) == 5
    assert rows[-1]["comment"] == "'=HYPERLINK(1)"


def test_a_slice_that_readers_disagree_on_is_not_trained_on(
    open_page: Callable[..., Page], jpeg: bytes, tmp_path: Path
) -> None:
    page = open_page()
    cases = [page.read({"a.jpg": jpeg})["id"] for _ in range(2)]
    page.post(f"/cases/{cases[0]}/feedback", json={"slice": 1, "verdict": "agree"})
    page.post(f"/cases/{cases[1]}/feedback", json={"slice": 1, "verdict": "agree"})
    from tumorlens.web.tables import Feedback

    page.parts.assessments.save(
        Feedback(case_id=cases[0], slice=1, reader="somebody else", verdict="other", label="glioma")
    )
    manifest = read_manifest(exported(page, tmp_path))

    assert [e.group for e in manifest.entries] == [cases[1]]


def test_the_export_trains_a_network(page: Page, jpeg: bytes, archive: bytes, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from tumorlens.cli import app

    for _ in range(3):
        one = page.read({"a.jpg": jpeg})["id"]
        page.post(f"/cases/{one}/feedback", json={"slice": 1, "verdict": "agree"})
        study = page.read({"s.zip": archive})["id"]
        for number in range(1, 9):
            word = {"slice": number, "verdict": "other", "label": "no_tumor"}
            assert page.post(f"/cases/{study}/feedback", json=word).status_code == 201
    folder = exported(page, tmp_path / "set")
    arguments = ["evaluate", "--data", str(folder), "-w", "cnn_lstm", "-o", str(tmp_path / "out"), "--quiet"]
    result = CliRunner().invoke(app, arguments)

    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "report.html").exists()


def test_nothing_said_is_nothing_to_export(page: Page) -> None:
    assert page.get("/feedback/export").status_code == 409
