from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.evaluation.audit.conftest import Set, T, groups_of, jpeg
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.data.manifest import Manifest, read_manifest
from tumorlens.errors import DataError
from tumorlens.evaluation.audit import audit, write_manifest


def test_the_table_it_writes_reads_back_with_groups_whole(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    labels = BRAIN_TUMORS.keys
    for i, head in enumerate(heads):
        made.add(head, labels[i % 4], group=f"patient {i // 8 * 4 + i % 4}")  # two slices each
    for i in range(0, 40, 7):  # copies that go by another patient's name
        made.add(heads[i].transpose(T.FLIP_LEFT_RIGHT), labels[i % 4], group=f"copy {i}")
    made.add(b"\xff\xd8\xff broken", name="broken.jpg")
    manifest = made.manifest("patient")
    report = audit(manifest, tmp_path / "audit")
    path = made.folder / "clean.csv"
    written = write_manifest(report, manifest, path)
    back = read_manifest(path)
    write_manifest(report, manifest, tmp_path / "elsewhere" / "deep.csv")
    assert all(e.path.is_file() for e in read_manifest(tmp_path / "elsewhere" / "deep.csv").entries)
    assert len(back) == 46
    assert [(e.path.resolve(), e.label, e.group, e.duplicate_group, e.fold) for e in back.entries] == [
        (e.path.resolve(), e.label, e.group, e.duplicate_group, e.fold) for e in written.entries
    ]
    assert {e.fold for e in back.entries} == set(range(5))
    fold_of_group = defaultdict(set)
    for e in back.entries:
        fold_of_group[e.group].add(e.fold)
    assert all(len(folds) == 1 for folds in fold_of_group.values())
    # Duplicates are of one group, and so are a patient's slices; otherwise groups are apart.
    place = {e.path.name: e.group for e in back.entries}
    for names in groups_of(report):
        assert len({place[n] for n in names}) == 1
    of_patient = defaultdict(set)
    for e in manifest.entries[:40]:
        of_patient[e.group].add(place[e.path.name])
    assert all(len(g) == 1 for g in of_patient.values())
    assert len(set(place.values())) == 20
    # Stratified: no class is missing anywhere.
    assert len(Counter((e.label, e.fold) for e in back.entries)) == 20


def test_folds_that_the_table_has_are_kept_but_for_torn_groups(
    made: Set, heads: list[Image.Image], tmp_path: Path
) -> None:
    for i, head in enumerate(heads[:6]):
        made.add(head, fold=i % 3)
    for fold in (1, 1, 2):
        made.add(jpeg(heads[0], 60 + 10 * fold), fold=fold)
    manifest = made.manifest()
    written = write_manifest(audit(manifest, tmp_path / "audit"), manifest, tmp_path / "clean.csv")
    assert [e.fold for e in written.entries] == [1, 1, 2, 0, 1, 2, 1, 1, 1]


def test_a_table_of_relative_paths_still_works(
    made: Set, heads: list[Image.Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i, head in enumerate(heads[:20]):
        made.add(head, BRAIN_TUMORS.keys[i % 2])
    monkeypatch.chdir(tmp_path)
    relative = tuple(replace(e, path=e.path.relative_to(tmp_path)) for e in made.entries)
    manifest = Manifest(relative, BRAIN_TUMORS)
    write_manifest(audit(manifest, Path("audit")), manifest, Path("out/clean.csv"))
    assert all(e.path.is_file() for e in read_manifest(Path("out/clean.csv")).entries)


def test_too_few_groups_for_folds(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    for i, head in enumerate(heads[:12]):
        made.add(head, "glioma" if i else "pituitary")
    manifest = made.manifest()
    report = audit(manifest, tmp_path / "audit")
    with pytest.raises(DataError, match="pituitary: has 1 group"):
        write_manifest(report, manifest, tmp_path / "clean.csv")
    with pytest.raises(DataError, match="another manifest"):
        write_manifest(report, Manifest(manifest.entries[1:], BRAIN_TUMORS), tmp_path / "clean.csv")
    assert not (tmp_path / "clean.csv").exists()
