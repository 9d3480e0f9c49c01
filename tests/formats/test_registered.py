from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from rehearsal.files import write_dicom
from tumorlens.errors import NotAScan, UnreadableFile, UnsupportedFile
from tumorlens.formats import Source, find_sources, join_sources, read_registered
from tumorlens.formats.registered import join
from tumorlens.phantoms.phantom import make_study
from tumorlens.phantoms.tissue import CONTRASTS


def test_phantoms_of_all_sequences_lie_on_one_grid() -> None:
    studies = {contrast: make_study(contrast=contrast, slices=8, size=64) for contrast in CONTRASTS}
    scan = join({contrast: study[4].scan for contrast, study in studies.items()})
    assert list(scan.sequences) == list(CONTRASTS)
    for contrast, study in studies.items():
        np.testing.assert_array_equal(scan.sequences[contrast], study[4].scan.grey)
    with pytest.raises(UnsupportedFile, match=r"its slices lie .* mm off; register them"):
        join({"t1": studies["t1"][3].scan, "t2": studies["t2"][5].scan})


def test_volumes_of_one_space_are_joined_slice_by_slice(make_nifti: Callable[..., Path], tmp_path: Path) -> None:
    volume = np.random.default_rng(0).integers(0, 900, (20, 24, 5)).astype(np.int16)
    volume[:, :, 2] = 0
    other = volume[::-1].copy()
    other[:, :, 4] = 0
    one = make_nifti(volume).rename(tmp_path / "one.nii")
    two = make_nifti(other).rename(tmp_path / "two.nii")
    scans = read_registered({"t1c": one, "flair": two})
    assert [s.frame for s in scans] == [0, 1, 3, 4]
    assert all(set(s.sequences) == {"t1c", "flair"} for s in scans)
    assert not scans[-1].sequences["flair"].any()


def test_what_is_not_on_one_grid_is_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, size in (("a.png", (32, 32)), ("b.png", (32, 40))):
        Image.fromarray(rng.integers(0, 255, size).astype(np.uint8)).save(tmp_path / name)
    with pytest.raises(UnsupportedFile, match=r"b\.png: it does not lie on the grid of .*a\.png: 40 × 32 pixels"):
        read_registered({"t1": tmp_path / "a.png", "t2": tmp_path / "b.png"})
    with pytest.raises(UnreadableFile, match=r"c\.png"):
        read_registered({"t1": tmp_path / "a.png", "t2": tmp_path / "c.png"})
    Image.new("L", (32, 32)).save(tmp_path / "blank.png")
    with pytest.raises(NotAScan, match="nothing is shown"):
        read_registered({"t1": tmp_path / "blank.png"})


def write_volume(path: Path, data: np.ndarray, origin: tuple[float, float, float] = (0, 0, 0)) -> Path:
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = origin
    nibabel.save(nibabel.Nifti1Image(data.astype(np.int16), affine), path)
    return path


def test_volumes_of_another_space_are_told(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 900, (20, 24, 5))
    one = write_volume(tmp_path / "t1c.nii.gz", data)
    shifted = write_volume(tmp_path / "flair.nii.gz", data, (12, 0, 0))
    with pytest.raises(UnsupportedFile, match=r"flair.*does not lie on the grid of .*t1c.*: it lies 12\.0 mm off"):
        read_registered({"t1c": one, "flair": shifted})
    above = write_volume(tmp_path / "t2.nii.gz", data, (0, 0, 500))
    with pytest.raises(UnsupportedFile, match=r"t2.*none of its slices lies where one of .*t1c"):
        read_registered({"t1c": one, "t2": above})


def test_slices_that_one_sequence_lacks_stand_alone(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 900, (20, 24, 5))
    one = write_volume(tmp_path / "t1c.nii.gz", data)
    upper = write_volume(tmp_path / "flair.nii.gz", data[:, :, 2:], (0, 0, 6))
    scans = read_registered({"t1c": one, "flair": upper})
    assert [set(scan.sequences) for scan in scans] == [{"t1c"}] * 2 + [{"t1c", "flair"}] * 3
    assert [scan.frame for scan in scans] == [0, 1, 2, 3, 4]


def test_files_of_one_patient_are_found_by_their_names(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 900, (20, 24, 5))
    for patient, names in {"p1": ("P1_T1c", "p1-flair", "mask"), "p2": ("BraTS-2-t1c", "BraTS-2-t2f")}.items():
        (tmp_path / patient).mkdir()
        for name in names:
            write_volume(tmp_path / patient / f"{name}.nii.gz", data)
    (tmp_path / "note.txt").write_text("no scan")
    sources = join_sources(find_sources(tmp_path), ("t1c", "t1", "flair"))
    found = [{name: Path(files[0]).name for name, files in source.sequences.items()} for source in sources]
    assert found == [
        {},
        {"t1c": "P1_T1c.nii.gz", "flair": "p1-flair.nii.gz"},
        {"t1c": "BraTS-2-t1c.nii.gz", "flair": "BraTS-2-t2f.nii.gz"},
    ]
    missing = Source("none.nii", UnreadableFile("none.nii", "there is no such file", "check the path"))
    assert join_sources([missing], ("t1c",)) == [missing]


def test_two_files_of_one_sequence_are_told(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 900, (20, 24, 5))
    for name in ("a-t1c", "b-t1c", "flair"):
        write_volume(tmp_path / f"{name}.nii.gz", data)
    (source,) = join_sources(find_sources(tmp_path), ("t1c", "flair"))
    assert source.error is not None
    assert "it is t1c, and so is" in source.error.reason


def test_dicom_series_of_one_frame_of_reference_are_joined(tmp_path: Path) -> None:
    import pydicom

    shared: dict[str, str] = {}
    for contrast in ("t1c", "flair"):
        study = make_study(contrast=contrast, slices=4, size=64)
        for path in write_dicom(study, tmp_path / contrast):
            dataset = pydicom.dcmread(path)
            for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
                setattr(dataset, keyword, shared.setdefault(keyword, dataset[keyword].value))
            dataset.save_as(path)
    (source,) = join_sources(find_sources(tmp_path), ("flair", "t1c"))
    assert {name: len(files) for name, files in source.sequences.items()} == {"flair": 4, "t1c": 4}
    scans = read_registered(source.sequences)
    assert [set(scan.sequences) for scan in scans] == [{"flair", "t1c"}] * 4
    assert [s.depth for s in scans] == sorted(s.depth or 0 for s in scans)

    dataset = pydicom.dcmread(source.sequences["t1c"][0])
    dataset.FrameOfReferenceUID = "1.2.3"
    dataset.save_as(source.sequences["t1c"][0])
    with pytest.raises(UnsupportedFile, match="another frame of reference; register them"):
        read_registered(source.sequences)
