"""Jun Cheng's brain tumour data set (figshare 1512427): one slice per MATLAB v7.3 file, through h5py."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tumorlens.errors import DataError, MissingExtra, UnreadableFile, UnsupportedFile
from tumorlens.formats.checks import check_scans, check_size, parsing
from tumorlens.grey import finite, stretch
from tumorlens.outline import Outline
from tumorlens.scan import Scan

if TYPE_CHECKING:
    from h5py import Group

_HDF5 = b"\x89HDF\r\n\x1a\n"
_LABELS = {1: "meningioma", 2: "glioma", 3: "pituitary"}  # the data set's README
_SPACING = (0.49, 0.49)  # mm; Cheng et al., PLoS ONE 10(10): e0140381, 2015
_MAX_POINTS = 100_000


@dataclass(frozen=True, eq=False)
class ChengSlice:
    """One slice of Cheng's data set, with its label and the radiologists' outline.

    Attributes:
        scan: The slice; `patient` is the data set's PID.
        label: "meningioma", "glioma" or "pituitary".
        mask: (H, W) bool, the tumour.
        outline: The radiologists' polygon, or None where the file's is missing or does not fit its mask.
    """

    scan: Scan
    label: str
    mask: NDArray[np.bool_]
    outline: Outline | None


def sniff(head: bytes) -> bool:
    """Whether a file that begins so is MATLAB's or HDF5; only Cheng's can be read, others get a clear error."""
    # v7.3 is HDF5 behind a block of text; v5 is MATLAB's own.
    return head.startswith((_HDF5, b"MATLAB 7.3 MAT-file", b"MATLAB 5.0 MAT-file")) or head[512:520] == _HDF5


def read(path: str, _axis: str = "axial", _keep: bool = False) -> Iterator[Scan]:
    """Reads the slice of one of Cheng's files, stretched between its least and greatest value.

    Yields:
        The slice, with the 0.49 mm that the data set's paper states, and the PID as patient.

    Raises:
        UnsupportedFile: If it is MATLAB v5, or HDF5 without `cjdata`.
    """
    with parsing(path):
        scan, _ = _read(path, ())
    yield scan


def read_slice(path: str) -> ChengSlice:
    """Reads one of Cheng's files with its label, mask and outline.

    The order of the border's coordinates is not documented. Both are tried, and the one that agrees with the
    mask is taken.

    Raises:
        InputError: As `read` does, if mask or label are missing, or if the slice is blank.
    """
    with parsing(path):
        scan, parts = _read(path, ("label", "tumorMask", "tumorBorder"))
        list(check_scans(path, [scan]))
        label = _LABELS.get(int(parts["label"].flat[0]))
        mask = parts["tumorMask"].T != 0
        if label is None or mask.shape != (scan.height, scan.width):
            raise UnsupportedFile(path, "its label or mask is not as in Cheng's data set", "download it again")
        return ChengSlice(scan, label, mask, _outline(parts["tumorBorder"], mask))


def _read(path: str, names: tuple[str, ...]) -> tuple[Scan, dict[str, NDArray[Any]]]:
    """The slice, and further members of `cjdata` as they are stored."""
    with open(path, "rb") as file:  # noqa: PTH123 - the path stays the string the caller gave
        if file.read(19) == b"MATLAB 5.0 MAT-file":
            raise UnsupportedFile(path, "it is a MATLAB v5 file", "save it in MATLAB with the option -v7.3")
        try:
            import h5py
        except ModuleNotFoundError as error:  # a fault of one file among others, which are read all the same
            missing = MissingExtra("reading Cheng's MATLAB files", "train")
            raise UnsupportedFile(path, missing.problem, missing.remedy) from error
        with h5py.File(file, "r") as root:
            group = _own(root, "cjdata")
            if not isinstance(group, h5py.Group):
                problem = "it holds no 'cjdata' as Cheng's data set does"
                raise UnsupportedFile(path, problem, "save the picture as PNG, DICOM or NIfTI")
            image = _member(path, group, "image")
            pid = _member(path, group, "PID").reshape(-1) if "PID" in group else np.array([])
            parts = {name: _member(path, group, name) for name in names}
    if image.ndim != 2:
        raise UnsupportedFile(path, f"its image has {image.ndim} dimensions", "save one slice per file")
    values, warnings = finite(path, image.T)  # MATLAB stores column by column
    pixels = stretch(values, float(values.min()), float(values.max()))
    patient = "".join(chr(int(c)) for c in pid).strip() or None
    return Scan(pixels, path, spacing=_SPACING, patient=patient, warnings=warnings), parts


def _member(path: str, group: Group, name: str) -> NDArray[Any]:
    """A data set of the group, checked before it is read."""
    import h5py

    data = _own(group, name)
    if not isinstance(data, h5py.Dataset) or data.dtype.kind not in "biuf" or not data.shape:
        raise UnreadableFile(path, f"'{name}' is missing or holds no numbers", "download the file again")
    if data.external or data.is_virtual:
        raise UnsupportedFile(path, f"'{name}' lies in another file", "save everything in one file")
    for shape in (data.shape, data.chunks or data.shape):  # a chunk is decoded as a whole
        check_size(path, shape[0], math.prod(shape[1:]))
    return np.asarray(data[()])


def _own(group: Group, name: str) -> object:
    """A member that lies in the file itself. HDF5 can point into other files, so a sender could read ours."""
    import h5py

    return group.get(name) if isinstance(group.get(name, getlink=True), h5py.HardLink) else None


def _outline(border: NDArray[Any], mask: NDArray[np.bool_]) -> Outline | None:
    """The border as fractions of the picture, in the order that agrees better with the mask."""
    if border.size % 2 or not 6 <= border.size <= _MAX_POINTS:
        return None
    height, width = mask.shape
    # MATLAB counts from 1 at the centre of the first pixel.
    points = border.reshape(-1, 2).astype(np.float64) - 0.5
    best, agreement = None, 0.5  # Dice below that is a broken border
    for pairs in (points[:, ::-1], points):
        try:
            outline = Outline(np.clip(pairs / [width, height], 0, 1))
        except DataError:
            continue
        drawn = outline.mask(height, width)
        dice = 2 * (drawn & mask).sum() / max(1, drawn.sum() + mask.sum())
        if dice > agreement:
            best, agreement = outline, dice
    return best
