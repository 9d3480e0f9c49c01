"""The report as PDF: whatever a reader or a file says is text in it, it can be printed, and filled in."""

import io
from dataclasses import replace

import pytest
from PIL import Image
from reportlab.platypus import Paragraph

from tests.web.conftest import Page
from tumorlens.web import report_pdf
from tumorlens.web.report import FIELDS, Bars, Beside, Box, Figure, Report, Text, make_report
from tumorlens.web.report_pdf import pdf_report


@pytest.fixture
def report(shared_page: Page, jpeg: bytes) -> Report:
    case = shared_page.read({"a.jpg": jpeg}, title="a case")["id"]
    return make_report(shared_page.parts.store.get(case), shared_page.parts.store)


def pages(pdf: bytes) -> int:
    return pdf.count(b"/Type /Page\n")


def test_it_is_a_pdf_with_its_fonts_in_it(report: Report) -> None:
    pdf = pdf_report(report)
    assert pdf.startswith(b"%PDF")
    assert b"TumorLens report: a case" in pdf
    assert pdf.count(b"/FontFile2") == 2


def test_it_has_fields_that_a_program_can_fill(report: Report) -> None:
    pdf = pdf_report(report)
    assert pdf.count(b"/FT /Tx") == len(FIELDS)


def test_it_says_all_that_the_report_says(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    draw = report_pdf._text

    def heard(words: str, style: str = "text") -> Paragraph:
        said.append(words)
        return draw(words, style)

    monkeypatch.setattr(report_pdf, "_text", heard)
    pdf_report(report)
    whole = "\n".join(said)

    wanted = []
    for block in [*report.first, *(block for part in report.parts for block in part)]:
        match block:
            case Text(words=words):
                wanted.append(words)
            case Box(title=title, items=items):
                wanted += [title, *items]
            case Bars(rows=rows):
                wanted += [name for name, _ in rows]
            case Beside(figures=figures):
                wanted += [figure.caption for figure in figures]
    assert len(wanted) > 15
    assert [words for words in wanted if words not in whole] == []


@pytest.mark.parametrize("evil", ["<b>bold", "&amp; <para>", "\x00\ufffe", "x" * 3000, "Müller 肿瘤"])
def test_no_text_breaks_it(report: Report, evil: str) -> None:
    evils = (Text(evil, "title"), Text(evil, "warning"), Box(evil, (evil, evil)), Text(evil, "small"))
    pdf = pdf_report(replace(report, title=evil, first=(*evils, *report.first), parts=(evils, *report.parts)))
    assert pages(pdf) >= 2


def test_whatever_it_holds_the_first_page_is_one_and_a_heading_never_stands_alone(report: Report) -> None:
    cautions = Box("Limits", tuple(f"caution {i}, and why it matters to whoever reads this" for i in range(60)))
    short = replace(report, parts=())
    assert pages(pdf_report(short)) == pages(pdf_report(replace(short, first=(*report.first, cautions)))) == 1


def test_pictures_of_any_shape_fit_and_many_slices_take_more_pages(report: Report) -> None:
    file = io.BytesIO()
    Image.new("L", (40, 900)).save(file, "PNG")
    tall = (Text("1. tall", "section"), Beside((Figure("tall", "", file.getvalue()),), (Text("words"),)))
    assert pages(pdf_report(replace(report, parts=(tall,) * 12))) > pages(pdf_report(report))
