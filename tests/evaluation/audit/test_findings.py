from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.evaluation.audit.conftest import Set, T, jpeg, resized
from tumorlens.evaluation.audit import audit


def test_the_share_of_the_test_part_in_training(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    def both(head: Image.Image, copy: Image.Image, label: str) -> None:
        made.add(head, label, split="training")
        made.add(copy, label, split="testing")

    both(heads[0], jpeg(heads[0]), "glioma")
    both(heads[1], heads[1].transpose(T.FLIP_LEFT_RIGHT), "glioma")
    both(heads[2], heads[2].rotate(180), "glioma")
    both(heads[3], heads[4], "glioma")  # no duplicate
    both(heads[5], heads[6], "meningioma")
    made.add(heads[6], "meningioma", split="testing")  # twice in the test part, but not in training
    # Two of training, the first one mirrored: the test picture stands in training as it is.
    made.add(heads[7].transpose(T.FLIP_LEFT_RIGHT), "pituitary", split="training")
    both(heads[7], jpeg(heads[7]), "pituitary")
    # Both are turned against the group's first, and each other's mirror.
    made.add(heads[8], "no_tumor")
    both(heads[8].rotate(-90), heads[8].rotate(-90).transpose(T.FLIP_LEFT_RIGHT), "no_tumor")
    report = audit(made.manifest(), tmp_path / "audit")
    shares = {k: (s.pictures, s.found, s.mirrored, s.turned) for k, s in report.leak_by_label.items()}
    assert shares == {
        "glioma": (4, 3, 1, 1),
        "meningioma": (2, 0, 0, 0),
        "pituitary": (1, 1, 0, 0),
        "no_tumor": (1, 1, 1, 0),
    }
    assert report.leak is not None
    assert (report.leak.share, report.leak.mirrored_share) == (5 / 8, 2 / 5)


def test_without_a_split_no_share_is_claimed(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    for head in (heads[0], heads[0], heads[1]):
        made.add(head)
    assert audit(made.manifest(), tmp_path / "audit").leak is None


def test_contradictory_labels(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    made.add(heads[0], "glioma")
    made.add(heads[0].transpose(T.FLIP_LEFT_RIGHT), "meningioma")
    made.add(heads[1], "glioma")
    made.add(jpeg(heads[1]), "glioma")
    report = audit(made.manifest(), tmp_path / "audit")
    assert [[(m.path, m.label) for m in c.members] for c in report.contradictions] == [
        [("000.png", "glioma"), ("001.png", "meningioma")]
    ]


def test_groups_that_the_folds_tear_apart_are_counted(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    for fold, head in ((0, heads[0]), (1, jpeg(heads[0])), (2, heads[1]), (2, jpeg(heads[1]))):
        made.add(head, fold=fold)
    assert audit(made.manifest(), tmp_path / "audit").torn == 1


def test_class_balance_and_sizes(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    made.add(heads[0], "glioma")
    made.add(heads[0], "glioma")
    made.add(resized(heads[1]), "no_tumor")
    tinted = np.asarray(heads[2].convert("RGB")).copy()
    tinted[..., 0] //= 2
    made.add(Image.fromarray(tinted), "no_tumor")
    report = audit(made.manifest(), tmp_path / "audit")
    assert {c.label: (c.pictures, c.distinct) for c in report.balance} == {"glioma": (2, 1), "no_tumor": (2, 2)}
    assert {(k.width, k.height, k.mode): k.labels for k in report.sizes} == {
        (128, 128, "grey"): {"glioma": 2},
        (96, 96, "grey"): {"no_tumor": 1},
        (128, 128, "colour"): {"no_tumor": 1},
    }
