from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tumorlens.formats import iter_scans, read_scans
from tumorlens.formats.dicom.order import group, in_order


@pytest.fixture
def make_slice(make_dicom: Callable[..., Path]) -> Callable[..., Path]:
    """Writes slice number `value`, told by its one grey step, under a name of choice."""

    def make(
        value: int,
        name: str,
        position: Sequence[float] | None = None,
        orientation: Sequence[float] = (1, 0, 0, 0, 1, 0),
        **elements: object,
    ) -> Path:
        pixels = np.zeros((16, 16), np.uint8)
        pixels[:, : value + 1] = 255
        if position is not None:
            elements |= {"ImagePositionPatient": list(position), "ImageOrientationPatient": list(orientation)}
        return make_dicom(pixels, f"study/{name}", WindowCenter=128, WindowWidth=256, **elements)

    return make


def order(folder: Path) -> list[int]:
    return [int(scan.pixels[0].sum()) - 1 for scan in read_scans(folder)]


OBLIQUE = (np.cos(0.3), np.sin(0.3), 0, 0, 0, -1)
PLANES = {
    "axial": ((1, 0, 0, 0, 1, 0), (0, 0, 1)),
    "coronal": ((1, 0, 0, 0, 0, -1), (0, 1, 0)),
    "sagittal": ((0, 1, 0, 0, 0, -1), (-1, 0, 0)),
    "oblique": (OBLIQUE, tuple(np.cross(OBLIQUE[:3], OBLIQUE[3:]))),
}


@pytest.mark.parametrize("plane", PLANES)
def test_shuffled_names_come_in_geometric_order(make_slice: Callable[..., Path], tmp_path: Path, plane: str) -> None:
    orientation, normal = PLANES[plane]
    names = np.random.default_rng(0).permutation(12)
    for value, name in enumerate(names):
        position = np.array([-100, 50, 20]) + (3.3 * value) * np.array(normal)
        # Instance numbers run the other way, as some scanners number them.
        make_slice(value, f"{name}.dcm", position.round(4), np.round(orientation, 6), InstanceNumber=100 - value)
    assert order(tmp_path / "study") == list(range(12))


def test_without_positions_the_instance_number_counts(make_slice: Callable[..., Path], tmp_path: Path) -> None:
    for value, name in enumerate("dacb"):
        make_slice(value, name, InstanceNumber=value + 8)
    assert order(tmp_path / "study") == [0, 1, 2, 3]


def test_one_position_missing_the_instance_number_counts(make_slice: Callable[..., Path], tmp_path: Path) -> None:
    for value, name in enumerate("dacb"):
        make_slice(value, name, None if value == 2 else (0, 0, -value), InstanceNumber=value)
    assert order(tmp_path / "study") == [0, 1, 2, 3]


def test_with_neither_the_names_count_naturally(make_slice: Callable[..., Path], tmp_path: Path) -> None:
    for value, name in enumerate(["img2", "img10", "img101"]):
        make_slice(value, name)
    assert order(tmp_path / "study") == [0, 1, 2]


def test_slices_that_are_not_parallel_come_by_instance_number(make_slice: Callable[..., Path], tmp_path: Path) -> None:
    for value, (orientation, _) in enumerate(PLANES.values()):
        make_slice(value, f"{9 - value}", (0, 0, -value), orientation, InstanceNumber=value)
    assert order(tmp_path / "study") == [0, 1, 2, 3]


def test_repetitions_stay_in_order_of_acquisition(make_slice: Callable[..., Path], tmp_path: Path) -> None:
    for value, (name, z, instance) in enumerate([("d", 0, 1), ("c", 0, 3), ("b", 5, 2), ("a", 5, 4)]):
        make_slice(value, name, (0, 0, z), InstanceNumber=instance)
    assert order(tmp_path / "study") == [0, 1, 2, 3]


def test_series_stay_together_where_their_first_file_stands(make_slice: Callable[..., Path], tmp_path: Path) -> None:
    make_slice(3, "b1", (0, 0, 10), SeriesInstanceUID="1.9")
    make_slice(0, "a1", (0, 0, 10), SeriesInstanceUID="1.5")
    make_slice(2, "c/1", (0, 0, 5), SeriesInstanceUID="1.9")
    make_slice(1, "c/2", (0, 0, 20), SeriesInstanceUID="1.5")
    assert order(tmp_path / "study") == [0, 1, 2, 3]


def test_every_slice_names_its_own_file(make_slice: Callable[..., Path], tmp_path: Path) -> None:
    paths = [make_slice(value, name, (0, 0, value)) for value, name in enumerate("ba")]
    assert [scan.source for scan in read_scans(tmp_path / "study")] == [str(p) for p in paths]


def test_named_files_come_as_named(make_slice: Callable[..., Path]) -> None:
    paths = [make_slice(value, str(value), (0, 0, -value)) for value in range(3)]
    assert [scan.source for scan in read_scans(paths)] == [str(p) for p in paths]


def test_a_broken_slice_does_not_stop_the_others(make_slice: Callable[..., Path], tmp_path: Path) -> None:
    paths = [make_slice(value, str(value), (0, 0, value)) for value in range(4)]
    paths[1].write_bytes(paths[1].read_bytes()[:-50])
    found = list(iter_scans(tmp_path / "study"))
    assert [item.source for item in found] == [str(p) for p in paths]
    assert [hasattr(item, "error") for item in found] == [False, True, False, False]


@given(st.lists(st.tuples(st.integers(-200, 200), st.integers(0, 50)), min_size=1, unique_by=lambda pair: pair[1]))
def test_depth_comes_first_then_the_number(slices: list[tuple[int, int]]) -> None:
    depths, numbers = [depth / 4 for depth, _ in slices], [(number,) for _, number in slices]
    order = in_order(depths, numbers)
    assert [(depths[i], numbers[i]) for i in order] == sorted(zip(depths, numbers, strict=True))
    assert in_order([None, *depths[1:]], numbers) == sorted(range(len(slices)), key=numbers.__getitem__)
    assert in_order([None, *depths[1:]], [None, *numbers[1:]]) == list(range(len(slices)))


def test_groups_are_of_what_is_like_their_first() -> None:
    assert group([1, 9, 2, 3, 8], lambda a, b: abs(a - b) < 2) == [[1, 2], [9, 8], [3]]
