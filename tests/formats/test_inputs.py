"""Whatever people give to be classified."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tumorlens.errors import UnreadableFile
from tumorlens.formats.inputs import as_scans
from tumorlens.scan import Scan
from tumorlens.study import Study

HEAD = np.linspace(0, 1, 24 * 20, dtype=np.float32).reshape(24, 20)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.fromarray((HEAD * 255).astype(np.uint8)).save(path)
    return path


def test_one_scan_array_picture_or_path_is_one(picture: Path) -> None:
    ways: list[Any] = [Scan.of(HEAD), HEAD, Image.open(picture), picture, str(picture), np.stack([HEAD] * 3, -1)]
    for given in ways:
        (scan,) = as_scans(given)
        np.testing.assert_allclose(scan.grey, HEAD, atol=0.005)


def test_stacks_and_lists_are_several(picture: Path) -> None:
    assert [s.frame for s in as_scans(np.stack([HEAD] * 5))] == [0, 1, 2, 3, 4]
    assert len(list(as_scans(np.zeros((5, 24, 20, 3), np.uint8)))) == 5
    assert [s.source for s in as_scans([HEAD, picture, Scan.of(HEAD, source="b")])] == ["array", str(picture), "b"]
    assert list(as_scans([])) == []


def test_several_are_read_one_after_another(picture: Path) -> None:
    scans = as_scans(path for path in (picture, "nowhere.png"))
    assert next(scans).source == str(picture)
    with pytest.raises(UnreadableFile, match=r"nowhere\.png"):
        next(scans)


@pytest.mark.parametrize("given", [5, None, b"bytes", object()])
def test_anything_else_is_told_what_is_wanted(given: object) -> None:
    wanted = f"a Scan, an array of pixels, a path, or several of these, not {type(given).__name__}"
    with pytest.raises(TypeError, match=wanted):
        as_scans(given)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=wanted):
        list(as_scans([HEAD, given]))


def test_a_study_is_told_where_it_goes() -> None:
    with pytest.raises(TypeError, match="a study goes to find_study"):
        as_scans(Study.of([Scan.of(HEAD)]))  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4, 5), (1, 2, 3, 4, 3)])
def test_arrays_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(N, H, W, 3\)"):
        list(as_scans(np.zeros(shape)))
