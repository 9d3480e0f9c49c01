from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from tests.web.conftest import Page, Server
from tumorlens.web.settings import Settings


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


def test_every_line_is_json_to_the_end_of_the_shutdown(
    make_settings: Callable[..., Settings], tmp_path: Path, jpeg: bytes
) -> None:
    """With pages that watch: some go away, others stay while the server stops."""
    log = tmp_path / "log"
    with log.open("wb") as file:
        server = Server(make_settings(), log=file)
        for _ in range(5):
            with httpx2.stream("GET", f"{server.address}/api/v1/events") as gone:
                next(gone.iter_text())
        with httpx2.stream("GET", f"{server.address}/api/v1/events") as watched:
            events = watched.iter_text()
            next(events)
            with httpx2.Client(base_url=f"{server.address}/api/v1") as api:
                case = api.post("/cases", json={}).json()["id"]
                api.put(f"/cases/{case}/files", content=jpeg)
                api.post(f"/cases/{case}/start")
            server.stop()
            list(events)  # it was ended, not cut off
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]

    assert [line["message"] for line in lines if line["level"] != "INFO"] == []
    assert {"reads scans", "open", "request", "closed"} <= {line["message"] for line in lines}


_OTHERS = """
import logging, sys, threading, warnings
from tumorlens.web.logs import set_up
set_up()
logging.getLogger("pydicom").warning("Jane Doe")
logging.getLogger("asyncio").error("Task was destroyed but it is pending!")
warnings.warn("Jane Doe")
class Lost:
    def __del__(self):
        raise ValueError("Jane Doe")
Lost()
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
raise KeyError("Jane Doe")
"""


def test_what_others_say_is_json_too_and_without_its_words() -> None:
    done = subprocess.run([sys.executable, "-c", _OTHERS], capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stderr.splitlines()]

    assert done.returncode == 1
    assert "Jane" not in done.stderr
    assert [line["name"] for line in lines] == ["pydicom", "asyncio", "py.warnings", *["tumorlens.web"] * 3]
    assert [line["level"] for line in lines[3:]] == ["ERROR", "ERROR", "CRITICAL"]
    assert "ValueError at <string>" in lines[3]["trace"]
    assert logging.getLogger("tumorlens.web").handlers == []  # of this process nothing changed
