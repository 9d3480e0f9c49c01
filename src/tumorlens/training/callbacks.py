"""What a run shows and writes while it goes."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, fields
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from tumorlens.errors import ConfigError
from tumorlens.files import write_table
from tumorlens.listener import SILENT, Epoch, Progress
from tumorlens.model import Network


def measure_normalisation(network: Network, batches: Sequence[Tensor]) -> None:
    """Replaces the running means and variances of a network's batch normalisation.

    The network's weights and mode stay; batches are (B, C, S, S) scans to measure them on.
    """
    # Heads have none, so nothing is to be measured there; their LSTM would take a quarter of the time.
    inner = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.head.modules())
    update_bn(batches, network if inner else network.features, device=next(network.parameters()).device)


class FreshNormalisation(pl.Callback):
    """Measures batch normalisation's statistics anew before each validation, on scans as they are.

    Averaged weights never ran in training, so no statistics belong to them, and augmented scans differ from real
    ones; without this the averaged network's accuracy stays at chance until the learning rate has fallen.
    It must come after the averaging callback, which puts the averaged weights in place.

    `batches` are (B, C, S, S) scans from the training part, not augmented.
    """

    def __init__(self, batches: Sequence[Tensor]) -> None:
        self.batches = batches

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replaces the running means and variances, in half precision where the validation is."""
        network: Network = pl_module.network  # type: ignore[assignment]
        with trainer.precision_plugin.forward_context():
            measure_normalisation(network, self.batches)


class EpochLog(pl.Callback):
    """Keeps the run's log in its checkpoint, writes it as CSV after each epoch, and tells the caller."""

    def __init__(
        self, path: Path, tell: Callable[[Epoch], None] = lambda _: None, batch: Progress = SILENT.batch
    ) -> None:
        self.path, self.tell, self.batch = path, tell, batch
        self.epochs: list[Epoch] = []
        self._start = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Starts the clock."""
        self._start = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        outputs: object,  # noqa: ARG002
        batch: object,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Tells how far the epoch is."""
        if trainer.is_global_zero:
            self.batch(batch_idx + 1, int(trainer.num_training_batches))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Adds a row. Lightning has validated by now; checkpoints are written after this.

        Raises:
            ConfigError: If the loss is no finite number any more.
        """
        measured = trainer.callback_metrics
        row = Epoch(
            epoch=trainer.current_epoch + 1,
            train_loss=float(measured["train_loss"]),
            val_loss=float(measured.get("val_loss", math.nan)),
            val_accuracy=float(measured.get("val_accuracy", math.nan)),
            learning_rate=float(trainer.optimizers[0].param_groups[0]["lr"]),
            seconds=time.perf_counter() - self._start,
        )
        if not all(math.isfinite(float(measured[k])) for k in ("train_loss", "val_loss") if k in measured):
            raise ConfigError(
                f"epoch {row.epoch}: the loss is no finite number any more; train anew with a smaller learning_rate"
            )
        self.epochs.append(row)
        if trainer.is_global_zero:
            write_log(self.epochs, self.path)
            self.tell(row)

    def state_dict(self) -> dict[str, Any]:
        """The rows so far, so that a resumed run's log has no gap."""
        return {"epochs": [asdict(e) for e in self.epochs]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the rows up to the checkpoint back."""
        self.epochs = [Epoch(**row) for row in state_dict["epochs"]]


class BestEpoch(ModelCheckpoint):
    """Keeps the checkpoint of the epoch with the lowest validation loss, as best.ckpt."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "best", monitor="val_loss", enable_version_counter=False)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the best epoch back, also where the run's folder was moved; Lightning would begin a new search."""
        here = str(Path(str(self.dirpath), "best.ckpt"))
        paths = {"dirpath": self.dirpath, "best_model_path": here, "kth_best_model_path": here}
        super().load_state_dict(state_dict | paths | {"best_k_models": {here: state_dict["best_model_score"]}})


class LastEpoch(ModelCheckpoint):
    """Keeps the checkpoint of each epoch's end, as last.ckpt.

    `ModelCheckpoint(save_last=True)` would not do: it writes only when the epoch is also the best.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "last", enable_version_counter=False)


class StopEarly(EarlyStopping):
    """Stops when the validation loss has not fallen for some epochs."""

    def __init__(self, patience: int) -> None:
        super().__init__("val_loss", patience=patience)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Stops at once if it was killed after its last epoch; Lightning would train another one."""
        trainer.should_stop = self.wait_count >= self.patience


def write_log(epochs: list[Epoch], path: Path) -> None:
    """Writes the log as CSV, whole or not at all."""
    write_table(path, [f.name for f in fields(Epoch)], map(astuple, epochs))


def read_log(path: Path) -> list[Epoch]:
    """Reads what `write_log` wrote; an empty list if there is no log."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Epoch(epoch=int(row.pop("epoch")), **{k: float(v) for k, v in row.items()}) for row in csv.DictReader(file)
        ]
