"""The process that analyses: what kills it costs one file or one study, and never the node."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset, FileDataset
from pydicom.pixels.decoders.base import Decoder

from rehearsal.phantoms import make_instance, prepare_pretend, pretend, write_study
from tests.studies import GRIDS, BrightEngine, classic, save
from tumorlens.classifier import Classifier
from tumorlens.errors import AnalysisFailed, ModelError
from tumorlens.listener import Listener
from tumorlens.node.config import Analysis
from tumorlens.node.isolation import Analyse, AnalysisProcess, Prepare
from tumorlens.results.analysis import analyse
from tumorlens.results.make import make_results

Start = Callable[..., AnalysisProcess]


# What analyses, in the other process.


def _leaky() -> Analyse:
    def run(paths: Sequence[Path], _listener: Listener, _folder: Path) -> list[Dataset]:
        raise ValueError(pydicom.dcmread(paths[0]).PatientName)

    return run


def _told() -> Analyse:
    raise ModelError("weights.safetensors: differs from its card")


def _dies() -> Analyse:
    def run(_paths: Sequence[Path], _listener: Listener, _folder: Path) -> list[Dataset]:
        ctypes.string_at(0)
        return []

    return run


def _hangs() -> Analyse:
    def run(_paths: Sequence[Path], _listener: Listener, _folder: Path) -> list[Dataset]:
        time.sleep(600)
        return []

    return run


def _greedy() -> Analyse:
    def run(paths: Sequence[Path], _listener: Listener, _folder: Path) -> list[Dataset]:
        return pretend(paths) if bytearray(8 << 30) else []

    return run


def _real() -> Analyse:
    classifier = Classifier(BrightEngine())

    def run(paths: Sequence[Path], listener: Listener, _folder: Path) -> list[Dataset]:
        return make_results(analyse(paths, classifier, listener=listener), classifier.card)

    return run


def _deadly(what: Callable[[], object], log: Path | None = None) -> Analyse:
    """The real analysis, with a decoder that notes each file in `log` and does `what` over files named "deadly"."""
    decode = Decoder.iter_array

    def decoded(self: Decoder, src: FileDataset, **options: Any) -> object:
        name = Path(str(src.filename)).name
        if log is not None:
            with log.open("a") as file:
                file.write(f"{name}\n")
        if name.startswith("deadly"):
            what()
        return decode(self, src, **options)

    Decoder.iter_array = decoded  # type: ignore[method-assign, assignment]
    return _real()


def _crash() -> None:
    ctypes.string_at(0)


def _hang() -> None:
    time.sleep(600)


def _pids() -> Analyse:
    def run(paths: Sequence[Path], _listener: Listener, _folder: Path) -> list[Dataset]:
        (ds,) = pretend(paths)
        ds.ImageComments = str(os.getpid())
        return [ds]

    return run


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[AnalysisProcess] = []

    def make(prepare: Prepare = prepare_pretend, **limits: float) -> AnalysisProcess:
        started.append(AnalysisProcess(prepare, Analysis.model_validate(limits)))
        return started[-1]

    yield make
    for process in started:
        process.close()


@pytest.fixture
def study(tmp_path: Path) -> list[Path]:
    return write_study(tmp_path / "study", "isolation", 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    return path


def test_results_are_files_that_can_be_read(start: Start, study: list[Path], folder: Path) -> None:
    made = start().run(study, folder)
    ((sop, sop_class, name),) = made.results
    ds = pydicom.dcmread(folder / name)
    assert (ds.SOPInstanceUID, ds.SOPClassUID) == (sop, sop_class)
    assert made.bad == {}


def test_a_corrupt_file_is_left_out_and_named(start: Start, study: list[Path], folder: Path) -> None:
    content = study[1].read_bytes()
    study[1].write_bytes(content[: len(content) - 3000])
    made = start().run(study, folder)
    assert list(made.bad) == [1]
    assert len(made.results) == 1


def test_a_study_of_corrupt_files_only_has_no_result(start: Start, study: list[Path], folder: Path) -> None:
    for path in study:
        path.write_bytes(path.read_bytes()[:700])
    made = start().run(study, folder)
    assert sorted(made.bad) == [0, 1, 2]
    assert made.results == []


def test_absurd_dimensions_cost_one_file(start: Start, study: list[Path], folder: Path) -> None:
    ds = make_instance("isolation", 2)
    ds.Rows = ds.Columns = 65535
    ds.save_as(study[1], enforce_file_format=True)
    made = start().run(study, folder)
    assert list(made.bad) == [1]
    assert "pixels" in made.bad[1]


def test_other_peoples_errors_are_told_without_their_text(start: Start, study: list[Path], folder: Path) -> None:
    with pytest.raises(AnalysisFailed, match=r"could not be analysed \(ValueError at test_isolation.py:\d+") as caught:
        start(_leaky).run(study, folder)
    assert "Phantom" not in str(caught.value)


def test_our_own_errors_are_told_with_their_text(start: Start, study: list[Path], folder: Path) -> None:
    with pytest.raises(AnalysisFailed, match="differs from its card"):
        start(_told).run(study, folder)


def test_a_crash_is_told_and_the_next_study_is_analysed(start: Start, study: list[Path], folder: Path) -> None:
    process = start(_dies)
    for _ in range(2):
        with pytest.raises(AnalysisFailed, match="SIGSEGV"):
            process.run(study, folder)


def test_too_long_is_ended(start: Start, study: list[Path], folder: Path) -> None:
    with pytest.raises(AnalysisFailed, match="longer than 3 s"):
        start(_hangs, seconds=3).run(study, folder)


def test_too_much_memory_is_an_error_and_not_the_machines_end(start: Start, study: list[Path], folder: Path) -> None:
    with pytest.raises(AnalysisFailed, match="more memory than a worker may take"):
        start(_greedy, megabytes=4096).run(study, folder)


def _study_with_a_tumour(folder: Path, slices: int = 7) -> list[Path]:
    grid = GRIDS["axial"]
    return [save(classic(grid, grid.position(i, slices), number=i + 1), folder / f"{i}.dcm") for i in range(slices)]


@pytest.mark.parametrize(("what", "how", "seconds"), [(_crash, "SIGSEGV", 900), (_hang, "longer than 30 s", 30)])
def test_a_file_that_kills_its_reader_costs_itself_only(
    start: Start, folder: Path, tmp_path: Path, what: Callable[[], object], how: str, seconds: int
) -> None:
    files = _study_with_a_tumour(tmp_path / "study")
    for place in (1, 4):
        files[place] = files[place].rename(files[place].with_name(f"deadly{place}.dcm"))
        if what is _hang:
            break
    files[3].write_bytes(files[3].read_bytes()[:-500])
    made = start(partial(_deadly, what), seconds=seconds).run(files, folder)
    assert sorted(made.bad) == ([1, 3] if what is _hang else [1, 3, 4])
    assert how in made.bad[1]
    assert "when this file was read" in made.bad[1]
    assert "truncated" in made.bad[3]
    report = pydicom.dcmread(folder / made.results[-1][2])
    referenced = str(report)
    assert pydicom.dcmread(files[2]).SOPInstanceUID in referenced
    assert pydicom.dcmread(files[1]).SOPInstanceUID not in referenced


def test_each_file_is_decoded_once(start: Start, folder: Path, tmp_path: Path) -> None:
    files = _study_with_a_tumour(tmp_path / "study")
    made = start(partial(_deadly, _crash, tmp_path / "decoded")).run(files, folder)
    assert len(made.results) > 4  # pictures, region, heat map, contours and the report: it was a whole analysis
    assert (tmp_path / "decoded").read_text().split() == [file.name for file in files]


def test_one_process_serves_many_studies(start: Start, study: list[Path], tmp_path: Path) -> None:
    process = start(_pids)
    pids = set()
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        process.run(study, folder)
        pids.add(pydicom.dcmread(folder / "001.dcm").ImageComments)
    assert len(pids) == 1
    assert pids != {str(os.getpid())}


def test_a_folder_that_cannot_be_written_is_no_fault_of_the_study(
    start: Start, study: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(OSError, match="the results cannot be written"):
        start().run(study, tmp_path / "nowhere")


def test_the_nodes_end_blames_nobody(start: Start, study: list[Path], folder: Path) -> None:
    process = start(_hangs)
    timer = threading.Timer(2, process.end)
    timer.start()
    with pytest.raises(InterruptedError):
        process.run(study, folder)
    timer.join()


def test_a_node_that_has_ended_begins_no_study(start: Start, study: list[Path], folder: Path) -> None:
    process = start()
    process.end()
    with pytest.raises(InterruptedError):
        process.run(study, folder)
    assert process._process is None
