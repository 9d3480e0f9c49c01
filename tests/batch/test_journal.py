"""A job that is cut off loses nothing, does nothing twice, and says what stands in its way."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tumorlens.batch import DOCUMENT, TABLES, Computing, Job, run
from tumorlens.batch.job import Chunk, Item
from tumorlens.batch.pools import alone
from tumorlens.batch.work import Part, Worker
from tumorlens.errors import ConfigError
from tumorlens.listener import Listener

Folder = Callable[[int], Path]


class Cut(Exception):
    """Stands for a kill."""


class Counting:
    """A pool in this process that counts the files it is given, and stops after some chunks."""

    def __init__(self, weights: Path, job: Job, chunks: int = 10**9) -> None:
        self.worker, self.chunks = Worker.start(Computing(str(weights)), job), chunks
        self.seen: Counter[str] = Counter()

    def __call__(self, chunks: Iterable[Chunk]) -> Iterator[Part]:
        for number, chunk in enumerate(chunks):
            if number == self.chunks:
                raise Cut
            self.seen.update(item.path for item in chunk.items)
            yield self.worker(chunk)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_job_that_was_cut_off_goes_on_and_ends_as_if_it_had_not_been(
    folder_of: Folder, tiny_weights: Path, tmp_path: Path
) -> None:
    scans, out = folder_of(90), tmp_path / "out"
    job, computing = Job(output=out, pictures=False), Computing(str(tiny_weights))
    first = Counting(tiny_weights, job, chunks=5)
    with pytest.raises(Cut):
        run([scans], computing, job, pool=first)
    assert not (out / DOCUMENT).exists()
    said: list[str] = []
    second = Counting(tiny_weights, job)
    outcome = run([scans], computing, job, Listener(said.append), pool=second)
    done = sum(first.seen.values())
    assert said == [f"going on: {done} of 91 files were done before"]
    assert 0 < done < 91
    assert set((first.seen + second.seen).values()) == {1}
    assert (outcome.findings, outcome.failures) == (90, 1)

    whole = Job(output=tmp_path / "whole", pictures=False)
    run([scans], computing, whole, pool=Counting(tiny_weights, whole))
    assert rows(out) == rows(tmp_path / "whole")
    for name in (DOCUMENT, *TABLES):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert {p.name for p in out.iterdir()} == {DOCUMENT, *TABLES}


def test_files_that_came_meanwhile_are_done_too_and_names_stay(
    folder_of: Folder, tiny_weights: Path, tmp_path: Path
) -> None:
    scans, job = folder_of(3), Job(output=tmp_path / "out", target="glioma")
    with pytest.raises(Cut):
        run([scans], Computing(str(tiny_weights)), job, pool=Counting(tiny_weights, job, chunks=1))
    (scans / "0").mkdir()  # comes first, and has the name of one that is done
    (scans / "0" / "0000.png").write_bytes((scans / "0001.png").read_bytes())
    outcome = run([scans], Computing(str(tiny_weights)), job)
    assert (outcome.findings, outcome.failures) == (4, 1)
    assert len({row["overlay"] for row in rows(tmp_path / "out") if row["overlay"]}) == 4
    assert {row["source"]: Path(row["overlay"]).name for row in rows(tmp_path / "out")}[str(scans / "0000.png")] == (
        "0000-overlay.png"
    )


def test_another_job_in_the_folder_is_not_overwritten(folder_of: Folder, tiny_weights: Path, tmp_path: Path) -> None:
    scans, job = folder_of(3), Job(output=tmp_path / "out", pictures=False)
    computing = Computing(str(tiny_weights))
    with pytest.raises(Cut):
        run([scans], computing, job, pool=Counting(tiny_weights, job, chunks=1))
    other = Job(output=tmp_path / "out", pictures=False, target="glioma")
    with pytest.raises(ConfigError, match=r"out: holds an unfinished job .* forget it with --restart"):
        run([scans], computing, other)
    assert run([scans], computing, other, restart=True).findings == 3
    assert {row["explained"] for row in rows(tmp_path / "out")} == {"glioma", ""}


def test_a_file_that_is_named_twice_is_done_twice(folder_of: Folder, tiny_weights: Path, tmp_path: Path) -> None:
    scan, job = folder_of(1) / "0000.png", Job(output=tmp_path / "out")
    with pytest.raises(Cut):
        run([scan, scan], Computing(str(tiny_weights)), job, pool=Counting(tiny_weights, job, chunks=1))
    assert run([scan, scan], Computing(str(tiny_weights)), job).findings == 2
    assert len(rows(tmp_path / "out")) == 2


def test_a_kill_in_the_middle_loses_no_row(folder_of: Folder, tiny_weights: Path, tmp_path: Path) -> None:
    scans, out = folder_of(600), tmp_path / "out"
    command = [sys.executable, "-m", "tumorlens", "predict", str(scans), "-w", str(tiny_weights), "-o", str(out)]
    command += ["--no-pictures", "--jobs", "2"]
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    parts = out / ".unfinished" / "parts"
    limit = time.monotonic() + 300
    while not any(parts.glob("*.json")) and started.poll() is None and time.monotonic() < limit:
        time.sleep(0.01)
    started.send_signal(signal.SIGKILL)
    started.wait()
    assert not (out / DOCUMENT).exists()
    _wait_for_group(started.pid)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr  # the broken file
    assert "files were done before" in done.stderr
    counted = Counter(Path(row["source"]).name for row in rows(out))
    assert counted == Counter([*(f"{i:04d}.png" for i in range(600)), "broken.png"])


def _wait_for_group(group: int, seconds: float = 120) -> None:
    """Waits until no process of a group is left: workers of a killed process end by themselves."""
    limit = time.monotonic() + seconds
    while True:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        assert time.monotonic() < limit, "a worker outlived the process that started it"
        time.sleep(0.05)


def test_many_failures_are_counted_and_some_shown(tmp_path: Path, tiny_weights: Path) -> None:
    for i in range(50):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{i}.png").write_bytes(b"")
    job = Job(output=tmp_path / "out")
    outcome = run([tmp_path / "in"], Computing(str(tiny_weights)), job)
    assert (outcome.failures, len(outcome.kept_failures)) == (50, 40)
    assert {row["error"] for row in rows(tmp_path / "out")} == {"the file is empty; export or download it again"}


def test_items_alone_and_in_chunks_are_the_same(folder_of: Folder, tiny_weights: Path) -> None:
    scans = folder_of(5)
    worker = Worker.start(Computing(str(tiny_weights)), Job())
    items = tuple(Item(str(p), p.stem) for p in sorted(scans.iterdir()))
    together = worker(Chunk(place=0, items=items)).open()
    apart = [part.open()[0] for part in alone(worker)(Chunk(place=i, items=(item,)) for i, item in enumerate(items))]
    for one, other in zip(together, apart, strict=True):
        assert one.failures == other.failures
        for a, b in zip(one.findings, other.findings, strict=True):
            assert a.probabilities == pytest.approx(b.probabilities, abs=1e-5)


def test_a_study_that_was_cut_off_in_its_midst_has_one_whole_finding(
    make_study: Callable[..., Path], tiny_weights: Path, tmp_path: Path
) -> None:
    study, job = make_study(), Job(output=tmp_path / "out", pictures=False)
    with pytest.raises(Cut):
        run([study], Computing(str(tiny_weights)), job, pool=Counting(tiny_weights, job, chunks=5))
    outcome = run([study], Computing(str(tiny_weights)), job)
    (record,) = outcome.kept_studies

    assert (record.slices, outcome.studies) == (11, 1)
    assert json.loads((tmp_path / "out" / DOCUMENT).read_text("ascii"))["studies"] == [record.model_dump(mode="json")]


def test_a_folder_has_one_writer_and_the_second_leaves_at_once(
    folder_of: Folder, tiny_weights: Path, tmp_path: Path
) -> None:
    scans, out = folder_of(8), tmp_path / "out"
    job, computing = Job(output=out, pictures=False), Computing(str(tiny_weights))
    alone_there = Counting(tiny_weights, job)
    refused = []

    def pool(chunks: Iterable[Chunk]) -> Iterator[Part]:
        for part in alone_there(chunks):
            for restart in (False, True):
                with pytest.raises(ConfigError, match="another call is writing there; wait until it has ended"):
                    run([scans], computing, job, restart=restart)
                refused.append(restart)
            yield part

    run([scans], computing, job, pool=pool)
    assert refused
    assert len(rows(out)) == 1 + len(json.loads((out / DOCUMENT).read_text())["findings"]) == 9  # one is no scan
    run([scans], computing, job, restart=True)  # the folder was let go
