"""Outlines of pictures that are copies of slices of Cheng's set, from the folder beside theirs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tumorlens.data.manifest import read_manifest
from tumorlens.errors import DataError

CHENG = 'number,label,fold,outline\n7,glioma,0,"0.1,0.2 0.3,0.2 0.3,0.5"\n8,meningioma,1,\n'
MASOUD = (
    "path,label,cheng_number,mirrored\n"
    "a.jpg,glioma,7,0\nb.jpg,glioma,7,1\nc.jpg,meningioma,8,0\nd.jpg,notumor,,\ne.jpg,glioma,9,0\n"
)


@pytest.fixture
def sets(tmp_path: Path) -> Callable[..., Path]:
    def write(cheng: str = CHENG, masoud: str = MASOUD) -> Path:
        for name, text in (("cheng", cheng), ("masoud", masoud)):
            (tmp_path / name).mkdir()
            if text:
                (tmp_path / name / "slices.csv").write_text(text)
        return tmp_path / "masoud"

    return write


def test_copies_take_their_slices_outline_and_mirrored_ones_its_mirror_image(sets: Callable[..., Path]) -> None:
    a, b, c, d, e = read_manifest(sets()).entries
    np.testing.assert_allclose(a.outline.points, [[0.1, 0.2], [0.3, 0.2], [0.3, 0.5]])
    np.testing.assert_allclose(b.outline.points, [[0.9, 0.2], [0.7, 0.2], [0.7, 0.5]])
    assert c.outline is None  # the release has none for it
    assert d.outline is None
    assert e.outline is None  # not among Cheng's slices here


def test_copies_are_from_cheng_and_the_others_are_not(sets: Callable[..., Path]) -> None:
    assert [e.source for e in read_manifest(sets()).entries] == ["cheng", "cheng", "cheng", "other", "cheng"]


def test_without_chengs_table_there_are_no_outlines(sets: Callable[..., Path]) -> None:
    assert all(e.outline is None for e in read_manifest(sets(cheng=None)).entries)


def test_what_the_table_says_itself_comes_first(sets: Callable[..., Path]) -> None:
    masoud = 'path,label,cheng_number,mirrored,source,outline\na.jpg,glioma,7,0,Lima,"0,0 1,0 1,1"\nb.jpg,notumor,,,,\n'
    first, second = read_manifest(sets(masoud=masoud)).entries
    assert first.source == "Lima"
    assert second.source is None
    assert first.outline.points.max() == 1


def test_a_table_without_outlines_is_named(sets: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=r"cheng/slices.csv.*no column outline"):
        read_manifest(sets(cheng="number,label\n7,glioma\n"))


def test_a_broken_outline_is_named_with_its_row(sets: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=r"masoud/slices.csv, row 2: not an outline"):
        read_manifest(sets(cheng='number,label,outline\n7,glioma,"round"\n'))
