"""Scans and results in a store beyond this machine's folders, by URL."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest

from tumorlens.batch import DOCUMENT, TABLES, Computing, Job, run
from tumorlens.batch.store import OutputFolder
from tumorlens.errors import ConfigError


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}"


def test_scans_and_results_may_lie_in_a_store(
    folder_of: Callable[[int], Path], tiny_weights: Path, tmp_path: Path, url: str
) -> None:
    scans, system = folder_of(5), fsspec.filesystem("memory")
    system.put(str(scans), f"{url}/scans/", recursive=True)
    computing = Computing(str(tiny_weights))
    there = run([f"{url}/scans"], computing, Job(output=f"{url}/out", target="glioma"))
    here = run([scans], computing, Job(output=tmp_path / "out", target="glioma"))
    assert (there.findings, there.failures) == (here.findings, here.failures) == (5, 1)
    for one, other in zip(there.kept, here.kept, strict=True):
        assert Path(one.source).name == Path(other.source).name
        assert one.source.startswith("memory://")
        assert one.probabilities == other.probabilities
        assert system.exists(one.overlay)
    names = {Path(p).name for p in system.ls(f"{url}/out", detail=False)}
    assert names == {p.name for p in (tmp_path / "out").iterdir()}
    assert {DOCUMENT, *TABLES} < names
    assert len(json.loads(system.cat_file(f"{url}/out/{DOCUMENT}"))["findings"]) == 5
    with system.open(there.kept[0].heatmap, "rb") as file:
        assert np.load(file).shape == (24, 20)


def test_results_of_an_earlier_call_in_a_store_are_no_scans(
    folder_of: Callable[[int], Path], tiny_weights: Path, url: str
) -> None:
    fsspec.filesystem("memory").put(str(folder_of(2)), f"{url}/", recursive=True)
    for _ in range(2):
        outcome = run([url], Computing(str(tiny_weights)), Job(output=url, target="glioma"))
        assert (outcome.findings, outcome.failures) == (2, 1)


def test_what_is_not_there_is_said(tiny_weights: Path, url: str) -> None:
    outcome = run([f"{url}/none"], Computing(str(tiny_weights)), Job())
    assert [f.error for f in outcome.kept_failures] == ["there is no such file or folder; check the URL"]
    with pytest.raises(ConfigError, match=r"nowhere://x: cannot be opened"):
        run(["nowhere://x"], Computing(str(tiny_weights)), Job())


@pytest.mark.parametrize("remote", [False, True])
def test_a_file_stands_whole_or_not_at_all(remote: bool, tmp_path: Path, url: str) -> None:
    store = OutputFolder(url if remote else tmp_path / "new")
    store.prepare()
    store.write("a/b", b"first")
    with pytest.raises(TypeError), store.writing("a/b") as path:
        path.write_bytes("not bytes")  # type: ignore[arg-type]
    assert store.read("a/b") == b"first"
    assert store.names("a") == ["b"]
    assert store.names("c") == []
    store.remove("a")
    store.remove("a")
    assert store.names("a") == []


@pytest.mark.parametrize("remote", [False, True])
def test_a_file_that_is_gone_is_said_to_be_unreadable(remote: bool, tmp_path: Path, url: str) -> None:
    store = OutputFolder(url if remote else tmp_path)
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read \(.*\); check that it is there"):
        store.read("none.json")
