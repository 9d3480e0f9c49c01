"""A file in, its findings out, at once."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image
from typer.testing import CliRunner

from tests.web.conftest import READS_PHANTOMS, Page
from tumorlens.cli import app


def test_the_answer_is_the_command_line_s(shared_page: Page, jpeg: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg)
    printed = CliRunner().invoke(app, ["predict", str(tmp_path / "a.jpg"), "--json", "-w", READS_PHANTOMS]).stdout
    expected = json.loads(printed)
    answer = shared_page.post("/findings", params={"name": "a.jpg"}, content=jpeg).json()

    (ours,), (theirs,) = answer["findings"], expected["findings"]
    assert answer["schema"] == expected["schema"] == 2
    assert set(answer) == set(expected)
    assert ours == {**theirs, "source": "a.jpg"}


def test_nothing_is_kept(shared_page: Page, jpeg: bytes) -> None:
    before = sorted(p.name for p in shared_page.settings.cases.iterdir())
    shared_page.post("/findings", content=jpeg)

    assert sorted(p.name for p in shared_page.settings.cases.iterdir()) == before


def test_another_class_can_be_asked_and_pictures_embedded(shared_page: Page, jpeg: bytes) -> None:
    answer = shared_page.post("/findings", params={"target": "glioma", "pictures": True}, content=jpeg).json()
    (finding,) = answer["findings"]

    assert (finding["label"], finding["explained"]) == ("meningioma", "glioma")
    picture = Image.open(io.BytesIO(base64.b64decode(finding["overlay"].removeprefix("data:image/png;base64,"))))
    assert picture.height == 192


def test_volumes_are_answered_slice_by_slice(shared_page: Page, nifti: bytes) -> None:
    axial = shared_page.post("/findings", params={"name": "v.nii.gz"}, content=nifti).json()
    sagittal = shared_page.post("/findings", params={"axis": "sagittal"}, content=nifti).json()

    assert len(axial["findings"]) == 20
    assert len(sagittal["findings"]) == 64  # and the rest is said to be a case
    assert "send it as a case" in sagittal["failures"][0]["error"]


def test_a_wrong_question_is_a_sentence(shared_page: Page, jpeg: bytes) -> None:
    answer = shared_page.post("/findings", params={"target": "cat"}, content=jpeg)
    assert (answer.status_code, answer.json()["error"][:13]) == (422, "no such class")
    assert "axis" in shared_page.post("/findings", params={"axis": "up"}, content=jpeg).json()["error"]


def test_too_many_at_once_are_told_to_wait(open_page: Callable[..., Page], jpeg: bytes) -> None:
    page = open_page(limits={"waiting": 1})
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: page.post("/findings", content=jpeg), range(24)))

    statuses = {a.status_code for a in answers}
    assert statuses == {200, 429}
    refused = next(a for a in answers if a.status_code == 429)
    assert refused.headers["Retry-After"] == "2"
    assert page.post("/findings", content=jpeg).status_code == 200
