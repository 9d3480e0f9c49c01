import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tumorlens.data.loader import Slices
from tumorlens.data.manifest import Entry
from tumorlens.data.split import Split
from tumorlens.errors import ConfigError, DataError
from tumorlens.experiments.experiment import Experiment, load, make_split, read_manifests
from tumorlens.listener import Listener
from tumorlens.training.config import TrainConfig
from tumorlens.training.run import Run


@pytest.fixture
def part_of(slices: Slices) -> Callable[[Callable[[list[Entry]], list[Entry]]], Slices]:
    """The slices with another manifest: fewer, renamed or relabelled entries."""

    def make(change: Callable[[list[Entry]], list[Entry]]) -> Slices:
        entries = tuple(change(list(slices.manifest.entries)))
        manifest = replace(slices.manifest, entries=entries)
        return replace(slices, manifest=manifest)

    return make


def test_a_run_knows_its_settings_and_data(
    tmp_path: Path, easy: Path, tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(easy.parent)
    Run.create(tmp_path / "run", tiny(epochs=7), [Path("easy"), Path("easy/manifest.csv")])
    monkeypatch.chdir(tmp_path)
    run = Run.open(tmp_path / "run")
    assert run.config == tiny(epochs=7)
    assert run.data == [easy.resolve(), easy.resolve() / "manifest.csv"]
    assert not run.finished
    assert run.read_parts() == {}


def test_a_folder_that_holds_a_run_is_refused(begin: Callable[..., Run], tmp_path: Path) -> None:
    run = begin(epochs=5)
    (run.folder / "split.csv").touch()
    with pytest.raises(ConfigError, match="run: holds a run already; resume it with --resume, or choose another"):
        begin(epochs=6)
    assert run.config.epochs == 5


def test_a_run_that_never_began_is_replaced(begin: Callable[..., Run]) -> None:
    begin(epochs=5)
    assert begin(epochs=6).config.epochs == 6


def test_data_that_are_not_there_cost_no_folder_so_the_corrected_command_works(
    tmp_path: Path, easy: Path, tiny: Callable[..., TrainConfig]
) -> None:
    with pytest.raises(DataError, match="not-there"):
        Run.create(tmp_path / "run", tiny(), [tmp_path / "not-there"])
    assert not (tmp_path / "run").exists()
    assert Run.create(tmp_path / "run", tiny(), [easy]).folder.is_dir()


def test_a_folder_that_cannot_be_made_is_refused(begin: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("file", "file/run"):
        with pytest.raises(ConfigError, match=r"cannot be made .*; choose another --output"):
            begin(name)


@pytest.mark.parametrize("changes", [{"model": "cnn_lstmm"}, {"options": {"width": [4]}}])
def test_a_wrong_network_costs_no_folder(
    begin: Callable[..., Run], tmp_path: Path, changes: dict[str, str] | dict[str, dict[str, list[int]]]
) -> None:
    with pytest.raises(ConfigError, match="cnn_lstm"):
        begin(**changes)
    assert not (tmp_path / "run").exists()


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is no folder of a training run \(config.yaml is missing\)"):
        Run.open(tmp_path)


def test_the_split_is_read_as_it_was_written(
    begin: Callable[..., Run], slices: Slices, tiny: Callable[..., TrainConfig]
) -> None:
    run, split = begin(), make_split(slices, tiny())
    assert run.read_split(slices) is None
    run.write_split(slices, split)
    read = run.read_split(slices)
    assert {k: v.tolist() for k, v in read.parts.items()} == {k: v.tolist() for k, v in split.parts.items()}
    assert run.read_parts()[slices.manifest.entries[split.test[0]].name] == "test"


def test_the_split_holds_whatever_the_order_of_the_data(
    begin: Callable[..., Run],
    slices: Slices,
    part_of: Callable[[Callable[[list[Entry]], list[Entry]]], Slices],
    tiny: Callable[..., TrainConfig],
) -> None:
    run, split = begin(), make_split(slices, tiny())
    run.write_split(slices, split)
    turned = part_of(lambda entries: entries[::-1])
    read = run.read_split(turned)
    for name, part in read.parts.items():
        assert sorted(95 - part) == sorted(split.parts[name])


def test_data_that_lost_a_scan_are_refused(
    begin: Callable[..., Run],
    slices: Slices,
    part_of: Callable[[Callable[[list[Entry]], list[Entry]]], Slices],
    tiny: Callable[..., TrainConfig],
) -> None:
    run = begin()
    run.write_split(slices, make_split(slices, tiny()))
    with pytest.raises(DataError, match=r"run: was begun with glioma/0\.png, which the data no longer hold; start a"):
        run.read_split(part_of(lambda entries: entries[1:]))


def test_data_whose_labels_changed_are_refused(
    begin: Callable[..., Run],
    slices: Slices,
    part_of: Callable[[Callable[[list[Entry]], list[Entry]]], Slices],
    tiny: Callable[..., TrainConfig],
) -> None:
    run = begin()
    run.write_split(slices, make_split(slices, tiny()))
    changed = part_of(lambda entries: [replace(entries[0], label="pituitary"), *entries[1:]])
    with pytest.raises(DataError, match=r"the label of glioma/0\.png has changed since it was begun; start a new run"):
        run.read_split(changed)


def test_file_names_that_are_no_utf_8(
    begin: Callable[..., Run], slices: Slices, part_of: Callable[[Callable[[list[Entry]], list[Entry]]], Slices]
) -> None:
    name = os.fsdecode(b"glioma/\xe9t\xe9, 1.png")
    named = part_of(lambda entries: [replace(entries[0], name=name), *entries[1:]])
    run, split = begin(), Split(np.arange(1, 80), np.arange(80, 96), np.array([0]))
    run.write_split(named, split)
    assert run.read_split(named).test.tolist() == [0]


def test_a_run_whose_data_are_gone_says_so(begin: Callable[..., Run], easy: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(easy, tmp_path / "gone")
    run = begin(data=folder)
    shutil.rmtree(folder)
    with pytest.raises(DataError, match="gone: no such file or folder"):
        Experiment.load(run).complete()


def test_loading_for_a_run_reports_what_is_left_out(
    easy: Path, tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    folder = shutil.copytree(easy, tmp_path / "copy")
    (folder / "glioma" / "0.png").unlink()
    said: list[str] = []
    loaded = load(read_manifests([folder]), tiny().preprocessing, Listener(say=said.append))
    assert len(loaded) == 95
    (line,) = [each for each in said if each.startswith("left out: ")]
    assert "0.png" in line
