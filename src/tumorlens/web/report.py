"""The report of a case as blocks: a first page that stands alone, then the details. HTML and PDF draw the same."""

from __future__ import annotations

import base64
import datetime as dt
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from PIL import Image

from tumorlens.evidence import Region
from tumorlens.finding import FindingRecord
from tumorlens.overlay import draw_scan
from tumorlens.scan import Scan
from tumorlens.version import __version__
from tumorlens.web.pages import templates
from tumorlens.web.pictures import png
from tumorlens.web.store import Store
from tumorlens.web.tables import Case, Feedback, Slice
from tumorlens.wording import STATES, in_words, one_of, set_in_words, study_in_words

MOST = 6
"""Slices that the details show, in this order: the key slices, those somebody assessed, then the surest."""

KEY_PICTURES = 2
"""Key slices on the first page, each as it is and with its heat."""

NOTICE = "Research use only. Not a medical device; nothing here is a diagnosis."

_SIDE = 720  # pixels along the longer side of a picture: more than paper shows
_TITLE = 200  # characters of a title on paper

_MEANING = {
    "present": "The network suspects a tumour. It may be wrong about that, and about its class: a person must look.",
    "absent": "The network saw none. It misses tumours, so this is no proof that there is none: a person must look.",
    "uncertain": "The network cannot tell. A person must look.",
    "not assessable": "The network has no finding, for the reason above. A person must look.",
}

FIELDS = {
    "patient": "Patient",
    "born": "Born",
    "identifier": "Identifier",
    "examination": "Examination, date",
    "reader": "Reader",
    "signed": "Date, signature",
}
"""What is filled in by hand, or in the file by whoever knows: the page knows no patient."""

Style = Literal["title", "present", "absent", "uncertain", "not-assessable", "headline", "notice", "section"]
"""How a text is drawn, beside "text", "small" and "warning". The second to the fifth are a study's answer."""

_ANSWERS: dict[str, Style] = {
    "present": "present",
    "absent": "absent",
    "uncertain": "uncertain",
    "not assessable": "not-assessable",
}


@dataclass(frozen=True)
class Text:
    """A paragraph, or a heading."""

    words: str
    style: Style | Literal["text", "small", "warning"] = "text"


@dataclass(frozen=True)
class Fields:
    """Fields left empty for patient and reader, by `FIELDS`."""


@dataclass(frozen=True)
class Bars:
    """Names of classes with their probabilities, the most probable first."""

    rows: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Figure:
    """A picture as PNG, and what it shows: for those who cannot see it, and in a line below, if there is one."""

    alt: str
    caption: str
    picture: bytes = field(repr=False)


@dataclass(frozen=True)
class Beside:
    """Pictures in a row; blocks to their right, where there are some."""

    figures: tuple[Figure, ...]
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Box:
    """A framed list."""

    title: str
    items: tuple[str, ...]


Block = Text | Fields | Bars | Beside | Box


@dataclass(frozen=True)
class Report:
    """A report.

    Attributes:
        title: Of the case.
        first: What stands on the first page, and fits on it.
        parts: The details; what is in a part stays together, as far as a page allows.
    """

    title: str
    first: tuple[Block, ...]
    parts: tuple[tuple[Block, ...], ...]


def make_report(case: Case, store: Store) -> Report:
    """The report of a finished case."""
    content = _Content(case, store)
    return Report(case.title, tuple(content.first()), tuple(content.details()))


def html_report(report: Report) -> str:
    """The report as one HTML page that stands alone."""
    kinds = {"fields": FIELDS, "data": _data, "kind": lambda block: type(block).__name__}
    return templates().get_template("report.html").render(report=report, **kinds)


