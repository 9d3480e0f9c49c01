"""Training: scans and their split in, weights and card out; resumable at any time."""

from __future__ import annotations

import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.loggers import Logger
from torch.optim.swa_utils import update_bn

import tumorlens
from tumorlens.card import HeatMapRule, WeightsCard
from tumorlens.data.loader import Slices
from tumorlens.data.split import Split
from tumorlens.explain.cam import shown_method
from tumorlens.model import Network, build_network
from tumorlens.model.weights import save_weights
from tumorlens.training.callbacks import BestEpoch, Epoch, EpochLog, FreshNormalisation, LastEpoch, StopEarly
from tumorlens.training.config import TrainConfig
from tumorlens.training.module import TrainingModule, balanced_weights, training_batches, validation_batches
from tumorlens.training.run import Run

_CLEAN = 1280  # scans that batch normalisation's statistics are measured on


class Interrupted(KeyboardInterrupt):
    """The user stopped the run; it can be resumed from its folder."""


def train(
    run: Run,
    slices: Slices,
    split: Split,
    card: WeightsCard,
    *,
    tell: Callable[[Epoch], None] | None = None,
    loggers: Sequence[Logger] = (),
) -> tuple[Network, WeightsCard]:
    """Trains, or goes on training, and writes the run's weights and card.

    The weights are those of the epoch with the lowest validation loss, averaged over its last steps; without a
    validation part, those of the last epoch.

    Args:
        run: The run's folder; if it holds a checkpoint, training goes on from there.
        slices: All scans.
        split: Its parts.
        card: What is known beforehand; facts of the training and the checksum are added.
        tell: Called with each finished `Epoch`.
        loggers: Lightning loggers, such as TensorBoard's.

    Raises:
        Interrupted: If the user stopped it.
        ConfigError: If the loss is no finite number any more.
    """
    with _own_torch(run.config), _quiet(), _interruptible(run.folder):
        return _train(run, slices, split, card, tell, loggers)


def _train(
    run: Run,
    slices: Slices,
    split: Split,
    card: WeightsCard,
    tell: Callable[[Epoch], None] | None,
    loggers: Sequence[Logger],
) -> tuple[Network, WeightsCard]:
    config = run.config
    network = build_network(
        config.model, channels=config.preprocessing.channels, classes=len(card.classes), **config.options
    )
    batches = training_batches(slices, split.train, config)
    labels = slices.labels[split.train]
    weights = balanced_weights(labels, len(card.classes)) if config.class_weights else torch.ones(len(card.classes))
    nothing = torch.tensor([c.nothing for c in card.classes])
    module = TrainingModule(network, config, weights, steps=config.epochs * len(batches), nothing=nothing)
    log, best = EpochLog(run.log, tell), BestEpoch(run.checkpoints)
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
        devices=1,
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
    chosen = best.best_model_path if len(split.validation) else begun
    state = torch.load(chosen, map_location="cpu", weights_only=True)["state_dict"]
    prefix = "network."
    network.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    network = network.cpu()
    if len(split.validation):
        kept = min(log.epochs, key=lambda e: e.val_loss).epoch
    else:
        kept = len(log.epochs)
        with torch.no_grad():
            update_bn(clean_batches, network)  # no statistics belong to averaged weights that were never validated
    network = network.eval()
    facts = {
        "epochs": len(log.epochs),
        "best_epoch": kept,
        "seconds": round(sum(e.seconds for e in log.epochs), 1),
        "parameters": sum(p.numel() for p in network.parameters()),
        "settings": config.model_dump(mode="json", exclude={"preprocessing", "model", "options"}),
    }
    rule = HeatMapRule(method=shown_method(network))
    card = card.model_copy(update={"training": facts, "heat_map": rule, "version": tumorlens.__version__})
    return network, save_weights(network, card, run.weights)


def _half_precision(config: TrainConfig) -> bool:
    if config.precision != "auto":
        return config.precision == "bf16"
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return bool(torch.cpu._is_avx512_bf16_supported())


@contextmanager
def _own_torch(config: TrainConfig) -> Iterator[None]:
    """Sets torch's threads and seed, and gives the caller's back."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        torch.set_num_threads(config.threads or threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


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
