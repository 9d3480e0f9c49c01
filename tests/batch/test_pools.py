"""Whoever does the chunks, the answers are the same; and a file that harms its worker costs itself only."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tests.batch.conftest import write_scan
from tests.studies import BrightEngine
from tumorlens.batch import DOCUMENT, TABLES, Computing, Job, pools, run, work
from tumorlens.batch.job import Chunk, Item
from tumorlens.batch.work import Part, Worker
from tumorlens.classifier import Classifier
from tumorlens.errors import ConfigError, TumorLensError
from tumorlens.formats import Axis, Failure, Source, read_source
from tumorlens.scan import Scan

HARM = {
    "crash.png": "the process that analyses died (signal SIGSEGV, perhaps for want of memory)",
    "hang.png": "it took longer than 25 s",
    "greedy.png": "it needs more memory than a worker may take; split it or resample it",
    "odd.png": "it could not be analysed; export it again, or convert it to PNG (ValueError at test_pools.py:",
}

_HANGS = 600.0  # seconds


def _read(source: Source, *, axis: Axis) -> Iterator[Scan | Failure]:
    """Reads a file, and does what its name says."""
    name = Path(source.path).name
    if name == "crash.png":
        ctypes.string_at(0)
    if name == "hang.png":
        time.sleep(_HANGS)
    if name == "greedy.png":
        bytearray(64 << 30)
    if name == "odd.png":
        raise ValueError("Jane Doe")
    return read_source(source, axis=axis)


def _start(_computing: Computing, job: Job) -> Worker:
    return Worker(Classifier(BrightEngine()), job)


_main = pools._main


def _harmed(connection: Connection, computing: Computing, job: Job) -> None:
    """A worker's process in which some files do harm."""
    work.read_source = _read  # type: ignore[attr-defined, assignment]
    Worker.start = _start  # type: ignore[method-assign, assignment]
    _main(connection, computing, job)


def _files(folder: Path, *names: str) -> tuple[Item, ...]:
    return tuple(Item(str(write_scan(folder / name)), name) for name in names)


def test_processes_give_what_one_process_gives(
    folder_of: Callable[[int], Path], tiny_weights: Path, tmp_path: Path
) -> None:
    scans, computing = folder_of(70), Computing(str(tiny_weights))
    outputs = [tmp_path / "alone", tmp_path / "together"]
    for output, jobs in zip(outputs, (1, 2), strict=True):
        outcome = run([scans], computing, Job(output=output, pictures=False), jobs=jobs)
        assert (outcome.findings, outcome.failures) == (70, 1)
    for name in (DOCUMENT, *TABLES):
        assert (outputs[0] / name).read_bytes() == (outputs[1] / name).read_bytes()


def test_a_file_that_harms_its_worker_costs_itself_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_main", _harmed)
    good = [f"{i}.png" for i in range(6)]
    items = _files(tmp_path, *good[:3], *HARM, *good[3:])
    chunks = [Chunk(place=0, items=items[:6]), Chunk(place=6, items=items[6:])]
    parts = list(pools.processes(Computing(), Job(explain=False), 2, seconds=25)(chunks))
    done = [each for part in parts for each in part.open()]
    assert [each.name for each in done] == [item.name for item in items]  # in their order, none twice
    assert [each.name for each in done if each.findings] == good
    failures = {each.name: each.failures[0].error for each in done if each.failures}
    assert list(failures) == list(HARM)
    for name, error in failures.items():
        assert error.startswith(HARM[name])
    assert "Doe" not in str(failures)


def test_a_job_whose_weights_cannot_be_used_ends_and_says_so() -> None:
    chunk = Chunk(place=0, items=(Item("a.png", "a"),))
    with pytest.raises(ConfigError, match="no such weights"):
        list(pools.processes(Computing("no such weights"), Job(), 1)([chunk]))


def test_a_machine_that_kills_every_worker_ends_the_job_and_what_is_done_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "_main", _harmed)
    monkeypatch.setattr(pools, "_DEATHS", 2)
    (item,) = _files(tmp_path, "crash.png")
    with pytest.raises(TumorLensError, match=r"2 worker processes in a row were lost .*SIGSEGV.*what is done is kept"):
        list(pools.processes(Computing(), Job(), 1)([Chunk(place=0, items=(item, item, item))]))


def test_whoever_stops_asking_does_not_wait_for_what_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "_main", _harmed)
    good, hang = _files(tmp_path, "0.png", "hang.png")
    chunks = [Chunk(place=i, items=(item,)) for i, item in enumerate((good, hang, hang, hang))]
    parts = pools.processes(Computing(), Job(explain=False), 1)(chunks)
    assert next(parts).findings == 1
    since = time.monotonic()
    parts.close()  # type: ignore[attr-defined]
    assert time.monotonic() - since < _HANGS / 2


def test_a_part_comes_back_as_it_went() -> None:
    part = Part.failed(3, Item("caf\udce9.png", "caf"), "it is truncated")
    assert Part.model_validate_json(part.line()) == part
    assert part.open()[0].failures[0].source == "caf\udce9.png"
