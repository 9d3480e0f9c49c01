import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tumorlens.classes import BRAIN_TUMORS, ClassSet, ScanClass
from tumorlens.data.manifest import SYNTHETIC, Entry, Manifest, merge, pseudonym, read_manifest
from tumorlens.errors import DataError
from tumorlens.outline import Outline

SQUARE = "0.1000,0.2000 0.5000,0.2000 0.5000,0.6000 0.1000,0.6000"


def only(manifest: Manifest) -> Entry:
    (entry,) = manifest.entries
    return entry


# Folders


@pytest.mark.parametrize(
    ("folder", "key"),
    [
        ("notumor", "no_tumor"),
        ("no_tumor", "no_tumor"),
        ("No Tumour", "no_tumor"),
        ("no", "no_tumor"),
        ("pituitary_tumor", "pituitary"),
        ("Meningioma", "meningioma"),
        ("glioma_tumor", "glioma"),
    ],
)
def test_class_folders_in_the_usual_spellings(
    tmp_path: Path, make_scan: Callable[..., Path], folder: str, key: str
) -> None:
    make_scan(f"{folder}/1.png")
    assert only(read_manifest(tmp_path)).label == key


def test_class_folders(tmp_path: Path, make_scan: Callable[..., Path]) -> None:
    for name in ("glioma/10.png", "glioma/2.png", "notumor/a.png"):
        make_scan(name)
    manifest = read_manifest(tmp_path)
    assert [e.name for e in manifest.entries] == ["glioma/2.png", "glioma/10.png", "notumor/a.png"]
    assert [e.path for e in manifest.entries] == [tmp_path / e.name for e in manifest.entries]
    assert manifest.classes.keys == ("glioma", "no_tumor")
    assert manifest.classes[1].nothing
    assert manifest.counts == {"glioma": 2, "no_tumor": 1}
    assert (manifest.unit, manifest.synthetic) == ("scan", False)


def test_classes_keep_the_built_in_order_whatever_the_folders(tmp_path: Path, make_scan: Callable[..., Path]) -> None:
    for folder in ("no", "pituitary", "glioma", "meningioma"):
        make_scan(f"{folder}/1.png")
    assert read_manifest(tmp_path).classes == BRAIN_TUMORS


@pytest.mark.parametrize(("training", "testing"), [("Training", "Testing"), ("train", "test")])
def test_training_and_testing_folders_are_the_publishers_split(
    tmp_path: Path, make_scan: Callable[..., Path], training: str, testing: str
) -> None:
    make_scan(f"{training}/glioma/1.png")
    make_scan(f"{testing}/notumor/1.png")
    assert {e.label: e.split for e in read_manifest(tmp_path).entries} == {"glioma": "training", "no_tumor": "testing"}


def test_folders_below_a_class_folder_do_not_change_the_class(tmp_path: Path, make_scan: Callable[..., Path]) -> None:
    make_scan("glioma/patient 7/1.png")
    make_scan("meningioma/test/1.png")
    found = {e.name: (e.label, e.split) for e in read_manifest(tmp_path).entries}
    assert found == {"glioma/patient 7/1.png": ("glioma", None), "meningioma/test/1.png": ("meningioma", "testing")}


def test_other_classes_are_taken_as_they_are(tmp_path: Path, make_scan: Callable[..., Path]) -> None:
    for folder in ("covid_19", "normal lung"):
        make_scan(f"{folder}/1.png")
    classes = read_manifest(tmp_path).classes
    assert [(c.key, c.name, c.nothing) for c in classes] == [
        ("covid_19", "covid 19", False),
        ("normal lung", "normal lung", False),
    ]


def test_finding_nothing_keeps_its_meaning_beside_other_classes(tmp_path: Path, make_scan: Callable[..., Path]) -> None:
    for folder in ("notumor", "metastasis"):
        make_scan(f"{folder}/1.png")
    classes = read_manifest(tmp_path).classes
    assert [(c.key, c.nothing) for c in classes] == [("metastasis", False), ("notumor", True)]


def test_classes_spelt_alike_are_refused(tmp_path: Path, make_scan: Callable[..., Path]) -> None:
    for folder in ("Grade 2", "grade-2"):
        make_scan(f"{folder}/1.png")
    with pytest.raises(DataError, match=r"Grade 2, grade-2 are spelt alike; rename one"):
        read_manifest(tmp_path)


