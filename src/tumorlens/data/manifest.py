"""A table of scans: where each is, what it shows, and which others must stay on its side of a split.

A manifest comes from a CSV table, from a folder of class folders, or from Cheng's MATLAB files. Where a table's column
cheng_number says which slice of Cheng's set a picture is a copy of, and that set lies beside it in cheng/, the pictures
get their outlines from there.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError

from tumorlens.classes import BRAIN_TUMORS, ClassSet, ScanClass
from tumorlens.errors import DataError, InputError, needs_extra
from tumorlens.files import write_table
from tumorlens.formats import Failure, find_sources
from tumorlens.outline import Outline
from tumorlens.scan import AGE_BANDS, FACTS, age_band

TABLE_NAMES = ("manifest.csv", "slices.csv")
SYNTHETIC = "SYNTHETIC"
"""Name of the file that marks a folder of phantoms."""

GROUPINGS = ("patient", "series", "group")
"""Columns that say which scans must not be torn apart, the widest first. Copies have a column of their own."""

COPIES = "duplicate group"

_SEQUENCE = "path_"
"""What the columns of several sequences' files begin with, such as path_t1c."""

_TRAINING = {"train", "training"}
_TESTING = {"test", "testing", "val", "valid", "validation"}


@dataclass(frozen=True)
class Entry:
    """One scan of a manifest.

    Attributes:
        path: The file, absolute.
        name: How tables and reports call it: its path inside the data set, with "#frame" where a file holds several.
        group: The patient, series or other group that must not be torn apart. None where nothing is known.
        duplicate_group: Scans with the same one are copies of one picture: re-encoded, mirrored, turned. None where
            nothing is known.
        split: The publisher's split, "training" or "testing", where there is one.
        source: Where it comes from, such as a hospital or a data set, where the table says.
        outline: The radiologist's outline of the tumour, where there is one.
        sequences: Files of several sequences of the patient on one grid, by name; `path` is then one of them.
        facts: Sex, age band, scanner and field strength, as in `Scan.facts`, where they are known.
    """

    path: Path
    name: str
    label: str
    group: str | None = None
    split: str | None = None
    fold: int | None = None
    source: str | None = None
    outline: Outline | None = None
    facts: Mapping[str, str] = field(default_factory=dict, hash=False)
    duplicate_group: str | None = None
    sequences: Mapping[str, Path] = field(default_factory=dict, hash=False)

    @property
    def unit(self) -> str | None:
        """What splits, folds and intervals keep whole: the group, or where none is known the copies of the picture."""
        return self.group or (f"copies of {self.duplicate_group}" if self.duplicate_group else None)


@dataclass(frozen=True)
class Manifest:
    """A table of scans.

    Attributes:
        unit: What is kept whole, in words: "patient", "series", "duplicate group", "scan", or "patient or duplicate
            group" where the patients of some scans are not known.
        failures: Files that should hold a scan with its label, and could not be read.
    """

    entries: tuple[Entry, ...]
    classes: ClassSet
    unit: str = "scan"
    synthetic: bool = False
    failures: tuple[Failure, ...] = ()

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def counts(self) -> dict[str, int]:
        """Number of scans of each class, in the class set's order."""
        seen = Counter(e.label for e in self.entries)
        return {key: seen[key] for key in self.classes.keys}

    def write(self, path: Path) -> None:
        """Writes the table as CSV; paths are relative to its folder where they lie below it."""
        folder = path.parent.absolute()
        grouping = self.unit.removesuffix(f" or {COPIES}")
        column = grouping if grouping in GROUPINGS else "group"
        names = sorted({name for e in self.entries for name in e.sequences})

        def shown(file: Path | None) -> str | None:
            if file is None:
                return None
            file = file.absolute()
            return (file.relative_to(folder) if file.is_relative_to(folder) else file).as_posix()

        rows = []
        for e in self.entries:
            own = (e.label, e.group, e.duplicate_group, e.split, e.fold, e.source, e.outline)
            rows.append((shown(e.path), *own, *(shown(e.sequences.get(name)) for name in names)))
        head = ("path", "label", column, "duplicate_group", "split", "fold", "source", "outline")
        write_table(path, (*head, *(f"{_SEQUENCE}{name}" for name in names)), rows)


