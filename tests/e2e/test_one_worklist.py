"""Page and node by one command, between modality and PACS: one finding everywhere, an assessment on its way back."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import pydicom
import pytest
import yaml
from pydicom import Dataset

from rehearsal.files import write_dicom
from rehearsal.kills import free_port, wait_for
from rehearsal.orthanc import TITLE, Orthanc, installed
from tests.results.test_report import evaluations_of, report_of
from tests.web.conftest import PASSWORD, READS_PHANTOMS
from tumorlens.node.config import WebPeer
from tumorlens.node.dicomweb import DicomWeb
from tumorlens.phantoms.phantom import make_study
from tumorlens.results.make import KINDS
from tumorlens.web.accounts import Accounts
from tumorlens.web.database import Database
from tumorlens.web.settings import Settings

pytestmark = pytest.mark.e2e
_PATIENCE = 600  # seconds; machines that do much else take long


@pytest.fixture(autouse=True)
def packages() -> None:
    """A check that is skipped would be none."""
    missing = [tool for tool in ("storescu", "dciodvfy") if shutil.which(tool) is None]
    assert installed(), "apt-get install orthanc orthanc-dicomweb"
    assert not missing, "apt-get install dcmtk dicom3tools"


class Both:
    """`tumorlens serve --node`, with an account, and what a reader and a modality do with it."""

    def __init__(self, folder: Path, orthanc: Orthanc, dicom: int) -> None:
        self.folder, self.dicom, self.port = folder, dicom, free_port()
        home, config = folder / "home", folder / "node.yaml"
        destination = {"name": "orthanc", "host": "127.0.0.1", "port": orthanc.dicom, "ae_title": TITLE}
        node = {"folder": "node", "port": dicom, "quiet_seconds": 10, "weights": READS_PHANTOMS}
        node |= {"destinations": [destination], "page": {"organization": "A hospital"}}
        config.write_text(yaml.safe_dump(node))
        settings = Settings(home=home)
        settings.prepare()
        database = Database(settings.database_url)
        database.migrate()
        Accounts(database).add("ann", PASSWORD, "admin")
        database.close()
        command = [sys.executable, "-m", "tumorlens", "serve", "--node", str(config), "--home", str(home)]
        command += ["--port", str(self.port), "--no-open", "--workers", "1", "--accounts"]
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log)
        self.http = httpx2.Client(base_url=f"http://localhost:{self.port}/api/v1", timeout=30)

    def answers(self) -> bool:
        try:
            login = self.http.post("/login", json={"name": "ann", "password": PASSWORD})
        except httpx2.TransportError:
            return False
        return login.status_code == 200

    def get(self, path: str) -> Any:
        return self.http.get(path).json()

    def pid(self, holds: str) -> int | None:
        """The process that has a file open: the node its lock, the page its database."""
        for fd in Path("/proc").glob("[0-9]*/fd/*"):
            try:
                if fd.readlink() == self.folder / holds:
                    return int(fd.parts[2])
            except OSError:
                continue
        return None

    def node(self) -> int | None:
        return self.pid("node/node.lock")

    def page(self) -> int | None:
        return self.pid("home/tumorlens.db")

    def send(self, folder: Path) -> None:
        subprocess.run(["storescu", "+sd", "127.0.0.1", str(self.dicom), folder], check=True)

    def cases(self) -> list[dict[str, Any]]:
        return [case for case in self.get("/cases")["cases"] if case["status"] == "done"]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_PATIENCE)


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    with Orthanc(tmp_path / "orthanc", node=("127.0.0.1", 1, "TUMORLENS")) as running:
        yield running


@pytest.fixture
def both(tmp_path: Path, orthanc: Orthanc) -> Iterator[Both]:
    running = Both(tmp_path, orthanc, free_port())
    wait_for(running.answers, _PATIENCE)
    wait_for(running.node, _PATIENCE)
    yield running
    running.http.close()
    running.process.kill()
    running.process.wait()


def _in_pacs(orthanc: Orthanc, study: str) -> list[Dataset]:
    instances = DicomWeb(WebPeer(name="orthanc", url=orthanc.web)).retrieve_study(study)
    return [ds for ds in (pydicom.dcmread(BytesIO(b)) for b in instances) if ds.SOPClassUID in KINDS]


def _reports(results: list[Dataset], series: int) -> list[Dataset]:
    return [ds for ds in results if KINDS[ds.SOPClassUID] == "report" and ds.SeriesNumber == series]


def test_one_finding_in_worklist_picture_and_report_and_an_assessment_back(
    both: Both, orthanc: Orthanc, tmp_path: Path
) -> None:
    sent = write_dicom(make_study(3, label="glioma", size=128, slices=12), tmp_path / "study")
    study = str(pydicom.dcmread(sent[0]).StudyInstanceUID)
    both.send(tmp_path / "study")
    wait_for(lambda: len(both.cases()) == 1, _PATIENCE)
    (case,) = both.cases()

    wait_for(lambda: _reports(_in_pacs(orthanc, study), 9702), _PATIENCE)
    results = _in_pacs(orthanc, study)
    captures = [ds for ds in results if KINDS[ds.SOPClassUID] == "secondary-capture"]
    assert captures
    for capture in captures:
        assert f"AI: {case['words']}" in capture.ImageComments
    (report,) = _reports(results, 9702)
    group, *_ = report_of([report]).get_image_measurement_groups()
    in_report = {m.name.value: m.value for m in group.get_measurements()}
    assert in_report == {f"P_{k.upper()}": round(p, 6) for k, p in case["study"]["probabilities"].items()}

    at = f"/cases/{case['id']}"
    number = case["study"]["key_slices"][0]
    square = [[0.25, 0.25], [0.5, 0.25], [0.5, 0.5], [0.25, 0.5]]
    word = {"slice": number, "verdict": "other", "label": "meningioma", "comment": "A dural tail", "outline": square}
    assert both.http.post(f"{at}/feedback", json=word).status_code == 201
    assert both.http.post(f"{at}/sendings", json={"verified": True}).status_code == 201
    wait_for(lambda: both.get(f"{at}/sendings")[0]["state"] == "delivered", _PATIENCE)
    (said,) = _reports(_in_pacs(orthanc, study), 9706)
    assert (said.VerificationFlag, said.PatientID) == ("VERIFIED", report.PatientID)
    (observer,) = said.VerifyingObserverSequence
    assert (observer.VerifyingObserverName, observer.VerifyingOrganization) == ("ann", "A hospital")
    (outlined,) = report_of([said]).get_planar_roi_measurement_groups()
    assert ("Class by the reader", "meningioma") in evaluations_of(outlined)
    said.save_as(tmp_path / "said.dcm")
    judged = subprocess.run(["dciodvfy", tmp_path / "said.dcm"], capture_output=True)
    assert b"Error" not in judged.stdout + judged.stderr, judged.stderr.decode()[:800]

    for path in [p for p in (tmp_path / "home").rglob("*") if p.is_file()]:
        assert study.encode() not in path.read_bytes(), path.name  # nothing that leads back is on the page's side
    assert both.stop() == 0


def test_either_is_killed_and_the_other_goes_on(both: Both, tmp_path: Path) -> None:
    write_dicom(make_study(4, label="glioma", size=64, slices=4), tmp_path / "study")
    page, node = both.page(), both.node()
    assert page
    assert node
    os.kill(page, signal.SIGKILL)
    both.send(tmp_path / "study")  # the node takes it all the same
    wait_for(lambda: both.page() not in (None, page), _PATIENCE)
    assert both.node() == node
    wait_for(both.answers, _PATIENCE)
    page = both.page()
    os.kill(node, signal.SIGKILL)
    assert both.get("/me")["name"] == "ann"  # the page answers all the same
    wait_for(lambda: both.node() not in (None, node), _PATIENCE)
    assert both.page() == page
    wait_for(lambda: len(both.cases()) == 1, _PATIENCE)
    time.sleep(2)  # long enough for a second case of it, if there were to be one
    assert len(both.cases()) == 1
