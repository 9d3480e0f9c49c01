"""Logs: stand-ins for UIDs, and silence of the libraries that would quote what they read."""

import logging

import pytest

from tumorlens.node.privacy import quieten, short


def test_a_stand_in_is_short_steady_and_no_way_back() -> None:
    assert short("1.2.3") == short("1.2.3")
    assert len(short("1.2.3")) == 10
    assert "1.2.3" not in short("1.2.3")
    assert short(None) == short("")


def test_libraries_that_quote_are_silent(caplog: pytest.LogCaptureFixture) -> None:
    quieten()
    logging.getLogger("httpx").info("GET http://pacs/studies/1.2.3")
    logging.getLogger("pydicom").warning("Invalid value 'Phantom^Node'")
    assert caplog.text == ""
