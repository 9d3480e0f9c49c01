"""The tables say what findings.json says."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from tumorlens.batch import DOCUMENT, STUDIES, Computing, Job, read_document, run
from tumorlens.batch.results import _columns, study_columns
from tumorlens.finding import FindingRecord, FindingsDocument
from tumorlens.study_record import StudyRecord

SAME = ("frame", "unknown", "strangeness", "reason", "close_call", "explained", "method")


def test_every_scan_and_every_failure_has_a_row(
    folder_of: Callable[[int], Path], tiny_weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run([folder_of(4)], Computing(str(tiny_weights)), Job(output=out, target="glioma"))
    document = FindingsDocument.model_validate_json((out / DOCUMENT).read_text())
    columns = parquet.read_table(out / "results.parquet").to_pylist()
    with (out / "results.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(columns) == len(lines) == len(document.findings) + len(document.failures) == 5
    for found, row, line in zip(document.findings, columns, lines, strict=False):
        assert row["source"] == line["source"] == found.source
        assert row["label"] == line["label"] == found.label
        assert row["confidence"] == float(line["confidence"]) == found.confidence
        assert [row[key] for key in SAME] == [getattr(found, key) for key in SAME]
        assert {key: row[f"probability_{key}"] for key in found.probabilities} == found.probabilities
        assert found.region is not None
        assert tuple(row[edge] for edge in ("x0", "y0", "x1", "y1")) == found.region.box
        assert row["area"] == found.region.area
        assert row["warnings"].split("; ") == list(found.warnings)
        assert row["error"] is None
        assert (row["overlay"], row["heatmap"]) == (found.overlay, found.heatmap)
    assert columns[-1]["error"] == document.failures[0].error
    assert columns[-1]["label"] is None


def test_every_field_of_json_is_a_column_or_several(tmp_path: Path) -> None:
    keys = ("glioma", "no_tumor")
    spread = {"probabilities": {f"probability_{key}" for key in keys}, "counts": {f"count_{key}" for key in keys}}
    spread["region"] = {"x0", "y0", "x1", "y1", "area", "area_mm2"}
    for record, columns, more in (
        (FindingRecord, {name for name, _ in _columns(keys)}, {"error"}),
        (StudyRecord, set(study_columns(keys)), set()),
    ):
        wanted = set().union(*(spread.get(name, {name}) for name in record.model_fields))
        assert columns == wanted | more


def test_studies_have_a_table_of_what_findings_json_says_of_them(
    make_study: Callable[..., Path], tiny_weights: Path, tmp_path: Path
) -> None:
    out, study = tmp_path / "out", make_study()
    run([study], Computing(str(tiny_weights)), Job(output=out, explain=False))
    (record,) = json.loads((out / DOCUMENT).read_text())["studies"]
    with (out / STUDIES).open(newline="") as file:
        (row,) = csv.DictReader(file)
    for name in ("source", "answer", "text", "slices", "unknown_slices", "uncertain", "unknown"):
        assert row[name] == str(record[name])
    assert {key: float(row[f"probability_{key}"]) for key in record["probabilities"]} == record["probabilities"]
    assert {key: int(row[f"count_{key}"]) for key in record["counts"]} == record["counts"]
    key = [dict(zip(("source", "frame"), each.rsplit("#", 1), strict=True)) for each in row["key_slices"].split("|")]
    assert [{**each, "frame": int(each["frame"])} for each in key] == record["key_slices"]
    assert json.loads(row["series"]) == record["series"]
    assert {p.name for p in out.iterdir()} == {DOCUMENT, "results.csv", "results.parquet", STUDIES}


def test_without_studies_there_is_no_table_of_them(
    folder_of: Callable[[int], Path], make_study: Callable[..., Path], tiny_weights: Path, tmp_path: Path
) -> None:
    out, computing = tmp_path / "out", Computing(str(tiny_weights))
    run([make_study()], computing, Job(output=out, explain=False))
    assert (out / STUDIES).is_file()
    run([folder_of(2)], computing, Job(output=out, explain=False))
    assert not (out / STUDIES).exists()  # that of the call before is gone, too


def test_a_document_can_be_read_piece_by_piece(
    folder_of: Callable[[int], Path], tiny_weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run([folder_of(2)], Computing(str(tiny_weights)), Job(output=out))
    assert json.loads("".join(read_document(str(out)))) == json.loads((out / DOCUMENT).read_text())


def test_a_name_that_is_no_text_takes_no_table_down(tiny_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    name = tmp_path / "in" / b"caf\xe9.png".decode("utf-8", "surrogateescape")
    name.write_bytes(b"\x89PNG\r\n\x1a\n")
    outcome = run([tmp_path / "in"], Computing(str(tiny_weights)), Job(output=tmp_path / "out"))
    assert outcome.failures == 1
    (row,) = parquet.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    assert row["source"].endswith("caf\\udce9.png")


def test_a_file_name_that_looks_like_a_formula_is_none_in_a_table(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = '=HYPERLINK("http:x").png'
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(name)
    Path("@empty.png").touch()
    run([name, "@empty.png"], Computing(str(tiny_weights)), Job(output="out"), jobs=1)
    with Path("out/results.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["source"] for row in rows] == [f"./{name}", "./@empty.png"]
    assert all(Path(row["source"]).is_file() for row in rows)
    assert not [cell for row in rows for cell in row.values() if cell and cell[0] in "=+-@"]
