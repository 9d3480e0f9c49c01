"""How strange a scan is to a network: the gate for unknown scans.

Two Mahalanobis distances to the training scans are taken, and the larger one counts:

- of cheap checks of the network's input: background, brightness, edges, symmetry, where and how wide the content is;
- of the network's last feature maps, averaged over the picture (Lee et al. 2018, with one mean for all classes).

Both are divided by what 95% of scans held out from the training stay below, so 1 is the limit. The checks catch what
the features miss (half a head is a head to them) and the other way round. It is means and matrix products only, in
torch, so that one graph can hold network and gate.

References:
    Lee et al., A simple unified framework for detecting out-of-distribution samples and adversarial attacks,
    NeurIPS 2018.
    Chen et al., Shrinkage algorithms for MMSE covariance estimation, IEEE Transactions on Signal Processing 58, 2010.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tumorlens.errors import DataError
from tumorlens.strangeness import Strangeness, judge

ACCEPTED = 0.95
"""Share of the scans held out from training that a gate is fitted to accept."""

_DARK, _BRIGHT = 0.06, 0.9
_TONES = (0.06, 0.12, 0.2, 0.3, 0.45, 0.65, 0.9)  # where one tone ends and the next begins
_SMALL = 1e-3  # keeps logarithms and quotients finite


@dataclass(frozen=True, eq=False)
class Distance:
    """Mahalanobis distance, divided by the limit.

    Attributes:
        centre: (K,) mean of the training scans' values.
        scale: (K,) their standard deviation.
        whitening: (K, K); standardised values times its transpose are uncorrelated, and of length 1 at the limit.
    """

    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    whitening: NDArray[np.float32]

    def __call__(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """(N, K) -> (N,) distances, 1 being the limit, and (N, K) values in standard deviations from the mean."""
        centre, scale, whitening = (torch.from_numpy(a).to(values) for a in (self.centre, self.scale, self.whitening))
        standardised = (values - centre) / scale
        return (standardised @ whitening.T).square().sum(1).sqrt(), standardised

    def relative_to(self, limit: float) -> Distance:
        """The distance whose 1 is this one's `limit`."""
        return Distance(self.centre, self.scale, (self.whitening / limit).astype(np.float32))

    @classmethod
    def fit(cls, values: NDArray[np.floating]) -> Distance:
        """The distance to (N, K) values, their covariance shrunk by Chen et al.'s oracle approximation."""
        centre, scale = values.mean(0), values.std(0)
        # A value that hardly varies in training, such as a dead feature map, must not decide alone.
        scale = np.maximum(scale, max(_SMALL, 0.1 * float(scale.mean())))
        n, k = values.shape
        z = (values - centre) / scale
        covariance = z.T @ z / n
        mean, power = np.trace(covariance) / k, (covariance**2).mean()
        spread = (n + 1) * (power - mean**2 / k)
        shrinkage = 1.0 if spread <= 0 else min(1.0, (power + mean**2) / spread)
        shrunk = (1 - shrinkage) * covariance + max(shrinkage * mean, _SMALL) * np.eye(k)
        whitening = np.linalg.inv(np.linalg.cholesky(shrunk))
        return cls(centre.astype(np.float32), scale.astype(np.float32), whitening.astype(np.float32))


