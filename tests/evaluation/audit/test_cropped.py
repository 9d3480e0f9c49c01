from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.evaluation.audit.conftest import Set, T, brighter, groups_of, jpeg, picture
from tumorlens.evaluation.audit import audit
from tumorlens.phantoms.phantom import make_phantoms, make_study

# Left, top, right, bottom of 160 x 160 pixels; below 128 a picture counts as small, and is not laid over others.
CUTS = {"left": (4, 0, 160, 160), "all round": (1, 2, 158, 157), "below": (0, 0, 160, 155)}


@pytest.fixture(scope="module")
def large() -> list[Image.Image]:
    return [picture(p.scan.pixels) for p in make_phantoms(20, size=160, slices_per_series=1, seed=11)]


def test_a_picture_without_its_margin_is_a_copy(made: Set, large: list[Image.Image], tmp_path: Path) -> None:
    for head, (name, box) in zip(large, CUTS.items(), strict=False):
        made.add(head, name=f"{name}/original.png")
        made.add(jpeg(brighter(head.crop(box)), 80), name=f"{name}/copy.png")
    made.add(large[5], name="mirrored/original.png")
    made.add(large[5].crop(CUTS["all round"]).transpose(T.FLIP_LEFT_RIGHT), name="mirrored/copy.png")
    for head in large[6:]:
        made.add(head)
    report = audit(made.manifest(), tmp_path / "audit")
    wanted = [{f"{name}/original.png", f"{name}/copy.png"} for name in (*CUTS, "mirrored")]
    assert sorted(map(sorted, groups_of(report))) == sorted(map(sorted, wanted))
    found = {p.path: p for p in report.table}
    assert found["mirrored/copy.png"].relation == "mirrored, cropped"
    assert {found[f"{name}/copy.png"].relation for name in CUTS} == {"cropped"}
    assert found["all round/copy.png"].correlation > 0.95


@pytest.mark.parametrize("plane", ["axial", "sagittal"])
def test_neighbouring_slices_lie_over_each_other_worse(made: Set, tmp_path: Path, plane: str) -> None:
    for slice_ in make_study(plane=plane, slices=40, size=160):
        made.add(picture(slice_.scan.pixels).crop((3, 2, 158, 160)))
    assert audit(made.manifest(), tmp_path / "audit").groups == 0
