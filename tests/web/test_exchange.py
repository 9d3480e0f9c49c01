"""Studies of a node as cases: taken once, with the node's finding; assessments sent, and what became of them."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rehearsal.kills import wait_for
from tests.web.conftest import READS_PHANTOMS, Page
from tumorlens.classifier import Classifier
from tumorlens.results.analysis import analyse
from tumorlens.results.handover import HANDOVER, PAGE, HandoverRule, hand_over, make_secret
from tumorlens.results.slices import AnalysedStudy

ORIGIN = "90a47f5ba6-001"


@pytest.fixture(scope="module")
def handed(series: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AnalysedStudy]:
    """A glioma's study as a node hands it over, and what the node found."""
    folder = tmp_path_factory.mktemp("node")
    classifier = Classifier.load(READS_PHANTOMS)
    analysed = analyse(series, classifier)
    make_secret(folder / "secret")
    hand_over(analysed, classifier.card, HandoverRule(folder / "secret"), folder)
    return folder / PAGE, analysed


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return tmp_path / "shared"


@pytest.fixture
def beside(open_page: Callable[..., Page], shared: Path) -> Page:
    """A page beside a node that shares a folder."""
    return open_page(exchange=shared)


def give(shared: Path, study: Path, origin: str = ORIGIN) -> Path:
    part = shared / "studies" / f".{origin}.part"
    shutil.copytree(study, part)
    return part.rename(shared / "studies" / origin)


def case_of(page: Page, origin: str = ORIGIN, seconds: float = 300) -> dict[str, Any]:
    until = time.monotonic() + seconds
    while True:
        found = [c for c in page.get("/cases").json()["cases"] if c["origin"] == origin]
        if found and found[0]["status"] in ("done", "failed"):
            assert len(found) == 1
            return dict(page.get(f"/cases/{found[0]['id']}").json())
        assert time.monotonic() < until, found
        time.sleep(0.05)


def test_a_case_has_the_node_s_finding_to_the_last_digit(
    beside: Page, shared: Path, handed: tuple[Path, AnalysedStudy]
) -> None:
    study, analysed = handed
    place = give(shared, study)
    case = case_of(beside)
    assert (case["status"], case["title"], case["slices"]) == ("done", "Study 90a47f5ba6", 12)
    assert case["study"]["probabilities"] == analysed.study.probabilities
    assert (case["words"], case["label"]) == (analysed.study.text, analysed.study.label)
    slices = beside.get(f"/cases/{case['id']}/slices").json()
    found = sorted(sorted(s["finding"]["probabilities"].items()) for s in slices)
    assert found == sorted(sorted(s.finding.probabilities.items()) for s in analysed.slices)
    by_number = {s["number"]: s["finding"]["probabilities"] for s in slices}
    key = [by_number[n] for n in case["study"]["key_slices"]]
    assert sorted(p["glioma"] for p in key) == sorted(s.finding.probabilities["glioma"] for s in analysed.deciding)
    document = beside.get(f"/cases/{case['id']}/findings").json()
    assert document["studies"][0]["probabilities"] == analysed.study.probabilities
    assert beside.get(f"/cases/{case['id']}/slices/1/heat/glioma.png").status_code == 200
    wait_for(lambda: not place.exists())


def test_a_study_that_is_there_again_after_a_kill_is_one_case(
    beside: Page, shared: Path, handed: tuple[Path, AnalysedStudy]
) -> None:
    first = give(shared, handed[0])
    case_of(beside)
    wait_for(lambda: not first.exists())
    place = give(shared, handed[0])
    wait_for(lambda: not place.exists())
    assert beside.get("/cases").json()["total"] == 1


def test_a_study_of_other_weights_is_refused_in_words(
    beside: Page, shared: Path, handed: tuple[Path, AnalysedStudy], tmp_path: Path
) -> None:
    other = shutil.copytree(handed[0], tmp_path / "other")
    handover = json.loads((other / HANDOVER).read_text())
    handover["weights"] = {"name": "others", "sha256": "0" * 64}
    (other / HANDOVER).write_text(json.dumps(handover))
    give(shared, other)
    case = case_of(beside)
    assert case["status"] == "failed"
    assert "analysed it with others" in case["error"]


def test_what_is_sent_is_what_was_said_last_and_its_fate_is_noted(
    beside: Page, shared: Path, handed: tuple[Path, AnalysedStudy]
) -> None:
    give(shared, handed[0])
    case = case_of(beside)
    at = f"/cases/{case['id']}"
    assert beside.post(f"{at}/sendings", json={}).status_code == 400  # nothing was said
    beside.post(f"{at}/feedback", json={"slice": 2, "verdict": "unsure"})
    square = [[0.25, 0.25], [0.5, 0.25], [0.5, 0.5]]
    beside.post(f"{at}/feedback", json={"slice": 2, "verdict": "other", "label": "meningioma", "outline": square})
    sending = beside.post(f"{at}/sendings", json={}).json()
    assert (sending["state"], sending["slices"], sending["verified"]) == ("waiting", 1, False)
    sent = json.loads((shared / "assessments" / f"{sending['id']}.json").read_text())
    assert (sent["origin"], sent["verified"]) == (ORIGIN, False)
    (said,) = sent["slices"]
    handed_number = beside.get(f"{at}/slices/2").json()["handed"]
    assert (said["number"], said["verdict"], said["label"]) == (handed_number, "other", "meningioma")
    assert said["outline"] == square
    (shared / "replies").mkdir()
    (shared / "replies" / f"{sending['id']}.json").write_text('{"state": "delivered", "note": ""}')
    (shared / "replies" / "nonsense.json").write_text("{")
    wait_for(lambda: beside.get(f"{at}/sendings").json()[0]["state"] == "delivered")
    wait_for(lambda: list((shared / "replies").iterdir()) == [])
