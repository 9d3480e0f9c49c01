"""A worker of the page, spoken to as the server speaks to it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tumorlens.processes import Failed, Message, parse
from tumorlens.scan import Scan
from tumorlens.web.messages import (
    REPLIES,
    Done,
    FileFailed,
    FindInFile,
    ReadCase,
    Reply,
    Rules,
    SliceRead,
    Start,
    Total,
)

Ask = Callable[[Message], list[Reply]]


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Gives a worker commands; gives all it tells until it is done."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "tumorlens.web.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    into, out = worker.stdin, worker.stdout

    def call(command: Message) -> list[Reply]:
        into.write(command.line())
        into.flush()
        told: list[Reply] = []
        while not told or not isinstance(told[-1], Done | Failed):
            told.append(parse(REPLIES, out.readline()))
        return told

    yield call
    into.close()
    assert worker.wait(60) == 0
    out.close()


@pytest.fixture
def png(tmp_path: Path, phantom_scan: Scan) -> Path:
    path = tmp_path / "upload"
    Image.fromarray((phantom_scan.grey * 255).astype(np.uint8)).save(path, "PNG")
    return path


def test_weights_that_are_missing_are_told(ask: Ask) -> None:
    (failed,) = ask(Start(weights="none such"))
    assert isinstance(failed, Failed)
    assert "none such: no such weights" in failed.reason


def test_a_file_is_answered_at_once_by_the_name_it_is_given(ask: Ask, png: Path) -> None:
    assert ask(Start(weights="cnn_lstm")) == [Done()]
    (done,) = ask(FindInFile(path=png, name="mine.png", pictures=True))
    assert isinstance(done, Done)
    assert done.document is not None
    (finding,) = done.document["findings"]
    assert finding["source"] == "mine.png"
    assert finding["overlay"].startswith("data:image/png;base64,")


def test_what_fails_is_told_and_the_next_command_is_answered(ask: Ask, png: Path, tmp_path: Path) -> None:
    ask(Start(weights="cnn_lstm"))
    nowhere = ReadCase(folder=tmp_path / "none", uploads=((1, "a.png"),), axis="axial", rules=Rules(files=9, size=9**9))
    (failed,) = ask(nowhere)
    assert isinstance(failed, Failed)
    assert failed.trace.startswith("FileNotFoundError at ")
    assert str(tmp_path) not in failed.line().decode()
    assert isinstance(ask(FindInFile(path=png, name="a.png"))[-1], Done)


def test_a_case_is_told_slice_by_slice(ask: Ask, png: Path, tmp_path: Path) -> None:
    ask(Start(weights="cnn_lstm"))
    folder = tmp_path / "case"
    (folder / "uploads").mkdir(parents=True)
    png.rename(folder / "uploads" / "00001")
    (folder / "uploads" / "00002").write_bytes(b"no picture")
    uploads = ((1, "a.png"), (2, "b.png"))
    *told, done = ask(ReadCase(folder=folder, uploads=uploads, axis="axial", rules=Rules(files=9, size=9**9)))
    assert done == Done()
    assert [type(message) for message in told] == [FileFailed, Total, SliceRead]
    assert isinstance(told[-1], SliceRead)
    assert told[-1].content.finding.source == "a.png"
    assert (folder / "slices" / "00001" / "scan.png").is_file()
