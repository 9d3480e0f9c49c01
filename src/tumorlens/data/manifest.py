"""A table of scans: where each is, what it shows, and which others must stay on its side of a split.

A manifest comes from a CSV table, from a folder of class folders, or from Cheng's MATLAB files.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tumorlens.classes import BRAIN_TUMORS, ClassSet
from tumorlens.errors import DataError
from tumorlens.outline import Outline

TABLE_NAMES = ("manifest.csv", "slices.csv")
SYNTHETIC = "SYNTHETIC"
"""Name of the file that marks a folder of phantoms."""

UNITS = ("patient", "series", "group", "duplicate_group")
"""Columns that say which scans belong together, the widest first."""

_TRAINING = {"train", "training"}
_TESTING = {"test", "testing", "val", "valid", "validation"}


@dataclass(frozen=True)
class Entry:
    """One scan of a manifest.

    Attributes:
        path: The file, absolute.
        name: How tables and reports call it: its path inside the data set, with "#frame" where a file holds several.
        label: Key of its class.
        group: What must not be torn apart: a patient, a series, a duplicate group. None where nothing is known.
        split: The publisher's split, "training" or "testing", where there is one.
        fold: Number of its fold, where there is one.
        source: Where it comes from, such as a hospital or a data set, where the table says.
        outline: The radiologist's outline of the tumour, where there is one.
    """

    path: Path
    name: str
    label: str
    group: str | None = None
    split: str | None = None
    fold: int | None = None
    source: str | None = None
    outline: Outline | None = None


@dataclass(frozen=True)
class Manifest:
    """A table of scans.

    Attributes:
        entries: The scans.
        classes: The classes their labels belong to.
        unit: What a group is, in words: "patient", "series", "duplicate group" or "scan".
        synthetic: Whether it was made of phantoms.
    """

    entries: tuple[Entry, ...]
    classes: ClassSet
    unit: str = "scan"
    synthetic: bool = False

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def counts(self) -> dict[str, int]:
        """Number of scans of each class, in the class set's order."""
        seen = Counter(e.label for e in self.entries)
        return {key: seen[key] for key in self.classes.keys}

    def write(self, path: Path) -> None:
        """Writes the table as CSV; paths are relative to its folder where they lie below it."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            column = "group" if self.unit == "scan" else self.unit.replace(" ", "_")
            writer.writerow(["path", "label", column, "split", "fold", "source", "outline"])
            for e in self.entries:
                inside = e.path.is_relative_to(path.parent)
                writer.writerow(
                    [
                        (e.path.relative_to(path.parent) if inside else e.path).as_posix(),
                        e.label,
                        e.group or "",
                        e.split or "",
                        "" if e.fold is None else e.fold,
                        e.source or "",
                        e.outline or "",
                    ]
                )


def pseudonym(identifier: str) -> str:
    """A short stand-in for a patient or series identifier, the same for the same one, so that none is ever written."""
    return hashlib.blake2b(identifier.encode(), digest_size=6).hexdigest()


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
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; --data takes a folder of class folders or a CSV manifest")
    if path.is_file():
        return _read_table(path, classes)
    for name in TABLE_NAMES:
        if (path / name).is_file():
            return _read_table(path / name, classes)
    if next(path.rglob("*.mat"), None) is not None:
        return _read_cheng(path, classes)
    return _read_class_folders(path, classes)


def merge(manifests: Sequence[Manifest]) -> Manifest:
    """Puts several data sets together; names and groups of each get its number as a prefix.

    Raises:
        DataError: If they do not share their classes.
    """
    if len(manifests) == 1:
        return manifests[0]
    classes = max((m.classes for m in manifests), key=len)
    for m in manifests:
        if not set(m.classes.keys) <= set(classes.keys):
            raise DataError(f"the data sets have different classes: {m.classes.keys} and {classes.keys}")
    entries = [
        replace(e, name=f"{number}/{e.name}", group=e.group and f"{number}/{e.group}")
        for number, m in enumerate(manifests, 1)
        for e in m.entries
    ]
    units = sorted({m.unit for m in manifests})
    return Manifest(tuple(entries), classes, " or ".join(units), all(m.synthetic for m in manifests))


def _settle(entries: Iterable[Entry], classes: ClassSet | None, where: Path, unit: str, synthetic: bool) -> Manifest:
    """Gives labels their classes' keys and makes the manifest."""
    listed = list(entries)
    if not listed:
        raise DataError(
            f"{where}: no scans in it; it needs class folders such as glioma/ and no_tumor/, or a CSV table"
        )
    labels = sorted({e.label for e in listed})
    if classes is None:
        known = [BRAIN_TUMORS.match(label) for label in labels]
        if None in known:
            classes = ClassSet.of(labels) if len(labels) > 1 else BRAIN_TUMORS
        else:
            found = {index for index in known if index is not None}
            fitting = tuple(c for i, c in enumerate(BRAIN_TUMORS) if i in found)
            classes = ClassSet(classes=fitting) if len(fitting) > 1 else BRAIN_TUMORS
    keys = {}
    for label in labels:
        index = classes.match(label)
        if index is None:
            raise DataError(f"{where}: the class {label!r} is none of {', '.join(classes.keys)}")
        keys[label] = classes[index].key
    settled = tuple(replace(e, label=keys[e.label]) for e in listed)
    return Manifest(settled, classes, unit, synthetic)


