"""Files in, findings and their pictures out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tumorlens.batch import DOCUMENT, TABLES, Job, find_in_files
from tumorlens.classifier import Classifier
from tumorlens.errors import ConfigError
from tumorlens.finding import FindingsDocument
from tumorlens.formats import read_scans


def _write_scan(path: Path, shape: tuple[int, ...] = (60, 50), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path, "PNG")
    return path


def _write_pages(path: Path, count: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    pages = [Image.fromarray(rng.integers(0, 256, (40, 40), dtype=np.uint8)) for _ in range(count)]
    pages[0].save(path, "TIFF", save_all=True, append_images=pages[1:])
    return path


def _sources(document: FindingsDocument) -> list[str]:
    return [Path(f.source).name for f in document.findings]


def _names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def test_each_scan_gets_an_overlay_a_map_and_an_array_of_its_own_size(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    scan, out = _write_scan(tmp_path / "in" / "a.png"), tmp_path / "new" / "out"
    document = find_in_files([scan], tiny_classifier, Job(output=out, target="glioma"))
    assert _names(out) == {"a-overlay.png", "a-heatmap.png", "a-heatmap.npy", DOCUMENT, *TABLES}
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


def test_without_an_output_nothing_is_written(tiny_classifier: Classifier, tmp_path: Path) -> None:
    scan = _write_scan(tmp_path / "a.png")
    (record,) = find_in_files([scan], tiny_classifier, Job()).findings
    assert record.heatmap is record.overlay is None
    assert _names(tmp_path) == {"a.png"}


def test_without_explaining_only_the_document_is_written(tiny_classifier: Classifier, tmp_path: Path) -> None:
    scan = _write_scan(tmp_path / "a.png")
    find_in_files([scan], tiny_classifier, Job(output=tmp_path / "out", explain=False))
    assert _names(tmp_path / "out") == {DOCUMENT, *TABLES}


def test_a_bad_file_is_reported_and_the_others_go_on(tiny_classifier: Classifier, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("a.png", "c.png"):
        _write_scan(folder / name)
    (folder / "b.png").write_bytes(b"")
    document = find_in_files(
        [folder, tmp_path / "gone"], tiny_classifier, Job(output=tmp_path / "out", target="glioma")
    )
    assert _sources(document) == ["a.png", "c.png"]
    assert [Path(f.source).name for f in document.failures] == ["b.png", "gone"]
    written = json.loads((tmp_path / "out" / DOCUMENT).read_text())
    assert [f["error"] for f in written["failures"]] == [f.error for f in document.failures]


def test_the_same_name_in_two_folders_does_not_overwrite(tiny_classifier: Classifier, tmp_path: Path) -> None:
    _write_scan(tmp_path / "in" / "1" / "a.png", seed=1)
    _write_scan(tmp_path / "in" / "2" / "a.png", seed=2)
    _write_scan(tmp_path / "in" / "2" / "A.bmp", seed=3)  # one name on some file systems
    document = find_in_files([tmp_path / "in"], tiny_classifier, Job(output=tmp_path / "out", target="glioma"))
    heatmaps = {f.heatmap for f in document.findings}
    assert len(document.findings) == 3
    assert len({str(h).casefold() for h in heatmaps}) == 3
    assert len(_names(tmp_path / "out")) == 3 * 3 + 3
    written = [np.load(str(record.heatmap)) for record in document.findings]
    assert not np.allclose(written[0], written[1], atol=1e-2)
    for record, heatmap in zip(document.findings, written, strict=True):
        (finding,) = tiny_classifier.find(read_scans(Path(record.source)), target="glioma")
        np.testing.assert_allclose(heatmap, finding.heatmap, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1.2.840.113619.2.55", "1.2.840.113619.2.55"),  # a DICOM UID: its last number is no suffix
        ("head.t1.png", "head.t1"),
        ("a b;c.png", "a_b_c"),
        ("ünï.png", "ünï"),
    ],
)
def test_results_are_named_after_their_scans(
    tiny_classifier: Classifier, tmp_path: Path, name: str, expected: str
) -> None:
    scan = _write_scan(tmp_path / "in" / name)
    find_in_files([scan], tiny_classifier, Job(output=tmp_path / "out", target="glioma"))
    assert f"{expected}-overlay.png" in _names(tmp_path / "out")


def test_the_longest_names_a_file_system_takes_are_shortened(tiny_classifier: Classifier, tmp_path: Path) -> None:
    scan = _write_scan(tmp_path / "in" / ("中" * 83 + ".png"))  # 253 bytes
    document = find_in_files([scan], tiny_classifier, Job(output=tmp_path / "out", target="glioma"))
    assert Path(str(document.findings[0].overlay)).is_file()


def test_frames_are_numbered_where_there_are_several(tiny_classifier: Classifier, tmp_path: Path) -> None:
    _write_pages(tmp_path / "in" / "three.tif", 3)
    _write_pages(tmp_path / "in" / "one.tif", 1)
    document = find_in_files([tmp_path / "in"], tiny_classifier, Job(output=tmp_path / "out", target="glioma"))
    names = [Path(str(f.overlay)).name.removesuffix("-overlay.png") for f in document.findings]
    assert names == ["one", "three-0000", "three-0001", "three-0002"]
    assert [f.frame for f in document.findings] == [0, 0, 1, 2]


def test_a_second_call_does_not_read_the_firsts_results(tiny_classifier: Classifier, tmp_path: Path) -> None:
    _write_scan(tmp_path / "a.png")
    _write_pages(tmp_path / "b.tif", 2)
    expected = ["a.png", "b.tif", "b.tif"]
    for output in (
        tmp_path,
        tmp_path,
        tmp_path / "out",
        tmp_path / "other",
    ):  # also beside the scans themselves
        document = find_in_files([tmp_path], tiny_classifier, Job(output=output, target="glioma"))
        assert _sources(document) == expected
        assert document.failures == ()


def test_a_folder_of_nothing_but_results_is_reported(tiny_classifier: Classifier, tmp_path: Path) -> None:
    scan, out = _write_scan(tmp_path / "a.png"), tmp_path / "out"
    find_in_files([scan], tiny_classifier, Job(output=out, target="glioma"))
    document = find_in_files([out, scan], tiny_classifier, Job())
    assert _sources(document) == ["a.png"]
    assert [f.error for f in document.failures] == [
        "nothing but results of an earlier call; give the scans they were made of"
    ]


def test_a_scan_that_is_merely_named_like_a_result_isread_scans(tiny_classifier: Classifier, tmp_path: Path) -> None:
    scan = _write_scan(tmp_path / "my-overlay.png")
    assert _sources(find_in_files([tmp_path], tiny_classifier, Job())) == [scan.name]


def test_a_document_stands_only_where_all_was_written(tiny_classifier: Classifier, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        _write_scan(tmp_path / "in" / name)
    job = Job(output=tmp_path / "out", target="glioma")
    find_in_files([tmp_path / "in"], tiny_classifier, job)
    assert DOCUMENT in _names(tmp_path / "out")
    (tmp_path / "out" / "b-overlay.png").unlink()
    (tmp_path / "out" / "b-overlay.png" / "in the way").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"b-overlay\.png: cannot be written .*; free space or choose another"):
        find_in_files([tmp_path / "in"], tiny_classifier, job)
    assert DOCUMENT not in _names(tmp_path / "out")
    assert not [name for name in _names(tmp_path / "out") if name.endswith(".part")]


def test_an_output_that_cannot_be_a_folder_is_refused_before_anything_isread_scans(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    scan = _write_scan(tmp_path / "a.png")
    for output in (scan, scan / "below"):
        with pytest.raises(ConfigError, match=r"a\.png.*: cannot be written .*; choose another --output"):
            find_in_files([scan], tiny_classifier, Job(output=output, target="glioma"))


def test_progress_counts_files_to_the_end(tiny_classifier: Classifier, tmp_path: Path) -> None:
    _write_scan(tmp_path / "a.png")
    _write_pages(tmp_path / "b.tif", 3)
    calls: list[tuple[int, int]] = []
    find_in_files([tmp_path], tiny_classifier, Job(), progress=lambda *call: calls.append(call))
    assert calls == [(0, 2), (1, 2), (2, 2)]


def test_more_scans_than_a_batch_holds_are_all_found_in_order(tiny_classifier: Classifier, tmp_path: Path) -> None:
    _write_pages(tmp_path / "many.tif", 150)
    document = find_in_files([tmp_path], tiny_classifier, Job(explain=False))
    assert [f.frame for f in document.findings] == list(range(150))


def test_what_shows_nothing_leaves_no_picture_with_heat(tiny_classifier: Classifier, tmp_path: Path) -> None:
    scan, out = _write_scan(tmp_path / "a.png"), tmp_path / "out"
    (record,) = find_in_files([scan], tiny_classifier, Job(output=out)).findings
    assert record.label == "no_tumor"
    assert record.heatmap is record.overlay is None
    assert _names(out) == {DOCUMENT, *TABLES}
