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
from reportlab.platypus import (
    Flowable,
    Image,
    KeepInFrame,
    KeepTogether,
    PageBreak,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    Table,
    TableStyle,
)

from tumorlens.web.report import FIELDS, NOTICE, Bars, Beside, Block, Box, Fields, Figure, Report, Text

_INK, _GREY, _ACCENT, _LINE, _WARN = (HexColor(c) for c in ("#1b2026", "#5b6670", "#0b6e78", "#d5dbe0", "#8a3b00"))
_MARGIN, _TOP, _BOTTOM = 18 * mm, 14 * mm, 18 * mm
_WIDTH, _HEIGHT = A4[0] - 2 * _MARGIN, A4[1] - _TOP - _BOTTOM
_PADDING = 6  # points that a frame keeps free on each side


def pdf_report(report: Report) -> bytes:
    """The report as PDF, A4, fonts embedded, with fields that a program for PDFs can fill."""
    _fonts()
    file = io.BytesIO()
    margins = {"leftMargin": _MARGIN, "rightMargin": _MARGIN, "topMargin": _TOP, "bottomMargin": _BOTTOM}
    title = f"TumorLens report: {report.title}"
    document = SimpleDocTemplate(file, pagesize=A4, title=title, author="TumorLens", lang="en", **margins)
    document.build(_story(report), onFirstPage=_foot, onLaterPages=_foot)
    return file.getvalue()


def _story(report: Report) -> list[Flowable]:
    # The first page is one page, whatever a card or a title holds: it becomes smaller rather than two.
    room = (_WIDTH - 2 * _PADDING, _HEIGHT - 2 * _PADDING - 1)
    first = KeepInFrame(*room, _all(report.first, room[0]), mode="shrink")
    story: list[Flowable] = [first, PageBreak()]
    for part in report.parts:
        story += [KeepTogether(_all(part, room[0])), Spacer(1, 4 * mm)]
    return story


def _all(blocks: tuple[Block, ...], width: float) -> list[Flowable]:
    return [flowable for block in blocks for flowable in _drawn(block, width)]


def _drawn(block: Block, width: float) -> list[Flowable]:
    match block:
        case Text(words=words, style=style):
            return [_text(words, style)] if words else []
        case Bars(rows=rows):
            return [_bar(name, p) for name, p in rows]
        case Fields():
            return [_form(width), Spacer(1, 3 * mm)]
        case Box(title=title, items=items):
            inside = [_text(title, "section"), *(_text(f"• {item}", "small") for item in items)]
            # A row for each line, for a row cannot go on over the page.
            box = Table([[line] for line in inside], colWidths=[width])
            padding = [(f"{side}PADDING", (0, 0), (-1, -1), 1) for side in ("TOP", "BOTTOM")]
            frame = [("BOX", (0, 0), (-1, -1), 0.8, _WARN), ("LEFTPADDING", (0, 0), (-1, -1), 7), *padding]
            box.setStyle(TableStyle([*frame, ("BOTTOMPADDING", (0, -1), (-1, -1), 6)]))
            return [Spacer(1, 2 * mm), box, Spacer(1, 2 * mm)]
        case Beside(figures=figures, blocks=blocks):
            return [_beside(figures, blocks, width)] if figures else _all(blocks, width)


def _beside(figures: tuple[Figure, ...], blocks: tuple[Block, ...], width: float) -> Table:
    """Pictures of one height, so that a scan is as large as the same scan with its heat and a scale beside it."""
    words, most, gap = (62 * mm, 46 * mm, 3 * mm) if blocks else (0, 70 * mm, 3 * mm)
    shapes = [_shape(figure.picture) for figure in figures]
    height = min(most, (width - words - gap * len(figures)) / sum(shapes))
    cells: list[list[Flowable]] = []
    for figure, shape in zip(figures, shapes, strict=True):
        picture = Image(io.BytesIO(figure.picture), shape * height, height, hAlign="LEFT")
        cells.append([picture, *([_text(figure.caption, "small")] if figure.caption else [])])
    columns = [shape * height + gap for shape in shapes]
    if blocks:
        cells.append(_all(blocks, words))
        columns.append(words)
    table = Table([cells], colWidths=columns, hAlign="LEFT")
    table.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)]))
    return table


