from __future__ import annotations

import csv
import json
import os
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image

from tests.evaluation.audit.conftest import Set, T
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.data.manifest import Manifest, read_manifest
from tumorlens.errors import DataError, MissingExtra
from tumorlens.evaluation.audit import audit


def test_progress_reaches_its_end(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    for head in heads[:5]:
        made.add(head)
    seen: list[tuple[int, int]] = []
    audit(made.manifest(), tmp_path / "audit", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1]
    assert [d for d, _ in seen] == sorted(d for d, _ in seen)
    assert len({total for _, total in seen}) == 1


def test_the_files_it_writes(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    made.add(heads[0], "glioma", split="training")
    made.add(heads[0].transpose(T.FLIP_LEFT_RIGHT), "meningioma", split="testing")
    made.add(heads[1], "glioma", split="testing")
    report = audit(made.manifest(), tmp_path / "audit", data="the set")
    with (tmp_path / "audit" / "duplicates.csv").open(newline="", encoding="utf-8") as file:
        rows = [{k: r[k] for k in ("path", "split", "label", "group", "relation")} for r in csv.DictReader(file)]
    assert rows == [
        {"path": "000.png", "split": "training", "label": "glioma", "group": "1", "relation": "first"},
        {"path": "001.png", "split": "testing", "label": "meningioma", "group": "1", "relation": "mirrored"},
        {"path": "002.png", "split": "testing", "label": "glioma", "group": "", "relation": ""},
    ]
    document = json.loads((tmp_path / "audit" / "audit.json").read_text(encoding="utf-8"))
    assert document == report.model_dump(mode="json")
    assert document["leak"] == {"pictures": 2, "found": 1, "mirrored": 1, "turned": 0}
    assert "table" not in document


def test_bad_manifests_are_named(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    first, second = made.add(heads[0]), made.add(heads[1])
    folder = tmp_path / "audit"
    with pytest.raises(DataError, match=r"000\.png: stands in the table twice, as scan 1 and 3"):
        audit(Manifest((first, second, first), BRAIN_TUMORS), folder)
    gone = replace(first, path=tmp_path / "gone.png", name="gone.png")
    also = replace(first, path=tmp_path / "also.png", name="also.png")
    with pytest.raises(DataError, match=r"gone\.png \(and 1 more\): there is no such file"):
        audit(Manifest((first, gone, also), BRAIN_TUMORS), folder)
    with pytest.raises(DataError, match="no scans"):
        audit(Manifest((), BRAIN_TUMORS), folder)
    broken = made.add(b"\x89PNG\r\n\x1a\n and no more", name="broken.png")
    with pytest.raises(DataError, match=r"none of the 1 files could be read; the first: broken\.png"):
        audit(Manifest((broken,), BRAIN_TUMORS), folder)
    with pytest.raises(DataError, match="no folder to write to"):
        audit(Manifest((first, second), BRAIN_TUMORS), first.path / "below a file")


def test_what_is_not_installed_is_missed_before_the_reading(
    made: Set, heads: list[Image.Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.add(heads[0])
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtra, match=r"pip install '\.\[train\]'"):
        audit(made.manifest(), tmp_path / "audit")
    assert not (tmp_path / "audit").exists()


@pytest.mark.real
def test_real_duplicates(tmp_path: Path) -> None:
    home = os.environ.get("TUMORLENS_DATA")
    if not home or not (Path(home) / "masoud").is_dir():
        pytest.skip("TUMORLENS_DATA names no folder with masoud in it")
    data = Path(home) / "masoud"
    manifest = read_manifest(data)
    tumours = [i for i, e in enumerate(manifest.entries) if e.label != "no_tumor"]
    # Whole duplicate groups, and neighbours: the first slices by group.
    tumours = sorted(tumours, key=lambda i: int(manifest.entries[i].duplicate_group or 0))[:600]
    part = replace(manifest, entries=tuple(manifest.entries[i] for i in tumours), unit="scan")
    report = audit(part, tmp_path / "audit")
    found = [str(p.group or f"alone {p.entry}") for p in report.table]
    # Two pictures that the table has under two numbers each, looked at: cut out differently, and the same.
    same = {"375": "305", "325": "314"}
    truth = [same.get(str(e.duplicate_group), str(e.duplicate_group)) for e in part.entries]
    pairs = list(combinations(range(len(truth)), 2))
    wanted = {(i, j) for i, j in pairs if truth[i] == truth[j]}
    got = {(i, j) for i, j in pairs if found[i] == found[j]}
    assert len(wanted) > 20
    assert len(wanted & got) / len(got) >= 0.995
    assert len(wanted & got) / len(wanted) >= 0.995
