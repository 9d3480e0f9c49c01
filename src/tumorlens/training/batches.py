"""What a training epoch shows: scans, their patched controls and tumour-free twins, shuffled into batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, TensorDataset

from tumorlens.data.counterfactuals import (
    Counterfactuals,
    Transplants,
    make_patched,
    make_transplants,
    make_twins,
)
from tumorlens.data.loader import Slices
from tumorlens.errors import ConfigError
from tumorlens.training.config import TrainConfig

_VARIANTS = 4
"""Twins and patched controls made of each scan; every epoch draws one of them."""


def place() -> tuple[int, int]:
    """This process's number among those of a distributed run, and how many there are."""
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


class TrainingSet(Dataset[list[Tensor]]):
    """The scans of a training part, and the counterfactuals made of them.

    Its numbers are those of the scans, the patched controls, the twins, and the transplants, in this order.

    Args:
        slices: All scans.
        indices: The training part.
        config: The run's settings.
    """

    def __init__(self, slices: Slices, indices: NDArray[np.intp], config: TrainConfig) -> None:
        self.config = config
        self.images, self.labels = slices.images[indices], slices.labels[indices]
        self.coverage = None if slices.coverage is None else slices.coverage[indices]
        self.outlined = slices.outlined[indices]
        nothing = slices.manifest.classes.nothing
        self.nothing = nothing[0] if nothing else None
        self.twins: Counterfactuals | None = None
        self.patched: Counterfactuals | None = None
        self.transplants: Transplants | None = None
        if self.coverage is None or not (config.twins or config.patched or config.transplants):
            return
        if self.images.shape[1] != 1:
            raise ConfigError("twins and patched controls are made of greyscale scans; set twins=0 and patched=0")
        groups = np.array(slices.groups)[indices].tolist()
        made = {"variants": _VARIANTS, "seed": config.seed}
        if config.patched:
            self.patched = make_patched(self.images[:, 0], self.coverage, groups, **made)
        if config.twins and self.nothing is not None:
            self.twins = make_twins(self.images[:, 0], self.coverage, groups, **made)
        if self.twins is not None and config.transplants:
            bound = [i for i, c in enumerate(slices.manifest.classes) if c.key in config.bound]
            movable = ~np.isin(self.labels, bound)
            self.transplants = make_transplants(self.images[:, 0], self.coverage, groups, self.twins, movable, **made)

    def __len__(self) -> int:
        return len(self.images) + sum(
            len(made) for made in (self.patched, self.twins, self.transplants) if made is not None
        )

    def __getitem__(self, numbers: list[int]) -> list[Tensor]:
        """Images (B, C, S, S) in [0, 1] and labels (B,); where outlines guide, their coverage and whose."""
        images, labels, coverage, outlined = zip(*map(self._one, numbers), strict=True)
        batch = [torch.from_numpy(np.stack(images)), torch.from_numpy(np.array(labels, np.int64))]
        if self.coverage is not None and self.config.guidance > 0:
            batch += [torch.from_numpy(np.stack(coverage)), torch.from_numpy(np.array(outlined, bool))]
        return batch

    def _one(self, number: int) -> tuple[NDArray[np.float32], int, NDArray[np.uint8] | None, bool]:
        count = len(self.images)
        if number < count:
            covered = None if self.coverage is None else self.coverage[number]
            return self.images[number], int(self.labels[number]), covered, bool(self.outlined[number])
        assert self.coverage is not None
        number -= count
        controls = 0 if self.patched is None else len(self.patched)
        if self.patched is not None and number < controls:
            scan = self.patched.scan[number]
            return (
                _unit(self.patched.images[number]),
                int(self.labels[scan]),
                self.coverage[scan],
                bool(self.outlined[scan]),
            )
        assert self.twins is not None
        assert self.nothing is not None
        number -= controls
        if number >= len(self.twins):
            assert self.transplants is not None
            number -= len(self.twins)
            label = int(self.labels[self.transplants.tumour[number]])
            return _unit(self.transplants.images[number]), label, self.transplants.coverage[number], True
        image = _unit(self.twins.images[number])
        return image, self.nothing, np.zeros_like(self.coverage[0]), False

    def draw(self, rng: np.random.Generator) -> NDArray[np.intp]:
        """Numbers of an epoch: every scan or a patched control of it, twins of some, and transplants.

        They are shuffled, but what shows the same head stands together: in one batch, only the tumour tells a scan from
        its twin, and what they share, such as the level of the head, teaches nothing.
        """
        count = len(self.images)
        numbers, heads = np.arange(count), np.arange(count)
        if self.patched is not None:
            chosen, which = _one_each(self.patched.scan, self.config.patched, rng)
            numbers[chosen] = count + which
            count += len(self.patched)
        if self.twins is not None:
            _, which = _one_each(self.twins.scan, self.config.twins, rng)
            numbers, heads = np.append(numbers, count + which), np.append(heads, self.twins.scan[which])
            count += len(self.twins)
            if self.transplants is not None:
                _, which = _one_each(self.transplants.tumour, self.config.transplants, rng)
                hosts = self.twins.scan[self.transplants.host[which]]
                numbers, heads = np.append(numbers, count + which), np.append(heads, hosts)
        return numbers[np.argsort(rng.permutation(len(self.images))[heads], kind="stable")]

    def seen(self, classes: int) -> NDArray[np.float64]:
        """How often an epoch shows each class, (classes,)."""
        counts = np.bincount(self.labels, minlength=classes).astype(np.float64)
        if self.twins is not None and self.nothing is not None:
            counts[self.nothing] += round(self.config.twins * len(np.unique(self.twins.scan)))
        if self.transplants is not None:
            tumours = np.bincount(self.labels[np.unique(self.transplants.tumour)], minlength=classes)
            counts += self.config.transplants * tumours
        return counts


