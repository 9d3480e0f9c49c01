"""What makes a process a worker: its limits, its end with its parent, and what it tells of errors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from tumorlens.errors import AnalysisFailed, ModelError, UnreadableFile
from tumorlens.processes import Failed, Message, NowReading, WorkerProcess, begin, parse, serve

FAILED = TypeAdapter(Failed)


def _failed(error: Exception) -> Failed:
    try:
        raise error
    except Exception as caught:  # noqa: BLE001
        return Failed.of(caught)


def test_our_own_errors_are_told_with_problem_and_remedy() -> None:
    assert _failed(UnreadableFile("a.png", "it is truncated", "export it again")).reason == (
        "it is truncated; export it again"
    )
    assert _failed(ModelError("w.safetensors: differs")).reason == "w.safetensors: differs"


def test_the_text_of_others_errors_is_not_told_but_where_they_happened_is() -> None:
    failed = _failed(ValueError("Jane Doe"))
    assert "Doe" not in failed.line().decode()
    assert failed.trace.startswith("ValueError at test_processes.py:")
    assert "could not be analysed" in failed.reason


def test_a_full_disk_and_memory_are_told_as_what_they_are() -> None:
    assert "the disk is full" in _failed(OSError(28, "No space left on device")).reason
    assert "memory" in _failed(MemoryError()).reason


class _Named(Message):
    path: Path


def test_messages_are_lines_also_with_names_that_are_no_text() -> None:
    name = Path(os.fsdecode(b"caf\xe9\n.png"))
    line = _Named(path=name).line()
    assert line.count(b"\n") == 1
    assert parse(TypeAdapter(_Named), line).path == name


def test_what_is_no_message_is_refused() -> None:
    for line in (b"{}", b'{"kind": "failed"}', b"gibberish"):
        with pytest.raises(ValueError, match=r"Failed|Expecting"):
            parse(FAILED, line)


_PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "from tumorlens.processes import begin; import time; begin(); "
    "print('ready', flush=True); time.sleep(600)"], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_worker_ends_with_the_process_that_started_it() -> None:
    parent = subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    assert _runs(worker)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 60
    while _runs(worker) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _runs(worker)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory so")
def test_memory_is_limited_beyond_what_the_process_has() -> None:
    code = """
from tumorlens.processes import limit_memory
weights = bytearray(300 << 20)
limit_memory(100 << 20)
bytearray(50 << 20)
print("within")
bytearray(200 << 20)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "within\n"
    assert "MemoryError" in done.stderr


REPLY: TypeAdapter[NowReading | Failed] = TypeAdapter(NowReading | Failed)


def _echo(connection: Connection, refused: int) -> None:
    """Tells the places it is told; 13 it cannot do, and to one it answers what is no message."""
    begin()

    def answer(told: NowReading) -> Message:
        if told.place == refused:
            connection.send_bytes(b"gibberish")
        if told.place == 13:
            raise ValueError("Jane Doe")
        return told

    serve(connection, TypeAdapter(NowReading), answer)


def test_a_worker_is_told_and_tells_until_it_is_ended() -> None:
    worker = WorkerProcess(REPLY, _echo, 7)
    try:
        for place in (1, 13, 2):
            worker.tell(NowReading(place=place))
            reply = worker.hear(60)
            if place == 13:
                assert isinstance(reply, Failed)
                assert "Doe" not in reply.reason + reply.trace
            else:
                assert reply == NowReading(place=place)
        assert worker.hear(0.01) is None
        worker.tell(NowReading(place=7))
        with pytest.raises(AnalysisFailed, match="the process that analyses died"):
            worker.hear(60)
        worker.tell(NowReading(place=3))  # another has started
        assert worker.hear(60) == NowReading(place=3)
        worker.end()
        with pytest.raises(InterruptedError):
            worker.hear(60)
    finally:
        worker.close()
    with pytest.raises(InterruptedError):
        worker.tell(NowReading(place=1))
