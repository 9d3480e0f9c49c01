import gzip
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from tumorlens.errors import ConfigError, NotAScan, TooLarge, UnreadableFile, UnsupportedFile
from tumorlens.formats import Axis, find_sources, read_scans, read_source
from tumorlens.scan import Scan

AXES: tuple[Axis, ...] = ("axial", "coronal", "sagittal")
RAS = nib.orientations.axcodes2ornt("RAS")


@pytest.fixture
def head() -> NDArray[np.int16]:
    """(20, 24, 28) int16 in RAS: dim tissue, and a bright block at the patient's right, front and top."""
    data = np.random.default_rng(0).integers(20, 60, (20, 24, 28)).astype(np.int16)
    data[14:, 16:, 18:] = 1000
    return data


def block_of(scan: Scan) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where the bright block lies: its first and last row and column."""
    rows, columns = np.nonzero(scan.pixels > 0.9)
    return (rows.min(), rows.max() + 1), (columns.min(), columns.max() + 1)


@pytest.mark.parametrize(
    ("axis", "size", "spacing", "frames", "rows", "columns"),
    [
        # The patient's right is on the left; front, or top, is on top.
        ("axial", (24, 20), (2, 1), range(18, 28), (0, 8), (0, 6)),
        ("coronal", (28, 20), (3, 1), range(16, 24), (0, 10), (0, 6)),
        # The front is on the left.
        ("sagittal", (28, 24), (3, 2), range(14, 20), (0, 10), (0, 8)),
    ],
)
def test_slices_are_shown_as_radiologists_see_them(
    make_nifti: Callable[..., Path],
    head: NDArray[np.int16],
    axis: Axis,
    size: tuple[int, int],
    spacing: tuple[int, int],
    frames: range,
    rows: tuple[int, int],
    columns: tuple[int, int],
) -> None:
    path = make_nifti(head, np.diag([1, 2, 3, 1]))
    scans = read_scans(path, axis=axis)
    assert {s.pixels.shape for s in scans} == {size}
    assert {s.spacing for s in scans} == {spacing}
    assert [s.frame for s in scans] == list(range(len(scans)))
    assert {s.source for s in scans} == {s.series for s in scans} == {str(path)}
    bright = [s for s in scans if (s.pixels > 0.9).sum() > 5]
    assert [s.frame for s in bright] == list(frames)
    assert {block_of(s) for s in bright} == {(rows, columns)}
    assert all(s.warnings == () for s in scans)


ORIENTATIONS = ["".join(c) for p in itertools.permutations(("LR", "PA", "IS")) for c in itertools.product(*p)]


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_however_the_file_is_stored_the_pictures_are_the_same(
    make_nifti: Callable[..., Path], head: NDArray[np.int16], codes: str | tuple[str, str, str]
) -> None:
    straight = nib.Nifti1Image(head, np.diag([1, 2, 3, 1]))
    turn = nib.orientations.ornt_transform(RAS, nib.orientations.axcodes2ornt(codes))
    turned = straight.as_reoriented(turn)
    assert "".join(nib.aff2axcodes(turned.affine)) == codes
    expected = make_nifti(head, straight.affine, "straight.nii")
    path = make_nifti(np.asarray(turned.dataobj), turned.affine, "turned.nii")
    for axis in AXES:
        pairs = zip(read_scans(expected, axis=axis), read_scans(path, axis=axis), strict=True)
        assert all(
            np.array_equal(a.pixels, b.pixels) and a.spacing == pytest.approx(b.spacing) and a.frame == b.frame
            for a, b in pairs
        )


def test_oblique_volumes_are_not_resampled(make_nifti: Callable[..., Path], head: NDArray[np.int16]) -> None:
    c, s = np.cos(0.3), np.sin(0.3)
    oblique = np.array([[c, -s, 0, 5], [s, c, 0, -7], [0, 0, 1, 2], [0, 0, 0, 1]]) @ np.diag([1, 2, 3, 1])
    tilted, straight = make_nifti(head, oblique, "a.nii"), make_nifti(head, np.diag([1, 2, 3, 1]), "b.nii")
    for axis in AXES:
        for a, b in zip(read_scans(tilted, axis=axis), read_scans(straight, axis=axis), strict=True):
            assert np.array_equal(a.pixels, b.pixels)
            assert a.spacing == pytest.approx(b.spacing, rel=1e-5)


def test_without_orientation_there_is_a_warning(make_nifti: Callable[..., Path], head: NDArray[np.int16]) -> None:
    image = nib.Nifti1Image(head, None)
    image.header["qform_code"] = image.header["sform_code"] = 0
    path = make_nifti(head)
    nib.save(image, path)
    assert "left and right" in read_scans(path)[0].warnings[0]


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_versions_and_names(
    make_nifti: Callable[..., Path], head: NDArray[np.int16], kind: type[nib.Nifti1Image], name: str
) -> None:
    path = make_nifti(head, name=name, kind=kind)
    expected = read_scans(make_nifti(head, name="plain.nii"))
    for other in ("picture.png", "noname"):
        path = path.rename(path.with_name(other))
        found = read_scans(path)
        assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_number_types_and_byte_orders(
    make_nifti: Callable[..., Path], head: NDArray[np.int16], dtype: type[np.number], order: Literal["<", ">"]
) -> None:
    data = (head // 8).astype(np.dtype(dtype).newbyteorder(order))
    header = nib.Nifti1Header(endianness=order)
    header.set_data_dtype(data.dtype)
    path = make_nifti(head)
    nib.save(nib.Nifti1Image(data, np.eye(4), header), path)
    (a, b) = (read_scans(p)[25].pixels for p in (path, make_nifti(head // 8, name="b.nii")))
    assert_allclose(a, b, atol=1e-6)


def test_scaling_of_stored_numbers_changes_nothing(make_nifti: Callable[..., Path], head: NDArray[np.int16]) -> None:
    image = nib.Nifti1Image(head * 0.37 + 0.1, np.eye(4))
    image.set_data_dtype(np.int16)  # nibabel then writes slope and intercept
    path = make_nifti(head)
    nib.save(image, path)
    (a, b) = (read_scans(p)[25].pixels for p in (path, make_nifti(head, name="b.nii")))
    assert_allclose(a, b, atol=1e-3)


def test_one_window_for_the_whole_volume_without_its_background(make_nifti: Callable[..., Path]) -> None:
    data = np.zeros((32, 32, 32), np.float32)
    data[8:24, 8:24, 8:24] = np.random.default_rng(0).uniform(100, 200, (16, 16, 16))
    data[10, 10, 20] = 1e6  # one hot voxel must not darken the rest
    scans = {s.frame: s for s in read_scans(make_nifti(data))}
    assert scans[12].pixels[8:24, 8:24].mean() == pytest.approx(0.5, abs=0.05)
    assert scans[20].pixels[8:24, 8:24].mean() == pytest.approx(0.5, abs=0.05)


def test_blank_slices_are_left_out(make_nifti: Callable[..., Path], head: NDArray[np.int16]) -> None:
    head[:, :, :3] = 0
    head[:, :, 10] = 7
    frames = [s.frame for s in read_scans(make_nifti(head))]
    assert frames == [*range(3, 10), *range(11, 28)]


def test_a_blank_volume_is_no_scan(make_nifti: Callable[..., Path]) -> None:
    with pytest.raises(NotAScan, match="same value"):
        read_scans(make_nifti(np.full((20, 20, 20), 5, np.int16)))


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("codes", ["RAS", "LPS", "ASR", "SAL"])
def test_a_single_slice_is_shown_as_it_is_cut(
    make_nifti: Callable[..., Path], head: NDArray[np.int16], axis: Axis, codes: str | tuple[str, str, str]
) -> None:
    image = nib.Nifti1Image(head[:, :, 20:21], np.diag([1, 2, 3, 1]))
    turn = nib.orientations.ornt_transform(RAS, nib.orientations.axcodes2ornt(codes))
    turned = image.as_reoriented(turn)
    (scan,) = read_scans(make_nifti(np.asarray(turned.dataobj), turned.affine), axis=axis)
    assert block_of(scan) == ((0, 8), (0, 6))
    assert scan.spacing == (2, 1)


@pytest.mark.parametrize("shape", [(20, 24), (20, 24, 1), (20, 24, 1, 1)])
def test_two_dimensions(
    make_nifti: Callable[..., Path],
    head: NDArray[np.int16],
    shape: tuple[int, int] | tuple[int, int, int] | tuple[int, int, int, int],
) -> None:
    (scan,) = read_scans(make_nifti(head[:, :, 20].reshape(shape)))
    assert scan.pixels.shape == (24, 20)


def test_a_fourth_dimension_of_one(make_nifti: Callable[..., Path], head: NDArray[np.int16]) -> None:
    assert len(read_scans(make_nifti(head[..., None]))) == 28


def test_several_volumes(make_nifti: Callable[..., Path], head: NDArray[np.int16]) -> None:
    with pytest.raises(UnsupportedFile, match="holds 2 volumes; save one"):
        read_scans(make_nifti(np.stack([head, head], -1)))


def test_colours_and_complex_numbers(make_nifti: Callable[..., Path]) -> None:
    rgb = np.zeros((20, 20, 20), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(UnsupportedFile, match="colours"):
        read_scans(make_nifti(rgb, name="rgb.nii"))
    with pytest.raises(UnsupportedFile, match="complex"):
        read_scans(make_nifti(np.ones((20, 20, 20), np.complex64), name="complex.nii"))


def test_few_values_that_are_no_numbers(make_nifti: Callable[..., Path], head: NDArray[np.int16]) -> None:
    data = head.astype(np.float32)
    data[:6] = np.nan
    data[6, 0, 0] = np.inf
    scans = read_scans(make_nifti(data))
    assert (scans[20].pixels[:, -6:] == 0).all()
    assert "no numbers" in scans[0].warnings[0]


def test_mostly_not_numbers(make_nifti: Callable[..., Path]) -> None:
    data = np.full((20, 20, 20), np.nan, np.float32)
    data[:5] = 1
    with pytest.raises(NotAScan, match="75%"):
        read_scans(make_nifti(data))


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.AnalyzeImage])
def test_pairs_and_analyze(
    make_nifti: Callable[..., Path], head: NDArray[np.int16], kind: type[nib.Nifti1Image]
) -> None:
    path = make_nifti(head, name="a.img", kind=kind).with_suffix(".hdr")
    with pytest.raises(UnsupportedFile, match=r"\.nii"):
        read_scans(path)


def test_unknown_axis(make_nifti: Callable[..., Path], head: NDArray[np.int16]) -> None:
    with pytest.raises(ConfigError, match="axial, coronal, sagittal"):
        read_scans(make_nifti(head), axis="oblique")  # type: ignore[arg-type]


def test_too_few_pixels(make_nifti: Callable[..., Path]) -> None:
    with pytest.raises(NotAScan, match="too few"):
        read_scans(make_nifti(np.arange(512.0).reshape(8, 8, 8)))


def change_header(path: Path, **fields: object) -> Path:
    data = bytearray(path.read_bytes())
    header = nib.Nifti1Header(bytes(data[:348]), check=False)
    for field, value in fields.items():
        header[field] = value
    data[:348] = header.binaryblock
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"dim": [3, 5000, 5000, 5000, 1, 1, 1, 1]}, TooLarge),
        ({"dim": [3, 32000, 32000, 1, 1, 1, 1, 1]}, TooLarge),
        ({"dim": [3, 0, 24, 28, 1, 1, 1, 1]}, UnreadableFile),
        ({"dim": [3, -5, 24, 28, 1, 1, 1, 1]}, UnreadableFile),
        ({"dim": [3, 200, 200, 200, 1, 1, 1, 1]}, UnreadableFile),
        ({"vox_offset": 1e9}, UnreadableFile),
        ({"vox_offset": np.nan}, UnreadableFile),
        ({"datatype": 999}, UnreadableFile),
        ({"srow_x": [0, 0, 0, 0], "sform_code": 1}, UnreadableFile),
        ({"srow_x": [np.nan, 0, 0, 0], "sform_code": 1}, UnreadableFile),
    ],
)
def test_absurd_headers(
    make_nifti: Callable[..., Path],
    head: NDArray[np.int16],
    fields: dict[str, list[int]] | dict[str, float] | dict[str, Any] | dict[str, int] | dict[str, list[int] | int],
    error: type[Exception],
) -> None:
    path = change_header(make_nifti(head, name="a.nii"), **fields)
    with pytest.raises(error):
        read_scans(path)


def test_bomb(make_nifti: Callable[..., Path], head: NDArray[np.int16], tmp_path: Path) -> None:
    plain = change_header(make_nifti(head, name="a.nii"), dim=[3, 4000, 4000, 4000, 1, 1, 1, 1])
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(gzip.compress(plain.read_bytes() + bytes(10_000_000)))
    with pytest.raises(TooLarge):
        read_scans(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("share", [0.99, 0.5, 0.1])
def test_truncated(make_nifti: Callable[..., Path], head: NDArray[np.int16], name: str, share: float) -> None:
    path = make_nifti(head, name=name)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UnreadableFile, match="truncated"):
        read_scans(path)


def test_truncated_header(make_nifti: Callable[..., Path], head: NDArray[np.int16]) -> None:
    path = make_nifti(head, name="a.nii")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises((UnreadableFile, UnsupportedFile)):
        read_scans(path)


def test_corrupt_gzip(make_nifti: Callable[..., Path], head: NDArray[np.int16]) -> None:
    path = make_nifti(head)
    data = bytearray(path.read_bytes())
    data[-6] ^= 255  # the checksum
    path.write_bytes(data)
    with pytest.raises(UnreadableFile):
        read_scans(path)


def test_slices_say_how_far_they_are_apart(make_nifti: Callable[..., Path]) -> None:
    data = np.random.default_rng(0).random((20, 24, 18)).astype(np.float32)
    scans = read_scans(make_nifti(data, np.diag([1, 2, 3, 1])))
    assert [s.depth for s in scans[:3]] == [0, 3, 6]
    assert [s.depth for s in read_scans(make_nifti(data, np.diag([1, 2, 3, 1])), axis="coronal")[:2]] == [0, 2]


def test_values_are_kept_where_asked_for(make_nifti: Callable[..., Path]) -> None:
    data = np.random.default_rng(0).random((20, 24, 18)).astype(np.float32) * 700
    (source,) = find_sources(make_nifti(data))
    scans = list(read_source(source, keep=True))
    scan, plain = scans[4], next(iter(read_source(source)))
    assert isinstance(scan, Scan)
    assert isinstance(plain, Scan)
    assert np.allclose(scan.values.numbers, data[::-1, ::-1, 4].T)
    assert scan.values.low < scan.values.high
    assert plain.values is None


@pytest.mark.parametrize(
    ("values", "modality"),
    [
        (lambda head: head * 2000 - 1000, "CT"),
        (lambda head: np.where(head < 0.1, -2048, head * 1500 - 100), "CT"),
        (lambda head: head * 2000, None),
        (lambda head: head * 6 - 3, None),
    ],
    ids=["air at -1000", "padding", "MR", "standardised"],
)
def test_hounsfield_units_tell_ct(
    make_nifti: Callable[..., Path],
    head: NDArray[np.int16],
    values: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    modality: str | None,
) -> None:
    scans = read_scans(make_nifti(values(head / head.max()).astype(np.float32)))
    assert {scan.modality for scan in scans} == {modality}


@pytest.mark.parametrize(("unit", "size"), [(0, 1.0), (1, 0.001), (2, 1.0), (3, 1000.0)])
def test_distances_are_millimetres_whatever_the_header_counts_in(
    make_nifti: Callable[..., Path], head: NDArray[np.int16], unit: int, size: float
) -> None:
    path = make_nifti(head, np.diag([1.5 * size, 2 * size, 3 * size, 1]), "volume.nii")
    scans = read_scans(change_header(path, xyzt_units=unit))
    assert_allclose(scans[0].spacing, (2, 1.5), rtol=1e-5)
    assert_allclose(scans[1].depth - scans[0].depth, 3, rtol=1e-5)
    assert not scans[0].warnings


def test_a_unit_that_cannot_be_right_is_said(make_nifti: Callable[..., Path], head: NDArray[np.int16]) -> None:
    scans = read_scans(change_header(make_nifti(head, np.diag([1, 2, 3, 1]), "volume.nii"), xyzt_units=1))
    assert scans[0].spacing == (2, 1)
    assert "the header's unit of length cannot be right; distances are taken as mm" in scans[0].warnings


@pytest.mark.parametrize(
    ("affine", "problem"),
    [
        (np.diag([1e30, 1e30, 1e30, 1]), "voxels of 1e+30 × 1e+30 × 1e+30 mm are none of a scan"),
        (np.diag([1, 1, 500, 1]), "voxels of 1 × 1 × 500 mm are none of a scan"),
        (np.array([[1, 1, 0, 0], [0, 1e-5, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "its affine is singular"),
    ],
)
def test_voxels_that_none_has_are_refused(
    make_nifti: Callable[..., Path], head: NDArray[np.int16], affine: NDArray[np.float64], problem: str
) -> None:
    path = change_header(make_nifti(head, name="volume.nii"), sform_code=1, **_rows(affine))
    with pytest.raises(UnreadableFile) as caught:
        read_scans(path)
    assert caught.value.problem == problem


def test_two_accounts_of_how_the_head_lies_that_differ_are_said(
    make_nifti: Callable[..., Path], head: NDArray[np.int16]
) -> None:
    image = nib.Nifti1Image.from_filename(make_nifti(head, np.diag([1, 1, 1, 1])))
    said = {}
    for name, quaternion in {"mirrored": np.diag([-1, 1, 1, 1]), "same": np.diag([1, 1, 1, 1])}.items():
        image.set_sform(np.diag([1, 1, 1, 1]), 1)
        image.set_qform(quaternion, 1)
        path = make_nifti(head, np.eye(4), f"{name}.nii")
        nib.save(image, path)
        said[name] = read_scans(path)[0].warnings
    assert said["same"] == ()
    assert "in two ways how the head lies, and they differ; left and right may be swapped" in said["mirrored"][0]


def _rows(affine: NDArray[np.float64]) -> dict[str, object]:
    return dict(zip(("srow_x", "srow_y", "srow_z"), affine, strict=False))
