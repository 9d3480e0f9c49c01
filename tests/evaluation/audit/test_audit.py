from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tumorlens.classes import BRAIN_TUMORS, ClassSet
from tumorlens.data.manifest import Entry, Manifest, read_manifest
from tumorlens.errors import DataError, MissingExtra
from tumorlens.evaluation.audit import AuditReport, audit, write_manifest
from tumorlens.evaluation.audit import pictures as _pictures
from tumorlens.evaluation.audit.duplicates import FORMS, descriptors, turn
from tumorlens.formats import read_scans
from tumorlens.phantoms.phantom import make_phantoms, make_study
from tumorlens.scan import Scan


def picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.round(pixels * 255).astype(np.uint8))


@pytest.fixture(scope="module")
def heads() -> list[Image.Image]:
    """Slices of different patients, none like another."""
    return [picture(p.scan.pixels) for p in make_phantoms(40, size=128, slices_per_series=1, seed=11)]


def jpeg(image: Image.Image, quality: int = 50) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("L")


def resized(image: Image.Image) -> Image.Image:
    return image.resize((96, 96), Image.Resampling.LANCZOS)


def brighter(image: Image.Image) -> Image.Image:
    return image.point([min(255, int(0.7 * v + 40)) for v in range(256)])


Change = Callable[[Image.Image], Image.Image]
T = Image.Transpose
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


class Set:
    """A data set in the making."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: list[Entry] = []

    def add(self, image: Image.Image | bytes, label: str = "glioma", **more: object) -> Entry:
        name = str(more.pop("name", f"{len(self.entries):03d}.png"))
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image) if isinstance(image, bytes) else image.save(path)
        self.entries.append(Entry(path, name, label, **more))  # type: ignore[arg-type]
        return self.entries[-1]

    def manifest(self, unit: str = "scan", classes: ClassSet = BRAIN_TUMORS) -> Manifest:
        return Manifest(tuple(self.entries), classes, unit, synthetic=True)


@pytest.fixture
def made(tmp_path: Path) -> Set:
    return Set(tmp_path / "set")


def groups_of(report: AuditReport) -> list[set[str]]:
    found: dict[int, set[str]] = defaultdict(set)
    for p in report.table:
        if p.group is not None:
            found[p.group].add(p.path)
    return list(found.values())


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


def test_unreadable_files_are_listed_and_the_others_go_on(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    made.add(heads[0])
    made.add(b"\x89PNG\r\n\x1a\n and no more", name="broken.png")
    made.add(heads[0])
    report = audit(made.manifest(), tmp_path / "audit")
    assert [f.path for f in report.unreadable] == ["broken.png"]
    assert groups_of(report) == [{"000.png", "002.png"}]
    assert "broken.png" in (tmp_path / "audit" / "audit.html").read_text(encoding="utf-8")


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


def test_an_interrupted_audit_goes_on(
    made: Set, heads: list[Image.Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for head in heads[:20]:
        made.add(head)
    made.add(jpeg(heads[3]))
    decoded: list[str] = []
    read = read_scans

    def counting(path: Path) -> list[Scan]:
        decoded.append(Path(path).name)
        return read(path)

    monkeypatch.setattr(_pictures, "read_scans", counting)

    def stop(done: int, _total: int) -> None:
        if done == 12:
            raise KeyboardInterrupt

    folder = tmp_path / "audit"
    with pytest.raises(KeyboardInterrupt):
        audit(made.manifest(), folder, progress=stop)
    assert not (folder / "audit.json").exists()
    cache = folder / _pictures.CACHE
    with cache.open("ab") as file:
        file.write(b"half a record that a kill left")
    decoded.clear()
    report = audit(made.manifest(), folder)
    assert sorted(decoded) == [f"{i:03d}.png" for i in range(12, 21)]
    assert groups_of(report) == [{"003.png", "020.png"}]
    assert cache.stat().st_size == 21 * _pictures.RECORD.itemsize

    decoded.clear()
    assert audit(made.manifest(), folder) == report
    assert decoded == []
    # A file that changed is read again.
    brighter(heads[5]).save(made.entries[0].path)
    os.utime(made.entries[0].path, ns=(1, 1))
    assert {"000.png", "005.png"} in groups_of(audit(made.manifest(), folder))
    assert decoded == ["000.png"]


def test_a_file_that_a_kill_cut_in_two_is_read_again(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    path = made.folder / "pages.tiff"
    path.parent.mkdir()
    # Copies: Pillow notes an encoder's settings in the picture it saves, and another encoder stumbles over them.
    heads[0].copy().save(path, save_all=True, append_images=[h.copy() for h in heads[1:4]])
    made.entries.append(Entry(path, "pages.tiff", "glioma"))
    made.add(heads[2].transpose(T.FLIP_LEFT_RIGHT), name="mirror.png")
    folder = tmp_path / "audit"
    whole = audit(made.manifest(), folder)
    assert groups_of(whole) == [{"pages.tiff#2", "mirror.png"}]
    os.truncate(folder / _pictures.CACHE, 2 * _pictures.RECORD.itemsize)  # two of four pages
    assert audit(made.manifest(), folder) == whole
    assert audit(made.manifest(), folder) == whole  # and what was appended is found


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


def test_the_page_needs_nothing_else_and_is_escaped(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    classes = ClassSet.of([f"{evil} a", "b"])
    for i in range(2):
        made.add(heads[0], f"{evil} a", name=f"<img src=x onerror=alert({i})>.png", split="training")
    made.add(heads[0].rotate(180), "b", name="&amp.png", split="testing")
    audit(made.manifest(classes=classes), tmp_path / "audit", data=evil)
    page = (tmp_path / "audit" / "audit.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<img src=x" not in page
    assert evil.replace("<", "&lt;").replace(">", "&gt;") in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(s.startswith(("data:", "#")) for s in sources)
    assert sum(s.startswith("data:image/jpeg") for s in sources) >= 5
    assert not re.search(r"https?://|url\(", page)


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
    truth = [e.duplicate_group for e in part.entries]
    pairs = list(combinations(range(len(truth)), 2))
    wanted = {(i, j) for i, j in pairs if truth[i] == truth[j]}
    got = {(i, j) for i, j in pairs if found[i] == found[j]}
    assert len(wanted) > 20
    assert len(wanted & got) / len(got) >= 0.995
    assert len(wanted & got) / len(wanted) >= 0.995
