import csv
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tumorlens.card import read_card
from tumorlens.data.loader import Slices
from tumorlens.errors import ConfigError
from tumorlens.listener import Epoch
from tumorlens.model import build_network
from tumorlens.model.weights import load_weights
from tumorlens.phantoms.dataset import write_phantoms
from tumorlens.training import fit
from tumorlens.training.batches import training_batches
from tumorlens.training.callbacks import read_log
from tumorlens.training.fit import Interrupted
from tumorlens.training.module import TrainingModule
from tumorlens.training.run import Run

FROZEN = {"learning_rate": 1e-12, "averaging": 0}  # so small that no weight changes: no epoch is better than the first


def weights(run: Run) -> bytes:
    return run.weights.read_bytes()


def stop_at(number: int) -> Callable[[Epoch], None]:
    """Interrupts the run when it tells an epoch, so before that epoch's checkpoint."""

    def epoch(row: Epoch) -> None:
        if row.epoch == number:
            raise KeyboardInterrupt

    return epoch


def figures(run: Run) -> list[tuple[float | None, ...]]:
    """The run's log without the seconds."""
    return [(e.epoch, e.train_loss, e.val_loss, e.val_accuracy, e.learning_rate) for e in read_log(run.log)]


def test_a_run_writes_everything_and_nothing_elsewhere(
    tmp_path: Path, train_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run = train_run()
    found = {str(p.relative_to(run.folder)) for p in run.folder.rglob("*") if p.is_file()}
    assert {
        *("config.yaml", "data.json", "split.csv", "log.csv", "weights.safetensors", "weights.json"),
        *("checkpoints/best.ckpt", "checkpoints/last.ckpt"),
    } == found
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_card_says_what_was_trained(finished: tuple[Run, list[Epoch]]) -> None:
    run, _ = finished
    card, config = read_card(run.weights), run.config
    assert (card.name, card.network, card.options) == ("tiny", "cnn_lstm", config.options)
    assert card.preprocessing == config.preprocessing
    assert card.training["epochs"] == 4
    log = read_log(run.log)
    assert card.training["best_epoch"] == min(log, key=lambda e: e.val_loss).epoch
    assert card.training["settings"]["epochs"] == 4
    network, _ = load_weights(run.folder)
    assert card.training["parameters"] == sum(p.numel() for p in network.parameters())
    assert not network.training


def test_the_epochs_are_told_and_logged(finished: tuple[Run, list[Epoch]]) -> None:
    run, told = finished
    assert told == read_log(run.log)
    assert [row.epoch for row in told] == [1, 2, 3, 4]
    assert all(0 < row.seconds < 60 and 0 <= row.val_accuracy <= 1 for row in told)


@pytest.mark.parametrize("averaging", [0, 0.7])
def test_it_learns(train_run: Callable[..., Run], averaging: float) -> None:
    run = train_run(epochs=20, learning_rate=0.02, averaging=averaging, augmentation=0.5)
    log = read_log(run.log)
    assert log[-1].train_loss < 0.5 * log[0].train_loss
    assert max(e.val_accuracy for e in log) > 0.9


def test_same_seed_same_weights(finished: tuple[Run, list[Epoch]], train_run: Callable[..., Run]) -> None:
    run, _ = finished
    again, other = train_run("again", epochs=4), train_run("other", epochs=4, seed=1)
    assert weights(again) == weights(run)
    assert figures(again) == figures(run)
    assert weights(other) != weights(run)


@pytest.mark.parametrize("number", [1, 3, 4])
def test_interrupted_and_resumed_is_the_same_as_never_stopped(
    finished: tuple[Run, list[Epoch]], begin: Callable[..., Run], number: int, fit_run: Callable[..., list[int]]
) -> None:
    run, _ = finished
    stopped = begin(epochs=4)
    with pytest.raises(Interrupted):
        fit_run(stopped, stop_at(number))
    assert not stopped.finished
    assert fit_run(stopped) == list(range(number, 5))
    assert weights(stopped) == weights(run)
    assert figures(stopped) == figures(run)


def test_interrupted_within_an_epoch_and_resumed_is_the_same(
    finished: tuple[Run, list[Epoch]],
    begin: Callable[..., Run],
    monkeypatch: pytest.MonkeyPatch,
    fit_run: Callable[..., list[int]],
) -> None:
    run, _ = finished
    stopped = begin(epochs=4)
    step = TrainingModule.training_step

    def training_step(self: TrainingModule, batch: list[Tensor], index: int) -> Tensor:
        if (self.current_epoch, index) == (2, 1):
            raise KeyboardInterrupt
        return step(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "training_step", training_step)
        with pytest.raises(Interrupted):
            fit_run(stopped)
    assert fit_run(stopped) == [3, 4]
    assert weights(stopped) == weights(run)


def test_without_averaging_and_in_bf16_resuming_is_the_same_too(
    begin: Callable[..., Run], train_run: Callable[..., Run], fit_run: Callable[..., list[int]]
) -> None:
    changes = {"epochs": 3, "averaging": 0, "precision": "bf16"}
    whole, stopped = train_run("whole", **changes), begin("stopped", **changes)
    with pytest.raises(Interrupted):
        fit_run(stopped, stop_at(3))
    assert fit_run(stopped) == [3]
    assert weights(stopped) == weights(whole)


def test_killed_and_resumed_is_the_same_as_never_stopped(
    finished: tuple[Run, list[Epoch]], begin: Callable[..., Run], fit_run: Callable[..., list[int]]
) -> None:
    run, _ = finished
    killed = begin(epochs=4)
    script = f"""
import os, signal
from pathlib import Path
from tumorlens.listener import Listener
from tumorlens.experiments.experiment import Experiment
from tumorlens.training.run import Run

def epoch(row, total):
    if row.epoch == 3:
        os.kill(os.getpid(), signal.SIGKILL)

Experiment.load(Run.open(Path({str(killed.folder)!r})), Listener(epoch=epoch)).complete()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not killed.finished
    assert fit_run(killed) == [3, 4]
    assert weights(killed) == weights(run)
    assert figures(killed) == figures(run)


def test_a_run_can_be_resumed_in_another_place(
    finished: tuple[Run, list[Epoch]], begin: Callable[..., Run], tmp_path: Path, fit_run: Callable[..., list[int]]
) -> None:
    run, _ = finished
    stopped = begin(epochs=4)
    with pytest.raises(Interrupted):
        fit_run(stopped, stop_at(4))
    moved = stopped.folder.rename(tmp_path / "moved")
    fit_run(Run.open(moved))
    assert weights(Run.open(moved)) == weights(run)
    assert not stopped.folder.exists()


def test_the_best_epoch_survives_moving(
    begin: Callable[..., Run], tmp_path: Path, fit_run: Callable[..., list[int]]
) -> None:
    stopped = begin(epochs=4, **FROZEN)
    with pytest.raises(Interrupted):
        fit_run(stopped, stop_at(3))
    before = (stopped.checkpoints / "best.ckpt").read_bytes()
    moved = stopped.folder.rename(tmp_path / "moved")
    fit_run(Run.open(moved))
    assert (moved / "checkpoints" / "best.ckpt").read_bytes() == before
    assert read_card(moved / "weights.safetensors").training["best_epoch"] == 1


def test_no_more_than_the_last_epoch_is_lost_where_none_was_better(
    begin: Callable[..., Run], fit_run: Callable[..., list[int]]
) -> None:
    stopped = begin(epochs=5, **FROZEN)
    with pytest.raises(Interrupted):
        fit_run(stopped, stop_at(4))
    assert fit_run(stopped) == [4, 5]


def test_it_stops_early(begin: Callable[..., Run], fit_run: Callable[..., list[int]]) -> None:
    run = begin(epochs=20, patience=2, **FROZEN)
    assert fit_run(run) == [1, 2, 3]
    assert read_card(run.weights).training["best_epoch"] == 1


@pytest.mark.parametrize("changes", [{"epochs": 3}, {"epochs": 20, "patience": 2, **FROZEN}])
def test_killed_after_its_last_epoch_it_trains_no_further(
    begin: Callable[..., Run],
    train_run: Callable[..., Run],
    changes: dict[str, int] | dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    fit_run: Callable[..., list[int]],
) -> None:
    whole, killed = train_run("whole", **changes), begin("killed", **changes)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fit, "save_weights", die)
        with pytest.raises(KeyboardInterrupt):
            fit_run(killed)
    assert not killed.finished
    assert fit_run(killed) == []
    assert weights(killed) == weights(whole)
    assert figures(killed) == figures(whole)


def test_the_weights_are_the_averaged_ones_of_the_best_epoch(train_run: Callable[..., Run]) -> None:
    run = train_run(averaging=0.9)
    state = torch.load(run.checkpoints / "best.ckpt", weights_only=True)
    written = load_file(run.weights)
    for name, value in written.items():
        assert torch.equal(value, state["state_dict"][f"network.{name}"])
    name = "head.lstm.weight_ih_l0"
    assert not torch.equal(written[name], state["current_model_state"][f"network.{name}"])


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_precisions_give_float32_weights(train_run: Callable[..., Run], precision: str) -> None:
    tensors = load_file(train_run(precision=precision, epochs=1).weights).values()
    assert all(t.isfinite().all() and t.dtype in (torch.float32, torch.int64) for t in tensors)


def test_a_loss_that_leaves_the_numbers_names_the_remedy(
    begin: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, fit_run: Callable[..., list[int]]
) -> None:
    run = begin(epochs=3)
    step = TrainingModule.training_step
    monkeypatch.setattr(TrainingModule, "training_step", lambda *args: step(*args) * float("nan"))
    with pytest.raises(ConfigError, match=r"epoch 1: the loss is no finite number.*smaller learning_rate"):
        fit_run(run)
    assert not run.finished


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as a terminal's foreground has it: in the background, a shell has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_in_training_gives_the_signals_back(
    begin: Callable[..., Run], fit_run: Callable[..., list[int]]
) -> None:
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    with pytest.raises(Interrupted):
        fit_run(begin(), lambda row: os.kill(os.getpid(), signal.SIGINT))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


def test_the_callers_settings_are_left_as_they_were(train_run: Callable[..., Run]) -> None:
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric")]
    numpy_state = np.random.get_state(legacy=False)["state"]["key"].tolist()  # noqa: NPY002 - the global one is what must not change

    def settings() -> tuple[int, list[int], list[int]]:
        return torch.get_num_threads(), torch.get_rng_state().tolist(), [logger.level for logger in loggers]

    before = settings()
    train_run(threads=torch.get_num_threads() + 1, epochs=1)
    assert settings() == before
    assert np.random.get_state(legacy=False)["state"]["key"].tolist() == numpy_state  # noqa: NPY002


def test_nothing_is_printed(train_run: Callable[..., Run], capfd: pytest.CaptureFixture[str]) -> None:
    train_run(epochs=1)
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""


def test_without_a_validation_part_the_last_epochs_averaged_weights_are_kept(
    train_run: Callable[..., Run], slices: Slices
) -> None:
    run = train_run(validation=0, averaging=0.5, epochs=12, patience=12)
    assert set(run.read_parts().values()) == {"train", "test"}
    last = torch.load(run.checkpoints / "last.ckpt", weights_only=True)
    kept = load_file(run.weights)
    learnt = [name for name in kept if "running" not in name and "batches" not in name]
    assert learnt
    for name in learnt:
        assert torch.equal(kept[name], last["state_dict"]["network." + name])
    assert any(not torch.equal(kept[n], last["current_model_state"]["network." + n]) for n in learnt)
    assert not (run.checkpoints / "best.ckpt").exists()
    assert read_card(run.weights).training["best_epoch"] == 12
    assert all(np.isnan(e.val_loss) for e in read_log(run.log))
    network, _ = load_weights(run.folder)
    with torch.no_grad():  # its normalisation was measured on scans as they are
        right = network(torch.from_numpy(slices.images)).argmax(1).numpy() == slices.labels
    assert right.mean() > 0.5


@pytest.mark.parametrize("killed_after", [2, 3])
def test_without_a_validation_part_resuming_is_the_same_too(
    begin: Callable[..., Run], train_run: Callable[..., Run], fit_run: Callable[..., list[int]], killed_after: int
) -> None:
    whole, cut = train_run("whole", validation=0), begin("cut", validation=0)
    if killed_after == 3:  # after its last epoch, before its weights were written
        fit_run(cut)
        cut.weights.with_suffix(".json").unlink()
        cut.weights.unlink()
    else:
        with pytest.raises(Interrupted):
            fit_run(cut, stop_at(killed_after))
    fit_run(cut)
    assert weights(cut) == weights(whole)


def test_outlines_guide_a_network_that_attends(
    easy: Path,
    slices: Slices,
    begin: Callable[..., Run],
    fit_run: Callable[..., list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    def nothing(*tensors: Tensor) -> Tensor:
        seen.append([t.shape for t in tensors])
        return tensors[0].sum() * 0

    monkeypatch.setattr(
        "tumorlens.training.module.guidance_loss",
        nothing,
    )
    outlined = replace(slices, coverage=np.full((len(slices), 16, 16), 255, np.uint8))
    small = {"widths": [4, 6], "depths": [0, 0], "maps": 4, "hidden": 4, "dense": 4}
    for name, guidance, times in (("guided", 1.0, 1), ("alone", 0.0, 0)):
        seen.clear()
        config = begin(name, model="cnn_lstm_attention", options=small, guidance=guidance, epochs=1).config
        network = build_network(config.model, channels=1, classes=4, **config.options)
        module = TrainingModule(network, config, torch.ones(4), steps=10)
        monkeypatch.setattr(module, "log", lambda *_, **__: None)
        batch = next(iter(training_batches(outlined, np.arange(32), config)))
        assert module.training_step(batch, 0).isfinite()
        assert len(seen) == times
    assert len(batch) == 2


def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    """Through the command line, as Lightning starts the second process by calling it again."""
    write_phantoms(tmp_path / "phantoms", 240, size=64)
    losses, logs = {}, {}
    settings = {"epochs": 4, "preprocessing.size": 32, "options.widths": "[8,12,16]", "threads": 1, "precision": "32"}
    for devices in (1, 2):
        command = [sys.executable, "-m", "tumorlens", "train", "--data", "phantoms", "--devices", str(devices)]
        command += ["-o", f"run-{devices}", *(f"--set={name}={value}" for name, value in settings.items())]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("accuracy") == 1  # one process speaks
        with (tmp_path / f"run-{devices}" / "log.csv").open() as file:
            logs[devices] = list(csv.DictReader(file))
        losses[devices] = [float(row["val_loss"]) for row in logs[devices]]
    # Other draws of the augmentation, and batch normalisation by half batches: alike, and not the same.
    assert losses[2] == pytest.approx(losses[1], rel=0.1)
    assert losses[2] != losses[1]
    assert len(logs[2]) == 4
    assert {p.name for p in (tmp_path / "run-1").rglob("*")} == {p.name for p in (tmp_path / "run-2").rglob("*")}
    # It goes on with another number of processes.
    resumed = tmp_path / "run-2"
    for name in ("weights.json", "weights.safetensors"):
        (resumed / name).unlink()
    done = subprocess.run(
        [*command[:4], "--resume", "run-2"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (resumed / "weights.json").is_file()


def test_a_follower_waits_for_its_leader_and_not_for_ever(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the leading process made no run here"):
        Run.follow(tmp_path / "none", seconds=0.3)


def test_a_batch_too_small_for_the_devices_is_refused(begin: Callable[..., Run]) -> None:
    with pytest.raises(ConfigError, match="batches of 2 scans are too small for 4 devices"):
        fit.train(begin("run", batch_size=2), None, None, None, machines=fit.Machines(devices=2, nodes=2))