class _Content:
    """What a report says of a case."""

    def __init__(self, case: Case, store: Store) -> None:
        self._case, self._store, self._card = case, store, store.card
        # The server may answer with other weights by now: what their card says is not true of this case.
        self._by_these = case.weights_sha256 == store.card.sha256
        self._names = {c.key: c.name for c in store.card.classes}
        self._slices, self._feedback = store.slices(case.id), store.feedback(case.id)
        self._measured = store.measurements(case.id)
        self._study: dict[str, Any] = case.study or {}
        self._keys: list[int] = self._study.get("key_slices", [])

    def first(self) -> Iterator[Block]:
        """The first page: what is found, where, how sure, what limits it, and what made it."""
        case, study = self._case, self._study
        yield Text(case.title[:_TITLE], "title")
        yield Text(NOTICE, "notice")
        yield Fields()
        answer = study.get("answer", "not assessable")
        yield Text(STATES[answer], _ANSWERS[answer])
        yield Text(_capital(study_in_words(study.get("text", ""), () if case.unknown else self._keys)), "headline")
        yield Text(_MEANING[answer])
        yield Beside(tuple(figure for row in self._key_rows() for figure in self._figures(row)))
        if how := tuple(self._how_sure()):
            yield Text("How sure it is", "section")
            yield from how
        yield Box("Limits", tuple(self._limits()))
        slices = f"{case.slices:,} slice{'s' * (case.slices != 1)}"
        made = _when(dt.datetime.now(dt.UTC).timestamp())
        yield Text(f"Case {case.id}, {slices}, dropped {_when(case.created)}; report of {made}.", "small")
        yield Text(
            f"TumorLens {case.version}, weights {case.weights_name}, sha256 {case.weights_sha256}; "
            f"report by TumorLens {__version__}.",
            "small",
        )

    def _key_rows(self) -> list[Slice]:
        """Key slices from within their run, where a tumour is seen best."""
        count = min(KEY_PICTURES, len(self._keys))
        places = {self._keys[len(self._keys) * (2 * i + 1) // (2 * count)] for i in range(count)}
        return [row for row in self._slices if row.number in places]

    def _how_sure(self) -> Iterator[Block]:
        study = self._study
        probabilities: dict[str, float] = study.get("probabilities", {})
        if probabilities:
            yield Bars(self._ranked(probabilities))
        one = len(self._slices) == 1
        if probabilities and one:
            finding = FindingRecord.model_validate(self._slices[0].content["finding"])
            yield Text(_sentence("Calibrated on scans that trained nothing", set_in_words(finding, self._card)))
        elif probabilities:
            yield Text("Means over the most suspicious slices of each series that counted; not calibrated for studies.")
        counted = [_series(s) for s in study.get("series", ()) if s["counted"]]
        left = [f"{_series(s)}: {s['reason']}" for s in study.get("series", ()) if not s["counted"]]
        if counted and not one:
            yield Text(_sentence("Decided by", "; ".join(counted)))
        if left and len(study["series"]) > 1:
            yield Text(_sentence("Not counted", "; ".join(left)))
        if study.get("unknown_slices") and not one:
            yield Text(
                f"{study['unknown_slices']:,} of {study['slices']:,} slices are unlike the scans of the training, and "
                "had no vote."
            )
        if self._feedback:
            yield Text(_sentence("Assessed by readers", self._assessed()))

    def _assessed(self) -> str:
        """How many slices readers assessed, and how: by the last word of each reader on each slice."""
        last = {(f.slice, f.reader): f.verdict for f in self._feedback}
        words = {"agree": "agreed with", "other": "of another class", "unsure": "unsure"}
        counts = Counter(words[verdict] for verdict in last.values())
        slices = len({number for number, _ in last})
        return f"{slices} slice{'s' * (slices != 1)} ({', '.join(f'{n} {what}' for what, n in counts.items())})"

    def details(self) -> Iterator[tuple[Block, ...]]:
        """The parts after the first page."""
        assessed = {f.slice for f in self._feedback} | {m.slice for m in self._measured}
        order = sorted(
            self._slices,
            key=lambda s: (s.number not in self._keys, s.number not in assessed, s.content["uncertainty"], s.number),
        )
        chosen = order[: max(MOST, len(self._keys))]
        for row in chosen:
            yield tuple(self._slice(row))
        if left := len(self._slices) - len(chosen):
            yield (Text(f"{left:,} more slice{'s are' if left > 1 else ' is'} in the case and not shown here."),)
        if failures := self._store.failures(self._case.id):
            yield (Box("Files that could not be read", tuple(f"{f.name}: {f.error}" for f in failures)),)
        uploads = self._store.uploads(self._case.id)[:MOST]
        card: tuple[Text, ...] = ()
        if self._by_these:
            card = (Text(f"Trained on: {self._card.data}"), Text(f"Split: {self._card.split}"))
        yield (
            Text("The network and the files", "section"),
            *card,
            *(Text(f"file {u.number}: sha256 {u.sha256}", "small") for u in uploads),
        )

    def _limits(self) -> Iterator[str]:
        if self._by_these:
            yield from self._card.cautions
        else:
            yield f"What is known of {self._case.weights_name} stands in its card; this server has other weights now."
        classes = one_of(list(self._names.values()))
        yield f"It knows {classes}. Whatever else there is gets one of these, or is unknown."
        yield "A heat map shows what spoke for the class it names. It is no outline of a tumour, and no proof."

    def _slice(self, row: Slice) -> Iterator[Block]:
        finding = FindingRecord.model_validate(row.content["finding"])
        style: Literal["warning", "text"] = "warning" if finding.unknown else "text"
        words: list[Block] = [Text(_capital(in_words(finding.probabilities, self._card.classes)), style)]
        if more := finding.reason if finding.unknown else set_in_words(finding, self._card):
            words.append(Text(_capital(more), "warning" if finding.unknown else "small"))
        if finding.probabilities:
            words.append(Bars(self._ranked(finding.probabilities)))
        if region := _where(self._region(row, finding)):
            explained = self._names[finding.explained or ""]
            words.append(Text(f"Evidence for {explained}: {region} ({finding.method})", "small"))
        yield Text(f"{row.number}. {finding.source}", "section")
        yield Beside(tuple(self._figures(row, captions=False)), tuple(words))
        for warning in finding.warnings:
            yield Text(warning, "warning")
        for feedback in self._feedback:
            if feedback.slice == row.number:
                yield Text(f"“{_assessment(feedback, self._names)}”", "small")
        for measured in self._measured:
            if measured.slice == row.number:
                yield Text(f"Measured by {measured.reader}, {_when(measured.made)}: {measured.text}", "small")

    def _figures(self, row: Slice, *, captions: bool = True) -> Iterator[Figure]:
        """A slice as it is, and with its heat, where there is any."""
        finding = FindingRecord.model_validate(row.content["finding"])
        pictures = self._store.pictures(row.case_id, row.number)
        caption = f"Slice {row.number}: {in_words(finding.probabilities, self._card.classes)}" if captions else ""
        scan = draw_scan(Scan(pictures.shown(), ""))
        yield Figure(f"Slice {row.number} as its file shows it.", caption, _png(scan))
        if (key := finding.explained) is not None and key in row.content["regions"]:
            region = self._region(row, finding)
            overlay = pictures.overlay(key, region, row.content["width"])
            where = f", strongest at {_where(region)}" if region else ""
            explained = self._names[key]
            caption = f"Slice {row.number}, heat for {explained}" if captions else ""
            yield Figure(f"The heat map for {explained} over slice {row.number}{where}.", caption, _png(overlay))

    def _region(self, row: Slice, finding: FindingRecord) -> Region | None:
        region = row.content["regions"].get(finding.explained)
        return None if region is None else Region.model_validate(region)

    def _ranked(self, probabilities: dict[str, float]) -> tuple[tuple[str, float], ...]:
        return tuple((self._names[key], p) for key, p in sorted(probabilities.items(), key=lambda kp: -kp[1]))


def _series(series: dict[str, Any]) -> str:
    """A stack of slices: its number, what it is, how many slices."""
    number = "a series without a number" if series["number"] is None else f"series {series['number']}"
    facts = [f for f in (series["sequence"] or series["description"], series["plane"]) if f]
    slices = f"{series['slices']} slice{'s' * (series['slices'] != 1)}"
    return f"{number} ({', '.join([*facts, slices])})"


def _sentence(what: str, more: str) -> str:
    return f"{what}: {more}." if more else f"{what}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _assessment(feedback: Feedback, names: dict[str, str]) -> str:
    what = {"agree": f"agrees: {names.get(feedback.label, '')}", "other": f"says {names.get(feedback.label, '')}"}
    text = f"{feedback.reader} {what.get(feedback.verdict, 'is unsure')}, {_when(feedback.said)}"
    if feedback.outline:
        text += ", with an outline"
    return f"{text}. {feedback.comment}" if feedback.comment else text


def _where(region: Region | None) -> str:
    if region is None:
        return ""
    x0, y0, x1, y1 = region.box
    text = f"x {x0} to {x1}, y {y0} to {y1} pixels"
    if region.box_mm:
        a, b, c, d = region.box_mm
        text += f"; {c - a:.0f} × {d - b:.0f} mm, {region.area_mm2:.0f} mm²"
    return text


def _when(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _png(image: Image.Image) -> bytes:
    image.thumbnail((_SIDE, _SIDE))
    return png(image)


def _data(picture: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"
