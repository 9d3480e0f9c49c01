"""The results, judged by other people's software: dicom3tools' validator and DCMTK's renderer.

Needs Debian's packages: `apt-get install dicom3tools dcmtk`.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.uid import MRImageStorage

from tests.studies import GRIDS, BrightEngine, classic, enhanced, header, save
from tumorlens.classifier import Classifier
from tumorlens.phantoms.phantom import make_study
from tumorlens.results.analysis import analyse
from tumorlens.results.make import KINDS, make_results, write_results

pytestmark = pytest.mark.e2e
AXIAL = GRIDS["axial"]


def run(*command: str | Path) -> str:
    """Runs a tool, and gives all it printed."""
    tool = shutil.which(str(command[0]))
    assert tool, f"{command[0]} is not installed: apt-get install dicom3tools dcmtk"
    done = subprocess.run([tool, *map(str, command[1:])], capture_output=True, timeout=60)
    return (done.stdout + done.stderr).decode(errors="replace")


def _series(folder: Path, **options: Any) -> None:
    for i in range(11):
        save(classic(AXIAL, AXIAL.position(i, 11), number=i + 1, **options), folder / f"{i}.dcm")


def _enhanced(folder: Path) -> None:
    grid = GRIDS["doubly oblique"]
    save(enhanced(grid, [grid.position(i, 7) for i in range(7)]), folder / "enhanced.dcm")


def _mixed(folder: Path) -> None:
    for number, name in enumerate(GRIDS, 1):
        ds = classic(GRIDS[name], GRIDS[name].position(3, 7), number=number)
        save(ds, folder / f"{number}.dcm")


def _changed(change: Callable[[Dataset], None]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        ds = classic(AXIAL, AXIAL.position(3, 7))
        change(ds)
        save(ds, folder / "slice.dcm")

    return write


def _bare(ds: Dataset) -> None:
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"):
        del ds[keyword]
    del ds.AccessionNumber, ds.ReferringPhysicianName, ds.PositionReferenceIndicator, ds.SliceThickness


def _flat(ds: Dataset) -> None:
    del ds.ImagePositionPatient


def _inverse(ds: Dataset) -> None:
    ds.PhotometricInterpretation = "MONOCHROME1"
    ds.PixelData = (1000 - ds.pixel_array.clip(0, 1000)).astype(np.uint16).tobytes()


def _rescaled(ds: Dataset) -> None:
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = "2.5", "-100", "US"
    ds.WindowCenter, ds.WindowWidth = 1150, 2500


STUDIES: dict[str, Callable[[Path], None]] = {
    "tumour": _series,
    "enhanced": _enhanced,
    "mixed orientations": _mixed,
    "no tumour": lambda folder: _series(folder, lesion=False),
    "bare header": _changed(_bare),
    "no geometry": _changed(_flat),
    "MONOCHROME1": _changed(_inverse),
    "rescaled": _changed(_rescaled),
}


@pytest.mark.parametrize("unknown", [False, True], ids=["known", "unknown"])
@pytest.mark.parametrize("name", STUDIES)
def test_the_validator_finds_no_error(name: str, unknown: bool, tmp_path: Path) -> None:
    STUDIES[name](tmp_path / "study")
    classifier = Classifier(BrightEngine(unknown))
    results = make_results(analyse(tmp_path / "study", classifier), classifier.card, candidates=name == "tumour")

    for path, result in zip(write_results(results, tmp_path / "out"), results, strict=True):
        said = run("dciodvfy", path)
        assert "Error" not in said, f"{KINDS[result.SOPClassUID]}: {said}"
        assert len(said.splitlines()) >= 1  # it names what it read
        if KINDS[result.SOPClassUID] == "presentation-state" and name != "bare header":  # it wants a name
            assert "Test passed" in run("dcmpschk", path)
        if KINDS[result.SOPClassUID] == "report":
            told = run("dsrdump", path)
            assert "E: " not in told
            assert "Comprehensive 3D SR Document" in told


def _phantoms(folder: Path) -> None:
    """A synthetic patient with a glioma: slices over the whole head."""
    for number, phantom in enumerate(make_study(0, label="glioma", size=192, slices=24, seed=5), 1):
        ds = header(number=number)
        ds.SOPClassUID = MRImageStorage
        ds.PixelSpacing = [round(v, 5) for v in phantom.scan.spacing or ()]
        ds.ImageOrientationPatient, ds.SliceThickness = [1, 0, 0, 0, 1, 0], 3
        ds.ImagePositionPatient = [-110, -110, round(phantom.position, 3)]
        ds.WindowCenter, ds.WindowWidth = 2000, 4000
        pixels = (phantom.scan.pixels * 4000).round().astype(np.uint16)
        ds.Rows, ds.Columns = pixels.shape
        ds.PixelData = pixels.tobytes()
        ds["PixelData"].VR = "OW"
        save(ds, folder / f"{number}.dcm")


def test_the_renderer_shows_the_picture_as_it_is(tmp_path: Path) -> None:
    _phantoms(tmp_path / "study")
    classifier = Classifier.load("cnn_lstm", threads=1)
    results = make_results(analyse(tmp_path / "study", classifier), classifier.card)
    paths = write_results(results, tmp_path / "out")
    assert [run("dciodvfy", p).count("Error") for p in paths] == [0] * len(paths)
    pictures = [p for p, r in zip(paths, results, strict=True) if KINDS[r.SOPClassUID] == "secondary-capture"]
    assert len(pictures) == 3

    for path in pictures:
        tool = "dcm2img" if shutil.which("dcm2img") else "dcmj2pnm"
        run(tool, "--write-png", path, path.with_suffix(".png"))
        shown = np.asarray(Image.open(path.with_suffix(".png")).convert("RGB")).astype(int)
        ds = pydicom.dcmread(path)
        assert shown.shape == (ds.Rows, ds.Columns, 3)
        assert np.abs(shown - ds.pixel_array).max() <= 1
        hot = shown[..., 0] - shown[..., 2] > 60
        assert hot[60:600, 60:660].sum() > 1000  # heat is orange to yellow, and lies in the scan
        assert hot[:40].sum() > 200  # the banner is yellow
