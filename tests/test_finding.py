"""Findings, and the JSON they become."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tumorlens
from tumorlens.errors import ConfigError
from tumorlens.evidence import Region
from tumorlens.finding import FailureRecord, Finding, FindingRecord, FindingsDocument, WeightsId
from tumorlens.scan import Scan

WEIGHTS = WeightsId(name="tiny", sha256="ab" * 32)


@pytest.fixture
def finding() -> Finding:
    return Finding(
        source="study/größe.dcm",
        frame=3,
        label="glioma",
        probabilities={"glioma": 0.7, "no_tumor": 0.3},
        weights=WEIGHTS,
        heatmap=np.ones((4, 4), np.float32),
        region=Region(box=(1, 2, 3, 4), contour=((1.0, 2.0), (3.0, 2.0), (3.0, 4.0)), area=4),
        explained="glioma",
        warnings=("a colour picture",),
    )


def test_the_document_has_exactly_the_promised_fields(finding: Finding) -> None:
    record = finding.record(Path("out/a-heatmap.npy"), Path("out/a-overlay.png"))
    failure = FailureRecord(source="b.png", error="the file is empty; export it again")
    document = json.loads(FindingsDocument.of(WEIGHTS, [record], [failure]).to_json())
    assert list(document) == ["schema", "version", "weights", "findings", "failures", "studies"]
    assert document["schema"] == 2
    assert document["version"] == tumorlens.__version__
    assert document["weights"] == {"name": "tiny", "sha256": "ab" * 32}
    assert document["failures"] == [{"source": "b.png", "error": "the file is empty; export it again"}]
    (found,) = document["findings"]
    assert set(found) == FindingRecord.model_fields.keys()
    assert found["source"] == "study/größe.dcm"
    assert (found["frame"], found["label"]) == (3, "glioma")
    assert found["probabilities"] == {"glioma": 0.7, "no_tumor": 0.3}
    assert found["region"]["box"] == [1, 2, 3, 4]
    assert (found["heatmap"], found["overlay"]) == ("out/a-heatmap.npy", "out/a-overlay.png")
    assert found["warnings"] == ["a colour picture"]


def test_what_was_not_made_is_null(finding: Finding) -> None:
    bare = Finding("a", 0, "no_tumor", finding.probabilities, WEIGHTS)
    (found,) = json.loads(FindingsDocument.of(WEIGHTS, [bare.record()], []).to_json())["findings"]
    assert found["region"] is found["heatmap"] is found["overlay"] is None
    assert found["warnings"] == []
    assert found["explained"] == "no_tumor"


def test_an_unknown_scan_has_no_class_anywhere() -> None:
    reason = "unlike the scans it was trained on: almost all background (distance 2.50, accepted up to 1)"
    unknown = Finding("a", 0, None, {}, WEIGHTS, unknown=True, strangeness=2.5, reason=reason)
    text = FindingsDocument.of(WEIGHTS, [unknown.record()], []).to_json()
    (found,) = json.loads(text)["findings"]
    assert (found["unknown"], found["strangeness"], found["reason"]) == (True, 2.5, reason)
    assert found["label"] is found["confidence"] is found["explained"] is found["region"] is None
    assert (found["probabilities"], found["prediction_set"], found["close_call"]) == ({}, [], False)
    assert str(unknown) == f"unknown scan: {reason}"


@pytest.mark.parametrize("changes", [{}, {"label": None}, {"label": None, "probabilities": {}}])
def test_an_unknown_finding_with_a_class_cannot_be_made(finding: Finding, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="an unknown scan has no class"):
        replace(finding, unknown=True, **changes)


def test_a_known_scan_is_not_unknown_as_a_condition(finding: Finding) -> None:
    assert replace(finding, strangeness=0.4).unknown is False


def test_the_text_of_a_finding_is_its_class_or_that_it_is_a_close_call(finding: Finding) -> None:
    assert str(finding) == "glioma 70%"
    close = replace(finding, probabilities={"glioma": 0.39, "meningioma": 0.33, "no_tumor": 0.28})
    assert str(close) == "close call: glioma 39%, meningioma 33%"
    assert (finding.record().close_call, close.record().close_call) == (False, True)


def test_a_document_survives_json(finding: Finding) -> None:
    document = FindingsDocument.of(WEIGHTS, [finding.record()], [FailureRecord(source="a", error="b")])
    assert FindingsDocument.model_validate_json(document.to_json()) == document


def test_any_file_name_can_be_written(finding: Finding) -> None:
    """On Linux a name may hold bytes that are no text; Python carries them as lone surrogates."""
    failure = FailureRecord(source="\udcff\n中.png", error="x")
    text = FindingsDocument.of(WEIGHTS, [], [failure]).to_json()
    assert text.isascii()
    assert json.loads(text)["failures"][0]["source"] == "\udcff\n中.png"


def test_confidence_is_the_labels_probability(finding: Finding) -> None:
    assert finding.confidence == 0.7


@pytest.fixture
def drawn(finding: Finding) -> Finding:
    return replace(finding, scan=Scan.of(np.eye(4), source=finding.source))


def test_a_finding_is_saved_whole_into_a_folder_of_its_own(drawn: Finding, tmp_path: Path) -> None:
    folder = drawn.save(tmp_path / "new" / "out")
    assert sorted(p.name for p in folder.iterdir()) == ["finding.json", "heatmap.npy", "overlay.png"]
    document = FindingsDocument.model_validate_json((folder / "finding.json").read_text("ascii"))
    assert document.findings == (drawn.record("heatmap.npy", "overlay.png"),)
    np.testing.assert_array_equal(np.load(folder / "heatmap.npy"), drawn.heatmap)
    with Image.open(folder / "overlay.png") as picture:
        assert picture.size == drawn.overlay().size
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["out"]


def test_nothing_is_overwritten(drawn: Finding, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(ConfigError, match="exists already; choose another folder"):
        drawn.save(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


def test_what_cannot_be_written_whole_leaves_nothing(
    drawn: Finding, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space"):
        drawn.save(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_scan_is_saved_without_heat(drawn: Finding, tmp_path: Path) -> None:
    unknown = Finding("a.png", 0, None, {}, WEIGHTS, unknown=True, strangeness=2.0, reason="too dark", scan=drawn.scan)
    assert sorted(p.name for p in unknown.save(tmp_path / "out").iterdir()) == ["finding.json", "overlay.png"]


def test_it_is_drawn_only_with_its_scan(finding: Finding, drawn: Finding) -> None:
    assert drawn.overlay().size[1] == 4
    with pytest.raises(ValueError, match="does not hold its scan"):
        finding.overlay()


def test_it_is_shown_in_a_line_and_in_notebooks_with_its_picture(drawn: Finding) -> None:
    assert repr(drawn) == "<Finding of 'study/größe.dcm' [3]: glioma 70%>"
    shown = replace(drawn, warnings=("<b>",))._repr_html_()
    assert "data:image/png;base64," in shown
    assert "glioma 70%" in shown
    assert "<li><b>" not in shown
    assert "<img" not in replace(drawn, scan=None)._repr_html_()
