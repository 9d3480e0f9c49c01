"""One training step and one validation step, and the data they take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, TensorDataset

from tumorlens.data.augment import augment_with
from tumorlens.data.loader import Slices
from tumorlens.model import AttentiveNetwork, Network
from tumorlens.training.config import TrainConfig
from tumorlens.training.guidance import guidance_loss

Batch = list[Tensor]


class TrainingModule(pl.LightningModule):
    """Trains a network with cross-entropy, AdamW and a one-cycle schedule; outlines guide a network that attends.

    Randomness starts anew at each epoch, from the seed and the epoch's number, so a run that was killed and resumed
    makes the same draws as one that never stopped.

    Args:
        network: The network to train.
        config: The run's settings.
        class_weights: (classes,) weight of each class in the loss.
        steps: Number of steps of the whole run.
        nothing: (classes,) bool, which classes mean that nothing was found; None where none does.
    """

    def __init__(
        self,
        network: Network,
        config: TrainConfig,
        class_weights: Tensor,
        steps: int,
        nothing: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.steps = steps
        self.register_buffer("class_weights", class_weights, persistent=False)
        nothing = torch.zeros(len(class_weights), dtype=torch.bool) if nothing is None else nothing
        self.register_buffer("nothing", nothing, persistent=False)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Starts the epoch's own randomness."""
        # Not at the epoch's start: what is drawn between it and the first batch differs in a resumed run.
        if batch_idx == 0:
            torch.manual_seed(self.config.seed * 1_000_003 + self.current_epoch + 500_009 * _place()[0])

    def _logits(self, images: Tensor) -> Tensor:
        # channels-last is about a third quicker on a CPU
        logits: Tensor = self.network(images.to(memory_format=torch.channels_last))
        return logits.float()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Loss of one augmented batch: images and labels, and where there are outlines their coverage and whose."""
        images, labels, *outlines = batch
        guided = bool(outlines) and self.config.guidance > 0 and isinstance(self.network, AttentiveNetwork)
        covered = outlines[0].float() / 255 if guided else None
        images, covered = augment_with(images, covered, self.config.augmentation, self.config.warp)
        images = images.to(memory_format=torch.channels_last)
        guidance: Tensor | float = 0.0
        if covered is not None:
            assert isinstance(self.network, AttentiveNetwork)
            reading = self.network.read(self.network.features(images))
            logits, nothing = reading.logits.float(), self.nothing
            assert isinstance(nothing, Tensor)
            guidance = guidance_loss(reading.attention.float(), covered, outlines[1], nothing[labels])
            self.log(
                "guidance", guidance.detach(), on_step=False, on_epoch=True, sync_dist=True, batch_size=len(labels)
            )
        else:
            logits = self._logits(images)
        weights = self._weights()
        loss = F.cross_entropy(logits, labels, weight=weights, label_smoothing=self.config.label_smoothing)
        # A mean weighted by class: the plain mean of the processes' own ones would not be that of the whole batch.
        loss = loss * _share_of(weights[labels].sum())
        self._note("train_loss", loss, len(labels))
        return loss + self.config.guidance * guidance

    def _note(self, name: str, value: Tensor, scans: int) -> None:
        """Logs the mean over the epoch, and over all processes."""
        self.log(name, value.detach(), on_step=False, on_epoch=True, sync_dist=True, batch_size=scans)

    def validation_step(self, batch: Batch, _: int) -> None:
        """Loss and accuracy of one batch as it is."""
        images, labels = batch
        logits = self._logits(images)
        loss = F.cross_entropy(logits, labels, weight=self._weights())
        hits = (logits.argmax(1) == labels).float().mean()
        self.log_dict({"val_loss": loss, "val_accuracy": hits}, batch_size=len(labels))

    def _weights(self) -> Tensor:
        weights = self.class_weights
        assert isinstance(weights, Tensor)
        return weights

    def configure_optimizers(self) -> Any:
        """AdamW with a one-cycle learning rate."""
        # Decay draws weights to zero; scales and shifts of a normalisation have no reason to be there.
        parameters = list(self.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.config.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.config.learning_rate)
        # The schedule divides by the length of its rise, a fifth of it less one step.
        steps = max(self.steps, 10)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.config.learning_rate, total_steps=steps, pct_start=0.2
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _place() -> tuple[int, int]:
    """This process's number among those of a distributed run, and how many there are."""
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def _share_of(amount: Tensor) -> Tensor | float:
    """This process's amount over the mean of all processes', (); 1 where there is one process."""
    _, processes = _place()
    if processes == 1:
        return 1.0
    total = amount.clone()
    dist.all_reduce(total)
    return amount * processes / total


class ShuffledBatches(Sampler[list[int]]):
    """Batches of indices, shuffled anew each epoch from the seed and the epoch's number.

    Each process of a distributed run gets its share of every batch. Lightning calls `set_epoch`. The last, smaller
    batch is dropped, so that batch normalisation never sees one scan.
    """

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count, self.batch_size, self.seed, self.epoch = count, min(batch_size, count), seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch the next pass belongs to."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.count)
        rank, processes = _place()
        for start in range(len(self)):
            yield order[start * self.batch_size : (start + 1) * self.batch_size][rank::processes].tolist()


def _dataset(slices: Slices, indices: NDArray[np.intp], *, outlines: bool = False) -> TensorDataset:
    tensors = [torch.from_numpy(slices.images[indices]), torch.from_numpy(slices.labels[indices])]
    if outlines and slices.coverage is not None:
        tensors += [torch.from_numpy(slices.coverage[indices]), torch.from_numpy(slices.outlined[indices])]
    return TensorDataset(*tensors)


def training_batches(slices: Slices, indices: NDArray[np.intp], config: TrainConfig) -> DataLoader:
    """Batches of the training part. Decoded slices lie in memory, so no worker processes are needed."""
    sampler = ShuffledBatches(len(indices), config.batch_size, config.seed)
    return DataLoader(_dataset(slices, indices, outlines=config.guidance > 0), batch_size=None, sampler=sampler)


def validation_batches(slices: Slices, indices: NDArray[np.intp]) -> DataLoader:
    """Batches of the validation part, in order."""
    batches = [list(range(i, min(i + 256, len(indices)))) for i in range(0, len(indices), 256)]
    return DataLoader(_dataset(slices, indices), batch_size=None, sampler=batches)


def balanced_weights(labels: NDArray[np.int64], classes: int) -> Tensor:
    """Weight of each class: inverse to how often it is seen, 1 on average over the scans; (classes,) float32."""
    counts = np.bincount(labels, minlength=classes)
    return torch.from_numpy((len(labels) / (classes * np.maximum(counts, 1))).astype(np.float32))
