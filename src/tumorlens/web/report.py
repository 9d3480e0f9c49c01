"""The report of a case: findings, pictures, probabilities, readers' assessments, provenance."""

from __future__ import annotations

import base64
import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from tumorlens.card import WeightsCard
from tumorlens.evidence import Region
from tumorlens.finding import FindingRecord
from tumorlens.overlay import draw_scan
from tumorlens.scan import Scan
from tumorlens.version import __version__
from tumorlens.web.pages import templates
from tumorlens.web.pictures import png
from tumorlens.web.store import Store
from tumorlens.web.tables import Case, Feedback, Slice
from tumorlens.wording import in_words, set_in_words, study_in_words

MOST = 6
"""Slices that a report shows, in this order: the key slices, those somebody assessed, then the surest."""


@dataclass(frozen=True)
class Shown:
    """A slice of a report, with its pictures as PNG.

    Attributes:
        words: Its finding in a few words.
        more: Why it is unknown, or its prediction set; or empty.
        unknown: Whether it is unknown: then it has no probabilities, no overlay and no region.
        probabilities: Names of the classes with their probabilities, the most probable first.
        explained: Name of the class that the overlay is for.
        region: Where the evidence is, in words.
        overlay: The slice with its heat map; None without one.
    """

    number: int
    name: str
    words: str
    more: str
    unknown: bool
    probabilities: list[tuple[str, float]]
    explained: str
    method: str
    region: str
    warnings: tuple[str, ...]
    scan: bytes = field(repr=False)
    overlay: bytes | None = field(repr=False)
    feedback: list[str]


@dataclass(frozen=True)
class Report:
    """Content of a report, the same for HTML and PDF."""

    case: Case
    card: WeightsCard
    headline: str
    made: str
    created: str
    hashes: list[tuple[str, str]]
    shown: list[Shown]
    left_out: int
    failures: list[tuple[str, str]]

    @property
    def about(self) -> str:
        """Identifier, times and size of the case, in one line."""
        slices = "1 slice" if self.case.slices == 1 else f"{self.case.slices:,} slices"
        return f"Case {self.case.id}, dropped {self.created}; report of {self.made}. {slices}."

    @property
    def versions(self) -> str:
        """Versions and weights that made it, in one line."""
        return (
            f"TumorLens {self.case.version}; weights {self.case.weights_name}, "
            f"sha256 {self.case.weights_sha256[:16]}…; report by TumorLens {__version__}"
        )


def make_report(case: Case, store: Store) -> Report:
    """The report of a finished case."""
    slices, feedback = store.slices(case.id), store.feedback(case.id)
    key = set((case.study or {}).get("key_slices", ()))
    assessed = {f.slice for f in feedback}
    order = sorted(
        slices, key=lambda s: (s.number not in key, s.number not in assessed, s.content["uncertainty"], s.number)
    )
    chosen = order[: max(MOST, len(key))]
    return Report(
        case=case,
        card=store.card,
        headline=_headline(case),
        made=_when(dt.datetime.now(dt.UTC).timestamp()),
        created=_when(case.created),
        hashes=[(f"file {u.number}", u.sha256) for u in store.uploads(case.id)[:MOST]],
        shown=[_shown(s, [f for f in feedback if f.slice == s.number], store) for s in chosen],
        left_out=len(slices) - len(chosen),
        failures=[(f.name, f.error) for f in store.failures(case.id)],
    )


def html_report(report: Report) -> str:
    """The report as one HTML page that stands alone."""
    return templates().get_template("report.html").render(report=report, data=_data)


def _headline(case: Case) -> str:
    if case.study is None:
        return ""
    return _capital(study_in_words(case.study["text"], () if case.unknown else case.study["key_slices"]))


def _shown(row: Slice, feedback: list[Feedback], store: Store) -> Shown:
    content = row.content
    finding = FindingRecord.model_validate(content["finding"])
    names = {c.key: c.name for c in store.card.classes}
    pictures = store.pictures(row.case_id, row.number)
    region, overlay = None, None
    if finding.explained is not None and finding.explained in content["regions"]:
        region = content["regions"][finding.explained]
        contour = None if region is None else Region.model_validate(region)
        overlay = png(pictures.overlay(finding.explained, contour, content["width"]))
    return Shown(
        number=row.number,
        name=finding.source,
        words=_capital(in_words(finding.probabilities, store.card.classes)),
        more=finding.reason if finding.unknown else set_in_words(finding, store.card),
        unknown=finding.unknown,
        probabilities=[(names[key], p) for key, p in sorted(finding.probabilities.items(), key=lambda kp: -kp[1])],
        explained=names.get(finding.explained or "", ""),
        method=finding.method,
        region=_where(region),
        warnings=finding.warnings,
        scan=png(draw_scan(Scan(pictures.shown(), ""))),
        overlay=overlay,
        feedback=[_assessment(f, names) for f in feedback],
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _assessment(feedback: Feedback, names: dict[str, str]) -> str:
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
