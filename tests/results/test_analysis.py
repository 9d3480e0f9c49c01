"""What is read of a study, in which order, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import DataElement, config
from pydicom.uid import SecondaryCaptureImageStorage

from tests.results.conftest import AXIAL
from tests.studies import GRIDS, STUDY, classic, header, save
from tumorlens.classifier import Classifier
from tumorlens.errors import InputError, NotOneStudy, UnreadableFile, UnsupportedFile
from tumorlens.finding import Finding
from tumorlens.listener import Listener
from tumorlens.results.analysis import analyse
from tumorlens.results.make import make_results, write_results


def test_an_instance_given_twice_counts_once(make_study: Callable[..., Path], bright: Classifier) -> None:
    folder = make_study()
    first = next(folder.iterdir())
    (folder / "copy.dcm").write_bytes(first.read_bytes())

    assert len(analyse([folder, first], bright).slices) == 11


def test_a_corrupt_instance_is_listed_and_the_rest_goes_on(make_study: Callable[..., Path], bright: Classifier) -> None:
    folder = make_study()
    victim = sorted(folder.iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:2000])
    (folder / "notes.png").write_bytes(b"no picture")
    analysed = analyse(folder, bright)

    assert len(analysed.slices) == 10
    assert {Path(f.source).name for f in analysed.failures} == {victim.name, "notes.png"}
    assert "2 files could not be read, or not wholly" in analysed.warnings


def test_two_studies_are_an_error_that_names_no_patient(
    make_study: Callable[..., Path], tmp_path: Path, bright: Classifier
) -> None:
    folder = make_study()
    save(classic(AXIAL, AXIAL.position(0, 1), study="1.2.99"), folder / "other.dcm")

    with pytest.raises(NotOneStudy, match="another study") as caught:
        analyse(folder, bright)
    for secret in ("PH-1", "Petra", STUDY, "1.2.99"):
        assert secret not in str(caught.value)


def test_other_objects_are_left_out(make_study: Callable[..., Path], bright: Classifier) -> None:
    folder = make_study()
    capture = classic(AXIAL, AXIAL.position(0, 1), number=99)
    capture.SOPClassUID = SecondaryCaptureImageStorage
    save(capture, folder / "capture.dcm")
    analysed = analyse(folder, bright)

    assert (len(analysed.slices), analysed.left_out, analysed.failures) == (11, 1, ())


def test_results_beside_the_study_are_not_analysed(make_study: Callable[..., Path], bright: Classifier) -> None:
    folder = make_study()
    first = analyse(folder, bright)
    results = make_results(first, bright.card)
    write_results(results, folder / "results")
    again = analyse(folder, bright)

    assert again.left_out == len(results)
    assert again.study.record() == first.study.record()
    assert {r.SOPInstanceUID for r in make_results(again, bright.card)} == {r.SOPInstanceUID for r in results}


def test_nothing_but_other_objects_is_an_error(tmp_path: Path, bright: Classifier) -> None:
    capture = classic(AXIAL, AXIAL.position(0, 1))
    capture.SOPClassUID = SecondaryCaptureImageStorage
    save(capture, tmp_path / "capture.dcm")

    with pytest.raises(UnsupportedFile, match="no MR images"):
        analyse(tmp_path, bright)


def test_an_empty_folder_is_an_error(tmp_path: Path, bright: Classifier) -> None:
    with pytest.raises(InputError, match="no scans found"):
        analyse(tmp_path, bright)


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "SOPClassUID"])
@pytest.mark.parametrize("value", [None, "", "patient name", "1." + "2" * 70])
def test_without_uids_there_is_nothing_to_refer_to(
    keyword: str, value: str | None, tmp_path: Path, bright: Classifier
) -> None:
    ds = classic(AXIAL, AXIAL.position(0, 1))
    save(ds, tmp_path / "slice.dcm")
    del ds[keyword]
    if value is not None:
        ds[keyword] = DataElement(keyword, "UI", value, validation_mode=config.IGNORE)
    ds.save_as(tmp_path / "slice.dcm", enforce_file_format=False)

    with pytest.raises(UnreadableFile, match=f"no valid {keyword}"):
        analyse(tmp_path, bright)


def test_blank_slices_are_left_out(make_study: Callable[..., Path], bright: Classifier) -> None:
    folder = make_study()
    ds = classic(AXIAL, AXIAL.position(9, 7), number=50)
    ds.PixelData = np.zeros((ds.Rows, ds.Columns), np.uint16).tobytes()
    save(ds, folder / "blank.dcm")
    analysed = analyse(folder, bright)

    assert len(analysed.slices) == 11
    assert "nothing is shown" in analysed.failures[0].error


def test_a_file_that_goes_away_once_it_was_read_is_not_missed(
    make_study: Callable[..., Path], bright: Classifier
) -> None:
    folder = make_study()

    class Deleting(Classifier):
        def find(self, scans: Any, **options: Any) -> list[Finding]:
            findings = super().find(scans, **options)
            for file in folder.iterdir():
                file.unlink()
            return findings

    analysed = analyse(folder, Deleting(bright.engine))
    assert len(analysed.shown) == 7
    assert all(s.scan is not None and s.scan.pixels.any() for s in analysed.pictured)


def test_it_tells_what_it_reads_and_what_is_corrupt(make_study: Callable[..., Path], bright: Classifier) -> None:
    folder = make_study()
    files = sorted(folder.iterdir())
    files[2].write_bytes(files[2].read_bytes()[:-100])
    blank = classic(AXIAL, AXIAL.position(9, 7), number=50)
    blank.PixelData = bytes(len(blank.PixelData))
    save(blank, folder / "blank.dcm")
    read: list[str | None] = []
    corrupt: list[str] = []

    listener = Listener(
        reading=lambda path: read.append(path and Path(path).name),
        failed=lambda path, _problem: corrupt.append(Path(path).name),
    )
    analyse([*files, folder / "blank.dcm"], bright, listener=listener)
    assert list(dict.fromkeys(read)) == [files[0].name, None, *(file.name for file in files[1:]), "blank.dcm"]
    assert read[-1] is None
    assert corrupt == [files[2].name]  # and not the blank one, which is sound


def test_nothing_printed_holds_patient_data(make_study: Callable[..., Path], bright: Classifier) -> None:
    analysed = analyse(make_study(), bright)

    assert header().PatientID not in repr(analysed)
    assert "Petra" not in repr(analysed)
    assert STUDY not in repr(analysed)


def test_a_series_that_shows_nothing_has_no_heat_map(tmp_path: Path, bright: Classifier) -> None:
    for i in range(11):
        grid, position = GRIDS["coronal"], GRIDS["coronal"].position(i, 11)
        save(classic(AXIAL, AXIAL.position(i, 11), number=i + 1, series="1.1"), tmp_path / f"a{i}.dcm")
        save(classic(grid, position, number=i + 1, series="1.2"), tmp_path / f"b{i}.dcm")
        save(classic(AXIAL, AXIAL.position(i, 11), False, number=i + 1, series="1.3"), tmp_path / f"c{i}.dcm")
        grid, position = GRIDS["sagittal"], GRIDS["sagittal"].position(i, 11)
        save(classic(grid, position, number=i + 1, series="1.4"), tmp_path / f"d{i}.dcm")
    analysed = analyse(tmp_path, bright)

    assert analysed.study.label == "glioma"  # by the mean of three series that show it, and one that does not
    assert {s.header.series[-1] for s in analysed.deciding} == {"1", "2", "3", "4"}
    assert {s.header.series[-1] for s in analysed.shown} == {"1", "2", "4"}
    assert all(s.finding.region is not None for s in analysed.pictured)
