from __future__ import annotations

import re
from pathlib import Path

from PIL import Image

from tests.evaluation.audit.conftest import Set
from tumorlens.classes import ClassSet
from tumorlens.evaluation.audit import audit


def test_the_page_needs_nothing_else_and_is_escaped(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    classes = ClassSet.of([f"{evil} a", "b"])
    for i in range(2):
        made.add(heads[0], f"{evil} a", name=f"<img src=x onerror=alert({i})>.png", split="training")
    made.add(heads[0].rotate(180), "b", name="&amp.png", split="testing")
    audit(made.manifest(classes=classes), tmp_path / "audit", data=evil)
    page = (tmp_path / "audit" / "audit.html").read_text(encoding="utf-8")
    assert page.count("<script") == 1, "but the reports' own"
    assert evil not in page
    assert "<img src=x" not in page
    assert evil.replace("<", "&lt;").replace(">", "&gt;") in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(s.startswith(("data:", "#")) for s in sources)
    assert sum(s.startswith("data:image/jpeg") for s in sources) >= 5
    assert not re.search(r"https?://|url\(", page)
