"""The report as PDF: whatever a reader or a file says is text in it, and it can be printed."""

import io
from dataclasses import replace

import pytest
from PIL import Image

from tests.web.conftest import Page
from tumorlens.web.report import Report, make_report
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


@pytest.mark.parametrize("evil", ["<b>bold", "&amp; <para>", "\x00\ufffe", "x" * 3000, "Müller 肿瘤"])
def test_no_text_breaks_it(report: Report, evil: str) -> None:
    shown = [replace(s, name=evil, feedback=[evil], warnings=(evil,)) for s in report.shown]
    assert pages(pdf_report(replace(report, shown=shown, failures=[(evil, evil)]))) >= 1


def test_pictures_of_any_shape_fit_and_many_slices_take_more_pages(report: Report) -> None:
    file = io.BytesIO()
    Image.new("L", (40, 900)).save(file, "PNG")
    tall = replace(report.shown[0], scan=file.getvalue(), overlay=None)
    assert pages(pdf_report(replace(report, shown=[tall] * 12, left_out=5))) > pages(pdf_report(report))
