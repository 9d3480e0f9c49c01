"""Is a data set fit to measure with? Finds the same picture twice, mirrored and turned too, and what gives labels away.

    report = audit(read_manifest(Path("brain_mri")), Path("audit"))
    print(report.leak.share)                            # of the test pictures, this share stands in training
    write_manifest(report, manifest, Path("clean.csv"))     # folds that keep duplicates together, for --data
"""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from os.path import abspath
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tumorlens.data.audit._duplicates import FORMS, find_groups, relations, turn
from tumorlens.data.audit._findings import (
    AuditedPicture,
    AuditReport,
    ClassCount,
    Contradiction,
    Failed,
    Kind,
    Member,
    Share,
    Shortcut,
)
from tumorlens.data.audit._page import render_page
from tumorlens.data.audit._pictures import Pictures, describe_all
from tumorlens.data.audit._shortcuts import find_shortcuts
from tumorlens.data.manifest import Manifest
from tumorlens.errors import DataError, MissingExtra
from tumorlens.evaluation._files import write_atomically

__all__ = ["AuditReport", "AuditedPicture", "Contradiction", "Share", "Shortcut", "audit", "write_manifest"]

FOLDS = 5

_MIRROR = FORMS.index("mirrored")


def audit(
    manifest: Manifest,
    folder: Path,
    *,
    data: str = "the data set",
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> AuditReport:
    """Audits a data set and writes audit.html, audit.json and duplicates.csv.

    Descriptors of the pictures are kept in the folder, so that an audit that was cut off goes on where it was, and
    one of a changed data set reads only what changed.

    Args:
        manifest: The scans.
        folder: Where to; made if it is missing.
        data: What the page calls the data set.
        seed: Seed of the shortcut measurement.
        progress: Called with (done, total) as the work goes on; half of it is reading.

    Raises:
        DataError: If a file stands in the manifest twice or is missing, or no file can be read.
        MissingExtra: If scikit-learn or Jinja2 is not installed.
        OSError: If a file cannot be written.
    """
    _check(manifest)
    folder.mkdir(parents=True, exist_ok=True)
    total = 2 * len(manifest)
    pictures = describe_all(manifest, folder, lambda done, _: progress(done, total))
    labels = find_groups(
        pictures, _series(manifest, pictures), lambda share: progress(len(manifest) + int(share * len(manifest)), total)
    )
    table = _table(manifest, pictures, labels)
    report = _report(manifest, pictures, labels, table, data, seed)
    page = render_page(report, manifest)
    write_atomically(folder / "duplicates.csv", _csv(table))
    write_atomically(folder / "audit.json", report.model_dump_json(indent=2).encode("utf-8", "backslashreplace") + b"\n")
    write_atomically(folder / "audit.html", page.encode("utf-8", "backslashreplace"))
    return report


def write_manifest(report: AuditReport, manifest: Manifest, path: Path, *, seed: int = 0) -> Manifest:
    """Writes a table for `--data` whose groups and five stratified folds tear no duplicates apart.

    Groups that the manifest knows, patients or series, stay whole as well. Unreadable files are left out.

    Args:
        report: What `audit` found in this manifest.
        manifest: The same manifest.
        path: The table to write.
        seed: Another seed, other folds.

    Returns:
        The manifest that was written.

    Raises:
        DataError: If a class has fewer than five groups, or the report is of another manifest.
        MissingExtra: If scikit-learn is not installed.
        OSError: If the table cannot be written.
    """
    try:
        from sklearn.model_selection import StratifiedGroupKFold
    except ModuleNotFoundError as error:
        raise MissingExtra("writing folds", "train") from error

    if report.files != len(manifest):
        raise DataError("the audit is of another manifest; audit this one")
    entry_of = np.array([p.entry for p in report.table])
    duplicates = np.array([p.group or 0 for p in report.table])
    groups = _joined(len(manifest), entry_of, duplicates, [e.group for e in manifest.entries])
    kept = np.unique(entry_of)
    labels = np.array([manifest.entries[i].label for i in kept])
    for label in np.unique(labels):
        if (count := len(np.unique(groups[kept[labels == label]]))) < FOLDS:
            raise DataError(f"{label}: has {count} groups of scans that belong together; {FOLDS} folds need {FOLDS}")
    folds = np.empty(len(kept), int)
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for number, (_, held) in enumerate(splitter.split(kept, labels, groups[kept])):
        folds[held] = number
    _, numbers = np.unique(groups[kept], return_inverse=True)
    entries = tuple(
        replace(
            manifest.entries[i], path=Path(abspath(manifest.entries[i].path)), group=str(group + 1), fold=int(fold)
        )
        for i, group, fold in zip(kept, numbers, folds, strict=True)
    )
    unit = "duplicate group" if manifest.unit in ("scan", "duplicate group") else "group"
    written = replace(manifest, entries=entries, unit=unit)
    path.parent.mkdir(parents=True, exist_ok=True)
    written.write(Path(abspath(path)))
    return written


def _check(manifest: Manifest) -> None:
    if not manifest.entries:
        raise DataError("there are no scans to audit")
    rows: dict[str, int] = {}
    for row, entry in enumerate(manifest.entries, 1):
        earlier = rows.setdefault(abspath(entry.path), row)
        if earlier != row:
            raise DataError(f"{entry.name}: stands in the table twice, as scan {earlier} and {row}; remove one row")


def _series(manifest: Manifest, pictures: Pictures) -> NDArray[np.intp]:
    """Number of each picture's patient or series: by the table, by what its file says, or the file itself."""
    names: list[str] = []
    told = manifest.unit in ("patient", "series", "patient or series")
    several = pictures.column("places") > 1
    for index, series, many in zip(pictures.entries, pictures.column("series"), several, strict=True):
        entry = manifest.entries[index]
        known = (entry.group if told else None) or series.decode() or (str(index) if many else "")
        names.append(known)
    unique, numbers = np.unique(names, return_inverse=True)
    return np.where(unique[numbers] == "", -1, numbers)


def _joined(
    count: int, entry_of: NDArray[np.intp], duplicates: NDArray[np.intp], known: Sequence[str | None]
) -> NDArray[np.intp]:
    """Numbers what must stay together of `count` entries: duplicates, slices of one file, and known groups."""
    number_of: dict[tuple[str, object], int] = {}
    links = [(int(e), number_of.setdefault(("duplicate", int(d)), count + len(number_of))) for e, d in zip(entry_of, duplicates, strict=True) if d]  # fmt: skip
    links += [(e, number_of.setdefault(("known", g), count + len(number_of))) for e, g in enumerate(known) if g]
    nodes = count + len(number_of)
    a, b = np.array(links, int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(nodes, nodes))
    return connected_components(graph, directed=False)[1][:count]


def _table(manifest: Manifest, pictures: Pictures, labels: NDArray[np.intp]) -> tuple[AuditedPicture, ...]:
    forms, words, scores = relations(pictures, labels)
    sizes = np.bincount(labels)
    numbers = np.cumsum(sizes > 1)
    several, frames = pictures.column("places") > 1, pictures.column("frame")
    table = []
    for i, index in enumerate(pictures.entries):
        entry, shared = manifest.entries[index], sizes[labels[i]] > 1
        table.append(
            AuditedPicture(
                entry=int(index),
                path=f"{entry.name}#{frames[i]}" if several[i] else entry.name,
                label=entry.label,
                split=entry.split,
                group=int(numbers[labels[i]]) if shared else None,
                relation=words[i] or ("first" if shared else ""),
                correlation=round(float(scores[i]), 4),
                form=int(forms[i]),
            )
        )
    return tuple(table)


def _report(
    manifest: Manifest,
    pictures: Pictures,
    labels: NDArray[np.intp],
    table: tuple[AuditedPicture, ...],
    data: str,
    seed: int,
) -> AuditReport:
    groups: dict[int, list[AuditedPicture]] = defaultdict(list)
    for picture in table:
        if picture.group is not None:
            groups[picture.group].append(picture)
    present = [key for key, count in manifest.counts.items() if count]
    leak = _leak(table, groups)
    fold_of = [e.fold for e in manifest.entries]
    torn = sum(len({fold_of[p.entry] for p in members} - {None}) > 1 for members in groups.values())
    numbered = [fold for fold in fold_of if fold is not None]
    folds = np.array(numbered)[pictures.entries] if len(numbered) == len(manifest) and len(set(numbered)) > 1 else None
    _, singles = np.unique(labels, return_index=True)
    together = _joined(
        len(manifest), pictures.entries, labels + 1, [e.group for e in manifest.entries]
    )[pictures.entries]  # fmt: skip
    return AuditReport(
        data=data,
        synthetic=manifest.synthetic,
        files=len(manifest),
        pictures=len(table),
        table=table,
        distinct=int(labels.max()) + 1,
        groups=len(groups),
        duplicated=sum(map(len, groups.values())),
        largest=max(map(len, groups.values()), default=0),
        kinds=dict(Counter(w for p in table if p.relation != "first" for w in p.relation.split(", ") if w).most_common()),
        leak=leak.get(None),
        leak_by_label={key: leak[key] for key in present if key in leak},
        torn=torn if numbered else None,
        contradictions=tuple(
            Contradiction(
                group=number,
                members=tuple(Member(path=p.path, label=p.label, split=p.split, relation=p.relation) for p in members),
            )
            for number, members in groups.items()
            if len({p.label for p in members}) > 1
        ),
        balance=tuple(_count(key, table, labels) for key in present),
        sizes=_sizes(pictures, table),
        own_folds=folds is not None,
        shortcuts=find_shortcuts(pictures, singles, [p.label for p in table], together, folds, seed),
        unreadable=tuple(Failed(path=f.source, error=f.error) for f in pictures.failures),
    )


def _leak(
    table: Sequence[AuditedPicture], groups: dict[int, list[AuditedPicture]]
) -> dict[str | None, Share]:
    """Test pictures that stand in training: of all (None) and of each class."""
    counts: dict[str | None, Counter[str]] = defaultdict(Counter)
    for picture in table:
        if picture.split != "testing":
            continue
        how = "alone"
        if picture.group is not None:
            forms = {p.form for p in groups[picture.group] if p.split == "training"}
            how = _orientation(picture.form, forms)
        for key in (None, picture.label):
            counts[key][how] += 1
    if not any(p.split == "training" for p in table):
        return {}
    return {
        key: Share(
            pictures=c.total(), found=c.total() - c["alone"], mirrored=c["mirrored"], turned=c["turned"]
        )
        for key, c in counts.items()
    }


def _orientation(form: int, others: set[int]) -> str:
    """How the picture of one form stands among those of other forms."""
    if not others:
        return "alone"
    if form in others:
        return "upright"
    return "mirrored" if any(_is_mirror(form, other) for other in others) else "turned"


def _is_mirror(one: int, other: int) -> bool:
    """Whether two pictures, which these forms make alike, are each other's left-right mirror."""
    places = np.arange(4).reshape(2, 2)
    return bool((turn(turn(places, _MIRROR), one) == turn(places, other)).all())


def _count(key: str, table: Sequence[AuditedPicture], labels: NDArray[np.intp]) -> ClassCount:
    of_class = [i for i, p in enumerate(table) if p.label == key]
    splits = Counter(table[i].split for i in of_class)
    return ClassCount(
        label=key,
        pictures=len(of_class),
        distinct=len(np.unique(labels[of_class])),
        training=splits["training"],
        testing=splits["testing"],
    )


def _sizes(pictures: Pictures, table: Sequence[AuditedPicture]) -> tuple[Kind, ...]:
    seen: dict[tuple[int, int, bool], Counter[str]] = defaultdict(Counter)
    columns = (pictures.column(name).tolist() for name in ("width", "height", "colour"))
    for picture, *kind in zip(table, *columns, strict=True):
        seen[tuple(kind)][picture.label] += 1  # type: ignore[index]
    kinds = [
        Kind(width=w, height=h, mode="colour" if colour else "grey", pictures=c.total(), labels=dict(c))
        for (w, h, colour), c in seen.items()
    ]
    return tuple(sorted(kinds, key=lambda k: (-k.pictures, k.width, k.height, k.mode)))


def _csv(table: Sequence[AuditedPicture]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["path", "split", "label", "group", "relation", "correlation"])
    for p in table:
        writer.writerow([p.path, p.split or "", p.label, p.group or "", p.relation, f"{p.correlation:.4f}"])
    return text.getvalue().encode("utf-8", "backslashreplace")
