"""What is made of assessments, as the API gives it."""

from tests.web.conftest import Page


def test_without_assessments_there_is_nothing_to_export(page: Page) -> None:
    answer = page.get("/feedback/export")
    assert answer.status_code == 409
    assert "nobody has said anything" in answer.json()["error"]


def test_what_was_said_is_in_report_and_export(page: Page, jpeg: bytes) -> None:
    case = page.read({"a.jpg": jpeg})["id"]
    page.post(f"/cases/{case}/feedback", json={"slice": 1, "verdict": "other", "label": "glioma", "comment": "a ring"})
    assert "a ring" in page.get(f"/cases/{case}/report.html").text
    assert page.get(f"/cases/{case}/report.pdf").content.startswith(b"%PDF")
    assert page.get("/feedback/export").content.startswith(b"PK")


def test_there_is_no_report_of_a_case_that_is_not_done(page: Page) -> None:
    case = page.new_case({})
    assert page.get(f"/cases/{case}/report.html").status_code == 409