def test_one_class_only_is_one_of_the_built_in_ones(tmp_path: Path, make_scan: Callable[..., Path]) -> None:
    make_scan("glioma/1.png")
    assert read_manifest(tmp_path).classes == BRAIN_TUMORS


def test_one_unknown_class_only_is_refused(tmp_path: Path, make_scan: Callable[..., Path]) -> None:
    make_scan("dataset/1.png")
    with pytest.raises(DataError, match="'dataset' is none of glioma, meningioma"):
        read_manifest(tmp_path)


def test_labels_must_be_among_the_given_classes(tmp_path: Path, make_scan: Callable[..., Path]) -> None:
    make_scan("glioma/1.png")
    make_scan("metastasis/1.png")
    with pytest.raises(DataError, match="'metastasis' is none of glioma"):
        read_manifest(tmp_path, BRAIN_TUMORS)


def test_given_classes_are_kept_where_the_folder_has_fewer(tmp_path: Path, make_scan: Callable[..., Path]) -> None:
    make_scan("glioma/1.png")
    make_scan("notumor/1.png")
    assert read_manifest(tmp_path, BRAIN_TUMORS).classes is BRAIN_TUMORS


def test_what_is_no_scan_is_passed_over(tmp_path: Path, make_scan: Callable[..., Path]) -> None:
    make_scan("glioma/1.png")
    make_scan("glioma/.hidden.png")
    make_scan("glioma/.cache/2.png")
    make_scan(".git/glioma/3.png")
    make_scan("loose.png")
    for name in ("glioma/README.txt", "glioma/labels.csv", "glioma/Thumbs.db", SYNTHETIC, "LICENSE"):
        (tmp_path / name).write_text("no scan")
    manifest = read_manifest(tmp_path)
    assert only(manifest).name == "glioma/1.png"
    assert manifest.synthetic


def test_a_damaged_picture_stays_so_that_it_is_reported(tmp_path: Path, make_scan: Callable[..., Path]) -> None:
    make_scan("glioma/1.png")
    (tmp_path / "glioma" / "2.png").write_bytes(b"")
    assert [e.name for e in read_manifest(tmp_path).entries] == ["glioma/1.png", "glioma/2.png"]


