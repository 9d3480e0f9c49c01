"""Is this a scan like those the network was trained on? If not, its class means nothing, and the finding says so.

Two Mahalanobis distances to the training scans are taken, and the larger one counts:

- of cheap checks of the network's input: background, brightness, edges, symmetry, where and how wide the content is;
- of the network's last feature maps, averaged over the picture (Lee et al. 2018, with one mean for all classes).

Both are divided by what 95% of scans held out from the training stay below, so 1 is the limit. The checks catch what
the features miss (half a head is a head to them) and the other way round. It is numpy and matrix products only.

References:
    Lee et al., A simple unified framework for detecting out-of-distribution samples and adversarial attacks,
    NeurIPS 2018.
    Chen et al., Shrinkage algorithms for MMSE covariance estimation, IEEE Transactions on Signal Processing 58, 2010.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from tumorlens.errors import DataError

ACCEPTED = 0.95
"""Share of the scans held out from training that a gate is fitted to accept."""

_DARK, _BRIGHT = 0.06, 0.9
_TONES = (0, 0.06, 0.12, 0.2, 0.3, 0.45, 0.65, 0.9, 1.01)
_SMALL = 1e-3  # keeps logarithms and quotients finite
_SALIENT = 2.3  # standard deviations from which a check is named: one scan in a hundred lies beyond, on either side

# What checks beyond their usual range mean, the plainest first: (place in `checks`, above or below, words).
_WORDS = (
    (0, 1, "almost all background"),
    (1, 1, "large parts are white"),
    (7, 1, "noise or a fine pattern"),
    (7, -1, "too smooth"),
    (0, -1, "hardly any background"),
    (2, 1, "the picture goes on to its border"),
    (8, 1, "its content lies to the right"),
    (8, -1, "its content lies to the left"),
    (9, 1, "its content lies low"),
    (9, -1, "its content lies high"),
    (13, 1, "its two sides differ"),
    (10, 1, "wider than a head"),
    (10, -1, "narrower than a head"),
    (11, 1, "taller than a head"),
    (11, -1, "flatter than a head"),
    (3, 1, "too bright"),
    (3, -1, "too dark"),
    (4, 1, "too much contrast"),
    (4, -1, "too little contrast"),
    (14, 1, "a straight vertical edge"),
    (15, 1, "a straight horizontal edge"),
    (5, 1, "too many edges"),
    (5, -1, "too few edges"),
    (6, 1, "too much fine detail"),
    (6, -1, "too little fine detail"),
    (12, 1, "too many shades of grey"),
    (12, -1, "too few shades of grey"),
)
_STRANGE = "its brightness, edges and shape do not go together"


class Unknown(BaseModel):
    """How strange a scan is to the network.

    Attributes:
        score: Distance from the training scans; 1 is the limit, larger is stranger, 0 is their mean.
        unknown: Whether the scan is beyond the limit; its class then means nothing.
        reason: Why, in words; empty where it is not.
    """

    model_config = ConfigDict(frozen=True)
    score: float
    unknown: bool
    reason: str = ""


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

    def __call__(self, values: NDArray) -> NDArray[np.float64]:
        """(N, K) -> (N,) distances; 1 is the limit."""
        distances: NDArray[np.float64] = np.linalg.norm(self.standardise(values) @ self.whitening.T, axis=1)
        return distances

    def standardise(self, values: NDArray) -> NDArray[np.float64]:
        """(N, K) -> (N, K) in standard deviations from the mean."""
        standardised: NDArray[np.float64] = (values.astype(np.float64) - self.centre) / self.scale
        return standardised

    def relative_to(self, limit: float) -> Distance:
        """The distance whose 1 is this one's `limit`."""
        return Distance(self.centre, self.scale, (self.whitening / limit).astype(np.float32))

    @classmethod
    def fit(cls, values: NDArray) -> Distance:
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
    """Tells scans like those of the training from anything else.

    Attributes:
        checks: Distance of the input's checks.
        features: Distance of the last feature maps' means.
    """

    checks: Distance
    features: Distance

    def judge(self, images: NDArray[np.float32], pooled: NDArray[np.float32]) -> list[Unknown]:
        """Judges scans.

        Args:
            images: (N, C, S, S) float32 in [0, 1], the network's input.
            pooled: (N, F) float32, the last feature maps' means over the picture.
        """
        found = checks(images)
        standardised = self.checks.standardise(found)
        distances = zip(self.checks(found), self.features(_logarithm(pooled)), standardised, strict=True)
        return [_verdict(float(by_check), float(by_feature), z) for by_check, by_feature, z in distances]

    def distances(self, images: NDArray[np.float32], pooled: NDArray[np.float32]) -> NDArray[np.float64]:
        """Both distances of scans, (N, 2): by checks and by features. Arguments as in `judge`."""
        return np.stack([self.checks(checks(images)), self.features(_logarithm(pooled))], 1)

    @classmethod
    def learn(cls, images: NDArray[np.float32], pooled: NDArray[np.float32]) -> Gate:
        """Learns what the training scans look like; `limited` sets where others begin. Arguments as in `judge`.

        Raises:
            DataError: If there are fewer than two scans.
        """
        if len(images) < 2:
            raise DataError(_TOO_FEW)
        return cls(Distance.fit(checks(images)), Distance.fit(_logarithm(pooled)))

    def limited(self, distances: NDArray[np.float64], accepted: float = ACCEPTED) -> Gate:
        """The gate whose limit accepts a share of scans like those held out.

        Args:
            distances: (N, 2), what `distances` gave for scans that trained nothing. They may come from several gates
                of one recipe, each for the scans its own training lacked.
            accepted: The share.

        Raises:
            DataError: If there are fewer than two.
        """
        if len(distances) < 2:
            raise DataError(_TOO_FEW)
        # Each part alone accepts this share of the scans; both together must.
        alone = [_limit(part, accepted) for part in distances.T]
        joint = _limit((distances / alone).max(1), accepted)
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
        return gate.limited(gate.distances(*held), accepted)

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


