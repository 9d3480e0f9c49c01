from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.batch.conftest import names, sources, write_pages, write_scan
from tumorlens.batch import DOCUMENT, TABLES, Job, find_in_files
from tumorlens.classifier import Classifier
from tumorlens.finding import FindingsDocument
from tumorlens.formats import read_scans


def test_each_scan_gets_an_overlay_a_map_and_an_array_of_its_own_size(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    scan, out = write_scan(tmp_path / "in" / "a.png"), tmp_path / "new" / "out"
    document = find_in_files([scan], tiny_classifier, Job(output=out, target="glioma"))
    assert names(out) == {"a-overlay.png", "a-heatmap.png", "a-heatmap.npy", DOCUMENT, *TABLES}
    (record,) = document.findings
    assert record.heatmap is not None
    assert record.overlay is not None
    heat = np.load(record.heatmap)
    assert (heat.shape, heat.dtype) == ((60, 50), np.float32)
    (finding,) = tiny_classifier.find(read_scans(scan), target="glioma")
    np.testing.assert_array_equal(heat, finding.heatmap)
    with Image.open(record.overlay) as overlay, Image.open(out / "a-heatmap.png") as heatmap:
        assert overlay.height == 60
        assert overlay.width >= 50
        assert heatmap.size == (50, 60)
    assert FindingsDocument.model_validate_json((out / DOCUMENT).read_text()) == document


def test_a_bad_file_is_reported_and_the_others_go_on(tiny_classifier: Classifier, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("a.png", "c.png"):
        write_scan(folder / name)
    (folder / "b.png").write_bytes(b"")
    document = find_in_files(
        [folder, tmp_path / "gone"], tiny_classifier, Job(output=tmp_path / "out", target="glioma")
    )
    assert sources(document) == ["a.png", "c.png"]
    assert [Path(f.source).name for f in document.failures] == ["b.png", "gone"]
    written = json.loads((tmp_path / "out" / DOCUMENT).read_text())
    assert [f["error"] for f in written["failures"]] == [f.error for f in document.failures]


def test_more_scans_than_a_batch_holds_are_all_found_in_order(tiny_classifier: Classifier, tmp_path: Path) -> None:
    write_pages(tmp_path / "many.tif", 150)
    document = find_in_files([tmp_path], tiny_classifier, Job(explain=False))
    assert [f.frame for f in document.findings] == list(range(150))


def test_what_shows_nothing_leaves_no_picture_with_heat(tiny_classifier: Classifier, tmp_path: Path) -> None:
    scan, out = write_scan(tmp_path / "a.png"), tmp_path / "out"
    (record,) = find_in_files([scan], tiny_classifier, Job(output=out)).findings
    assert record.label == "no_tumor"
    assert record.heatmap is record.overlay is None
    assert names(out) == {DOCUMENT, *TABLES}