def pseudonym(identifier: str) -> str:
    """A short stand-in for a patient or series identifier, the same for the same one, so that none is ever written."""
    return hashlib.blake2b(identifier.encode(), digest_size=6).hexdigest()


def find_set(path: Path) -> Path:
    """Where a data set lies: the path itself, or that name in the folder TUMORLENS_DATA names, if it is only there."""
    home = os.environ.get("TUMORLENS_DATA")
    return Path(home, path) if home and not path.exists() and Path(home, path).exists() else path


def read_manifest(path: Path, classes: ClassSet | None = None) -> Manifest:
    """Reads what `--data` names.

    Args:
        path: A CSV table, or a folder that holds one (manifest.csv or slices.csv), class folders (perhaps inside
            training and testing folders), or Cheng's .mat files.
        classes: The classes the labels must belong to; None takes the built-in ones if they fit, else the labels
            themselves.

    Raises:
        DataError: If there is no data, a table row is wrong, or a label is not in `classes`.
    """
    path = find_set(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; --data takes a folder of class folders or a CSV manifest")
    if path.is_file():
        return _read_table(path, classes)
    for name in TABLE_NAMES:
        if (path / name).is_file():
            return _read_table(path / name, classes)
    files = _find_files(path)
    cases = [file for file in files if file.suffix.lower() == ".mat"]
    return _read_cheng(path, cases, classes) if cases else _read_class_folders(path, files, classes)


def merge(manifests: Sequence[Manifest]) -> Manifest:
    """Puts several data sets together; names and groups of each get its number as a prefix.

    Sets that lack some of the built-in classes complete each other.

    Raises:
        DataError: If they do not share their classes.
    """
    if len(manifests) == 1:
        return manifests[0]
    classes = max((m.classes for m in manifests), key=len)
    keys = {key for m in manifests for key in m.classes.keys}
    if keys <= set(BRAIN_TUMORS.keys) and len(classes) < len(keys):
        classes = ClassSet(classes=tuple(c for c in BRAIN_TUMORS if c.key in keys))
    for m in manifests:
        if not set(m.classes.keys) <= set(classes.keys):
            ours, theirs = (", ".join(c.keys) for c in (classes, m.classes))
            raise DataError(f"the data sets have different classes ({ours}; {theirs}); train on them one by one")
    entries = [
        replace(
            e,
            name=f"{number}/{e.name}",
            group=e.group and f"{number}/{e.group}",
            duplicate_group=e.duplicate_group and f"{number}/{e.duplicate_group}",
        )
        for number, m in enumerate(manifests, 1)
        for e in m.entries
    ]
    units = sorted({m.unit for m in manifests})
    synthetic = all(m.synthetic for m in manifests)
    failures = tuple(f for m in manifests for f in m.failures)
    return Manifest(tuple(entries), classes, " or ".join(units), synthetic, failures)


def _settle(
    entries: Iterable[Entry],
    classes: ClassSet | None,
    where: Path,
    unit: str = "scan",
    failures: Sequence[Failure] = (),
) -> Manifest:
    """Gives labels their classes' keys, and files their absolute paths, and makes the manifest."""
    listed = list(entries)
    if not listed:
        first = f"; the first file that could not be read: {failures[0]}" if failures else ""
        raise DataError(
            f"{where}: no scans in it; it needs class folders such as glioma/ and no_tumor/, or a CSV table{first}"
        )
    labels = sorted({e.label for e in listed})
    classes = classes or _fitting_classes(labels, where)
    keys = {}
    for label in labels:
        index = classes.match(label)
        if index is None:
            raise DataError(f"{where}: the class {label!r} is none of {', '.join(classes.keys)}")
        keys[label] = classes[index].key
    synthetic = ((where.parent if where.is_file() else where) / SYNTHETIC).exists()
    source = "synthetic" if synthetic else None
    settled = tuple(replace(e, label=keys[e.label], path=e.path.absolute(), source=e.source or source) for e in listed)
    return Manifest(settled, classes, unit, synthetic, tuple(failures))


def _fitting_classes(labels: Sequence[str], where: Path) -> ClassSet:
    """The built-in classes if all labels are among them; else the labels, as they are spelt."""
    places = {label: BRAIN_TUMORS.match(label) for label in labels}
    if None not in places.values():
        fitting = tuple(c for i, c in enumerate(BRAIN_TUMORS) if i in places.values())
        return ClassSet(classes=fitting) if len(fitting) > 1 else BRAIN_TUMORS
    if len(labels) < 2:
        return BRAIN_TUMORS
    # "normal" beside "pneumonia" means that nothing was found, too.
    meaning = {label: index is not None and BRAIN_TUMORS[index].nothing for label, index in places.items()}
    try:
        return ClassSet(
            classes=tuple(ScanClass(key=k, name=k.replace("_", " "), nothing=n) for k, n in meaning.items())
        )
    except ValidationError as error:
        raise DataError(f"{where}: two of the classes {', '.join(labels)} are spelt alike; rename one") from error


def _read_table(path: Path, classes: ClassSet | None) -> Manifest:
    columns, rows = _read_rows(path)
    sequenced = any(column.startswith(_SEQUENCE) for column in columns)
    if "label" not in columns or not (sequenced or columns & {"path", "number"}):
        raise DataError(f"{path}: needs the columns path and label; it has {', '.join(sorted(columns)) or 'none'}")
    grouping = next((c for c in GROUPINGS if c in columns and any(row[c] for _, row in rows)), None)
    drawn = _read_cheng_outlines(path.parent) if "cheng_number" in columns else {}
    entries: dict[Path, Entry] = {}
    for number, row in rows:
        try:
            entry = _read_row(path.parent, row, grouping, drawn)
        except DataError as error:
            raise DataError(f"{path}, row {number}: {error}") from error
        if entry.path in entries:
            raise DataError(f"{path}, row {number}: {entry.name} has a row already; keep one row per file")
        entries[entry.path] = entry
    joined = join_copies(entries.values())
    return _settle(joined, classes, path, unit_of(joined, grouping))


def join_copies(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The entries, with copies of one picture in one group.

    Copies share the group that one of them has; groups that share a picture become one, named as the first of them.
    """
    with needs_extra("reading a data set", "train"):
        from scipy.cluster.hierarchy import DisjointSet

    entries = tuple(entries)
    groups = DisjointSet(e.group for e in entries if e.group)
    group_of: dict[str, str] = {}
    for entry in entries:
        if entry.group and entry.duplicate_group:
            groups.merge(entry.group, group_of.setdefault(entry.duplicate_group, entry.group))
    joined = {group: min(subset) for subset in groups.subsets() for group in subset}
    own = (entry.group or group_of.get(entry.duplicate_group or "") for entry in entries)
    return tuple(replace(e, group=group and joined[group]) for e, group in zip(entries, own, strict=True))


def unit_of(entries: Sequence[Entry], grouping: str | None) -> str:
    """What is kept whole, in words; `grouping` is what their groups are, in one word."""
    by_copies = any(e.group is None and e.duplicate_group for e in entries)
    units = [grouping] if grouping else []
    return " or ".join([*units, *([COPIES] if by_copies else [])]) or "scan"


def _read_rows(path: Path) -> tuple[set[str], list[tuple[int, dict[str, str]]]]:
    """The columns of a CSV table, and its rows with their line numbers."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            reader.fieldnames = [name.strip().casefold() for name in reader.fieldnames or ()]
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a CSV table ({error}); save it as CSV in UTF-8") from error
    return set(reader.fieldnames), rows


def _read_cheng_outlines(folder: Path) -> dict[str, str]:
    """Outlines by their slice's number in Cheng's set, from the folder beside this one; none where it is missing."""
    path = folder.absolute().parent / "cheng" / "slices.csv"
    if not path.is_file():
        return {}
    columns, rows = _read_rows(path)
    if missing := {"number", "outline"} - columns:
        raise DataError(f"{path}: outlines are taken from it, and it has no column {min(missing)}")
    return {row["number"]: row["outline"] for _, row in rows if row["outline"]}


def _read_row(folder: Path, row: dict[str, str], grouping: str | None, drawn: Mapping[str, str]) -> Entry:
    if None in row or None in row.values():
        raise DataError("has more or fewer cells than the header; put cells that hold commas in quotes")
    cells = {column: text.strip() for column, text in row.items()}
    split, fold, outline = (cells.get(column) or None for column in ("split", "fold", "outline"))
    # Cheng's pictures are numbered; ours lie in images/NNNN.jpg beside their table.
    sequences = {c.removeprefix(_SEQUENCE): folder / t for c, t in cells.items() if c.startswith(_SEQUENCE) and t}
    name = cells.get("path") or next((t for c, t in cells.items() if c.startswith(_SEQUENCE) and t), "")
    name = name or f"images/{_whole_number('number', cells.get('number', '')):04d}.jpg"
    if (folder / name).is_dir() and not sequences:
        raise DataError(f"{name} is a folder; give each file a row")
    if not cells["label"]:
        raise DataError("the label is missing")
    source = cells.get("source") or None
    if "cheng_number" in cells and "source" not in cells:
        source = "cheng" if cells["cheng_number"] else "other"
    return Entry(
        path=folder / name,
        name=name,
        label=cells["label"],
        group=(cells[grouping] or None) if grouping else None,
        duplicate_group=cells.get("duplicate_group") or None,
        split=None if split is None else _split_of(split),
        fold=None if fold is None else _whole_number("fold", fold),
        source=source,
        outline=_copied_outline(cells, drawn) if outline is None else Outline.parse(outline),
        facts={name: _fact(name, text) for name in FACTS if (text := cells.get(name))},
        sequences=sequences,
    )


def _copied_outline(cells: Mapping[str, str], drawn: Mapping[str, str]) -> Outline | None:
    """The outline of the slice in Cheng's set that a picture is a copy of, perhaps mirrored left to right."""
    text = drawn.get(cells.get("cheng_number", ""))
    if text is None:
        return None
    outline = Outline.parse(text)
    return outline.mirrored() if cells.get("mirrored") == "1" else outline


def _fact(name: str, text: str) -> str:
    """A fact as DICOM files give it: ages in bands, sex as one capital."""
    if name == "age" and text not in AGE_BANDS:
        try:
            return age_band(float(text))
        except ValueError as error:
            raise DataError(f"the age is neither a number of years nor one of {', '.join(AGE_BANDS)}") from error
    return text[0].upper() if name == "sex" else text


def _whole_number(column: str, text: str) -> int:
    if not text.isdecimal():
        raise DataError(f"the {column} {text!r} is no whole number" if text else "path or number is missing")
    return int(text)


def _split_of(text: str) -> str:
    word = text.casefold()
    if word not in _TRAINING | _TESTING:
        raise DataError(f"the split {text!r} is neither training nor testing")
    return "training" if word in _TRAINING else "testing"


def _find_files(root: Path) -> list[Path]:
    """The scans below a folder, without hidden files, tables and texts, in natural order."""
    files = []
    for source in find_sources(root):
        if source.error is None:
            files.append(Path(source.path))
        elif Path(source.path) != root:
            raise DataError(str(source.error)) from source.error
    return files


def _read_class_folders(root: Path, files: Sequence[Path], classes: ClassSet | None) -> Manifest:
    entries = []
    for path in files:
        inside = path.relative_to(root)
        above = {part.casefold() for part in inside.parts[:-1]}
        folders = [part for part in inside.parts[:-1] if part.casefold() not in _TRAINING | _TESTING]
        if not folders:
            continue
        split = "training" if above & _TRAINING else "testing" if above & _TESTING else None
        entries.append(Entry(path=path, name=inside.as_posix(), label=folders[0], split=split))
    return _settle(entries, classes, root)


def _read_cheng(root: Path, files: Sequence[Path], classes: ClassSet | None) -> Manifest:
    from tumorlens.formats.matlab import read_slice

    entries, failures = [], []
    for path in files:
        if path.name == "cvind.mat":  # the release's own folds, no slice
            continue
        try:
            slice_ = read_slice(str(path))
        except InputError as error:
            failures.append(Failure.of(str(path), error))
            continue
        group = pseudonym(slice_.scan.patient) if slice_.scan.patient else None
        name = path.relative_to(root).as_posix()
        entries.append(Entry(path=path, name=name, label=slice_.label, group=group, outline=slice_.outline))
    return _settle(entries, classes, root, "patient", failures)
