from __future__ import annotations

import pytest

from tests.web.conftest import Page


def test_logs_name_nobody(shared_page: Page, jpeg: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "tumorlens.web"):
        shared_page.read({"Jane.jpg": jpeg}, title="Jane")
        shared_page.get("/cases", params={"text": "Jane"})
        shared_page.post("/findings", params={"name": "Jane.png"}, content=b"Jane")
    lines = [str(vars(record)) for record in caplog.records if record.name.startswith("tumorlens")]

    assert len(lines) > 5
    assert not [line for line in lines if "Jane" in line]


def test_errors_are_logged_without_their_words() -> None:
    import sys

    from tumorlens.web.logs import _Formatter

    try:
        raise ValueError("Jane Doe")
    except ValueError:
        said = _Formatter("{message}", style="{").formatException(sys.exc_info())
    assert said.startswith("ValueError at test_logs.py:")
    assert "Doe" not in said
