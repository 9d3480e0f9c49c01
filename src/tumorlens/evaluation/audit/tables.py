"""Tables of an audit: duplicate groups, leakage between splits, contradictory labels, shortcuts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tumorlens.data.manifest import Manifest
from tumorlens.evaluation.audit.duplicates import FORMS, relations, turn
from tumorlens.evaluation.audit.findings import (
    AuditedPicture,
    AuditReport,
    ClassCount,
    Contradiction,
    Member,
    PictureKind,
    Share,
    UnreadPicture,
)
from tumorlens.evaluation.audit.pictures import Pictures
from tumorlens.evaluation.audit.shortcuts import find_shortcuts

_MIRROR = FORMS.index("mirrored")


def members_of(table: Sequence[AuditedPicture]) -> dict[int, list[AuditedPicture]]:
    """The pictures of each duplicate group, by its number."""
    groups: dict[int, list[AuditedPicture]] = defaultdict(list)
    for picture in table:
        if picture.group is not None:
            groups[picture.group].append(picture)
    return dict(groups)


def joined(
    count: int, entry_of: NDArray[np.intp], duplicates: NDArray[np.intp], *groupings: Sequence[str | None]
) -> NDArray[np.intp]:
    """Numbers what must stay together of `count` entries: duplicates, slices of one file, and known groups.

    `entry_of` is the entry of each of N pictures, `duplicates` the number of its duplicate group, from 1, or 0 for
    none; `groupings` are what the manifest knows of each entry: its duplicate group, its patient.
    """
    node_of: dict[tuple[str, object], int] = {}

    def node(kind: str, value: object) -> int:
        return node_of.setdefault((kind, value), count + len(node_of))

    links = [(e, node("duplicate", d)) for e, d in zip(entry_of.tolist(), duplicates.tolist(), strict=True) if d]
    links += [(e, node(f"grouping {i}", g)) for i, groups in enumerate(groupings) for e, g in enumerate(groups) if g]
    a, b = np.array(links, int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(count + len(node_of),) * 2)
    numbers: NDArray[np.intp] = connected_components(graph, directed=False)[1][:count]
    return numbers


def make_table(manifest: Manifest, pictures: Pictures, labels: NDArray[np.intp]) -> tuple[AuditedPicture, ...]:
    """A row for each picture."""
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


def make_report(
    manifest: Manifest,
    pictures: Pictures,
    labels: NDArray[np.intp],
    table: tuple[AuditedPicture, ...],
    data: str,
    seed: int,
) -> AuditReport:
    """Everything that is counted or measured over the table."""
    groups = members_of(table)
    present = [key for key, count in manifest.counts.items() if count]
    leak = _leak(table, groups)
    fold_of = [e.fold for e in manifest.entries]
    torn = sum(len({fold_of[p.entry] for p in members} - {None}) > 1 for members in groups.values())
    numbered = [fold for fold in fold_of if fold is not None]
    folds = np.array(numbered)[pictures.entries] if len(numbered) == len(manifest) and len(set(numbered)) > 1 else None
    _, singles = np.unique(labels, return_index=True)
    groupings = [e.duplicate_group for e in manifest.entries], [e.group for e in manifest.entries]
    together = joined(len(manifest), pictures.entries, labels + 1, *groupings)[pictures.entries]
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
        kinds=dict(
            Counter(w for p in table if p.relation != "first" for w in p.relation.split(", ") if w).most_common()
        ),
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
        unreadable=tuple(UnreadPicture(path=f.source, error=f.error) for f in pictures.failures),
    )


def _leak(table: Sequence[AuditedPicture], groups: dict[int, list[AuditedPicture]]) -> dict[str | None, Share]:
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
        key: Share(pictures=c.total(), found=c.total() - c["alone"], mirrored=c["mirrored"], turned=c["turned"])
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


def _sizes(pictures: Pictures, table: Sequence[AuditedPicture]) -> tuple[PictureKind, ...]:
    seen: dict[tuple[int, int, bool], Counter[str]] = defaultdict(Counter)
    columns = (pictures.column(name).tolist() for name in ("width", "height", "colour"))
    for picture, *kind in zip(table, *columns, strict=True):
        seen[tuple(kind)][picture.label] += 1
    kinds = [
        PictureKind(width=w, height=h, mode="colour" if colour else "grey", pictures=c.total(), labels=dict(c))
        for (w, h, colour), c in seen.items()
    ]
    return tuple(sorted(kinds, key=lambda k: (-k.pictures, k.width, k.height, k.mode)))