def _unit(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    return image[None].astype(np.float32) / np.float32(255)


class ShuffledBatches(Sampler[list[int]]):
    """Batches of numbers, drawn anew each epoch from the seed and the epoch's number.

    Each process of a distributed run gets its share of every batch. Lightning calls `set_epoch`. The last, smaller
    batch is dropped, so that batch normalisation never sees one scan.

    Args:
        draw: Gives an epoch's numbers in order, always as many.
        batch_size: How many make a batch.
        seed: Another seed, another order.
    """

    def __init__(self, draw: Callable[[np.random.Generator], NDArray[np.intp]], batch_size: int, seed: int) -> None:
        self.draw, self.seed, self.epoch = draw, seed, 0
        self.count = len(draw(np.random.default_rng(0)))
        self.batch_size = min(batch_size, self.count)

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch the next pass belongs to."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        order = self.draw(np.random.default_rng((self.seed, self.epoch)))
        rank, processes = place()
        for start in range(len(self)):
            yield order[start * self.batch_size : (start + 1) * self.batch_size][rank::processes].tolist()


def _one_each(
    scan: NDArray[np.intp], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """A share of the scans that have counterfactuals, and the number of one counterfactual of each."""
    unique, first, count = np.unique(scan, return_index=True, return_counts=True)
    chosen = rng.permutation(len(unique))[: round(share * len(unique))]
    return unique[chosen], first[chosen] + rng.integers(count[chosen])


def training_batches(slices: Slices, indices: NDArray[np.intp], config: TrainConfig) -> DataLoader[list[Tensor]]:
    """Batches of the training part. Decoded slices lie in memory, so no worker processes are needed."""
    scans = TrainingSet(slices, indices, config)
    batches = ShuffledBatches(scans.draw, config.batch_size, config.seed)
    return DataLoader(scans, batch_size=None, sampler=batches)


def validation_batches(slices: Slices, indices: NDArray[np.intp]) -> DataLoader[tuple[Tensor, ...]]:
    """Batches of the validation part, in order."""
    batches = [list(range(i, min(i + 256, len(indices)))) for i in range(0, len(indices), 256)]
    scans = TensorDataset(torch.from_numpy(slices.images[indices]), torch.from_numpy(slices.labels[indices]))
    return DataLoader(scans, batch_size=None, sampler=batches)


def balanced_weights(counts: NDArray[np.float64]) -> Tensor:
    """Weight of each class: inverse to how often it is seen, 1 on average over what is seen; (classes,) float32."""
    weights = counts.sum() / (len(counts) * np.maximum(counts, 1))
    return torch.from_numpy(weights.astype(np.float32))