def _shape(picture: bytes) -> float:
    """Width of a picture, as a multiple of its height."""
    with PillowImage.open(io.BytesIO(picture)) as image:
        return image.width / image.height


def _bar(name: str, p: float) -> Table:
    width, height = 18 * mm, 2.4 * mm
    parts = (Rect(0, 0, w, height, fillColor=c, strokeColor=None) for w, c in ((width, _LINE), (width * p, _ACCENT)))
    cells = [_text(name, "small"), Drawing(width, height, *parts), _text(f"{p:.1%}", "small")]
    row = Table([cells], colWidths=[27 * mm, 19 * mm, 14 * mm], hAlign="LEFT")
    row.setStyle(TableStyle([(f"{side}PADDING", (0, 0), (-1, -1), 1) for side in ("TOP", "BOTTOM", "LEFT", "RIGHT")]))
    return row


def _form(width: float) -> Table:
    cells = [[_text(words, "small"), _Blank(key, words, width / 3 - 4 * mm)] for key, words in FIELDS.items()]
    form = Table([cells[:3], cells[3:]], colWidths=[width / 3] * 3)
    edges = [("BOX", (0, 0), (-1, -1), 0.6, _GREY), ("INNERGRID", (0, 0), (-1, -1), 0.6, _LINE)]
    padding = [(f"{side}PADDING", (0, 0), (-1, -1), 2) for side in ("TOP", "BOTTOM")]
    form.setStyle(TableStyle([*edges, *padding, ("LEFTPADDING", (0, 0), (-1, -1), 5)]))
    return form


class _Blank(Flowable):
    """An empty field: a space on paper, and in the file a text field of that name."""

    def __init__(self, key: str, words: str, width: float) -> None:
        super().__init__()
        self.width, self.height = width, 6.5 * mm
        self._key, self._words = key, words

    def wrap(self, _width: float, _height: float) -> tuple[float, float]:
        return self.width, self.height

    def draw(self) -> None:
        size = {"width": self.width, "height": self.height, "borderWidth": 0, "fontSize": 10, "maxlen": 200}
        self.canv.acroForm.textfield(name=self._key, tooltip=self._words, relative=True, fillColor=None, **size)


def _foot(canvas: Canvas, document: SimpleDocTemplate) -> None:
    canvas.setFont("TumorLens", 7.5)
    canvas.setFillColor(_GREY)
    canvas.drawString(_MARGIN, 10 * mm, NOTICE)
    canvas.drawRightString(A4[0] - _MARGIN, 10 * mm, f"page {document.page}")


_STATE = {"fontSize": 19, "leading": 24, "fontName": "TumorLens-Bold", "spaceBefore": 4}
_STYLES = {
    "text": {"fontSize": 9, "leading": 12.5, "textColor": _INK},
    "small": {"fontSize": 7.5, "leading": 10, "textColor": _GREY},
    "title": {"fontSize": 14, "leading": 18, "textColor": _INK, "fontName": "TumorLens-Bold"},
    "present": {**_STATE, "textColor": HexColor("#a33c00")},
    "absent": {**_STATE, "textColor": HexColor("#2c5f33")},
    "uncertain": {**_STATE, "textColor": HexColor("#7a5200")},
    "not-assessable": {**_STATE, "textColor": _GREY},
    "headline": {"fontSize": 11, "leading": 15, "textColor": _INK, "fontName": "TumorLens-Bold"},
    "notice": {"fontSize": 9, "leading": 13, "textColor": _WARN, "fontName": "TumorLens-Bold", "spaceAfter": 4},
    "section": {
        "fontSize": 10,
        "leading": 14,
        "spaceBefore": 6,
        "textColor": _INK,
        "fontName": "TumorLens-Bold",
        "keepWithNext": 1,
    },
    "warning": {"fontSize": 8, "leading": 10.5, "textColor": _WARN},
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
