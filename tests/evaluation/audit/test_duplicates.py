from __future__ import annotations

import re
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.evaluation.audit.conftest import Set, T, brighter, groups_of, jpeg, picture, resized
from tumorlens.evaluation.audit import audit
from tumorlens.evaluation.audit.duplicates import FORMS, descriptors, turn
from tumorlens.phantoms.phantom import make_study

Change = Callable[[Image.Image], Image.Image]

CHANGES: dict[str, Change] = {
    "identical": lambda image: image,
    "re-encoded": jpeg,
    "resized": resized,
    "brightness": brighter,
    "mirrored": lambda image: image.transpose(T.FLIP_LEFT_RIGHT),
    "rotated 90": lambda image: image.rotate(-90),
    "rotated 180": lambda image: image.rotate(180),
    "rotated 270": lambda image: image.rotate(-270),
    "mirrored, rotated 90": lambda image: image.transpose(T.FLIP_LEFT_RIGHT).rotate(-90),
    "mirrored, rotated 180": lambda image: image.transpose(T.FLIP_LEFT_RIGHT).rotate(-180),
    "mirrored, rotated 270": lambda image: image.transpose(T.FLIP_LEFT_RIGHT).rotate(-270),
    "mirrored, resized, brightness": lambda image: jpeg(brighter(resized(image.transpose(T.FLIP_LEFT_RIGHT)))),
}


def test_every_kind_of_duplicate_is_found_and_named(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    for head, (words, change) in zip(heads, CHANGES.items(), strict=False):
        made.add(head, name=f"{words}/original.png")
        made.add(change(head), name=f"{words}/copy.png")
    report = audit(made.manifest(), tmp_path / "audit")
    assert {p.path: p.relation for p in report.table if p.path.endswith("copy.png")} == {
        f"{words}/copy.png": words for words in CHANGES
    }
    assert {p.relation for p in report.table if p.path.endswith("original.png")} == {"first"}
    assert sorted(map(sorted, groups_of(report))) == sorted([f"{w}/copy.png", f"{w}/original.png"] for w in CHANGES)
    assert (report.distinct, report.groups, report.largest) == (len(CHANGES), len(CHANGES), 2)
    assert report.kinds["mirrored"] == 5
    assert report.kinds["resized"] == 2


def test_a_picture_that_is_not_square_is_found_turned(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    flat = heads[0].crop((0, 10, 128, 118))
    made.add(flat)
    made.add(flat.transpose(T.ROTATE_270))
    made.add(heads[1])
    report = audit(made.manifest(), tmp_path / "audit")
    assert [p.relation for p in report.table] == ["first", "rotated 90", ""]


def test_copies_of_copies_are_one_group(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    for head in heads[:2]:
        for change in CHANGES.values():
            made.add(change(head))
    report = audit(made.manifest(), tmp_path / "audit")
    assert [len(g) for g in groups_of(report)] == [len(CHANGES)] * 2


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_neighbouring_slices_are_not_duplicates(made: Set, tmp_path: Path, plane: str) -> None:
    # 40 slices: 3.6 to 5 mm apart, closer than most are.
    for p in make_study(plane=plane, slices=40, size=128):
        made.add(picture(p.scan.pixels))
    report = audit(made.manifest(), tmp_path / "audit")
    assert report.groups == 0
    assert report.distinct == 40


def test_thin_slices_of_a_known_series_are_not_duplicates_but_copies_are(made: Set, tmp_path: Path) -> None:
    study = make_study(slices=100, size=128)  # 1.4 mm apart
    for p in study:
        made.add(picture(p.scan.pixels), group="one patient")
    made.add(picture(study[50].scan.pixels).transpose(T.FLIP_LEFT_RIGHT), group="one patient")
    known = audit(made.manifest("patient"), tmp_path / "known")
    assert groups_of(known) == [{"050.png", "100.png"}]
    # The same slices, were it not known, would be too alike to tell; the page says so.
    assert audit(made.manifest(), tmp_path / "unknown").groups > 0


def test_different_phantoms_are_different(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    for head in heads:
        made.add(head)
    assert audit(made.manifest(), tmp_path / "audit").groups == 0


def test_blank_pictures_do_not_become_one_group(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    made.add(heads[0])
    for level in (0, 3, 90):  # constant, but for a single grey level of noise
        made.add(Image.fromarray((level + rng.integers(0, 2, (128, 128))).astype(np.uint8)))
    made.add(Image.new("L", (128, 128), 7))
    report = audit(made.manifest(), tmp_path / "audit")
    assert report.groups == 0
    assert [f.path for f in report.unreadable] == ["004.png"]
    assert "same value" in report.unreadable[0].error


def test_forms_undo_what_their_names_say() -> None:
    places = np.arange(16).reshape(4, 4)
    for form, words in enumerate(FORMS):
        done = places[:, ::-1] if "mirrored" in words else places
        if match := re.search(r"rotated (\d+)", words):
            done = np.rot90(done, -int(match[1]) // 90)
        assert (turn(done, form) == places).all(), words
    for a, b in combinations(range(8), 2):
        assert (turn(places, a) != turn(places, b)).any()


def test_all_eight_forms_have_one_descriptor() -> None:
    patterns = np.random.default_rng(0).integers(-100, 100, (3, 32, 32)).astype(np.int8)
    plain = descriptors(patterns)
    for form in range(8):
        assert np.allclose(descriptors(np.ascontiguousarray(turn(patterns, form))), plain, atol=1e-4)
    assert np.linalg.norm(plain[0] - plain[1]) > 0.3
