"""What node and page share: studies go over once and whole, assessments come back as results, whatever is down."""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset

from rehearsal.archive import Archive
from rehearsal.kills import wait_for
from tests.node.helpers import StartNode, deliver, study_of, until
from tests.results.test_report import report_of
from tests.studies import BrightEngine
from tumorlens.classifier import Classifier
from tumorlens.errors import ConfigError
from tumorlens.listener import Listener
from tumorlens.node.config import NodeConfig
from tumorlens.node.isolation import Analyse
from tumorlens.node.ledger import Ledger
from tumorlens.node.node import Node
from tumorlens.node.page import Page
from tumorlens.node.spool import Spool
from tumorlens.node.status import dead_letters, retry
from tumorlens.results.analysis import analyse
from tumorlens.results.handover import PAGE, HandoverRule, hand_over, make_secret, read_handover
from tumorlens.results.make import make_results

REPORT = "1.2.840.10008.5.1.4.1.1.88.34"
NAME = "0123456789abcdef"


class Bright:
    """The real analysis, with an engine that needs no network; it hands over by the rule of a node's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self) -> Analyse:
        classifier, rule = Classifier(BrightEngine()), HandoverRule(self.folder / "page.secret")

        def run(paths: Any, listener: Listener, folder: Path) -> list[Dataset]:
            analysed = analyse(paths, classifier, listener=listener)
            hand_over(analysed, classifier.card, rule, folder)
            return make_results(analysed, classifier.card)

        return run


@pytest.fixture
def shared(settings: dict[str, Any]) -> Path:
    """The folder that node and page share."""
    return Path(settings["folder"]) / "page"


@pytest.fixture
def start(start_node: StartNode, settings: dict[str, Any]) -> Callable[..., Node]:
    return lambda **changes: start_node(Bright(settings["folder"]), **{"page": {}, **changes})


def handed(shared: Path) -> list[Path]:
    return sorted((shared / "studies").glob("[0-9a-f]*"))


def assess(shared: Path, origin: str, name: str = NAME, /, **changes: Any) -> None:
    given = {"id": name, "origin": origin, "reader": "ann", "verified": True, "sent": time.time()}
    slices = [{"number": 1, "verdict": "other", "label": "glioma", "comment": "a ring"}]
    content = json.dumps({**given, "slices": slices, **changes})
    (shared / "assessments" / f"{name}.json").write_text(content)


def reply(shared: Path, name: str = NAME) -> dict[str, str]:
    path = shared / "replies" / f"{name}.json"
    wait_for(path.exists)
    found: dict[str, str] = json.loads(path.read_text())
    return found


def test_a_study_goes_to_the_page_and_its_assessment_to_the_archive(
    start: Callable[..., Node], archive: Archive, destination: dict[str, Any], shared: Path
) -> None:
    node = start(destinations=[destination], page={"organization": "A hospital"})
    deliver(node, study_of("shared", 3))
    until(node, done=1)
    wait_for(lambda: bool(handed(shared)))
    (study,) = handed(shared)
    handover = read_handover(study)
    report = next(r["file"] for r in node.ledger.rows("SELECT * FROM results WHERE sop_class = ?", REPORT))
    group, *_ = report_of([pydicom.dcmread(node.spool.absolute(report))]).get_image_measurement_groups()
    in_pacs = sorted(m.value for m in group.get_measurements())
    assert in_pacs == sorted(round(p, 6) for p in handover.study.probabilities.values())
    assert list(node.spool.handover.iterdir()) == []

    before = len(archive.stored)
    assess(shared, study.name)
    wait_for(lambda: len(archive.stored) == before + 1)
    wait_for(lambda: reply(shared)["state"] == "delivered")
    result = node.ledger.value("SELECT result FROM assessments")
    assert result in archive.stored
    made = pydicom.dcmread(node.spool.absolute(node.ledger.value("SELECT file FROM results WHERE sop = ?", result)))
    assert (made.VerificationFlag, made.PatientName) == ("VERIFIED", "Phantom^Node")
    assert list((shared / "assessments").iterdir()) == []
    until(node, done=1)


def test_an_assessment_that_no_destination_takes_is_a_dead_letter_and_can_be_tried_again(
    start: Callable[..., Node], archive: Archive, destination: dict[str, Any], shared: Path
) -> None:
    retries = {"first": 0.02, "longest": 0.05, "tries": 2}
    node = start(destinations=[destination], retries=retries)
    deliver(node, study_of("later", 2))
    until(node, done=1)
    wait_for(lambda: bool(handed(shared)))
    archive.answer = lambda _: 0xA700
    assess(shared, handed(shared)[0].name)
    wait_for(lambda: reply(shared)["state"] == "failed")
    assert "A700" in reply(shared)["note"]
    assert [letter.what for letter in dead_letters(node.ledger)] == ["delivery"]
    archive.answer = lambda _: 0x0000
    retry(node.ledger)
    wait_for(lambda: reply(shared)["state"] == "delivered")


@pytest.fixture
def page(settings: dict[str, Any], spool: Spool, ledger: Ledger) -> Page:
    """The node's side alone, whose state has one study of which all is done."""
    destination = {"host": "127.0.0.1", "port": 1, "ae_title": "PACS"}
    destinations = [destination | {"name": name} for name in ("pacs", "readers")]
    config = NodeConfig.model_validate(settings | {"page": {"destinations": ["readers"]}, "destinations": destinations})
    make_secret(config.folder / "page.secret")
    (source,) = study_of("alone", 1)
    file = spool.place_of(str(source.SOPInstanceUID))
    file.parent.mkdir()
    buffer = io.BytesIO()
    source.save_as(buffer, enforce_file_format=True)
    file.write_bytes(buffer.getvalue())
    ledger.add_instance(str(source.SOPInstanceUID), str(source.StudyInstanceUID), spool.relative(file), "0", None)
    (revision,) = ledger.open_revisions(0)
    scratch = spool.empty_scratch()
    results = Bright(config.folder)()([file], Listener(), scratch)
    rows = []
    for number, ds in enumerate(results, 1):
        ds.save_as(scratch / f"{number:03d}.dcm", enforce_file_format=True)
        rows.append((str(ds.SOPInstanceUID), str(ds.SOPClassUID), f"{number:03d}.dcm"))
    places = spool.keep_results(scratch, revision.study, 1, [name for _, _, name in rows])
    kept = [(sop, kind, spool.relative(p)) for (sop, kind, _), p in zip(rows, places, strict=True)]
    page = Page(config, spool, ledger)
    page.step()
    assert handed(config.exchange) == []  # a kill here: the state does not know the results, so nothing goes over
    ledger.add_results(revision, "d", kept, [], "")
    return page


