from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tumorlens.classes import BRAIN_TUMORS
from tumorlens.data import loader
from tumorlens.data.loader import load_slices
from tumorlens.data.manifest import pseudonym, read_manifest
from tumorlens.errors import DataError
from tumorlens.formats import read_scans
from tumorlens.phantoms.phantom import make_study
from tumorlens.preprocess import Preprocessing

SMALL = Preprocessing(size=16)


def test_slices_come_in_the_manifests_order(tmp_path: Path, make_scan: Callable[..., Path]) -> None:
    for number in range(30):
        make_scan(f"{BRAIN_TUMORS.keys[number % 4]}/{number}.png", number)
    manifest = read_manifest(tmp_path)
    slices = load_slices(manifest, SMALL)
    assert slices.images.shape == (30, 1, 16, 16)
    assert slices.images.dtype == np.float32
    assert slices.manifest == manifest
    assert slices.labels.tolist() == [BRAIN_TUMORS.keys.index(e.label) for e in manifest.entries]
    assert slices.failures == ()
    for entry, image in zip(manifest.entries, slices.images, strict=True):
        (scan,) = read_scans(entry.path)
        assert np.array_equal(image, SMALL(scan))


def test_colour_and_size_follow_the_rule(tmp_path: Path, make_scan: Callable[..., Path]) -> None:
    make_scan("glioma/1.png")
    assert load_slices(read_manifest(tmp_path), Preprocessing(size=24, channels=3)).images.shape == (1, 3, 24, 24)


def test_files_that_cannot_be_read_are_reported_and_the_others_go_on(
    tmp_path: Path, make_scan: Callable[..., Path], make_table: Callable[..., Path]
) -> None:
    make_scan("a.png")
    make_scan("d.png")
    (tmp_path / "c.png").write_bytes(b"no picture")
    rows = [["path", "label"], *([f"{name}.png", "glioma"] for name in "abcd")]
    slices = load_slices(read_manifest(make_table(rows)), SMALL)
    assert [e.name for e in slices.manifest.entries] == ["a.png", "d.png"]
    assert [f.source for f in slices.failures] == ["b.png", "c.png"]
    assert "b.png: there is no such file" in slices.failures[0].error
    assert "c.png" in slices.failures[1].error


def test_failures_of_the_manifest_are_kept(tmp_path: Path, make_mat: Callable[..., Path]) -> None:
    make_mat("1.mat")
    (tmp_path / "2.mat").write_bytes(b"MATLAB 7.3 MAT-file")
    slices = load_slices(read_manifest(tmp_path), SMALL)
    assert [e.name for e in slices.manifest.entries] == ["1.mat"]
    assert [f.source for f in slices.failures] == [str(tmp_path / "2.mat")]


def test_if_no_file_can_be_read_it_says_so(make_table: Callable[..., Path]) -> None:
    table = make_table([["path", "label"], ["a.png", "glioma"], ["b.png", "glioma"]])
    with pytest.raises(DataError, match=r"none of the 2 scans could be read; the first: .*a\.png"):
        load_slices(read_manifest(table), SMALL)


def test_progress_is_told_file_by_file(tmp_path: Path, make_scan: Callable[..., Path]) -> None:
    for number in range(3):
        make_scan(f"glioma/{number}.png", number)
    told = []
    load_slices(read_manifest(tmp_path), SMALL, progress=lambda *numbers: told.append(numbers))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_scans_without_identifiers_stand_alone(tmp_path: Path, make_scan: Callable[..., Path]) -> None:
    make_scan("glioma/1.png", 1)
    make_scan("glioma/2.png", 2)
    slices = load_slices(read_manifest(tmp_path), SMALL)
    assert slices.groups == ["glioma/1.png", "glioma/2.png"]
    assert slices.manifest.unit == "scan"


def test_dicom_files_are_grouped_by_pseudonyms_of_their_patients(
    tmp_path: Path, make_dicom: Callable[..., Path]
) -> None:
    make_dicom("glioma/1.dcm", patient="MRN-1", series="1.2.1", seed=1)
    make_dicom("glioma/2.dcm", patient="MRN-1", series="1.2.2", seed=2)
    make_dicom("notumor/3.dcm", patient="MRN-2", series="1.2.3", seed=3)
    make_dicom("notumor/4.dcm", series="1.2.4", seed=4)
    make_dicom("notumor/5.dcm", series="1.2.4", seed=5)
    slices = load_slices(read_manifest(tmp_path), SMALL)
    group = dict(zip([e.name for e in slices.manifest.entries], slices.groups, strict=True))
    assert group["glioma/1.dcm"] == group["glioma/2.dcm"] == pseudonym("MRN-1")
    assert group["notumor/3.dcm"] == pseudonym("MRN-2")
    assert group["notumor/4.dcm"] == group["notumor/5.dcm"] == pseudonym("1.2.4")
    assert slices.manifest.unit == "patient or series"
    assert "MRN" not in repr(slices.manifest)


