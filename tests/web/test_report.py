"""The report says what was found, by what, and what it is not."""

from __future__ import annotations

import re

from tests.web.conftest import Page
from tumorlens.web.report import make_report
from tumorlens.web.report_pdf import pdf_report


def test_both_reports_hold_what_they_must(shared_page: Page, archive: bytes) -> None:
    case = shared_page.read({"s.zip": archive}, title="Reading <b>& co. – ärztlich")
    page = f"/cases/{case['id']}"
    key = case["study"]["key_slices"][0]
    shared_page.post(f"{page}/feedback", json={"slice": key, "verdict": "unsure", "comment": "Müller <i>?"})
    html = shared_page.get(f"{page}/report.html").text
    pdf = shared_page.get(f"{page}/report.pdf")

    for words in (
        "Research use only",
        "Reading &lt;b&gt;&amp; co. – ärztlich",
        "Müller &lt;i&gt;?",
        "Glioma",
        case["weights_sha256"][:16],
        shared_page.parts.card.cautions[0].split("'")[0],
        shared_page.parts.store.uploads(case["id"])[0].sha256,
        "mm²",
        f"{key}. series 1, slice {key}",
    ):
        assert words in html, words
    # No heat is drawn over a slice without a tumour.
    slices = shared_page.get(f"{page}/slices").json()
    report = make_report(shared_page.parts.store.get(case["id"]), shared_page.parts.store)
    tumours = [s for s in report.shown if slices[s.number - 1]["finding"]["label"] != "no_tumor"]
    assert 0 < len(tumours) == len([s for s in report.shown if s.overlay]) < 6
    assert len(re.findall(r"<img src=\"data:image/png", html)) == 6 + len(tumours)
    assert "http" not in re.sub(r"data:[^\"]*", "", html).replace("http-equiv", "")
    assert pdf.headers["content-type"] == "application/pdf"
    assert pdf.content.startswith(b"%PDF")
    assert pdf.content.count(b"/Type /Page\n") >= 1


def test_a_long_case_shows_its_key_slices_and_those_spoken_of(shared_page: Page, archive: bytes) -> None:
    case = shared_page.read({"a.zip": archive, "b.zip": archive + b"\0"})
    shared_page.post(f"/cases/{case['id']}/feedback", json={"slice": 20, "verdict": "unsure"})
    report = make_report(shared_page.parts.store.get(case["id"]), shared_page.parts.store)

    shown = {s.number for s in report.shown}
    assert len(shown) == 6
    assert report.left_out == case["slices"] - 6
    assert set(case["study"]["key_slices"]) | {20} <= shown


def test_an_unfinished_case_has_no_report(shared_page: Page, jpeg: bytes) -> None:
    case = shared_page.new_case({"a.jpg": jpeg})

    assert shared_page.get(f"/cases/{case}/report.pdf").status_code == 409


def test_an_unknown_scan_is_in_plain_sight(shared_page: Page) -> None:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.effect_noise((128, 128), 80).save(file, "PNG")
    case = shared_page.read({"noise.png": file.getvalue()})
    report = make_report(shared_page.parts.store.get(case["id"]), shared_page.parts.store)

    assert case["unknown"] is True
    assert case["uncertainty"] == 1
    assert (case["label"], case["study"]["label"], case["study"]["probabilities"]) == ("", None, {})
    assert report.headline == "Not assessable: every slice is unlike the scans of the training"
    (shown,) = report.shown
    assert (shown.probabilities, shown.overlay, shown.region) == ([], None, "")
    html = shared_page.get(f"/cases/{case['id']}/report.html").text
    assert "Unlike the scans it was trained on" in html
    assert html.count("<img") == 1
    assert pdf_report(report).startswith(b"%PDF")
