"""NIfTI-1 and NIfTI-2 in one file, plain or gzipped, through nibabel."""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import IOBase
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from tumorlens.errors import UnreadableFile, UnsupportedFile
from tumorlens.formats.checks import check_size, parsing
from tumorlens.formats.dicom.geometry import is_distance
from tumorlens.grey import Number, finite, robust_range, stretch
from tumorlens.scan import Orientation, Scan, Values
from tumorlens.sequence import SeriesInfo, name_sequence

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

Axis = Literal["axial", "coronal", "sagittal"]
"""The plane volumes are cut in."""

_GZIP = b"\x1f\x8b"
_VERSIONS = {348: 1, 540: 2}  # length of the header: version
_ACROSS = {"sagittal": 0, "coronal": 1, "axial": 2}  # the axis that is cut across, in RAS
# How pictures lie in the patient, by the axis they are cut across.
_ORIENTATIONS: dict[int, Orientation] = {0: (0, 1, 0, 0, 0, -1), 1: (1, 0, 0, 0, 0, -1), 2: (1, 0, 0, 0, 1, 0)}
_MILLIMETRES = {1: 1000.0, 2: 1.0, 3: 0.001}  # of a unit of length, by its code
_FLAT = 1e-3  # volume of a voxel of sides of 1, below which its sides lie in a plane
_TILT = math.cos(math.radians(30))
_MAX_OFFSET = 2**24  # bytes before the voxels; nibabel reads all of them


def sniff(head: bytes) -> bool:
    """Whether a file that begins so is NIfTI, or of its kin (ANALYZE, NIfTI in two files)."""
    return _version(_plain(head)) is not None


def read(path: str, axis: str = "axial", keep: bool = False) -> Iterator[Scan]:
    """Cuts a volume into slices and shows them as radiologists see them.

    The volume is turned to the nearest of the canonical orientations (RAS), without resampling. The patient's
    right is on the left of axial and coronal pictures, the front on top of axial and on the left of sagittal
    ones, the head's top on top of coronal and sagittal ones. A file of a single slice is shown as it is cut,
    whichever axis is asked for. One window serves the whole volume: the 0.5th to 99.5th percentile of the
    voxels that are not zero.

    Yields:
        The slices from foot to head, back to front, or left to right. `frame` counts them from 0.

    Raises:
        UnsupportedFile: If it holds several volumes, colours or complex numbers, or is a half of a pair.
        NotAScan: If more than half of the voxels are no numbers.
    """
    volume = load_volume(path)
    across, rows, columns = _axes(volume.data.shape, axis)
    info = volume_info(path)
    first = np.array([*volume.data.shape, 2], float) - 1  # the voxel of a picture's first pixel
    space = f"{volume.data.shape} {volume.affine.round(3).tolist()}"
    for frame, values in enumerate(cut(volume.data, axis)):
        first[across] = frame
        right, front, top = (volume.affine @ first)[:3].tolist()
        yield Scan(
            stretch(values, *volume.window),
            path,
            frame,
            spacing=(volume.zooms[rows], volume.zooms[columns]),
            series=path,
            warnings=volume.warnings,
            values=Values(values, *volume.window) if keep else None,
            depth=frame * volume.zooms[across],
            orientation=_ORIENTATIONS[across],
            position=(-right, -front, top),
            space=space,
            study=path,
            info=info,
            modality="CT" if volume.hounsfield else None,
            hounsfield=values.astype(np.float32, copy=False) if volume.hounsfield else None,
            unitless=not volume.hounsfield,
        )


def volume_info(name: str) -> SeriesInfo:
    """What a volume's file name says of its sequence; its header says nothing."""
    stem = re.sub(r"\.nii(\.gz)?$", "", PurePath(name).name, flags=re.IGNORECASE)
    return SeriesInfo(description=stem, sequence=name_sequence(stem))


@dataclass(frozen=True, eq=False)
class Volume:
    """A volume turned to the nearest of the canonical orientations, without resampling.

    Attributes:
        data: (X, Y, Z) float32; X grows to the patient's right, Y to the front, Z to the top (RAS).
        affine: (4, 4) from voxel to mm.
        zooms: mm along X, Y, Z.
        window: What is shown as black and white.
        warnings: What the file leaves in doubt.
        hounsfield: Whether its values are those of CT; the header does not say what made it.
    """

    data: NDArray[np.float32]
    affine: NDArray[np.float64]
    zooms: tuple[float, ...]
    window: tuple[float, float]
    warnings: tuple[str, ...]
    hounsfield: bool = False


def cut(data: NDArray[Number], axis: str = "axial") -> NDArray[Number]:
    """The slices of an (X, Y, Z) volume in RAS as they are shown, (N, H, W): a view, through which it can be filled.

    RAS counts to the right, the front and the top, so every picture begins at the far end of both its axes.
    """
    return np.flip(np.transpose(data, _axes(data.shape, axis)), (1, 2))


def _axes(shape: tuple[int, ...], axis: str) -> tuple[int, int, int]:
    """Which axes of a volume are cut across, run down the rows, and along them."""
    across = next((i for i in range(3) if shape[i] == 1), _ACROSS[axis])
    rows, columns = sorted({0, 1, 2} - {across}, reverse=True)  # S before A before R
    return across, rows, columns


def load_volume(path: str) -> Volume:
    """Reads a whole volume; errors are those of `read`."""
    with parsing(path):
        return _load(path)