def _read_table(path: Path, classes: ClassSet | None) -> Manifest:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a CSV table ({error})") from error
    columns = set(reader.fieldnames or ())
    if "label" not in columns or not columns & {"path", "number"}:
        raise DataError(f"{path}: needs the columns path and label; it has {', '.join(sorted(columns)) or 'none'}")
    unit = next((u for u in UNITS if u in columns and any(r[u] for r in rows)), None)
    synthetic = path.with_name(SYNTHETIC).exists()
    entries = (_read_row(path, number, row, unit) for number, row in enumerate(rows, 2))
    return _settle(entries, classes, path, (unit or "scan").replace("_", " "), synthetic)


def _read_row(table: Path, number: int, row: dict[str, str], unit: str | None) -> Entry:
    where = f"{table}, row {number}"
    try:
        # Cheng's pictures are numbered; ours lie in images/NNNN.jpg beside their table.
        name = row.get("path") or f"images/{int(row['number']):04d}.jpg"
        fold = row.get("fold") or None
        outline = row.get("outline") or None
        split = (row.get("split") or "").strip().casefold()
        return Entry(
            path=table.parent / name,
            name=name,
            label=row["label"].strip(),
            group=(row.get(unit) or None) if unit else None,
            split="training" if split in _TRAINING else "testing" if split in _TESTING else None,
            fold=None if fold is None else int(fold),
            source=row.get("source") or None,
            outline=None if outline is None else Outline.parse(outline),
        )
    except (DataError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{where}: {error}") from error


def _read_class_folders(root: Path, classes: ClassSet | None) -> Manifest:
    entries = []
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        inside = path.relative_to(root)
        folders = [part for part in inside.parts[:-1] if part.casefold() not in _TRAINING | _TESTING]
        if not folders or path.name.startswith(".") or any(p.startswith(".") for p in folders):
            continue
        above = {part.casefold() for part in inside.parts[:-1]}
        split = "training" if above & _TRAINING else "testing" if above & _TESTING else None
        entries.append(Entry(path=path, name=inside.as_posix(), label=folders[0], split=split))
    return _settle(entries, classes, root, "scan", (root / SYNTHETIC).exists())


def _read_cheng(root: Path, classes: ClassSet | None) -> Manifest:
    from tumorlens.formats.matlab import read_case

    entries = []
    for path in sorted(root.rglob("*.mat")):
        case = read_case(str(path))
        group = pseudonym(case.scan.patient) if case.scan.patient else None
        name = path.relative_to(root).as_posix()
        entries.append(Entry(path=path, name=name, label=case.label, group=group, outline=case.outline))
    return _settle(entries, classes, root, "patient", synthetic=False)