@dataclass(frozen=True, eq=False)
class Gate:
    """Out-of-distribution detector: Mahalanobis distances of image checks and of network features.

    Attributes:
        checks: Distance of the input's checks.
        features: Distance of the last feature maps' means.
    """

    checks: Distance
    features: Distance

    def measure(self, images: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Measures scans; `strangeness.judge` says what it means.

        Args:
            images: (N, C, S, S) in [0, 1], the network's input.
            pooled: (N, F), the last feature maps' means over the picture.

        Returns:
            (N, 2) distances, by checks and by features, 1 being the limit; and the (N, 16) checks in standard
            deviations from the training scans' mean.
        """
        by_check, standardised = self.checks(checks(images))
        by_feature, _ = self.features(_logarithm(pooled))
        return torch.stack([by_check, by_feature], 1), standardised

    def judge(self, images: NDArray[np.float32], pooled: NDArray[np.float32]) -> list[Strangeness]:
        """What `measure` finds, in words; in double precision."""
        with torch.no_grad():
            distances, standardised = self.measure(*_double(images, pooled))
        return [judge(d, z) for d, z in zip(distances.tolist(), standardised.tolist(), strict=True)]

    def distances(self, images: NDArray[np.float32], pooled: NDArray[np.float32]) -> NDArray[np.float64]:
        """Both distances of scans, (N, 2): by checks and by features. Arguments as in `measure`."""
        distances: NDArray[np.float64] = self.measure(*_double(images, pooled))[0].numpy()
        return distances

    @classmethod
    def learn(cls, images: NDArray[np.float32], pooled: NDArray[np.float32]) -> Gate:
        """Learns what the training scans look like; `limited` sets where others begin. Arguments as in `measure`.

        Raises:
            DataError: If there are fewer than two scans.
        """
        if len(images) < 2:
            raise DataError(_TOO_FEW)
        scans, means = _double(images, pooled)
        return cls(Distance.fit(checks(scans).numpy()), Distance.fit(_logarithm(means).numpy()))

    def standardise(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Checks of scans in standard deviations from the training scans' mean, (N, C, S, S) -> (N, 16)."""
        return self.standardise_checks(measure_checks(images))

    def standardise_checks(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same of what `measure_checks` gave, (N, 16) -> (N, 16)."""
        standardised: NDArray[np.float64] = (values - self.checks.centre) / self.checks.scale
        return standardised

    def limited(
        self, distances: NDArray[np.float64], labels: NDArray[np.int64] | None = None, accepted: float = ACCEPTED
    ) -> Gate:
        """The gate whose limit accepts a share of scans like those held out.

        Args:
            distances: (N, 2), what `distances` gave for scans that trained nothing. They may come from several gates
                of one recipe, each for the scans its own training lacked.
            labels: (N,) class indices, if that share of each class is to be accepted.
            accepted: The share.

        Raises:
            DataError: If there are fewer than two.
        """
        if len(distances) < 2:
            raise DataError(_TOO_FEW)
        labels = np.zeros(len(distances), np.int64) if labels is None else labels
        # Each part alone accepts this share of the scans; both together must.
        alone = [strictest(part, labels, accepted) for part in distances.T]
        joint = strictest((distances / alone).max(1), labels, accepted)
        joint *= 1.0001  # single precision must not put the scan that sets the limit beyond it
        return Gate(self.checks.relative_to(alone[0] * joint), self.features.relative_to(alone[1] * joint))

    @classmethod
    def fit(
        cls,
        training: tuple[NDArray[np.float32], NDArray[np.float32]],
        held: tuple[NDArray[np.float32], NDArray[np.float32]],
        accepted: float = ACCEPTED,
    ) -> Gate:
        """`learn` from a training part, then `limited` by another one; each input and pooled feature maps."""
        gate = cls.learn(*training)
        return gate.limited(gate.distances(*held), accepted=accepted)

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """What it must be stored as, by name."""
        return {f"{part}.{name}": value for part in _PARTS for name, value in vars(getattr(self, part)).items()}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, NDArray[np.float32]]) -> Gate:
        """The gate that was stored.

        Raises:
            KeyError: If a tensor is missing.
        """
        names = ("centre", "scale", "whitening")
        return cls(*(Distance(*(tensors[f"{part}.{name}"] for name in names)) for part in _PARTS))


_PARTS = ("checks", "features")
_TOO_FEW = "too few scans to tell unknown ones from; train on more"


def checks(images: Tensor) -> Tensor:
    """Cheap checks of a network's input, (N, C, S, S) in [0, 1] -> (N, 16).

    Shares of background, white and border brightness (square roots); mean and standard deviation; edges, fine detail
    and their quotient (logarithms); centre of mass and spread, across and down, in sides; entropy of the tones;
    asymmetry; the straightest vertical and horizontal edge (logarithms).
    """
    grey = images.mean(1)
    side = grey.shape[1]
    rim = max(1, side // 16)
    steps = (grey[:, :, 1:] - grey[:, :, :-1], grey[:, 1:] - grey[:, :-1])  # across, down
    bends = (steps[0][:, :, 1:] - steps[0][:, :, :-1], steps[1][:, 1:] - steps[1][:, :-1])
    mean = grey.mean((1, 2))
    outside = mean * side**2 - grey[:, rim:-rim, rim:-rim].sum((1, 2))
    edges = steps[0].abs().mean((1, 2)) + steps[1].abs().mean((1, 2))
    detail = bends[0].abs().mean((1, 2)) + bends[1].abs().mean((1, 2))
    below = [(grey < tone).to(grey).mean((1, 2)) for tone in _TONES]
    columns, rows = _centre_and_spread(grey.mean(1)), _centre_and_spread(grey.mean(2))
    lines = [steps[0].mean(1).abs().amax(1), steps[1].mean(2).abs().amax(1)]
    return torch.stack(
        [
            below[_TONES.index(_DARK)].sqrt(),
            (1 - below[_TONES.index(_BRIGHT)]).sqrt(),
            (outside.clamp_min(0) / (side**2 - (side - 2 * rim) ** 2)).sqrt(),
            mean,
            (grey - mean[:, None, None]).square().mean((1, 2)).sqrt(),
            (edges + _SMALL).log(),
            (detail + _SMALL).log(),
            ((detail + _SMALL) / (edges + _SMALL)).log(),
            columns[0],
            rows[0],
            columns[1],
            rows[1],
            _entropy(below),
            (grey - grey.flip(2)).abs().mean((1, 2)) / (mean + 0.02),
            *((line + _SMALL).log() for line in lines),
        ],
        1,
    )


def _centre_and_spread(profile: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread about the middle of (N, S) brightness profiles, in sides."""
    weight = profile + _SMALL  # an empty picture is spread evenly
    weight = weight / weight.sum(1, keepdim=True)
    place = torch.linspace(-0.5, 0.5, profile.shape[1], dtype=torch.float64).to(profile)
    return weight @ place, (weight @ place.square()).sqrt()


def _entropy(below: list[Tensor]) -> Tensor:
    """Entropy of the tones, from the shares of the picture below each of their ends."""
    ends = torch.stack([torch.zeros_like(below[0]), *below, torch.ones_like(below[0])], 1)
    shares = ends[:, 1:] - ends[:, :-1]
    return -(shares * (shares + 1e-6).log()).sum(1)


def _logarithm(pooled: Tensor) -> Tensor:
    """Feature maps are skewed; their logarithms are nearer to the normal distribution the distance assumes."""
    return (pooled.clamp_min(0) + 0.01).log()


def _double(*arrays: NDArray[np.float32]) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(np.ascontiguousarray(a)).double() for a in arrays)


def measure_checks(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """`checks` of arrays in double precision, (N, C, S, S) in [0, 1] -> (N, 16)."""
    values: NDArray[np.float64] = checks(*_double(images)).numpy()
    return values


def strictest(values: NDArray[np.float64], labels: NDArray[np.int64], share: float) -> float:
    """The least limit that a share of exchangeable scans of each class stays below; the largest value of too few.

    Args:
        values: (N,) of scans of these classes.
        labels: (N,) their class indices.
        share: In (0, 1).
    """
    classes = [np.sort(values[labels == label]) for label in np.unique(labels)]
    return max(float(c[min(len(c), math.ceil((len(c) + 1) * share)) - 1]) for c in classes)
