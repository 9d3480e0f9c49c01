"""One training step and one validation step."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from tumorlens.data.augment import augment_with, without_some
from tumorlens.model import AttentiveNetwork, Network
from tumorlens.training.batches import place
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
            torch.manual_seed(self.config.seed * 1_000_003 + self.current_epoch + 500_009 * place()[0])

    def _logits(self, images: Tensor) -> Tensor:
        # channels-last is about a third quicker on a CPU
        logits: Tensor = self.network(images.to(memory_format=torch.channels_last))
        return logits.float()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Loss of one augmented batch: images and labels, and where there are outlines their coverage and whose."""
        images, labels, *outlines = batch
        guided = bool(outlines) and self.config.guidance > 0 and isinstance(self.network, AttentiveNetwork)
        covered = outlines[0].float() / 255 if guided else None
        modality, strength = self.config.modality, self.config.augmentation
        ways = {"upright": modality.upright, "stained": modality.colour is True and images.shape[1] == 3}
        images, covered = augment_with(images, covered, strength, self.config.warp, **ways)
        if self.config.preprocessing.sequences:
            images = without_some(images, self.config.dropped)
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


def _share_of(amount: Tensor) -> Tensor | float:
    """This process's amount over the mean of all processes', (); 1 where there is one process."""
    _, processes = place()
    if processes == 1:
        return 1.0
    total = amount.clone()
    dist.all_reduce(total)
    return amount * processes / total