def checks(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cheap checks of a network's input, (N, C, S, S) in [0, 1] -> (N, 16).

    Shares of background, white and border brightness (square roots); mean and standard deviation; edges, fine detail
    and their quotient (logarithms); centre of mass and spread, across and down, in sides; entropy of the tones;
    asymmetry; the straightest vertical and horizontal edge (logarithms).
    """
    grey = images.mean(1, dtype=np.float64)
    side = grey.shape[1]
    rim = max(1, side // 16)
    across, down = np.abs(np.diff(grey, axis=2)), np.abs(np.diff(grey, axis=1))
    mean = grey.mean((1, 2))
    total = grey.sum((1, 2))
    inside = grey[:, rim:-rim, rim:-rim].sum((1, 2))
    edges = across.mean((1, 2)) + down.mean((1, 2))
    detail = sum(np.abs(np.diff(grey, 2, axis=axis)).mean((1, 2)) for axis in (1, 2))
    tones = [((grey >= low) & (grey < high)).mean((1, 2)) for low, high in itertools.pairwise(_TONES)]
    columns, rows = (_centre_and_spread(grey.mean(axis)) for axis in (1, 2))
    lines = [np.abs(np.diff(grey, axis=axis).mean(3 - axis)).max(1) for axis in (2, 1)]
    return np.stack(
        [
            np.sqrt((grey < _DARK).mean((1, 2))),
            np.sqrt((grey > _BRIGHT).mean((1, 2))),
            np.sqrt(np.maximum(total - inside, 0) / (side**2 - (side - 2 * rim) ** 2)),
            mean,
            grey.std((1, 2)),
            np.log(edges + _SMALL),
            np.log(detail + _SMALL),
            np.log((detail + _SMALL) / (edges + _SMALL)),
            columns[0],
            rows[0],
            columns[1],
            rows[1],
            -sum(t * np.log(t + 1e-6) for t in tones),
            np.abs(grey - grey[:, :, ::-1]).mean((1, 2)) / (mean + 0.02),
            *(np.log(line + _SMALL) for line in lines),
        ],
        axis=1,
    )


def _centre_and_spread(profile: NDArray[np.float64]) -> tuple[NDArray, NDArray]:
    """Mean and spread about the middle of (N, S) brightness profiles, in sides."""
    weight = profile + _SMALL  # an empty picture is spread evenly
    weight = weight / weight.sum(1, keepdims=True)
    place = np.linspace(-0.5, 0.5, profile.shape[1])
    return weight @ place, np.sqrt(weight @ place**2)


def _logarithm(pooled: NDArray[np.float32]) -> NDArray[np.float64]:
    """Feature maps are skewed; their logarithms are nearer to the normal distribution the distance assumes."""
    return np.log(np.maximum(pooled, 0).astype(np.float64) + 0.01)


def _limit(distances: NDArray[np.float64], accepted: float) -> float:
    """What the share `accepted` of exchangeable scans stays below; the largest distance where they are too few."""
    place = min(len(distances), math.ceil((len(distances) + 1) * accepted))
    return float(np.sort(distances)[place - 1])


def _verdict(by_check: float, by_feature: float, standardised: NDArray[np.float64]) -> Unknown:
    score = max(by_check, by_feature)
    if score <= 1:
        return Unknown(score=score, unknown=False)
    above = f"{math.ceil(score * 100) / 100:.2f}"  # never "1.00"
    if by_feature > by_check:
        what = f"the network's features are {above} times as far from theirs as accepted"
    else:
        what = next((words for i, sign, words in _WORDS if sign * standardised[i] > _SALIENT), _STRANGE)
        what += f" (distance {above}, accepted up to 1)"
    return Unknown(score=score, unknown=True, reason=f"unlike the scans it was trained on: {what}")
