"""Is a data set fit to measure with? Finds the same picture twice, mirrored and turned too, and what gives labels away.

report = audit(manifest, Path("audit"))              # audit/audit.html explains what was found
print(report.leak.share)                             # this share of the test pictures stands in training
write_manifest(report, manifest, Path("clean.csv"))  # folds that keep duplicates together, for --data
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tumorlens.data.manifest import COPIES, GROUPINGS, Manifest, join_copies, unit_of
from tumorlens.data.split import make_folds
from tumorlens.errors import DataError, MissingExtra
from tumorlens.evaluation.audit.duplicates import find_groups
from tumorlens.evaluation.audit.findings import AuditedPicture, AuditReport, Contradiction, Share, Shortcut
from tumorlens.evaluation.audit.page import render_page
from tumorlens.evaluation.audit.pictures import Pictures, absolute, describe_all
from tumorlens.evaluation.audit.tables import joined, make_report, make_table
from tumorlens.files import write_atomically, write_table

__all__ = ["AuditReport", "AuditedPicture", "Contradiction", "Share", "Shortcut", "audit", "write_manifest"]

FOLDS = 5


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

    `data` is what the page calls the data set, `seed` that of the shortcut measurement. `progress` is called with
    (done, total) as the work goes on; half of it is reading.

    Raises:
        DataError: If a file stands in the manifest twice or is missing, or no file can be read.
        MissingExtra: If scikit-learn or Jinja2 is not installed.
        OSError: If a file cannot be written.
    """
    if not (find_spec("jinja2") and find_spec("sklearn")):
        raise MissingExtra("an audit", "train")  # before the reading, which takes minutes
    _check(manifest)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: is no folder to write to ({error.strerror}); choose another") from error
    total = 2 * len(manifest)
    pictures = describe_all(manifest, folder, lambda done, _: progress(done, total))
    labels = find_groups(
        pictures, _series(manifest, pictures), lambda share: progress(len(manifest) + int(share * len(manifest)), total)
    )
    table = make_table(manifest, pictures, labels)
    report = make_report(manifest, pictures, labels, table, data, seed)
    page = render_page(report, manifest)
    rows = ((p.path, p.split or "", p.label, p.group or "", p.relation, f"{p.correlation:.4f}") for p in table)
    write_table(folder / "duplicates.csv", ("path", "split", "label", "group", "relation", "correlation"), rows)
    write_atomically(
        folder / "audit.json", report.model_dump_json(indent=2).encode("utf-8", "backslashreplace") + b"\n"
    )
    write_atomically(folder / "audit.html", page.encode("utf-8", "backslashreplace"))
    return report


def write_manifest(report: AuditReport, manifest: Manifest, path: Path, *, seed: int = 0) -> Manifest:
    """Writes a table for `--data` whose groups and folds tear no duplicates apart.

    Groups that the manifest knows, patients or series, stay whole as well. A manifest that has folds keeps them, since
    they may know more of patients than it says: only a group that they tear apart moves, to where most of it is.
    Otherwise five stratified folds are made. Unreadable files are left out.

    Takes the report that `audit` made of this manifest; gives the manifest that was written.

    Raises:
        DataError: If a class has fewer than five groups, or the report is of another manifest.
        MissingExtra: If scikit-learn is not installed.
        OSError: If the table cannot be written.
    """
    if not find_spec("sklearn"):
        raise MissingExtra("writing folds", "train")
    if report.files != len(manifest):
        raise DataError("the audit is of another manifest; audit this one")
    entry_of = np.array([p.entry for p in report.table])
    duplicates = np.array([p.group or 0 for p in report.table])
    listed = [e.duplicate_group for e in manifest.entries]
    copies = joined(len(manifest), entry_of, duplicates, listed)
    groups = joined(len(manifest), entry_of, duplicates, listed, [e.group for e in manifest.entries])
    kept = np.unique(entry_of)
    own = [manifest.entries[i].fold for i in kept]
    folds = (
        _mended([f for f in own if f is not None], groups[kept])
        if None not in own and len(set(own)) > 1
        else _stratified([manifest.entries[i].label for i in kept], groups[kept], seed)
    )
    _, numbers = np.unique(copies[kept], return_inverse=True)
    entries = join_copies(
        replace(
            manifest.entries[i],
            path=absolute(manifest.entries[i].path),
            duplicate_group=str(number + 1),
            fold=int(fold),
        )
        for i, number, fold in zip(kept, numbers, folds, strict=True)
    )
    grouping = manifest.unit.removesuffix(f" or {COPIES}")
    grouping = "" if grouping in ("scan", COPIES) else grouping if grouping in GROUPINGS else "group"
    written = replace(manifest, entries=entries, unit=unit_of(entries, grouping))
    path.parent.mkdir(parents=True, exist_ok=True)
    written.write(absolute(path))
    return written


def _stratified(labels: Sequence[str], groups: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
    """Five stratified folds that keep groups whole."""
    truth = np.array(labels)
    for label in np.unique(truth):
        if (count := len(np.unique(groups[truth == label]))) < FOLDS:
            raise DataError(f"{label}: has {count} groups of scans that belong together; {FOLDS} folds need {FOLDS}")
    return make_folds(truth, groups, FOLDS, seed)


def _mended(own: Sequence[int], groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """The table's own folds; a group that they tear apart goes where most of it is."""
    votes: dict[int, Counter[int]] = defaultdict(Counter)
    for group, fold in zip(groups.tolist(), own, strict=True):
        votes[group][fold] += 1
    home = {group: min(count, key=lambda fold: (-count[fold], fold)) for group, count in votes.items()}
    return np.array([home[group] for group in groups.tolist()], np.intp)


def _check(manifest: Manifest) -> None:
    if not manifest.entries:
        raise DataError("there are no scans to audit")
    rows: dict[Path, int] = {}
    for row, entry in enumerate(manifest.entries, 1):
        earlier = rows.setdefault(absolute(entry.path), row)
        if earlier != row:
            raise DataError(f"{entry.name}: stands in the table twice, as scan {earlier} and {row}; remove one row")
    missing = [entry.name for entry in manifest.entries if not entry.path.is_file()]
    if missing:
        number = "" if len(missing) == 1 else f" (and {len(missing) - 1} more)"
        raise DataError(f"{missing[0]}{number}: there is no such file; correct the table, or put the file there")


def _series(manifest: Manifest, pictures: Pictures) -> NDArray[np.intp]:
    """Number of each picture's patient or series: by the table, by what its file says, or the file itself."""
    names: list[str] = []
    has_groups = manifest.unit.startswith(("patient", "series"))
    several = pictures.column("places") > 1
    for index, series, many in zip(pictures.entries, pictures.column("series"), several, strict=True):
        entry = manifest.entries[index]
        name = (entry.group if has_groups else None) or series.decode() or (str(index) if many else "")
        names.append(name)
    unique, numbers = np.unique(names, return_inverse=True)
    return np.where(unique[numbers] == "", -1, numbers)
