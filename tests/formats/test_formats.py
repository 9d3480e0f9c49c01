import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.uid import RLELossless

from tumorlens.errors import ConfigError, InputError
from tumorlens.formats import Failure, find_sources, iter_scans, read_frame, read_scans, read_source
from tumorlens.scan import Scan


def test_importing_loads_nothing_heavy() -> None:
    heavy = {"torch", "pydicom", "gdcm", "nibabel", "h5py"}
    code = f"import sys, tumorlens.formats; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_one_source_after_another(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path in paths:
        Image.fromarray(picture).save(path)
    sources = find_sources(paths)
    assert [s.path for s in sources] == [str(p) for p in paths]
    scans = iter_scans(paths)
    assert next(scans).source == str(paths[0])
    paths[1].unlink()  # it was not read ahead
    assert [type(s) for s in scans] == [Failure, Scan]
    assert [type(s) for source in sources for s in read_source(source)] == [Scan, Failure, Scan]


def test_one_frame_is_read_and_nothing_after_it(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    frames = [Image.fromarray(picture + shade) for shade in range(3)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    assert [read_frame(tmp_path / "a.tif", k).frame for k in (None, 0, 2, 7)] == [0, 0, 2, 0]
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(content[: len(content) * 5 // 6])  # within the last frame
    assert read_frame(tmp_path / "cut.tif", 1).frame == 1
    with pytest.raises(InputError):
        read_scans(tmp_path / "cut.tif")
    with pytest.raises(InputError, match="no such file"):
        read_frame(tmp_path / "none.tif")


def test_scans_before_the_fault_are_given(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (2, 64, 64), np.uint8)
    pages = [Image.fromarray(p) for p in noise]
    path = tmp_path / "a.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    path.write_bytes(path.read_bytes()[:-1000])
    scan, failure = iter_scans(path)
    assert isinstance(scan, Scan)
    assert isinstance(failure, Failure)
    assert scan.frame == 0
    assert "truncated" in failure.error
    with pytest.raises(InputError):
        read_scans(path)


def test_failure_is_one_line_and_frozen(tmp_path: Path) -> None:
    (failure,) = iter_scans(tmp_path / "nowhere")
    assert isinstance(failure, Failure)
    assert str(failure) == f"{tmp_path / 'nowhere'}: there is no such file or folder; check the path"
    with pytest.raises(FrozenInstanceError):
        failure.error = ""  # type: ignore[misc]


def test_an_unknown_axis_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="oblique"):
        iter_scans([], axis="oblique")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="oblique"):
        read_scans([], axis="oblique")  # type: ignore[arg-type]


KINDS = ("png", "jpg", "tif", "bmp", "dcm", "rle", "nii", "nii.gz", "mat")


@pytest.fixture(params=KINDS)
def valid(
    request: pytest.FixtureRequest,
    picture: NDArray[np.uint8],
    make_dicom: Callable[..., Path],
    make_nifti: Callable[..., Path],
    make_mat: Callable[..., Path],
    tmp_path: Path,
) -> bytes:
    """The bytes of a valid file of each kind."""
    kind = request.param
    if kind in ("dcm", "rle"):
        path = make_dicom(picture.astype(np.uint16) * 16, WindowCenter=2000, WindowWidth=4000, PixelSpacing=[1, 1])
        if kind == "rle":
            ds = dcmread(path)
            ds.compress(RLELossless)
            ds.save_as(path)
    elif kind.startswith("nii"):
        path = make_nifti(np.random.default_rng(0).integers(0, 99, (17, 18, 2)).astype(np.int16), name=f"a.{kind}")
    elif kind == "mat":
        path = make_mat(picture.astype(np.int16))
    else:
        path = tmp_path / f"a.{kind}"
        Image.fromarray(picture).save(path)
    assert all(isinstance(item, Scan) for item in iter_scans(path))
    return path.read_bytes()


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_never_raise_anything_else(valid: bytes, tmp_path: Path, data: st.DataObject) -> None:
    damaged = bytearray(valid)
    places = st.one_of(st.integers(0, len(valid) - 1), st.integers(0, min(len(valid), 700) - 1))
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=8)):
        damaged[place] = value
    path = tmp_path / "damaged"
    path.write_bytes(damaged[: data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))])
    for item in iter_scans(path):  # raises nothing
        assert item.source == str(path)
        if isinstance(item, Failure):
            assert "\n" not in item.error
        else:
            assert 0 <= item.pixels.min() < item.pixels.max() <= 1


@pytest.mark.real
@pytest.mark.parametrize("folder", ["cheng", "masoud"])
def test_the_public_sets_can_be_read(folder: str) -> None:
    data = os.environ.get("TUMORLENS_DATA")
    if not data or not (Path(data) / folder).is_dir():
        pytest.skip("TUMORLENS_DATA does not name the folder of the real scans")
    sources = find_sources(Path(data) / folder)
    items = [item for source in sources[::50] for item in read_source(source)]
    assert len(items) == len(sources[::50]) > 0
    assert all(isinstance(item, Scan) for item in items)