def test_a_relative_folder_gives_absolute_files(
    tmp_path: Path, make_scan: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_scan("set/glioma/1.png")
    monkeypatch.chdir(tmp_path)
    entry = only(read_manifest(Path("set")))
    assert (entry.path, entry.name) == (tmp_path / "set/glioma/1.png", "glioma/1.png")


def test_an_empty_folder_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no scans in it; it needs class folders such as glioma/"):
        read_manifest(tmp_path)


def test_pictures_without_class_folders_are_refused(tmp_path: Path, make_scan: Callable[..., Path]) -> None:
    make_scan("1.png")
    with pytest.raises(DataError, match="it needs class folders"):
        read_manifest(tmp_path)


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        read_manifest(tmp_path / "nowhere")


# Tables


def test_a_table_with_everything(tmp_path: Path, make_table: Callable[..., Path]) -> None:
    rows = [
        ["path", "label", "patient", "split", "fold", "outline", "source", "remark"],
        ["a/1.png", "Glioma", "p1", "Training", "3", SQUARE, "hospital A", "left"],
        ["/elsewhere/2.png", "notumor", "", "test", "", "", "", ""],
    ]
    manifest = read_manifest(make_table(rows))
    first, second = manifest.entries
    assert (first.path, first.name) == (tmp_path / "a/1.png", "a/1.png")
    assert (first.label, first.group, first.split, first.fold) == ("glioma", "p1", "training", 3)
    assert (str(first.outline), first.source) == (SQUARE, "hospital A")
    assert second.path == Path("/elsewhere/2.png")
    assert (second.label, second.group, second.split, second.fold) == ("no_tumor", None, "testing", None)
    assert (second.outline, second.source) == (None, None)
    assert manifest.unit == "patient"


@pytest.mark.parametrize("name", ["manifest.csv", "slices.csv"])
def test_a_table_in_a_folder_goes_before_class_folders(
    tmp_path: Path, make_scan: Callable[..., Path], make_table: Callable[..., Path], name: str
) -> None:
    make_scan("glioma/1.png")
    make_table([["path", "label"], ["glioma/1.png", "meningioma"]], name)
    assert only(read_manifest(tmp_path)).label == "meningioma"


@pytest.mark.parametrize(
    ("columns", "unit"),
    [
        (["patient", "series"], "patient"),
        (["duplicate_group", "series"], "series"),
        (["group", "duplicate_group"], "group"),
        (["duplicate_group"], "duplicate group"),
        ([], "scan"),
    ],
)
def test_the_widest_column_groups(make_table: Callable[..., Path], columns: dict[str, str], unit: str) -> None:
    rows = [["path", "label", *columns], ["1.png", "glioma", *(f"{c}-1" for c in columns)]]
    manifest = read_manifest(make_table(rows))
    entry = only(manifest)
    assert manifest.unit == unit
    assert entry.group == (f"{unit}-1" if unit in columns else None)
    assert entry.duplicate_group == ("duplicate_group-1" if "duplicate_group" in columns else None)
    assert entry.unit == (entry.group or ("copies of duplicate_group-1" if columns else None))


def test_patients_and_copies_are_two_things(make_table: Callable[..., Path]) -> None:
    head = ["path", "label", "patient", "duplicate_group"]
    rows = [
        ["1.png", "glioma", "p1", "1"],
        ["2.png", "glioma", "p1", "2"],
        ["copy-of-2.png", "glioma", "", "2"],  # nobody wrote the patient down; the copy tells
        ["3.png", "no_tumor", "", "3"],
        ["4.png", "no_tumor", "", "4"],
    ]
    manifest = read_manifest(make_table([head, *rows]))
    assert manifest.unit == "patient or duplicate group"
    assert [e.unit for e in manifest.entries] == ["p1", "p1", "p1", "copies of 3", "copies of 4"]


def test_patients_that_share_a_picture_are_kept_together(make_table: Callable[..., Path]) -> None:
    head = ["path", "label", "patient", "duplicate_group"]
    rows = [[f"{i}.png", "glioma", p, d] for i, (p, d) in enumerate(map(tuple, ["b1", "a1", "a2", "c2", "d3"]))]
    groups = [e.group for e in read_manifest(make_table([head, *rows])).entries]
    assert groups == ["a", "a", "a", "a", "d"]


def test_a_column_without_values_does_not_group(make_table: Callable[..., Path]) -> None:
    rows = [["path", "label", "patient", "series"], ["1.png", "glioma", "", "s1"]]
    assert read_manifest(make_table(rows)).unit == "series"


def test_chengs_pictures_are_numbered(tmp_path: Path, make_table: Callable[..., Path]) -> None:
    manifest = read_manifest(make_table([["number", "label", "fold", "outline"], ["7", "pituitary", "4", SQUARE]]))
    entry = only(manifest)
    assert (entry.path, entry.name) == (tmp_path / "images/0007.jpg", "images/0007.jpg")
    assert (entry.label, entry.fold, manifest.unit) == ("pituitary", 4, "scan")
    assert isinstance(entry.outline, Outline)


def test_masouds_table(make_table: Callable[..., Path]) -> None:
    head = ["path", "split", "label", "duplicate_group", "cheng_number", "mirrored", "fold"]
    rows = [
        ["Training/glioma/a.jpg", "training", "glioma", "12", "2546", "0", "0"],
        ["Testing/notumor/b.jpg", "testing", "notumor", "12", "", "", "2"],
    ]
    manifest = read_manifest(make_table([head, *rows], "slices.csv"))
    assert manifest.unit == "duplicate group"
    assert [(e.label, e.duplicate_group, e.split, e.fold) for e in manifest.entries] == [
        ("glioma", "12", "training", 0),
        ("no_tumor", "12", "testing", 2),
    ]


def test_what_spreadsheets_do_to_tables(make_table: Callable[..., Path]) -> None:
    rows = [[" Path", "LABEL "], [" 1.png ", " glioma"], [], ["2.png", "glioma"]]
    manifest = read_manifest(make_table(rows, encoding="utf-8-sig"))
    assert [(e.name, e.label) for e in manifest.entries] == [("1.png", "glioma"), ("2.png", "glioma")]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (["b.png", "glioma", "one", ""], "the fold 'one' is no whole number"),
        (["b.png", "glioma", "1.0", ""], "the fold '1.0' is no whole number"),
        (["b.png", "glioma", "0", "0.1,0.2 0.3"], "not an outline"),
        (["b.png", "glioma", "0", "0.1,0.2 0.3,0.4 7,8"], "an outline leaves the picture"),
        (["b.png", "glioma", "0", "0.1,0.2 0.3,nan 0.2,0.2"], "an outline leaves the picture"),
        (["b.png", "", "0", ""], "the label is missing"),
        (["", "glioma", "0", ""], "path or number is missing"),
        (["b.png", "glioma"], "has more or fewer cells than the header"),
        (["b.png", "glioma", "0", "0.1", "0.2 0.3", "0.4"], "put cells that hold commas in quotes"),
        (["./a.png", "glioma", "0", ""], "a.png has a row already; keep one row per file"),
        (["folder", "glioma", "0", ""], "folder is a folder; give each file a row"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, make_table: Callable[..., Path], row: list[str], problem: str) -> None:
    (tmp_path / "folder").mkdir()
    table = make_table([["path", "label", "fold", "outline"], ["a.png", "glioma", "0", ""], [], row])
    with pytest.raises(DataError) as caught:
        read_manifest(table)
    message = str(caught.value)
    assert message.startswith(f"{table}, row 4: ")
    assert problem in message
    assert "\n" not in message


def test_an_unknown_split_is_named(make_table: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="row 2: the split 'holdout' is neither training nor testing"):
        read_manifest(make_table([["path", "label", "split"], ["a.png", "glioma", "holdout"]]))


@pytest.mark.parametrize("head", [["file", "label"], ["path", "class"], ["path;label"], []])
def test_missing_columns(make_table: Callable[..., Path], head: list[str]) -> None:
    with pytest.raises(DataError, match="needs the columns path and label; it has"):
        read_manifest(make_table([head, ["a.png"] * len(head)]))


def test_a_table_without_rows(make_table: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="no scans in it"):
        read_manifest(make_table([["path", "label"]]))


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\xff\xfe\x00", "path,label\nü.png,glioma\n".encode("latin-1")])
def test_what_is_no_table(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"table.csv: cannot be read as a CSV table .*save it as CSV in UTF-8"):
        read_manifest(path)


def test_write_and_read_again(tmp_path: Path, make_scan: Callable[..., Path]) -> None:
    entries = (
        Entry(make_scan("set/a.png"), "a.png", "glioma", "p, 1", "training", 2, "site A", Outline.parse(SQUARE)),
        Entry(make_scan("ü.png"), "b.png", "no_tumor"),
    )
    classes = ClassSet(classes=(BRAIN_TUMORS[0], BRAIN_TUMORS[3]))
    table = tmp_path / "set" / "manifest.csv"
    Manifest(entries, classes, "patient").write(table)
    assert "\na.png," in table.read_text(encoding="utf-8")  # below the table: the folder can be moved
    (first, second), again = read_manifest(table).entries, read_manifest(tmp_path / "set")
    assert (again.unit, again.classes) == ("patient", classes)
    for read, written in ((first, entries[0]), (second, entries[1])):
        for name in ("path", "label", "group", "duplicate_group", "split", "fold", "source"):
            assert getattr(read, name) == getattr(written, name)
        assert str(read.outline) == str(written.outline)


def test_groups_of_any_unit_survive_writing(tmp_path: Path, make_scan: Callable[..., Path]) -> None:
    entries = (Entry(make_scan("a.png"), "a.png", "glioma", "1/p"),)
    for unit in ("series", "group", "patient or series", "patient or duplicate group"):
        Manifest(entries, BRAIN_TUMORS, unit).write(tmp_path / "manifest.csv")
        assert only(read_manifest(tmp_path)).group == "1/p"


def test_writing_with_relative_paths(
    tmp_path: Path, make_scan: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_scan("set/glioma/1.png")
    monkeypatch.chdir(tmp_path)
    entries = (Entry(Path("set/glioma/1.png"), "1.png", "glioma"),)
    Manifest(entries, BRAIN_TUMORS).write(Path("set/manifest.csv"))
    assert only(read_manifest(Path("set"))).path == tmp_path / "set/glioma/1.png"


# Cheng's release


def test_chengs_release(tmp_path: Path, make_mat: Callable[..., Path]) -> None:
    make_mat("part 1/2.mat", label=1, patient="P-1")
    make_mat("part 1/10.mat", label=2, patient="P-1")
    make_mat("part 2/11.mat", label=3, patient="P-2")
    (tmp_path / "README.txt").write_text("about")
    manifest = read_manifest(tmp_path)
    assert [(e.name, e.label) for e in manifest.entries] == [
        ("part 1/2.mat", "meningioma"),
        ("part 1/10.mat", "glioma"),
        ("part 2/11.mat", "pituitary"),
    ]
    assert manifest.unit == "patient"
    assert manifest.classes.keys == ("glioma", "meningioma", "pituitary")
    groups = [e.group for e in manifest.entries]
    assert groups == [pseudonym("P-1"), pseudonym("P-1"), pseudonym("P-2")]
    assert "P-" not in "".join(groups)
    assert all(e.outline.mask(24, 24)[5:15, 8:20].mean() > 0.7 for e in manifest.entries)


def test_chengs_release_with_files_that_are_no_slices(tmp_path: Path, make_mat: Callable[..., Path]) -> None:
    make_mat("1.mat", label=1)
    make_mat("._2.mat")
    (tmp_path / "cvind.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    (tmp_path / "3.mat").write_bytes(make_mat("1.mat", label=1).read_bytes()[:700])
    manifest = read_manifest(tmp_path)
    assert only(manifest).name == "1.mat"
    (failure,) = manifest.failures
    assert failure.source == os.fspath(tmp_path / "3.mat")


def test_a_release_without_a_readable_slice(tmp_path: Path) -> None:
    (tmp_path / "1.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(DataError, match=r"no scans in it.*1\.mat: it is a MATLAB v5 file"):
        read_manifest(tmp_path)


# Merging


def manifest_of(classes: ClassSet, unit: str = "scan", synthetic: bool = False, group: str | None = None) -> Manifest:
    entries = (Entry(Path("/x/a.png"), "a.png", classes.keys[0], group),)
    return Manifest(entries, classes, unit, synthetic)


def test_one_set_is_left_as_it_is() -> None:
    manifest = manifest_of(BRAIN_TUMORS)
    assert merge([manifest]) is manifest


def test_merged_names_and_groups_stay_apart() -> None:
    one = manifest_of(BRAIN_TUMORS, "patient", group="p1")
    merged = merge([one, one, manifest_of(BRAIN_TUMORS)])
    assert [(e.name, e.group) for e in merged.entries] == [("1/a.png", "1/p1"), ("2/a.png", "2/p1"), ("3/a.png", None)]
    assert merged.unit == "patient or scan"
    assert merged.classes == BRAIN_TUMORS


def test_merged_is_synthetic_only_if_all_are() -> None:
    real, drawn = manifest_of(BRAIN_TUMORS), manifest_of(BRAIN_TUMORS, synthetic=True)
    assert merge([drawn, drawn]).synthetic
    assert not merge([drawn, real]).synthetic


def part(*keys: str) -> ClassSet:
    return ClassSet(classes=tuple(c for c in BRAIN_TUMORS if c.key in keys))


def test_sets_complete_each_others_built_in_classes() -> None:
    tumours, two = part("glioma", "meningioma", "pituitary"), part("glioma", "no_tumor")
    assert merge([manifest_of(tumours), manifest_of(BRAIN_TUMORS)]).classes == BRAIN_TUMORS
    assert merge([manifest_of(tumours), manifest_of(two)]).classes == BRAIN_TUMORS
    assert merge([manifest_of(two), manifest_of(part("glioma", "pituitary"))]).classes.keys == (
        "glioma",
        "pituitary",
        "no_tumor",
    )


def test_sets_of_other_classes_do_not_merge() -> None:
    lungs = ClassSet(classes=(ScanClass(key="covid", name="covid"), ScanClass(key="healthy", name="healthy")))
    with pytest.raises(DataError, match=r"the data sets have different classes \(glioma.*; covid, healthy\)"):
        merge([manifest_of(BRAIN_TUMORS), manifest_of(lungs)])


def test_a_pseudonym_is_steady_and_tells_nothing() -> None:
    names = [pseudonym(str(number)) for number in np.arange(200)]
    assert len(set(names)) == 200
    assert pseudonym("Doe^Jane") == pseudonym("Doe^Jane") != pseudonym("Doe^John")
    assert "doe" not in pseudonym("Doe^Jane").casefold()


def test_a_set_is_found_by_its_name_in_the_folder_of_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tumorlens.data.manifest import find_set

    (tmp_path / "sets" / "mine").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUMORLENS_DATA", str(tmp_path / "sets"))

    assert find_set(Path("mine")) == tmp_path / "sets" / "mine"
    assert find_set(Path("here")) == Path("here")
    assert find_set(Path("nowhere")) == Path("nowhere")
