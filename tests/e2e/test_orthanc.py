"""A real PACS around the node: Debian's Orthanc with its DICOMweb plug-in, and DCMTK's storescu as the modality.

Needs the packages orthanc, orthanc-dicomweb, dcmtk and dicom3tools.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from dicomweb_client import DICOMwebClient
from PIL import Image

from rehearsal.files import write_dicom
from rehearsal.kills import free_port, wait_for
from rehearsal.orthanc import TITLE, Orthanc, installed
from rehearsal.phantoms import CT, make_instance, write_study
from tumorlens.node.config import NodeConfig, WebPeer
from tumorlens.node.dicomweb import DicomWeb
from tumorlens.node.flow import check_analysis, prepare_analysis
from tumorlens.node.isolation import Prepare
from tumorlens.node.node import Node, pull_study
from tumorlens.node.status import study_states, totals
from tumorlens.phantoms.phantom import make_study as make_phantom_study
from tumorlens.results.make import KINDS

PREPARE = prepare_analysis("cnn_lstm")  # the weights that know phantoms

pytestmark = pytest.mark.e2e
StartNode = Callable[..., Node]
STUDY = str(make_instance("e2e").StudyInstanceUID)


@pytest.fixture(autouse=True)
def packages() -> None:
    """A check that is skipped would be none."""
    missing = [tool for tool in ("storescu", "findscu", "dcmj2pnm", "dciodvfy") if shutil.which(tool) is None]
    assert installed(), "apt-get install orthanc orthanc-dicomweb"
    assert not missing, "apt-get install orthanc orthanc-dicomweb dcmtk dicom3tools"


@pytest.fixture
def port() -> int:
    """Where the node will listen: Orthanc must know it before."""
    return free_port()


@pytest.fixture
def orthanc(tmp_path: Path, port: int) -> Iterator[Orthanc]:
    with Orthanc(tmp_path / "orthanc", node=("127.0.0.1", port, "TUMORLENS")) as running:
        yield running


@pytest.fixture
def start_node(tmp_path: Path, port: int) -> Iterator[StartNode]:
    started: list[Node] = []

    def start(prepare: Prepare | None = PREPARE, **settings: Any) -> Node:
        folder = {"folder": tmp_path / "node", "port": port, "quiet_seconds": 0.5, "retries": {"first": 0.2}}
        started.append(Node(NodeConfig.model_validate(folder | settings), prepare))
        started[-1].start()
        return started[-1]

    yield start
    for node in started:
        node.stop()


def _storescu(port: int, folder: Path) -> None:
    subprocess.run(["storescu", "+sd", "-aec", "ANY-SCP", "127.0.0.1", str(port), folder], check=True)


def _done(node: Node) -> bool:
    return study_states(node.ledger)["done"] == 1 and totals(node.ledger)["delivered"] >= 1


def _results_at(orthanc: Orthanc) -> list[dict[str, Any]]:
    """What another client than ours finds of the study that the modality did not send."""
    found = DICOMwebClient(orthanc.web).search_for_instances(STUDY, fields=["Modality"])
    return [item for item in found if item["00080060"]["Value"] != ["MR"]]


def test_a_study_from_a_modality_ends_as_results_in_the_pacs(
    orthanc: Orthanc, start_node: StartNode, tmp_path: Path
) -> None:
    destination = {"name": "orthanc", "host": "127.0.0.1", "port": orthanc.dicom, "ae_title": TITLE}
    node = start_node(destinations=[destination])
    write_study(tmp_path / "study", "e2e", 5)
    _storescu(node.config.port, tmp_path / "study")
    wait_for(lambda: _done(node))
    results = {item["00080018"]["Value"][0] for item in _results_at(orthanc)}
    assert results == {row[0] for row in node.ledger.rows("SELECT sop FROM results")}


def test_a_phantom_study_comes_back_as_every_kind_of_result(
    orthanc: Orthanc, start_node: StartNode, tmp_path: Path
) -> None:
    """The whole way: storescu, the node, Orthanc; then found by findscu and DICOMweb, validated, and looked at."""
    destination = {"name": "orthanc", "host": "127.0.0.1", "port": orthanc.dicom, "ae_title": TITLE}
    node = start_node(destinations=[destination])
    sent = write_dicom(make_phantom_study(3, label="glioma", size=192, slices=24), tmp_path / "study")
    study = str(pydicom.dcmread(sent[0]).StudyInstanceUID)
    _storescu(node.config.port, tmp_path / "study")
    wait_for(lambda: _done(node))

    client = DICOMwebClient(orthanc.web)
    found = client.search_for_instances(study, fields=["Modality"])
    results = [item for item in found if item["00080060"]["Value"] != ["MR"]]
    classes = {KINDS[item["00080016"]["Value"][0]] for item in results}
    assert classes == set(KINDS.values())
    keys = ["-k", "0008,0052=SERIES", "-k", f"0020,000D={study}", "-k", "0008,0060"]
    query = ["findscu", "-v", "-S", "-aet", "TUMORLENS", "-aec", TITLE, *keys]
    answers = subprocess.run([*query, "127.0.0.1", str(orthanc.dicom)], check=True, capture_output=True)
    told = (answers.stdout + answers.stderr).decode()
    assert {kind for kind in ("SR", "SEG", "PR", "OT") if f"[{kind}" not in told} == set(), told

    made = {row[0] for row in node.ledger.rows("SELECT sop FROM results")}
    retrieved = [
        pydicom.dcmread(BytesIO(b)) for b in DicomWeb(WebPeer(name="o", url=orthanc.web)).retrieve_study(study)
    ]
    ours = [ds for ds in retrieved if ds.SOPInstanceUID in made]
    assert len(ours) == len(made) == len(results)
    for number, ds in enumerate(ours):
        file = tmp_path / f"result-{number}.dcm"
        ds.save_as(file)
        judged = subprocess.run(["dciodvfy", file], capture_output=True)
        assert b"Error" not in judged.stdout + judged.stderr, (ds.SOPClassUID.name, judged.stderr.decode()[:600])
        if KINDS[ds.SOPClassUID] == "secondary-capture":
            picture = tmp_path / f"capture-{number}.png"
            subprocess.run(["dcmj2pnm", "+on", file, picture], check=True, capture_output=True)
            shown = np.asarray(Image.open(picture).convert("RGB"), float)
            assert shown.std() > 20
            assert np.abs(shown[..., 0] - shown[..., 2]).max() > 60  # heat is in colour
            if folder := os.environ.get("TUMORLENS_SCREENSHOTS"):
                shutil.copy(picture, folder)


@pytest.fixture
def ct_weights(tmp_path: Path) -> Path:
    """Untrained weights for head CT that call everything haemorrhage."""
    import torch

    from tumorlens.card import WeightsCard
    from tumorlens.classes import ClassSet, ScanClass
    from tumorlens.modality import find_modality
    from tumorlens.model import build_network
    from tumorlens.model.weights import save_weights
    from tumorlens.preprocess import Preprocessing

    ct = find_modality("CT")
    options: dict[str, Any] = {"widths": [4, 6, 8], "depth": 1, "hidden": 6}
    blood, normal = (ScanClass(key=key, name=key, nothing=key == "normal") for key in ("haemorrhage", "normal"))
    card = WeightsCard(
        name="head CT",
        network="cnn_lstm",
        options=options,
        preprocessing=Preprocessing(size=32, **ct.preprocessing),
        modality=ct,
        classes=ClassSet(classes=(blood, normal)),
        bias={"haemorrhage": 20.0},
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network("cnn_lstm", channels=3, classes=2, **options)
    path = tmp_path / "weights" / "ct.safetensors"
    save_weights(network, card, path)
    return path


def test_a_ct_series_is_read_by_the_weights_of_its_rule(
    orthanc: Orthanc, start_node: StartNode, ct_weights: Path, tmp_path: Path
) -> None:
    destination = {"name": "orthanc", "host": "127.0.0.1", "port": orthanc.dicom, "ae_title": TITLE}
    rules = [{"name": "mr"}, {"name": "ct", "modality": ["CT"], "weights": str(ct_weights)}]
    node = start_node(None, rules=rules, destinations=[destination])
    check_analysis(node.config)
    sent = write_study(tmp_path / "ct", "e2e ct", 6, **CT)
    _storescu(node.config.port, tmp_path / "ct")
    wait_for(lambda: _done(node))
    study = str(pydicom.dcmread(sent[0]).StudyInstanceUID)
    made = {row[0] for row in node.ledger.rows("SELECT sop FROM results")}
    retrieved = [
        pydicom.dcmread(BytesIO(b)) for b in DicomWeb(WebPeer(name="o", url=orthanc.web)).retrieve_study(study)
    ]
    ours = [ds for ds in retrieved if ds.SOPInstanceUID in made]
    assert {KINDS[ds.SOPClassUID] for ds in ours} == set(KINDS.values())
    for number, ds in enumerate(ours):
        file = tmp_path / f"result-{number}.dcm"
        ds.save_as(file)
        judged = subprocess.run(["dciodvfy", file], capture_output=True)
        assert b"Error" not in judged.stdout + judged.stderr, (ds.SOPClassUID.name, judged.stderr.decode()[:600])
    (report,) = (ds for ds in ours if KINDS[ds.SOPClassUID] == "report")
    assert "Head CT" in str(report)
    assert "Hemorrhage" in str(report)
    assert "tumour" not in str(report)


def test_results_go_back_over_dicomweb(orthanc: Orthanc, start_node: StartNode, tmp_path: Path) -> None:
    node = start_node(destinations=[{"name": "orthanc", "url": orthanc.web}])
    write_study(tmp_path / "study", "e2e", 5)
    _storescu(node.config.port, tmp_path / "study")
    wait_for(lambda: _done(node))
    assert len(_results_at(orthanc)) == totals(node.ledger)["results"]
    # Stored again, it still counts as stored, and is there once.
    with_results = totals(node.ledger)["results"]
    node.ledger.write("UPDATE deliveries SET state = 'waiting', next_try = 0")
    node.ledger.write("UPDATE revisions SET state = 'sending'")
    wait_for(lambda: _done(node))
    assert len(_results_at(orthanc)) == with_results


@pytest.mark.parametrize("kind", ["orthanc", "qido"])
def test_a_study_that_arrives_at_the_pacs_is_fetched_analysed_and_stored_back(
    orthanc: Orthanc, start_node: StartNode, tmp_path: Path, kind: str
) -> None:
    url = orthanc.url if kind == "orthanc" else orthanc.web
    node = start_node(
        destinations=[{"name": "orthanc", "url": orthanc.web}],
        feeds=[{"name": "orthanc", "kind": kind, "url": url, "every": 0.5, "since": "beginning"}],
    )
    write_study(tmp_path / "study", "e2e", 5)
    _storescu(orthanc.dicom, tmp_path / "study")
    sizes = "SELECT max(size) FROM pulls WHERE state = 'done'"
    wait_for(lambda: node.ledger.value(sizes) is not None)
    first = node.ledger.value(sizes)  # before results are at the PACS
    wait_for(lambda: _done(node))
    assert len(_results_at(orthanc)) == totals(node.ledger)["results"]
    # The results make the study at the PACS grow, and that starts nothing.
    pulls = "SELECT count(*) FROM pulls WHERE state = 'done' AND size > ?"
    wait_for(lambda: node.ledger.value(pulls, first) == 1)
    assert totals(node.ledger)["instances"] == 5
    assert node.ledger.value("SELECT count(*) FROM revisions") == 1


@pytest.mark.parametrize("how", ["move", "get"])
def test_a_study_is_pulled_on_demand(orthanc: Orthanc, start_node: StartNode, tmp_path: Path, how: str) -> None:
    source = {"name": "pacs", "host": "127.0.0.1", "port": orthanc.dicom, "ae_title": TITLE, "retrieve": how}
    node = start_node(sources=[source])
    write_study(tmp_path / "study", "e2e", 5)
    _storescu(orthanc.dicom, tmp_path / "study")
    assert pull_study(node.config, "pacs", STUDY) == (5, 0)
    wait_for(lambda: study_states(node.ledger)["done"] == 1)


def test_storage_commitment_by_a_real_pacs(orthanc: Orthanc, start_node: StartNode, tmp_path: Path) -> None:
    destination = {"name": "orthanc", "host": "127.0.0.1", "port": orthanc.dicom, "ae_title": TITLE, "commitment": True}
    node = start_node(destinations=[destination])
    write_study(tmp_path / "study", "e2e", 3)
    _storescu(node.config.port, tmp_path / "study")
    wait_for(lambda: _done(node))
    assert node.ledger.value("SELECT count(*) FROM deliveries WHERE asked <> '' AND state = 'stored'") >= 1


def test_bytes_from_the_pacs_are_the_bytes_it_has(orthanc: Orthanc, tmp_path: Path) -> None:
    write_study(tmp_path / "study", "e2e", 2)
    _storescu(orthanc.dicom, tmp_path / "study")
    ids = httpx.get(f"{orthanc.url}/instances").json()
    stored = {httpx.get(f"{orthanc.url}/instances/{i}/file").content for i in ids}
    assert set(DicomWeb(WebPeer(name="orthanc", url=orthanc.web)).retrieve_study(STUDY)) == stored
