"""Pages of audits and validations are shown as they are, and no other file of the server's is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.web.conftest import Page, token
from tumorlens.cli import app
from tumorlens.web.evaluations import EvaluationReports

PAGE = "<!doctype html><title>Audit of masoud &amp; co</title><script>alert(1)</script><p>leaks"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    reports = tmp_path / "reports"
    for name in ("audit.html", "runs/mine/evaluation/report.html", ".hidden/x.html", "a/b/c/d/e/deep.html"):
        (reports / name).parent.mkdir(parents=True, exist_ok=True)
        (reports / name).write_text(PAGE, "utf-8")
    (reports / "notes.txt").write_text("a secret", "utf-8")
    (tmp_path / "outside.html").write_text("a secret", "utf-8")
    (reports / "link.html").symlink_to(tmp_path / "outside.html")
    (reports / "gone.html").symlink_to(reports / "nowhere.html")
    return reports


def test_pages_are_found_and_nothing_else(folder: Path) -> None:
    evaluations = EvaluationReports(folder)

    assert sorted(p.name for p in evaluations.all()) == ["audit.html", "runs/mine/evaluation/report.html"]
    assert {p.title for p in evaluations.all()} == {"Audit of masoud & co"}
    assert evaluations.find("audit.html") == folder.resolve() / "audit.html"
    for name in ("../outside.html", "link.html", "notes.txt", "/etc/passwd", ".hidden/x.html", ""):
        assert evaluations.find(name) is None
    assert EvaluationReports(None).all() == []


def test_they_are_listed_and_served_with_a_strict_policy(open_page: Callable[..., Page], folder: Path) -> None:
    page = open_page(reports=folder)
    listed = page.http.get("/model").text
    answer = page.http.get("/reports/runs/mine/evaluation/report.html")

    assert 'href="/reports/audit.html"' in listed
    assert "Audit of masoud &amp; co" in listed
    assert answer.text == PAGE
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "script-src" not in policy
    assert "default-src 'none'" in policy
    assert policy.endswith("sandbox")
    for name in ("notes.txt", "link.html", "..%2foutside.html", "%2e%2e/outside.html", "nothing.html"):
        assert page.http.get(f"/reports/{name}").status_code == 404, name


def test_they_are_for_those_who_are_logged_in(guarded: Page, open_page: Callable[..., Page], folder: Path) -> None:
    guarded.close()
    page = open_page(guarded.settings.model_copy(update={"reports": folder}))

    answer = page.http.get("/reports/audit.html", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/reports/audit.html")
    assert page.http.get("/reports/audit.html", headers=token(page, "jane")).status_code == 200


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    command = ["serve", "--home", str(tmp_path), "--reports", str(tmp_path / "none"), "--no-open"]
    error = str(CliRunner().invoke(app, command).exception)
    assert "none: there is no such folder" in error
    assert "tumorlens data audit" in error
