from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.evaluation.audit.conftest import Set
from tumorlens.data.manifest import Manifest
from tumorlens.evaluation.audit import audit


def test_shortcuts_are_told_from_none(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    """A frame gives one class away by its border; without it, nothing does."""
    rng = np.random.default_rng(0)

    def fill(data: Set, framed: bool) -> Manifest:
        for i, head in enumerate(heads):
            pixels = np.asarray(head).copy()
            label = ("glioma", "meningioma")[rng.integers(2)]
            if framed and label == "glioma":
                pixels[:8] = pixels[-8:] = 120
            data.add(Image.fromarray(pixels), label, name=f"{i}.png")
        return data.manifest()

    framed = audit(fill(Set(tmp_path / "framed"), True), tmp_path / "a")
    plain = audit(fill(made, False), tmp_path / "b")
    border = {s.name: s for s in framed.shortcuts}["border"]
    assert border.balanced_accuracy > 0.9
    assert border.strength == "strong"
    assert border.chance == 0.5
    assert border.auc["glioma"] > 0.95
    assert {s.name: s for s in plain.shortcuts}["border"].balanced_accuracy < 0.75


def test_one_class_has_no_shortcuts(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    for head in heads[:8]:
        made.add(head)
    assert audit(made.manifest(), tmp_path / "audit").shortcuts == ()