def test_a_study_goes_over_once_even_if_the_node_was_killed_on_the_way(
    page: Page, spool: Spool, shared: Path, tmp_path: Path
) -> None:
    (waiting,) = spool.handover.iterdir()
    shutil.copytree(waiting, tmp_path / "before")
    (shared / "studies" / f".{waiting.name}.part").mkdir()  # half a copy
    assert page.step()
    (study,) = handed(shared)
    assert sorted(f.name for f in study.iterdir()) == ["00001.dcm", "handover.json"]
    shutil.copytree(tmp_path / "before", waiting)  # it was there, and the kill came before it went here
    assert page.step()
    assert [s.name for s in handed(shared)] == [study.name]
    assert not page.step()
    assert not (spool.results_of(study.name) / PAGE).exists()


def test_an_assessment_is_one_result_even_if_it_is_read_twice(page: Page, ledger: Ledger, shared: Path) -> None:
    page.step()
    (study,) = handed(shared)
    for _ in range(2):  # the node was killed before it took the file away
        assess(shared, study.name, sent=1.8e9)
        page.step()
    assert ledger.value("SELECT count(*) FROM assessments") == 1
    # And it goes where node.yaml says alone.
    assert [row[0] for row in ledger.rows("SELECT destination FROM deliveries")] == ["readers"]
    assert reply(shared)["state"] == "waiting"
    assess(shared, study.name, "f" * 16, id="f" * 16)  # another is another, and of the AI's report, not of the first
    page.step()
    assert ledger.value("SELECT count(DISTINCT result) FROM assessments") == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"origin": "0000000000-001"}, "does not know the study"),
        ({"slices": [{"number": 99, "verdict": "unsure"}]}, "slices that the study has not"),
        ({"slices": []}, "no assessment"),
        ({"id": "ffffffffffffffff"}, "not named as it says"),
        ({"format": 2}, "one version"),
    ],
)
def test_an_assessment_that_makes_no_sense_is_refused_with_the_reason(
    page: Page, ledger: Ledger, shared: Path, change: dict[str, Any], words: str
) -> None:
    page.step()
    assess(shared, handed(shared)[0].name, **change)
    page.step()
    assert reply(shared)["state"] == "failed"
    assert words in reply(shared)["note"]
    assert list((shared / "assessments").iterdir()) == []
    assert ledger.value("SELECT count(*) FROM deliveries") == 0


def test_a_destination_that_is_none_is_said(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"page\.destinations: pacs is not among"):
        NodeConfig.model_validate(settings | {"page": {"destinations": ["pacs"]}})


def test_a_folder_that_cannot_be_made_is_said(settings: dict[str, Any], spool: Spool, ledger: Ledger) -> None:
    (spool.folder / "file").touch()
    config = NodeConfig.model_validate(settings | {"page": {"folder": spool.folder / "file" / "page"}})
    with pytest.raises(ConfigError, match=r"page\.folder"):
        Page(config, spool, ledger)
