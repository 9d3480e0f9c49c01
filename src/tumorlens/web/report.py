"""The report of a case: pictures, probabilities, who said what, and by what it was made."""

from __future__ import annotations

import base64
import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from tumorlens.card import WeightsCard
from tumorlens.classes import ClassSet
from tumorlens.explain.overlay import draw_scan
from tumorlens.finding import Region
from tumorlens.scan import Scan
from tumorlens.version import __version__
from tumorlens.web.pages import templates
from tumorlens.web.pictures import png
from tumorlens.web.store import Store
from tumorlens.web.tables import Case, Feedback, Slice

MOST = 6
"""Slices that a report shows, in this order: the key slices, those somebody said something of, then the surest."""


@dataclass(frozen=True)
class Shown:
    """A slice of a report, with its pictures as PNG."""

    number: int
    name: str
    words: str
    unknown: str
    probabilities: list[tuple[str, float]]
    explained: str
    method: str
    region: str
    warnings: tuple[str, ...]
    scan: bytes = field(repr=False)
    overlay: bytes = field(repr=False)
    feedback: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """What a report says."""

    case: Case
    card: WeightsCard
    headline: str
    made: str
    created: str
    hashes: list[tuple[str, str]]
    shown: list[Shown]
    left_out: int
    failures: list[tuple[str, str]]
    general: list[str] = field(default_factory=list)

    @property
    def versions(self) -> str:
        """By what it was made, in one line."""
        return (
            f"TumorLens {self.case.version}; weights {self.case.weights_name}, "
            f"sha256 {self.case.weights_sha256[:16]}…; report by TumorLens {__version__}"
        )


def make_report(case: Case, store: Store) -> Report:
    """Gathers what the report of a finished case says."""
    slices, said = store.slices(case.id), store.feedback(case.id)
    key = set((case.study or {}).get("key_slices", ()))
    spoken = {f.slice for f in said}
    order = sorted(
        slices, key=lambda s: (s.number not in key, s.number not in spoken, s.content["uncertainty"], s.number)
    )
    chosen = order[: max(MOST, len(key))]
    classes = store.card.classes
    return Report(
        case=case,
        card=store.card,
        headline=headline(case, classes),
        made=_when(dt.datetime.now(dt.UTC).timestamp()),
        created=_when(case.created),
        hashes=[(f"file {u.number}", u.sha256) for u in store.uploads(case.id)[:MOST]],
        shown=[_shown(s, [f for f in said if f.slice == s.number], store, classes) for s in chosen],
        left_out=len(slices) - len(chosen),
        failures=[(f.name, f.error) for f in store.failures(case.id)],
        general=list(store.card.cautions),
    )


def headline(case: Case, classes: ClassSet) -> str:
    """What a case comes to, in words."""
    if case.unknown:
        return "Unknown scan: unlike those the network was trained on. Its class means nothing."
    names = {c.key: c.name for c in classes}
    study = case.study or {}
    several = study.get("slices", 1) > 1
    where = f" in the {len(study['key_slices'])} slices that speak the loudest" if several else ""
    return f"{names[case.label].capitalize()}, {case.confidence:.0%}{where}"


def in_words(prediction_set: list[str] | tuple[str, ...], label: str, classes: ClassSet) -> str:
    """A prediction set as a sentence says it."""
    names = {c.key: c.name for c in classes}
    if not prediction_set:
        return f"{names[label]}; the weights were not calibrated, so nothing is ruled out"
    if len(prediction_set) == 1:
        return f"{names[prediction_set[0]]}; the others can be ruled out"
    listed = [names[key] for key in prediction_set]
    return f"{', '.join(listed[:-1])} or {listed[-1]}; it cannot be told which"


def html_report(report: Report) -> str:
    """The report as one HTML page that stands alone."""
    return templates().get_template("report.html").render(report=report, data=_data)


def _shown(row: Slice, said: list[Feedback], store: Store, classes: ClassSet) -> Shown:
    content = row.content
    found = content["finding"]
    names = {c.key: c.name for c in classes}
    pictures = store.pictures(row.case_id, row.number)
    region = content["regions"].get(found["explained"])
    overlay = pictures.overlay(
        found["explained"], None if region is None else Region.model_validate(region), content["width"]
    )
    unknown = found["unknown"] or {}
    strange = unknown.get("unknown", False)
    said_of_it = in_words(found["prediction_set"], found["label"], classes)
    return Shown(
        number=row.number,
        name=found["source"],
        words="nothing that it says of this scan can be relied on" if strange else said_of_it,
        unknown=unknown["reason"] if strange else "",
        probabilities=[(names[key], p) for key, p in sorted(found["probabilities"].items(), key=lambda kp: -kp[1])],
        explained=names[found["explained"]],
        method=found["method"],
        region=_where(region),
        warnings=tuple(found["warnings"]),
        scan=png(draw_scan(Scan(pictures.shown(), ""))),
        overlay=png(overlay),
        feedback=[_said(f, names) for f in said],
    )


def _said(feedback: Feedback, names: dict[str, str]) -> str:
    what = {"agree": f"agrees: {names.get(feedback.label, '')}", "other": f"says {names.get(feedback.label, '')}"}
    text = f"{feedback.reader} {what.get(feedback.verdict, 'is unsure')}, {_when(feedback.said)}"
    if feedback.outline:
        text += ", with an outline"
    return f"{text}. {feedback.comment}" if feedback.comment else text


def _where(region: dict[str, Any] | None) -> str:
    if region is None:
        return ""
    x0, y0, x1, y1 = region["box"]
    text = f"x {x0} to {x1}, y {y0} to {y1} pixels"
    if region["box_mm"]:
        a, b, c, d = region["box_mm"]
        text += f"; {c - a:.0f} × {d - b:.0f} mm, {region['area_mm2']:.0f} mm²"
    return text


def _when(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _data(picture: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"
