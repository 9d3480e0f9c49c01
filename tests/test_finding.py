"""Findings, and the JSON they become."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tumorlens
from tumorlens.finding import FailureRecord, Finding, FindingsDocument, Region, WeightsId
from tumorlens.unknown import Unknown

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
        warnings=("close call",),
    )


def test_the_document_has_exactly_the_promised_fields(finding: Finding) -> None:
    record = finding.record(Path("out/a-heatmap.npy"), Path("out/a-overlay.png"))
    failure = FailureRecord(source="b.png", error="the file is empty; export it again")
    document = json.loads(FindingsDocument.of(WEIGHTS, [record], [failure]).to_json())
    assert list(document) == ["schema", "version", "weights", "findings", "failures"]
    assert document["schema"] == 1
    assert document["version"] == tumorlens.__version__
    assert document["weights"] == {"name": "tiny", "sha256": "ab" * 32}
    assert document["failures"] == [{"source": "b.png", "error": "the file is empty; export it again"}]
    (found,) = document["findings"]
    assert found["source"] == "study/größe.dcm"
    assert (found["frame"], found["label"]) == (3, "glioma")
    assert found["probabilities"] == {"glioma": 0.7, "no_tumor": 0.3}
    assert found["region"]["box"] == [1, 2, 3, 4]
    assert (found["heatmap"], found["overlay"]) == ("out/a-heatmap.npy", "out/a-overlay.png")
    assert found["warnings"] == ["close call"]


def test_what_was_not_made_is_null(finding: Finding) -> None:
    bare = Finding("a", 0, "no_tumor", finding.probabilities, WEIGHTS)
    (found,) = json.loads(FindingsDocument.of(WEIGHTS, [bare.record()], []).to_json())["findings"]
    assert found["region"] is found["heatmap"] is found["overlay"] is None
    assert found["warnings"] == []
    assert found["explained"] == "no_tumor"


def test_the_set_and_strangeness_are_told(finding: Finding) -> None:
    strange = Unknown(score=2.5, unknown=True, reason="almost all background")
    told = replace(finding, prediction_set=("glioma", "no_tumor"), unknown=strange)
    document = FindingsDocument.of(WEIGHTS, [told.record(), finding.record()], [])
    assert FindingsDocument.model_validate_json(document.to_json()) == document
    first, second = json.loads(document.to_json())["findings"]
    assert first["prediction_set"] == ["glioma", "no_tumor"]
    assert first["unknown"] == {"score": 2.5, "unknown": True, "reason": "almost all background"}
    assert (second["prediction_set"], second["unknown"]) == ([], None)


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
