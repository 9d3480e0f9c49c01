"""The page of an audit: one file that explains itself and needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tumorlens.data.manifest import Manifest
from tumorlens.errors import InputError
from tumorlens.evaluation.audit.findings import AuditedPicture, AuditReport, Shortcut
from tumorlens.evaluation.audit.tables import members_of
from tumorlens.formats import read_frame
from tumorlens.overlay import draw_scan
from tumorlens.version import __version__

PAIRS = 3
"""Pairs shown of each kind of duplicate."""

WEAKEST = 6
"""Pairs shown of those that are the least alike."""

CONTRADICTIONS, MEMBERS = 60, 8
"""Most groups of contradictory labels that are shown, and pictures of each."""

SIZES = 12
"""Rows of the table of sizes."""

_WAY = "by way of another copy"
_KINDS = {
    "identical": ("Identical", "Every pixel is the same."),
    "re-encoded": ("Re-encoded", "Saved again, by another program or in another quality; no pixel need be the same."),
    "resized": ("Resized", "The same picture with more or fewer pixels."),
    "cropped": ("Cropped", "Cut out a little differently: without a margin, or stretched by a hundredth or two."),
    "brightness": ("Brightness", "Brighter, darker, or with more or less contrast."),
    "filtered": ("Filtered", "Sharpened, equalised, or with another curve of grey."),
    "mirrored": ("Mirrored", "Left and right are swapped; turned as well where that is said."),
    "rotated": ("Rotated", "Turned by 90, 180 or 270 degrees, clockwise."),
    "turned": ("Turned", "A tile of tissue, turned by any angle about its middle, and enlarged or stretched."),
}


def render_page(report: AuditReport, manifest: Manifest) -> str:
    """The page as HTML.

    Raises:
        MissingExtra: If Jinja2 is not installed.
    """
    from tumorlens.evaluation.pages.page import load_template

    template = load_template(Path(__file__).with_name("audit.html.j2"))
    groups = members_of(report.table)
    names = {c.key: c.name for c in manifest.classes}

    def shown(pictures: Iterable[AuditedPicture]) -> list[dict[str, Any]]:
        return [_shown(p, manifest, names) for p in pictures]

    copies = [p for p in report.table if p.group is not None and p.relation != "first"]
    return template.render(
        report=report,
        names=names,
        version=__version__,
        date=datetime.now(UTC).date().isoformat(),
        unit=manifest.unit,
        kinds=[
            {
                "title": title,
                "about": about,
                "count": sum(key in p.relation for p in copies),
                "pairs": [shown((groups[p.group or 0][0], p)) for p in _examples(copies, groups, key)],
            }
            for key, (title, about) in _KINDS.items()
            if any(key in p.relation for p in copies)
        ],
        weakest=[{"correlation": p.correlation, "pair": shown((groups[p.group or 0][0], p))} for p in _weakest(copies)],
        by_way=sum(_WAY in p.relation for p in copies),
        contradictions=[
            {"group": c.group, "count": len(c.members), "members": shown(_one_of_each(groups[c.group]))}
            for c in report.contradictions[:CONTRADICTIONS]
        ],
        sizes=report.sizes[:SIZES],
        shortcuts=[{"shortcut": s, "reading": _reading(s, names)} for s in report.shortcuts],
    )


def _examples(copies: list[AuditedPicture], groups: dict[int, list[AuditedPicture]], kind: str) -> list[AuditedPicture]:
    """Pictures that show one kind plainly: little else was done, and from one part of the split to the other."""

    def plainness(p: AuditedPicture) -> tuple[bool, int, bool, str]:
        return _WAY in p.relation, p.relation.count(","), groups[p.group or 0][0].split == p.split, p.path

    one_of_group = {p.group: p for p in sorted((p for p in copies if kind in p.relation), key=plainness, reverse=True)}
    best = sorted(one_of_group.values(), key=plainness)
    one_of_label = list({p.label: p for p in reversed(best)}.values())[::-1]
    return [*one_of_label, *(p for p in best if p not in one_of_label)][:PAIRS]


def _weakest(copies: list[AuditedPicture]) -> list[AuditedPicture]:
    """The pictures least like their group's first, of different groups, without those linked by another copy."""
    chosen: dict[int | None, AuditedPicture] = {}
    for p in sorted((p for p in copies if _WAY not in p.relation), key=lambda p: (p.correlation, p.path)):
        chosen.setdefault(p.group, p)
        if len(chosen) == WEAKEST:
            break
    return list(chosen.values())


def _one_of_each(members: list[AuditedPicture]) -> list[AuditedPicture]:
    """At most `MEMBERS` pictures of a group, every label among them."""
    first = {p.label: p for p in reversed(members)}
    chosen = [*sorted(first.values(), key=lambda p: p.path), *(p for p in members if first[p.label] is not p)]
    return chosen[:MEMBERS]


def _shown(picture: AuditedPicture, manifest: Manifest, names: dict[str, str]) -> dict[str, Any]:
    from tumorlens.evaluation.pages.gallery import picture_uri

    entry = manifest.entries[picture.entry]
    frame = None if picture.path == entry.name else int(picture.path.rpartition("#")[2])
    try:
        uri = picture_uri(draw_scan(read_frame(entry.path, frame)))
    except InputError:
        uri = ""  # it changed since it was described; the page then says that there is no picture
    return {
        "uri": uri,
        "path": picture.path,
        "label": names.get(picture.label, picture.label),
        "split": picture.split or "",
        "relation": picture.relation,
    }


def _reading(shortcut: Shortcut, names: dict[str, str]) -> str:
    """What a shortcut means, in plain words."""
    what = {
        "border": "the outermost sixteenth of the picture on each side",
        "histogram": "how bright the pixels are, wherever they lie",
    }[shortcut.name]
    key, area = max(shortcut.auc.items(), key=lambda item: item[1])
    summary = (
        f"Shown nothing but {what}, a simple classifier finds the class in {shortcut.balanced_accuracy:.0%} of the "
        f"pictures, each class counting the same; guessing finds {shortcut.chance:.0%}."
    )
    if shortcut.strength == "none":
        return f"{summary} That is no more than guessing, or hardly: no shortcut here."
    most = (
        f"It tells {names.get(key, key)} best: of two pictures, one of it and one not, it picks the right one "
        f"{area:.0%} of the time."
    )
    verdict = {
        "weak": "A weak shortcut: a network can gain a little from it.",
        "clear": "A clear shortcut: part of any score on this set may come from it.",
        "strong": "A strong shortcut: a network may score well on this set without looking at the tumour.",
    }[shortcut.strength]
    return f"{summary} {most} {verdict}"
