"""One study through every surface: command line, tables of many scans, page, node and Python say the same of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

from rehearsal.files import write_dicom, write_nifti
from tumorlens import batch
from tumorlens.classifier import Classifier
from tumorlens.cli import main
from tumorlens.phantoms.phantom import make_study
from tumorlens.processes import Message, parse
from tumorlens.results.analysis import analyse
from tumorlens.web.database import Database
from tumorlens.web.messages import REPLIES, ReadCase, Rules
from tumorlens.web.reading import read_case
from tumorlens.web.store import Store

WEIGHTS = "cnn_lstm"  # they know phantoms


@pytest.fixture
def two_stacks(tmp_path: Path) -> Path:
    """A study of a series that holds an axial and a coronal stack, in turns; of T2, of a localiser, of a file twice."""
    folder = tmp_path / "study"
    common: dict[str, str] = {}
    for place, plane in enumerate(("axial", "coronal")):
        phantoms = make_study(4, label="glioma", plane=plane, contrast="t1c", slices=12, size=96, seed=7)
        for number, path in enumerate(write_dicom(phantoms, folder / plane)):
            ds = pydicom.dcmread(path)
            for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
                setattr(ds, keyword, common.setdefault(keyword, ds[keyword].value))
            ds.InstanceNumber = 1 + 2 * number + place
            ds.save_as(path)
    for description, slices in (("t2 sagittal", 10), ("3-plane localizer", 5)):
        phantoms = make_study(4, label="no_tumor", plane="sagittal", contrast="t2", slices=slices, size=96, seed=7)
        for path in write_dicom(phantoms, folder / description):
            ds = pydicom.dcmread(path)
            ds.StudyInstanceUID, ds.SeriesDescription = common["StudyInstanceUID"], description
            ds.save_as(path)
    (folder / "again.dcm").write_bytes((folder / "axial" / "0006.dcm").read_bytes())
    return folder


def by_command_line(study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setattr(sys, "argv", ["tumorlens", "predict", str(study), "--weights", WEIGHTS, "--json", "-q"])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert not exit_.value.code
    (record,) = json.loads(capsys.readouterr().out)["studies"]
    return record


def by_tables(study: Path, output: Path) -> Any:
    batch.run([study], batch.Computing(WEIGHTS), batch.Job(output, explain=False, pictures=False), jobs=1)
    (record,) = json.loads((output / "findings.json").read_text("ascii"))["studies"]
    return record


def by_page(study: Path, folder: Path, key: str | None) -> Any:
    """By the worker that reads cases and the store that keeps them, without HTTP between."""
    classifier = Classifier.load(WEIGHTS)
    database = Database(f"sqlite:///{folder / 'page.db'}")
    database.migrate()
    store = Store(database, folder, classifier.card)
    case = store.create("", "somebody", "axial")
    uploads = []
    for number, path in enumerate(sorted(p for p in study.rglob("*") if p.is_file())):
        (store.folder_of(case.id) / "uploads" / f"{number:05d}").write_bytes(path.read_bytes())
        uploads.append((number, f"study/{path.name}"))
    messages: list[Message] = []
    rules = Rules(files=1000, size=2**30, key=key)
    order = ReadCase(folder=store.folder_of(case.id), uploads=tuple(uploads), axis="axial", rules=rules)
    read_case(order, classifier, messages.append)
    store.begin(case.id)
    # The worker's messages are JSON on their way.
    store.add_found(case.id, [parse(REPLIES, message.line()) for message in messages])
    finished = store.finish(case.id)
    database.close()
    assert finished
    return finished.study


def test_every_surface_gives_a_study_the_same_finding(
    two_stacks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "open page").mkdir()
    classifier = Classifier.load(WEIGHTS)
    answers = {
        "command line": by_command_line(two_stacks, monkeypatch, capsys),
        "tables": by_tables(two_stacks, tmp_path / "output"),
        "page": by_page(two_stacks, tmp_path / "page", b"secret".hex()),
        "page without de-identification": by_page(two_stacks, tmp_path / "open page", None),
        "node": analyse(two_stacks, classifier).study.record().model_dump(mode="json"),
        "Python": classifier.find_study(two_stacks).record().model_dump(mode="json"),
    }
    same: dict[str, Callable[[Any], Any]] = {
        "label": lambda study: study["label"],
        "probabilities": lambda study: study["probabilities"],
        "answer": lambda study: (study["answer"], study["uncertain"], study["text"]),
        "slices": lambda study: (study["slices"], study["unknown_slices"], study["counts"], len(study["key_slices"])),
        "series": lambda study: sorted(({**s, "description": ""} for s in study["series"]), key=str),
    }
    for what, value in same.items():
        values = {surface: value(study) for surface, study in answers.items()}
        assert all(v == values["Python"] for v in values.values()), (what, values)
    assert sorted((s["plane"], s["slices"], s["reason"]) for s in answers["Python"]["series"]) == [
        ("axial", 12, ""),
        ("coronal", 12, ""),
        ("sagittal", 5, "localiser"),
        ("sagittal", 10, "T1 post-contrast decides"),
    ]


def test_volumes_of_a_patient_are_told_apart_by_name_on_the_page_too(tmp_path: Path) -> None:
    for contrast, label in (("t1c", "glioma"), ("flair", "no_tumor")):
        phantoms = make_study(4, label=label, plane="axial", contrast=contrast, slices=16, size=96, seed=7)
        (tmp_path / "patient").mkdir(exist_ok=True)
        write_nifti(phantoms, tmp_path / "patient" / f"p_{contrast}.nii.gz")
    (tmp_path / "page").mkdir()
    page = by_page(tmp_path / "patient", tmp_path / "page", b"secret".hex())
    study = Classifier.load(WEIGHTS).find_study(tmp_path / "patient").record().model_dump(mode="json")

    assert page["probabilities"] == study["probabilities"]
    assert [s["sequence"] for s in page["series"] if s["counted"]] == ["T1 post-contrast"]
    assert {s["description"] for s in page["series"]} == {"p_t1c", "p_flair"}
