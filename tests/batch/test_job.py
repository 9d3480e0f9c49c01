from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.batch.conftest import names, sources, write_pages, write_scan
from tumorlens.batch import Job, find_in_files
from tumorlens.classifier import Classifier
from tumorlens.errors import ConfigError
from tumorlens.formats import read_scans


def test_the_same_name_in_two_folders_does_not_overwrite(tiny_classifier: Classifier, tmp_path: Path) -> None:
    write_scan(tmp_path / "in" / "1" / "a.png", seed=1)
    write_scan(tmp_path / "in" / "2" / "a.png", seed=2)
    write_scan(tmp_path / "in" / "2" / "A.bmp", seed=3)  # one name on some file systems
    document = find_in_files([tmp_path / "in"], tiny_classifier, Job(output=tmp_path / "out", target="glioma"))
    heatmaps = {f.heatmap for f in document.findings}
    assert len(document.findings) == 3
    assert len({str(h).casefold() for h in heatmaps}) == 3
    assert len(names(tmp_path / "out")) == 3 * 3 + 3
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
    scan = write_scan(tmp_path / "in" / name)
    find_in_files([scan], tiny_classifier, Job(output=tmp_path / "out", target="glioma"))
    assert f"{expected}-overlay.png" in names(tmp_path / "out")


def test_the_longest_names_a_file_system_takes_are_shortened(tiny_classifier: Classifier, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "in" / ("中" * 83 + ".png"))  # 253 bytes
    document = find_in_files([scan], tiny_classifier, Job(output=tmp_path / "out", target="glioma"))
    assert Path(str(document.findings[0].overlay)).is_file()


def test_frames_are_numbered_where_there_are_several(tiny_classifier: Classifier, tmp_path: Path) -> None:
    write_pages(tmp_path / "in" / "three.tif", 3)
    write_pages(tmp_path / "in" / "one.tif", 1)
    document = find_in_files([tmp_path / "in"], tiny_classifier, Job(output=tmp_path / "out", target="glioma"))
    names = [Path(str(f.overlay)).name.removesuffix("-overlay.png") for f in document.findings]
    assert names == ["one", "three-0000", "three-0001", "three-0002"]
    assert [f.frame for f in document.findings] == [0, 0, 1, 2]


def test_a_second_call_does_not_read_the_firsts_results(tiny_classifier: Classifier, tmp_path: Path) -> None:
    write_scan(tmp_path / "a.png")
    write_pages(tmp_path / "b.tif", 2)
    expected = ["a.png", "b.tif", "b.tif"]
    for output in (
        tmp_path,
        tmp_path,
        tmp_path / "out",
        tmp_path / "other",
    ):  # also beside the scans themselves
        document = find_in_files([tmp_path], tiny_classifier, Job(output=output, target="glioma"))
        assert sources(document) == expected
        assert document.failures == ()


def test_a_folder_of_nothing_but_results_is_reported(tiny_classifier: Classifier, tmp_path: Path) -> None:
    scan, out = write_scan(tmp_path / "a.png"), tmp_path / "out"
    find_in_files([scan], tiny_classifier, Job(output=out, target="glioma"))
    document = find_in_files([out, scan], tiny_classifier, Job())
    assert sources(document) == ["a.png"]
    assert [f.error for f in document.failures] == [
        "nothing but results of an earlier call; give the scans they were made of"
    ]


def test_a_scan_that_is_merely_named_like_a_result_is_read(tiny_classifier: Classifier, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "my-overlay.png")
    assert sources(find_in_files([tmp_path], tiny_classifier, Job())) == [scan.name]


def test_an_output_that_cannot_be_a_folder_is_refused_before_anything_is_read(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    scan = write_scan(tmp_path / "a.png")
    for output in (scan, scan / "below"):
        with pytest.raises(ConfigError, match=r"a\.png.*: cannot be written .*; choose another --output"):
            find_in_files([scan], tiny_classifier, Job(output=output, target="glioma"))
