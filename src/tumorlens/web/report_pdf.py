"""The report of a case as PDF."""

from __future__ import annotations

import io
from pathlib import Path
from xml.sax.saxutils import escape

import matplotlib as mpl
from PIL import Image as PillowImage
from reportlab.graphics.shapes import Drawing, Rect
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Image, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from tumorlens.web.report import Report, Shown

NOTICE = "Research use only. Not a medical device; nothing here is a diagnosis."
_INK, _GREY, _ACCENT, _LINE = (HexColor(c) for c in ("#1b2026", "#5b6670", "#0b6e78", "#d5dbe0"))


def pdf_report(report: Report) -> bytes:
    """The report as PDF, A4, fonts embedded."""
    _fonts()
    file = io.BytesIO()
    title = f"TumorLens report: {report.case.title}"
    margins = {"leftMargin": 18 * mm, "rightMargin": 18 * mm, "topMargin": 16 * mm, "bottomMargin": 18 * mm}
    document = SimpleDocTemplate(file, pagesize=A4, title=title, author="TumorLens", lang="en", **margins)
    document.build(_story(report), onFirstPage=_foot, onLaterPages=_foot)
    return file.getvalue()


def _story(report: Report) -> list[Flowable]:
    story: list[Flowable] = [
        _text(report.case.title, "title"),
        _text(report.headline, "headline"),
        _text(NOTICE, "notice"),
        _text(report.about),
        Spacer(1, 3 * mm),
    ]
    for shown in report.shown:
        story += [KeepTogether(_slice(shown)), Spacer(1, 5 * mm)]
    if report.left_out:
        story.append(_text(f"{report.left_out} more slices are in the case and not shown here."))
    if report.failures:
        story.append(_text("Files that could not be read", "section"))
        story += [_text(f"{name}: {error}") for name, error in report.failures]
    story.append(KeepTogether([_text("Made by", "section"), _text(report.versions)]))
    story.append(_text(f"Trained on: {report.card.data}"))
    story += [_text(f"• {caution}") for caution in report.card.cautions]
    story += [_text(f"{name}: sha256 {digest}", "small") for name, digest in report.hashes]
    explanation = "The heat map shows what spoke for the class it names. It is no outline of a tumour, and no proof."
    return [*story, _text(explanation, "small")]


def _slice(shown: Shown) -> list[Flowable]:
    words: list[Flowable] = [_text(shown.words, "warning" if shown.unknown else "text")]
    if shown.more:
        words.append(_text(f"{shown.more[:1].upper()}{shown.more[1:]}", "warning" if shown.unknown else "small"))
    words += [_bar(name, p) for name, p in shown.probabilities]
    if shown.region:
        words.append(_text(f"Evidence for {shown.explained}: {shown.region} ({shown.method})", "small"))
    pictures = [_picture(data) for data in (shown.scan, shown.overlay) if data]
    table = Table([[*pictures, words]], colWidths=[*(52 * mm, 60 * mm)[: len(pictures)], 62 * mm], hAlign="LEFT")
    table.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)]))
    # Below the pictures: a row of a table cannot go on over the page, and readers may have much to say.
    below = [_text(f"• {warning}", "warning") for warning in shown.warnings]
    below += [_text(f"“{assessment}”", "small") for assessment in shown.feedback]
    return [_text(f"{shown.number}. {shown.name}", "section"), table, *below]


def _picture(data: bytes) -> Image:
    with PillowImage.open(io.BytesIO(data)) as image:
        width, height = image.size
    scale = min(58 * mm / width, 47 * mm / height)
    return Image(io.BytesIO(data), width * scale, height * scale)


def _bar(name: str, p: float) -> Table:
    width, height = 18 * mm, 2.4 * mm
    parts = (Rect(0, 0, w, height, fillColor=c, strokeColor=None) for w, c in ((width, _LINE), (width * p, _ACCENT)))
    cells = [_text(name, "small"), Drawing(width, height, *parts), _text(f"{p:.1%}", "small")]
    row = Table([cells], colWidths=[27 * mm, 19 * mm, 14 * mm])
    row.setStyle(TableStyle([(f"{side}PADDING", (0, 0), (-1, -1), 1) for side in ("TOP", "BOTTOM", "LEFT", "RIGHT")]))
    return row


def _foot(canvas: Canvas, document: SimpleDocTemplate) -> None:
    canvas.setFont("TumorLens", 7.5)
    canvas.setFillColor(_GREY)
    canvas.drawString(18 * mm, 10 * mm, NOTICE)
    canvas.drawRightString(A4[0] - 18 * mm, 10 * mm, f"page {document.page}")


_STYLES = {
    "text": {"fontSize": 9, "leading": 12.5, "textColor": _INK},
    "small": {"fontSize": 7.5, "leading": 10, "textColor": _GREY},
    "title": {"fontSize": 17, "leading": 21, "textColor": _INK, "fontName": "TumorLens-Bold"},
    "headline": {"fontSize": 13, "leading": 18, "textColor": _ACCENT, "fontName": "TumorLens-Bold"},
    "notice": {"fontSize": 9, "leading": 13, "textColor": HexColor("#8a3b00"), "fontName": "TumorLens-Bold"},
    "section": {"fontSize": 10, "leading": 14, "spaceBefore": 6, "textColor": _INK, "fontName": "TumorLens-Bold"},
    "warning": {"fontSize": 8, "leading": 10.5, "textColor": HexColor("#8a3b00")},
}


def _text(text: str, style: str = "text") -> Paragraph:
    options = {"fontName": "TumorLens", **_STYLES[style]}
    # Text is a reader's or a file's: never markup.
    return Paragraph(escape(text), ParagraphStyle(style, wordWrap="LTR", splitLongWords=True, **options))


def _fonts() -> None:
    """DejaVu, which matplotlib carries: it has the letters of most languages, and is embedded in the file."""
    if "TumorLens" in pdfmetrics.getRegisteredFontNames():
        return
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    pdfmetrics.registerFont(TTFont("TumorLens", folder / "DejaVuSans.ttf"))
    pdfmetrics.registerFont(TTFont("TumorLens-Bold", folder / "DejaVuSans-Bold.ttf"))