def _load(path: str) -> Volume:
    from nibabel.nifti1 import Nifti1Image
    from nibabel.nifti2 import Nifti2Image
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

    with _open(path) as file:
        head = file.read(max(_VERSIONS))
        version = _version(head)
        shape = _check(path, head, version)
        file.seek(0)
        image = (Nifti2Image if version == 2 else Nifti1Image).from_stream(file)
        # Not get_fdata(), which would keep a second copy.
        data = np.asarray(image.dataobj, dtype=np.float32).reshape(shape)
        file.read(1)  # past the voxels, where gzip checks its sum
    data, warnings = finite(path, data)
    window = robust_range(data.ravel(order="K"), ignore_zero=True)
    stored, doubts = _grid(path, image)
    turn = io_orientation(stored)
    zooms = np.empty(3)
    # Row i of turn begins with the canonical axis of stored axis i.
    zooms[turn[:, 0].astype(int)] = np.linalg.norm(stored[:3, :3], axis=0)
    affine, warnings = stored @ inv_ornt_aff(turn, shape), (*warnings, *doubts)
    turned = apply_orientation(data, turn)
    return Volume(turned, affine, tuple(zooms.tolist()), window, warnings, _is_hounsfield(data))


def _grid(path: str, image: Nifti1Image) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """From voxel to mm, (4, 4), and what the header leaves in doubt of it."""
    header, doubts = image.header, list[str]()
    affine: NDArray[np.float64] = image.affine
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    with np.errstate(all="ignore"):  # numbers that are none are refused just below
        # 1 for axes at right angles, whatever their lengths; 0 if they lie in a plane.
        angles = abs(np.linalg.det(affine[:3, :3] / lengths))
    if not (np.isfinite(affine).all() and lengths.all() and angles > _FLAT):
        raise UnreadableFile(path, "its affine is singular", "convert the volume again (dcm2niix)")
    unit = _MILLIMETRES.get(int(header["xyzt_units"]) & 0b111, 1.0)
    if unit != 1 and all(map(is_distance, lengths)) and not all(map(is_distance, lengths * unit)):
        doubts.append("the header's unit of length cannot be right; distances are taken as mm")
        unit = 1.0
    if not all(map(is_distance, lengths * unit)):
        sizes = " × ".join(f"{length:.3g}" for length in lengths * unit)
        raise UnreadableFile(path, f"voxels of {sizes} mm are none of a scan", "convert the volume again (dcm2niix)")
    codes = int(header["qform_code"]), int(header["sform_code"])
    if not any(codes):
        doubts.append("the file does not say how the head lies; left and right may be swapped")
    elif all(codes) and not _alike(header.get_qform(), header.get_sform()):
        doubts.append("the file says in two ways how the head lies, and they differ; left and right may be swapped")
    return np.diag([unit, unit, unit, 1.0]) @ affine, tuple(doubts)


def _alike(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether the axes of two affines point the same ways, but for some tilt."""
    axes = [affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0) for affine in (one, other)]
    return bool((axes[0] * axes[1]).sum(axis=0).min() > _TILT)


def _is_hounsfield(data: NDArray[np.float32]) -> bool:
    """Whether values are Hounsfield units: much air, at -1000 or padded below, and bone."""
    return bool(data.min() <= -900 and data.max() >= 300 and (data <= -500).mean() >= 0.05)


def _check(path: str, head: bytes, version: int | None) -> tuple[int, int, int]:
    """Checks the header before any voxel is read, and returns the volume's shape."""
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    # A tail of zeros stands for what a truncated file lacks; such a header fails below.
    if version == 1 and head[344:347] != b"n+1":
        problem = "it is ANALYZE, or one of a NIfTI pair (.hdr, .img)"
        raise UnsupportedFile(path, problem, "save it as one file (.nii or .nii.gz)")
    header = Nifti2Header(head, check=False) if version == 2 else Nifti1Header(head[:348], check=False)
    lengths = [int(n) for n in header.get_data_shape()]
    if any(n > 1 for n in lengths[3:]):
        problem = f"it holds {math.prod(lengths[3:])} volumes"
        raise UnsupportedFile(path, problem, "save one of them (fslroi, or nibabel's slicer)")
    x, y, z = (*lengths, 1, 1, 1)[:3]
    check_size(path, y, x, z)
    kind = header.get_data_dtype().kind
    if kind not in "iuf":
        what = "complex numbers" if kind == "c" else "colours"
        raise UnsupportedFile(path, f"its voxels are {what}", "save one number per voxel, such as the magnitude")
    if not 0 <= float(header["vox_offset"]) <= _MAX_OFFSET:
        raise UnreadableFile(path, "the header does not say where the voxels begin", "export the file again")
    return x, y, z


def _open(path: str) -> IOBase:
    with open(path, "rb") as file:  # noqa: PTH123 - the path stays the caller's
        is_gzip = file.read(2) == _GZIP
    return gzip.open(path, "rb") if is_gzip else open(path, "rb")  # noqa: PTH123 - the caller closes it


def _plain(head: bytes) -> bytes:
    """The beginning of the file inside, if it is gzipped."""
    if not head.startswith(_GZIP):
        return head
    try:
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(head, max(_VERSIONS))
    except zlib.error:
        return b""


def _version(head: bytes) -> int | None:
    """1 or 2, by the length of the header, which is its first number in either byte order."""
    first = head[:4]
    return _VERSIONS.get(int.from_bytes(first, "little")) or _VERSIONS.get(int.from_bytes(first, "big"))
