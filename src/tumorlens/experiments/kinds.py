"""What the gate recognises by name: linear discriminants of its checks, one a kind of picture that is no such scan.

A distance to the training scans says that something is strange, not what. Examples of what else comes in, such as CT,
or scans with text in them, tell both: logistic regression on the gate's 16 checks, scans against one kind (outlier
exposure, with checks in place of a network). The limit of a kind made of scans is what scans held out from the training
stay below; that of real pictures is even odds.

Reference: Hendrycks, Mazeika and Dietterich, Deep anomaly detection with outlier exposure, ICLR 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tumorlens.data.loader import load_slices
from tumorlens.data.manifest import find_set, read_manifest
from tumorlens.data.unlike import MADE
from tumorlens.errors import DataError
from tumorlens.model.gate import Gate, strictest
from tumorlens.preprocess import Preprocessing
from tumorlens.strangeness import Kind

STAYING = 0.99
"""Share of the scans of each class that one kind's discriminant does not take for it."""

_EXAMPLES = 1500  # made of each kind, at most
_STRENGTH = 1.0  # of the regression's ridge, inverted


def gather_examples(
    images: NDArray[np.float32], given: Mapping[str, str], preprocessing: Preprocessing, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """Pictures of each kind, (M, C, S, S) float32 in [0, 1], by name.

    Args:
        images: (N, C, S, S) scans that trained the network; of greyscale ones those of `MADE` are made.
        given: Folder, or name of a data set, of the pictures of further kinds.
        preprocessing: The network's.
        seed: Another seed, other examples made.

    Raises:
        DataError: If a folder holds no pictures, or a kind's name is taken.
    """
    examples: dict[str, NDArray[np.float32]] = {}
    if images.shape[1] == 1:
        rng = np.random.default_rng((seed, 3))
        chosen = images[rng.permutation(len(images))[:_EXAMPLES], 0]
        for name, (_, make) in MADE.items():
            made = [picture for picture in (make(image, rng) for image in chosen) if picture is not None]
            if made:
                examples[name] = np.stack(made)[:, None]
    for name, folder in given.items():
        if name in examples:
            raise DataError(f"pictures {name!r} are made of the scans already; give those in {folder} another name")
        examples[name] = load_slices(read_manifest(find_set(Path(folder))), preprocessing).images
    return examples


def learn_kinds(
    gate: Gate,
    training: NDArray[np.float32],
    held: tuple[NDArray[np.float64], NDArray[np.int64]],
    examples: Mapping[str, NDArray[np.float32]],
) -> tuple[Kind, ...]:
    """The discriminant of each kind of picture.

    Args:
        gate: Of the network.
        training: (N, C, S, S) scans that trained it.
        held: (M, 16) checks of scans that did not, as `checks` gives them, and their (M,) class indices.
        examples: Pictures of each kind, by name.
    """
    from sklearn.linear_model import LogisticRegression

    scans, others = gate.standardise(training), gate.standardise_checks(held[0])
    kinds = []
    for name, pictures in examples.items():
        values = np.concatenate([scans, gate.standardise(pictures)])
        model = LogisticRegression(C=_STRENGTH, class_weight="balanced", max_iter=5000)
        model.fit(values, np.arange(len(values)) >= len(scans))
        odds = model.decision_function(others)
        centre = float(odds.mean())
        # What is made of scans can be none of them; but among no-tumour scans from the web there are some of real CT.
        limit = strictest(odds, held[1], STAYING) if name in MADE else 0.0
        width = max(limit - centre, 1e-6)
        kinds.append(
            Kind(
                name=name,
                words=MADE[name][0] if name in MADE else f"it looks like {name}",
                weights=tuple((model.coef_[0] / width).tolist()),
                bias=(float(model.intercept_[0]) - centre) / width,
            )
        )
    return tuple(kinds)