def test_the_tables_groups_go_before_the_files(
    make_dicom: Callable[..., Path], make_table: Callable[..., Path]
) -> None:
    make_dicom("1.dcm", patient="MRN-1")
    slices = load_slices(read_manifest(make_table([["path", "label", "patient"], ["1.dcm", "glioma", "p"]])), SMALL)
    assert slices.groups == ["p"]
    assert slices.manifest.unit == "patient"


def test_frames_of_a_file_stay_together(tmp_path: Path, make_dicom: Callable[..., Path]) -> None:
    make_dicom("glioma/many.dcm", frames=3)
    make_dicom("notumor/one.dcm")
    slices = load_slices(read_manifest(tmp_path), SMALL)
    assert [e.name for e in slices.manifest.entries] == [
        *(f"glioma/many.dcm#{frame}" for frame in range(3)),
        "notumor/one.dcm",
    ]
    assert slices.labels.tolist() == [0, 0, 0, 1]
    assert len(set(slices.groups[:3])) == 1
    assert slices.groups[3] != slices.groups[0]


def test_few_results_wait_in_memory() -> None:
    begun = []

    def work(item: int) -> int:
        begun.append(item)
        return item

    results = loader.in_order(work, range(1000))
    taken = []
    for result in results:
        taken.append(result)
        assert len(begun) - len(taken) <= 10
    assert taken == list(range(1000))


def test_outlines_are_laid_over_the_input(
    tmp_path: Path, make_scan: Callable[..., Path], make_table: Callable[..., Path]
) -> None:
    for name in "ab":
        make_scan(f"{name}.png")
    square = "0.25,0.25 0.75,0.25 0.75,0.75 0.25,0.75"
    rows = [["path", "label", "outline"], ["a.png", "glioma", square], ["b.png", "no_tumor", ""]]
    slices = load_slices(read_manifest(make_table(rows)), SMALL)
    assert slices.coverage.shape == (2, 16, 16)
    assert slices.coverage.dtype == np.uint8
    assert slices.outlined.tolist() == [True, False]
    assert slices.coverage[0, 6:10, 6:10].min() == 255
    assert not slices.coverage[1].any()
    assert np.array_equal(slices.pick(np.array([1, 0])).coverage, slices.coverage[::-1])


def test_without_any_outline_none_are_kept(tmp_path: Path, make_scan: Callable[..., Path]) -> None:
    make_scan("glioma/1.png")
    slices = load_slices(read_manifest(tmp_path), SMALL)
    assert slices.coverage is None
    assert slices.pick(np.array([0])).coverage is None


def test_sequences_of_a_table_are_read_together_and_may_be_missing(tmp_path: Path) -> None:
    for contrast in ("t1c", "flair"):
        for number in (0, 1):
            scan = make_study(number, contrast=contrast, slices=4, size=64)[2].scan
            Image.fromarray((scan.grey * 255).astype(np.uint8)).save(tmp_path / f"{number}-{contrast}.png")
    table = tmp_path / "manifest.csv"
    table.write_text("path_t1c,path_flair,label\n0-t1c.png,0-flair.png,glioma\n,1-flair.png,no_tumor\n")
    manifest = read_manifest(tmp_path)
    assert [sorted(e.sequences) for e in manifest.entries] == [["flair", "t1c"], ["flair"]]
    manifest.write(tmp_path / "again.csv")
    assert [e.sequences for e in read_manifest(tmp_path / "again.csv").entries] == [
        e.sequences for e in manifest.entries
    ]
    slices = load_slices(manifest, Preprocessing(size=32, sequences=("t1c", "flair")))
    assert slices.images.shape == (2, 2, 32, 32)
    assert [bool(channel.any()) for image in slices.images for channel in image] == [True, True, False, True]
    plain = replace(manifest, entries=tuple(replace(e, sequences={}) for e in manifest.entries))
    with pytest.raises(DataError, match="in the columns path_t1c, path_flair"):
        load_slices(plain, Preprocessing(size=32, sequences=("t1c", "flair")))
