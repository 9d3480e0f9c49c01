from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tumorlens.errors import DataError
from tumorlens.evaluation.studies.volumes import find_volumes, read_volume


def write(path: Path, shape: tuple[int, int, int] = (20, 24, 4), marked: int | None = None) -> Path:
    """A volume; with `marked`, a mask of one voxel in that slice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.random.default_rng(0).integers(1, 99, shape).astype(np.int16)
    if marked is not None:
        data[:] = 0
        data[1, 2, marked] = 1
    nib.save(nib.Nifti1Image(data, np.diag([1.0, 1, 2, 1])), path)
    return path


def test_masks_lie_beside_volumes_of_their_name(tmp_path: Path) -> None:
    write(tmp_path / "a.nii.gz")
    write(tmp_path / "a-tumour.nii.gz", marked=1)
    write(tmp_path / "deep" / "b.nii")
    write(tmp_path / "deep" / "b_seg.nii", marked=1)
    write(tmp_path / "no mask.nii.gz")
    volumes = find_volumes(tmp_path)
    assert [(v.name, v.patient, v.mask.name) for v in volumes] == [
        ("a", "a", "a-tumour.nii.gz"),
        ("deep/b", "b", "b_seg.nii"),
    ]


def test_folders_as_brats_has_them(tmp_path: Path) -> None:
    for visit in ("BraTS-GLI-00005-100", "BraTS-GLI-00005-101"):
        for sequence in ("t1n", "t1c", "t2f", "t2w", "seg"):
            write(tmp_path / visit / f"{visit}-{sequence}.nii.gz", marked=1 if sequence == "seg" else None)
    write(tmp_path / "BraTS20_Training_001" / "BraTS20_Training_001_t1ce.nii")
    write(tmp_path / "BraTS20_Training_001" / "BraTS20_Training_001_flair.nii")
    write(tmp_path / "BraTS20_Training_001" / "BraTS20_Training_001_seg.nii", marked=1)
    volumes = find_volumes(tmp_path)
    assert [v.path.name for v in volumes] == [
        "BraTS-GLI-00005-100-t1c.nii.gz",
        "BraTS-GLI-00005-101-t1c.nii.gz",
        "BraTS20_Training_001_t1ce.nii",
    ]
    assert [v.patient for v in volumes] == ["BraTS-GLI-00005", "BraTS-GLI-00005", "BraTS20_Training_001"]


def test_a_table_names_patients_and_classes(tmp_path: Path) -> None:
    for name in ("x", "y"):
        write(tmp_path / f"{name}.nii.gz")
        write(tmp_path / f"{name}-tumour.nii.gz", marked=1)
    table = tmp_path / "slices.csv"
    table.write_text("patient,path,frame,label\n7,x.nii.gz,0,glioma\n7,x.nii.gz,1,glioma\n7,y.nii.gz,0,meningioma\n")
    assert [(v.name, v.patient, v.label) for v in find_volumes(tmp_path)] == [
        ("x", "7", "glioma"),
        ("y", "7", "meningioma"),
    ]
    (tmp_path / "y-tumour.nii.gz").unlink()
    with pytest.raises(DataError, match=r"slices\.csv: y\.nii\.gz or its mask"):
        find_volumes(tmp_path)
    table.write_text("file\nx\n")
    with pytest.raises(DataError, match="columns path and patient"):
        find_volumes(tmp_path)


def test_a_mask_is_turned_as_its_volume_is(tmp_path: Path) -> None:
    path, mask = tmp_path / "a.nii.gz", tmp_path / "a-seg.nii.gz"
    data = np.random.default_rng(0).integers(10, 50, (20, 24, 4)).astype(np.int16)
    marks = np.zeros_like(data)
    data[1:5, 2:6, 3], marks[1:5, 2:6, 3] = 999, 1
    for array, where in ((data, path), (marks, mask)):
        nib.save(nib.Nifti1Image(array, np.diag([-1.0, 1, -2, 1])), where)
    scans, where_marked = read_volume(find_volumes(tmp_path)[0])
    bright = [scan.grey == 1 for scan in scans]
    (slice_,) = np.flatnonzero(where_marked.any((1, 2)))
    assert slice_ == 0  # the file counts from the top of the head
    assert np.array_equal(where_marked[slice_], bright[slice_])


def test_another_grid_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "a.nii.gz")
    write(tmp_path / "a-seg.nii.gz", (20, 24, 5), marked=1)
    problem = r"a-seg\.nii\.gz: its grid of 20×24×5 voxels is not that of a\.nii\.gz, 20×24×4"
    with pytest.raises(DataError, match=problem):
        read_volume(find_volumes(tmp_path)[0])


def test_nothing_to_measure_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        find_volumes(tmp_path / "nowhere")
    write(tmp_path / "a.nii.gz")
    with pytest.raises(DataError, match="no volume with a tumour mask"):
        find_volumes(tmp_path)
