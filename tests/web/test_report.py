"""The report says what was found, by what, and what it is not; its first page stands alone."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator

from PIL import Image

from tests.web.conftest import Page
from tumorlens.web.report import FIELDS, Beside, Block, Box, Fields, Report, Text, make_report
from tumorlens.web.report_pdf import pdf_report


def flat(blocks: Iterable[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Beside):
            yield from flat(block.blocks)


def words(blocks: Iterable[Block]) -> str:
    said = []
    for block in flat(blocks):
        match block:
            case Text(words=text):
                said.append(text)
            case Box(title=title, items=items):
                said += [title, *items]
    return "\n".join(said)


def report_of(page: Page, case: str) -> Report:
    return make_report(page.parts.store.get(case), page.parts.store)


def pictures(blocks: Iterable[Block]) -> list[str]:
    return [figure.alt for block in blocks if isinstance(block, Beside) for figure in block.figures]


def shown(report: Report) -> dict[int, tuple[Block, ...]]:
    """Slices that the details show, with their blocks."""
    found = {}
    for part in report.parts:
        assert isinstance(part[0], Text | Box)
        if isinstance(part[0], Text) and (match := re.match(r"(\d+)\. ", part[0].words)):
            found[int(match[1])] = part
    return found


def test_both_reports_hold_what_they_must(shared_page: Page, archive: bytes) -> None:
    case = shared_page.read({"s.zip": archive}, title="Reading <b>& co. – ärztlich")
    page = f"/cases/{case['id']}"
    key = case["study"]["key_slices"][0]
    shared_page.post(f"{page}/feedback", json={"slice": key, "verdict": "unsure", "comment": "Müller <i>?"})
    html = shared_page.get(f"{page}/report.html").text
    pdf = shared_page.get(f"{page}/report.pdf")
    report = report_of(shared_page, case["id"])

    for said in (
        "Research use only",
        "Reading &lt;b&gt;&amp; co. – ärztlich",
        "Müller &lt;i&gt;?",
        "Glioma",
        shared_page.parts.store.uploads(case["id"])[0].sha256,
        "mm²",
        f"{key}. series 1, slice {key}",
    ):
        assert said in html, said
    # No heat is drawn over a slice without a tumour.
    slices = shared_page.get(f"{page}/slices").json()
    details = shown(report)
    assert len(details) == 6
    for number, part in details.items():
        with_heat = slices[number - 1]["finding"]["label"] != "no_tumor"
        assert len(pictures(part)) == 1 + with_heat
    every = pictures(report.first) + [alt for part in report.parts for alt in pictures(part)]
    assert html.count('<img src="data:image/png') == len(every)
    assert "http" not in re.sub(r"data:[^\"]*", "", html)
    assert "ruled out" not in html.lower()
    assert pdf.headers["content-type"] == "application/pdf"
    assert pdf.content.startswith(b"%PDF")
    assert pdf.content.count(b"/Type /Page\n") >= 2


def test_the_first_page_stands_alone(shared_page: Page, archive: bytes) -> None:
    case = shared_page.read({"s.zip": archive + b"\0\0"})
    keys = case["study"]["key_slices"]
    for number in keys[:2]:
        shared_page.post(f"/cases/{case['id']}/feedback", json={"slice": number, "verdict": "agree"})
    report = report_of(shared_page, case["id"])
    said = words(report.first)

    assert "Tumour suspected\nGlioma suspected" in said
    assert f"most suspicious slices: {keys[0]}" in said
    assert "a person must look" in said
    assert "not calibrated for studies" in said
    assert "Decided by: series" in said
    assert "Assessed by readers: 2 slices (2 agreed with)." in said
    assert all(caution in said for caution in shared_page.parts.card.cautions)
    assert case["weights_sha256"] in said  # whole
    assert any(isinstance(block, Fields) for block in report.first)
    html = shared_page.get(f"/cases/{case['id']}/report.html").text
    assert all(f'name="{key}"' in html for key in FIELDS)
    # Key slices, each as it is and with its heat.
    assert [alt.split()[0] for alt in pictures(report.first)] == ["Slice", "The", "Slice", "The"]
    assert {int(n) for n in re.findall(r"slice (\d+)", " ".join(pictures(report.first)).lower())} <= set(keys)


def test_a_long_case_shows_its_key_slices_and_those_spoken_of(shared_page: Page, archive: bytes) -> None:
    case = shared_page.read({"a.zip": archive, "b.zip": archive + b"\0"})
    shared_page.post(f"/cases/{case['id']}/feedback", json={"slice": 20, "verdict": "unsure"})
    report = report_of(shared_page, case["id"])

    details = shown(report)
    assert len(details) == 6
    assert f"{case['slices'] - 6} more slices are in the case" in words(
        block for part in report.parts for block in part
    )
    assert set(case["study"]["key_slices"]) | {20} <= set(details)


def test_what_a_card_says_is_not_said_of_a_case_that_other_weights_read(shared_page: Page, jpeg: bytes) -> None:
    case = shared_page.read({"other.jpg": jpeg + b"other"})
    shared_page.parts.store.update(case["id"], weights_name="older", weights_sha256="0" * 64)
    report = report_of(shared_page, case["id"])
    said = words(report.first) + words(block for part in report.parts for block in part)

    card = shared_page.parts.card
    assert not [caution for caution in (*card.cautions, card.data) if caution in said]
    assert "What is known of older stands in its card" in said
    assert f"weights older, sha256 {'0' * 64}" in said


def test_what_was_measured_stands_with_its_slice(shared_page: Page, jpeg: bytes) -> None:
    case = shared_page.read({"a.jpg": jpeg})["id"]
    new = {"slice": 1, "kind": "length", "points": [[0, 0.5], [1, 0.5]]}
    text = shared_page.post(f"/cases/{case}/measurements", json=new).json()["text"]
    assert "pixels" in text
    assert text in words(shown(report_of(shared_page, case))[1])


def test_an_unfinished_case_has_no_report(shared_page: Page, jpeg: bytes) -> None:
    case = shared_page.new_case({"a.jpg": jpeg})

    assert shared_page.get(f"/cases/{case}/report.pdf").status_code == 409


def test_an_unknown_scan_is_in_plain_sight(shared_page: Page) -> None:
    file = io.BytesIO()
    Image.effect_noise((128, 128), 80).save(file, "PNG")
    case = shared_page.read({"noise.png": file.getvalue()})
    report = report_of(shared_page, case["id"])
    said = words(report.first)

    assert case["unknown"] is True
    assert case["uncertainty"] == 1
    assert (case["label"], case["study"]["label"], case["study"]["probabilities"]) == ("", None, {})
    assert "Not assessable\nNot assessable: every slice is unlike the scans of the training" in said
    assert "%" not in said.partition("Limits")[0]
    (part,) = shown(report).values()
    assert len(pictures(report.first)) == len(pictures(part)) == 1
    html = shared_page.get(f"/cases/{case['id']}/report.html").text
    assert "Unlike the scans it was trained on" in html
    assert html.count("<img") == 2
    assert pdf_report(report).startswith(b"%PDF")
