"""What a node found, in the worker that makes the pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tumorlens.errors import DataError
from tumorlens.finding import FindingRecord, WeightsId
from tumorlens.results.handover import HANDOVER, HandedSlice, Handover
from tumorlens.scan import Scan
from tumorlens.study_record import KeySlice, StudyRecord
from tumorlens.web.given import Given

WEIGHTS = WeightsId(name="those", sha256="ab" * 32)


def _finding(p: float) -> FindingRecord:
    same = {"frame": 0, "unknown": False, "strangeness": None, "reason": "", "label": "glioma", "confidence": p}
    more = {"close_call": False, "prediction_set": (), "explained": "glioma", "method": "", "region": None}
    more |= {"heatmap": None, "overlay": None, "warnings": ()}
    return FindingRecord(source="a", probabilities={"glioma": p}, **same, **more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three slices; in the files' order, the third was handed over first."""
    key = (KeySlice(source="2.dcm", frame=0), KeySlice(source="1.dcm", frame=1))
    study = StudyRecord(
        source="",
        answer="present",
        text="glioma suspected, 71%",
        label="glioma",
        probabilities={"glioma": 0.7123456789012345},
        uncertain=False,
        unknown=False,
        key_slices=key,
        slices=3,
        unknown_slices=0,
        counts={"glioma": 3},
        series=(),
    )
    places = (("2.dcm", 0), ("1.dcm", 0), ("1.dcm", 1))
    slices = tuple(HandedSlice(file=f, frame=n, finding=_finding(0.1 + i)) for i, (f, n) in enumerate(places))
    handover = Handover(title="", weights=WEIGHTS, study=study, slices=slices)
    (tmp_path / HANDOVER).write_text(handover.model_dump_json())
    return tmp_path


def scan(file: str, frame: int) -> Scan:
    return Scan(np.zeros((16, 16), np.float32), f"/somewhere/{file}", frame=frame)


def test_each_slice_gets_the_finding_that_the_node_made_of_it(folder: Path) -> None:
    given = Given(folder, WEIGHTS)
    for number, (file, frame, place, p) in enumerate(
        (("1.dcm", 0, 2, 1.1), ("1.dcm", 1, 3, 2.1), ("2.dcm", 0, 1, 0.1)), 1
    ):
        assert given.place(scan(file, frame)) == place
        finding = given.finding(place, number, "series 1, slice 1")
        assert (finding.probabilities["glioma"], finding.source) == (p, "series 1, slice 1")
    study = given.study().study
    assert study["probabilities"]["glioma"] == 0.7123456789012345
    assert (study["key_slices"], study["suspected"]) == ([2, 3], [])
    assert given.place(scan("3.dcm", 0)) is None


def test_other_weights_are_refused_for_the_heat_would_not_be_the_finding_s(folder: Path) -> None:
    with pytest.raises(DataError, match="analysed it with those, and the page has others; give both one"):
        Given(folder, WeightsId(name="others", sha256="cd" * 32))


@pytest.mark.parametrize("content", [None, "{", '{"format": 2}'])
def test_what_is_no_handover_of_this_version_is_said(folder: Path, content: str | None) -> None:
    (folder / HANDOVER).unlink()
    if content is not None:
        (folder / HANDOVER).write_text(content)
    with pytest.raises(DataError, match="one version"):
        Given(folder, WEIGHTS)
