"""A study as its files have it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rehearsal.files import write_nifti
from tests.studies import GRIDS, classic, save
from tumorlens.errors import NotOneStudy, UnreadableFile
from tumorlens.phantoms.phantom import make_study as make_phantoms
from tumorlens.scan import Scan
from tumorlens.study import Study, read_study

AXIAL, CORONAL = GRIDS["axial"], GRIDS["coronal"]


def test_series_come_by_number_with_what_their_files_say(tmp_path: Path) -> None:
    for i in range(3):
        for number, (grid, description) in enumerate(((CORONAL, "t2_tse_cor"), (AXIAL, "T1 post GD")), 4):
            ds = classic(grid, grid.position(i, 3), number=i + 1, series=f"1.{number}")
            ds.SeriesNumber, ds.SeriesDescription = 9 - number, description
            save(ds, tmp_path / f"{number}-{i}.dcm")
    study = read_study(tmp_path)

    assert [(s.info.number, s.info.sequence) for s in study.series] == [(4, "T1 post-contrast"), (5, "T2")]
    assert [str(s) for s in study.series] == [
        "4 'T1 post GD', T1 post-contrast: 3 axial slices, 5 mm apart",
        "5 't2_tse_cor', T2: 3 coronal slices, 5 mm apart",
    ]
    assert len(study.scans) == 6
    assert repr(study) == f"<Study {str(tmp_path)!r}: 2 series, 6 slices>"
    assert "<td>T1 post GD</td>" in study._repr_html_()


def test_slices_of_a_stack_are_in_order_whatever_order_their_files_are_given_in(
    make_study: Callable[..., Path],
) -> None:
    files = sorted(make_study().iterdir())
    study = read_study([files[i] for i in (3, 0, 6, 2, 10, 5, 1, 4, 9, 8, 7)])
    ((stack,),) = (series.stacks for series in study.series)

    assert [scan.number for scan in stack.slices] == list(range(1, 12))
    assert stack.spacing == pytest.approx(5)


def test_a_file_that_is_given_twice_is_there_once(make_study: Callable[..., Path]) -> None:
    folder = make_study()
    first = next(folder.iterdir())
    (folder / "copy.dcm").write_bytes(first.read_bytes())

    assert len(read_study([folder, first]).scans) == 11


def test_a_volume_is_a_study_with_the_name_of_its_file(tmp_path: Path) -> None:
    phantoms = make_phantoms(0, label="glioma", plane="axial", contrast="t1c", slices=20, size=64)
    for name in ("p_t1ce.nii.gz", "p_flair.nii.gz"):
        write_nifti(phantoms, tmp_path / name)
    study = read_study(tmp_path / "p_t1ce.nii.gz")
    (series,) = study.series

    assert (series.info.description, series.info.sequence) == ("p_t1ce", "T1 post-contrast")
    assert [stack.plane for stack in series.stacks] == ["axial"]
    assert read_study(tmp_path / "p_t1ce.nii.gz", axis="coronal").series[0].stacks[0].plane == "coronal"
    assert {s.info.sequence for s in read_study(tmp_path).series} == {"T1 post-contrast", "FLAIR"}


def test_what_cannot_be_read_is_listed_and_the_rest_goes_on(make_study: Callable[..., Path]) -> None:
    folder = make_study()
    (folder / "broken.png").write_bytes(b"no picture")
    study = read_study(folder)

    assert len(study.scans) == 11
    assert [Path(f.source).name for f in study.failures] == ["broken.png"]


def test_two_studies_are_an_error_that_names_no_patient(make_study: Callable[..., Path]) -> None:
    folder = make_study()
    save(classic(AXIAL, AXIAL.position(0, 1), study="1.2.99"), folder / "other.dcm")

    with pytest.raises(NotOneStudy, match="several studies") as caught:
        read_study(folder)
    assert "1.2.99" not in str(caught.value)
    assert "Petra" not in str(caught.value)


def test_pictures_stand_by_themselves(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 24), np.uint8)).save(tmp_path / name)

    assert [len(s.stacks[0].slices) for s in read_study(tmp_path).series] == [1, 1]


def test_nothing_to_read_is_the_first_failure(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(UnreadableFile, match=r"broken\.png"):
        read_study(tmp_path)
    with pytest.raises(ValueError, match="at least one scan"):
        Study.of([])


def test_scans_in_memory_make_a_study() -> None:
    study = Study.of([Scan.of(np.eye(20)), Scan.of(np.eye(20), frame=1)])
    assert (study.source, len(study.scans), len(study.series)) == ("array", 2, 1)
