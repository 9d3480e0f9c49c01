from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from tumorlens.errors import NotAScan, TooLarge, UnreadableFile, UnsupportedFile
from tumorlens.formats import read_scans
from tumorlens.formats.matlab import ChengSlice, read_slice


def read(path: Path) -> ChengSlice:
    return read_slice(str(path))


@pytest.fixture
def image(picture: NDArray[np.uint8]) -> NDArray[np.int16]:
    """(40, 32) int16, as Cheng's slices."""
    return picture.astype(np.int16) * 30 - 200


def test_slice(make_mat: Callable[..., Path], image: NDArray[np.int16]) -> None:
    path = make_mat(image)
    (scan,) = read_scans(path)
    assert_allclose(scan.pixels, (image - image.min()) / np.ptp(image), atol=1e-6)
    assert (scan.patient, scan.spacing, scan.source) == ("100360", (0.49, 0.49), str(path))
    assert "100360" not in repr(scan)


@pytest.mark.parametrize(("number", "key"), [(1, "meningioma"), (2, "glioma"), (3, "pituitary")])
def test_labels(make_mat: Callable[..., Path], image: NDArray[np.int16], number: int, key: str) -> None:
    assert read(make_mat(image, label=np.array([[float(number)]]))).label == key


def test_mask(make_mat: Callable[..., Path], image: NDArray[np.int16]) -> None:
    case = read(make_mat(image))
    assert case.mask.shape == image.shape
    assert np.argwhere(case.mask).min(0).tolist() == [10, 12]
    assert np.argwhere(case.mask).max(0).tolist() == [19, 27]


@pytest.mark.parametrize("first", ["row", "column"])
def test_outline_fits_the_mask_whichever_coordinate_comes_first(
    make_mat: Callable[..., Path], image: NDArray[np.int16], first: str
) -> None:
    corners = np.array([[11, 13], [11, 28], [20, 28], [20, 13]], float)
    if first == "column":
        corners = corners[:, ::-1]
    case = read(make_mat(image, tumorBorder=corners.reshape(1, -1)))
    # From the centre of pixel 11 to that of pixel 20, of 40 rows; and of 13 to 28, of 32 columns.
    x, y = case.outline.points.T
    assert (y.min(), y.max()) == pytest.approx((10.5 / 40, 19.5 / 40))
    assert (x.min(), x.max()) == pytest.approx((12.5 / 32, 27.5 / 32))


@pytest.mark.parametrize("border", [[[1, 2, 3]], [[1, 2, 3, 4]], [[1, 1, 1, 5, 5, 5]], [[np.nan] * 8]])
def test_a_broken_outline_is_none(
    make_mat: Callable[..., Path], image: NDArray[np.int16], border: list[list[float]]
) -> None:
    assert read(make_mat(image, tumorBorder=np.array(border, float))).outline is None


def test_missing_outline_or_mask(make_mat: Callable[..., Path], image: NDArray[np.int16]) -> None:
    with pytest.raises(UnreadableFile, match="tumorMask"):
        read(make_mat(image, tumorMask=None))
    assert len(read_scans(make_mat(image, tumorMask=None, PID=None))) == 1


def test_a_label_or_mask_that_is_not_chengs(make_mat: Callable[..., Path], image: NDArray[np.int16]) -> None:
    with pytest.raises(UnsupportedFile):
        read(make_mat(image, label=np.array([[9.0]])))
    with pytest.raises(UnsupportedFile):
        read(make_mat(image, tumorMask=np.ones((5, 5), np.uint8)))


def test_blank(make_mat: Callable[..., Path]) -> None:
    path = make_mat(np.full((32, 32), 3, np.int16))
    with pytest.raises(NotAScan):
        read_scans(path)
    with pytest.raises(NotAScan):
        read(path)


def test_matlab_5(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x01IM" + bytes(500))
    with pytest.raises(UnsupportedFile, match=r"-v7\.3"):
        read_scans(path)
    with pytest.raises(UnsupportedFile, match=r"-v7\.3"):
        read(path)


def test_hdf5_without_cjdata(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["image"] = np.eye(20)
    with pytest.raises(UnsupportedFile, match="cjdata"):
        read_scans(tmp_path / "a.h5")


def test_too_large_is_found_before_reading(make_mat: Callable[..., Path], image: NDArray[np.int16]) -> None:
    path = make_mat(image, image=None)
    with h5py.File(path, "r+") as file:
        file["cjdata"].create_dataset("image", (50_000, 50_000), "i2", chunks=(100, 100))  # nothing is written
    with pytest.raises(TooLarge):
        read_scans(path)


@pytest.mark.parametrize("image", [np.zeros((20, 20, 20)), np.array([[b"a"]]), np.zeros((0, 5))])
def test_images_of_another_kind(make_mat: Callable[..., Path], image: NDArray[Any]) -> None:
    with pytest.raises((UnsupportedFile, UnreadableFile)):
        read_scans(make_mat(np.zeros((20, 20)), image=image))


@pytest.mark.parametrize("pointer", ["group", "member", "storage"])
def test_pointers_into_other_files_are_not_followed(
    make_mat: Callable[..., Path], image: NDArray[np.int16], tmp_path: Path, pointer: str
) -> None:
    target = make_mat(image, "target.mat")
    path = make_mat(image, "sent.mat", image=None)
    with h5py.File(path, "r+") as file:
        if pointer == "group":
            del file["cjdata"]
            file["cjdata"] = h5py.ExternalLink(str(target), "cjdata")
        elif pointer == "member":
            file["cjdata/image"] = h5py.ExternalLink(str(target), "cjdata/image")
        else:
            secret = tmp_path / "secret"
            secret.write_bytes(bytes(range(256)) * 4)
            file["cjdata"].create_dataset("image", (32, 32), "u1", external=[(str(secret), 0, 1024)])
    with pytest.raises((UnsupportedFile, UnreadableFile)):
        read_scans(path)


@pytest.mark.parametrize("share", [0.9, 0.5, 0.05])
def test_truncated(make_mat: Callable[..., Path], image: NDArray[np.int16], share: float) -> None:
    path = make_mat(image)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UnreadableFile, match="truncated"):
        read_scans(path)
