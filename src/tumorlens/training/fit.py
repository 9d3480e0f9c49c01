"""Training: scans and their split in, weights and card out; resumable at any time."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from tumorlens.card import HeatMapRule, WeightsCard
from tumorlens.data.loader import Slices
from tumorlens.data.split import Split
from tumorlens.errors import ConfigError
from tumorlens.explain.cam import shown_method
from tumorlens.listener import SILENT, Listener
from tumorlens.model.weights import build_for, save_weights
from tumorlens.training.batches import TrainingSet, balanced_weights, training_batches, validation_batches
from tumorlens.training.callbacks import (
    BestEpoch,
    EpochLog,
    FreshNormalisation,
    LastEpoch,
    StopEarly,
    measure_normalisation,
)
from tumorlens.training.config import TrainConfig
from tumorlens.training.module import TrainingModule
from tumorlens.training.run import Run
from tumorlens.version import __version__

_CLEAN = 1280  # scans that batch normalisation's statistics are measured on


@dataclass(frozen=True)
class Machines:
    """Devices and machines that a training run uses.

    Each device is a process with a share of every batch; gradients are averaged (distributed data parallel). Batches
    hold as many scans as with one device, so the training is the same but for batch normalisation, which sees each
    share by itself on a CPU.

    Attributes:
        devices: GPUs of each machine, or processes where there are none.
        nodes: Machines. More than one are started from outside, by Slurm or torchrun.
    """

    devices: int = 1
    nodes: int = 1

    @property
    def count(self) -> int:
        """Devices of all machines."""
        return self.devices * self.nodes


def leads() -> bool:
    """Whether this process is the one of a distributed run that writes; alone, it is."""
    return int(getattr(rank_zero_only, "rank", None) or 0) == 0


class Interrupted(KeyboardInterrupt):
    """The user stopped the run; it can be resumed from its folder."""


def train(
    run: Run,
    slices: Slices,
    split: Split,
    card: WeightsCard,
    *,
    listener: Listener = SILENT,
    loggers: Sequence[Logger] = (),
    machines: Machines | None = None,
) -> None:
    """Trains, or goes on training, and writes the run's weights and card.

    The weights are those of the epoch with the lowest validation loss, averaged over its last steps; without a
    validation part, those of the last epoch.

    Args:
        run: The run's folder; if it holds a checkpoint, training goes on from there.
        slices: All scans.
        split: Its parts.
        card: What is known beforehand; facts of the training and the checksum are added.
        listener: Told each finished epoch.
        loggers: Lightning loggers, such as TensorBoard's.
        machines: What to spread it over; None is one device. Of several processes, only the one that `leads` writes.

    Raises:
        Interrupted: If the user stopped it.
        ConfigError: If the loss is no finite number any more, or a batch is too small for so many devices.
    """
    machines = machines or Machines()
    if (size := run.config.batch_size) < 2 * machines.count:
        raise ConfigError(f"batches of {size} scans are too small for {machines.count} devices; raise batch_size")
    _keep_freed_memory()
    with _own_torch(run.config, machines), _quiet(), _interruptible(run.folder):
        _train(run, slices, split, card, listener, loggers, machines)


def _train(
    run: Run,
    slices: Slices,
    split: Split,
    card: WeightsCard,
    listener: Listener,
    loggers: Sequence[Logger],
    machines: Machines,
) -> None:
    config = run.config
    network = build_for(card)
    pretrained = network.begin()
    batches = training_batches(slices, split.train, config)
    scans = batches.dataset
    assert isinstance(scans, TrainingSet)
    seen = scans.seen(len(card.classes))
    weights = balanced_weights(seen) if config.class_weights else torch.ones(len(card.classes))
    nothing = torch.tensor([c.nothing for c in card.classes])
    module = TrainingModule(network, config, weights, steps=config.epochs * len(batches), nothing=nothing)
    log = EpochLog(run.log, lambda row: listener.epoch(row, config.epochs), listener.batch)
    best = BestEpoch(run.checkpoints)
    clean = torch.from_numpy(slices.images[split.train[:: max(1, len(split.train) // _CLEAN)]])
    clean_batches = clean.contiguous(memory_format=torch.channels_last).split(64)
    callbacks: list[pl.Callback] = [EMAWeightAveraging(decay=config.averaging)] if config.averaging else []
    if len(split.validation):
        callbacks += [FreshNormalisation(clean_batches), log, StopEarly(config.patience), best]
    else:
        callbacks.append(log)
    callbacks.append(LastEpoch(run.checkpoints))  # after the best, so that it knows of it
    trainer = pl.Trainer(
        max_epochs=config.epochs,
        devices=machines.devices,
        num_nodes=machines.nodes,
        strategy="auto" if machines.count == 1 else "ddp",
        sync_batchnorm=machines.count > 1 and torch.cuda.is_available(),
        use_distributed_sampler=False,  # our own shares batches out, and every process validates on all
        precision="bf16-mixed" if _half_precision(config) else "32-true",
        gradient_clip_val=1.0,
        callbacks=callbacks,
        logger=list(loggers),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    begun = run.checkpoints / "last.ckpt"
    trainer.fit(
        module,
        batches,
        validation_batches(slices, split.validation) if len(split.validation) else None,
        ckpt_path=begun if begun.exists() else None,
        weights_only=True,
    )
    if dist.is_available() and dist.is_initialized():
        # Left to the interpreter's end, its threads take the process down, and that process all others.
        dist.barrier()
        dist.destroy_process_group()
    if not leads():
        return
    chosen = best.best_model_path if len(split.validation) else begun
    state = torch.load(chosen, map_location="cpu", weights_only=True)["state_dict"]
    prefix = "network."
    network.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    network = network.cpu()
    if len(split.validation):
        kept = min(log.epochs, key=lambda e: e.val_loss).epoch
    else:
        kept = len(log.epochs)
        measure_normalisation(network, clean_batches)  # none belongs to averaged weights that were never validated
    network = network.eval()
    facts = {
        "epochs": len(log.epochs),
        "best_epoch": kept,
        "seconds": round(sum(e.seconds for e in log.epochs), 1),
        "parameters": sum(p.numel() for p in network.parameters()),
        "settings": config.model_dump(mode="json", exclude={"preprocessing", "model", "options"}),
    }
    rule = HeatMapRule(method=shown_method(network))
    card = card.model_copy(
        update={"training": facts, "pretrained": pretrained, "heat_map": rule, "version": __version__}
    )
    save_weights(network, card, run.weights)


def _half_precision(config: TrainConfig) -> bool:
    if config.precision != "auto":
        return config.precision == "bf16"
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported())


@contextmanager
def _own_torch(config: TrainConfig, machines: Machines) -> Iterator[None]:
    """Sets torch's threads and seed, and gives the caller's back."""
    threads = torch.get_num_threads()
    mine = config.threads or max(1, threads // machines.devices)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        torch.set_num_threads(mine)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _keep_freed_memory() -> None:
    """Has the C library keep what a step frees for the next one: fetched anew from the system, it takes a fifth longer.

    Only glibc hands it back at all; elsewhere nothing is to be done.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            mallopt(parameter, 2**31 - 1)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences Lightning's hints while it runs, and gives the caller's logging back."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning.*")
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
            warnings.filterwarnings("ignore", message="Grad strides do not match bucket view")  # of one-channel kernels
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _interruptible(folder: Path) -> Iterator[None]:
    """Turns Lightning's exit on Ctrl-C into `Interrupted`, and gives the signal's handler back."""
    main = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        raise Interrupted(os.fspath(folder)) from error
    finally:
        if signal.getsignal(signal.SIGINT) is not main:
            signal.signal(signal.SIGINT, main)
