"""The graph that ships beside the weights, run by ONNX Runtime: a finding's every number in one pass, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tumorlens.card import HeatMapRule, WeightsCard, read_checked
from tumorlens.engines import Answers, Target
from tumorlens.errors import ModelError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_PIXELS = 16 * 64**2  # of the inputs of a pass: more of them leave the processor's cache, which costs up to a quarter


class Graph:
    """A graph that `tumorlens export` wrote for weights with this card. It takes so many threads; 0 takes all.

    Raises:
        ModelError: If the file cannot be run.
        ChecksumMismatch: If it is not the one the card names.
    """

    def __init__(self, path: Path, card: WeightsCard, threads: int = 0) -> None:
        self.path, self.card = path, card
        assert card.heat_map is not None
        self.rule: HeatMapRule = card.heat_map
        self._session = _open(path, card, threads)
        self._outputs = [output.name for output in self._session.get_outputs()]

    def answer(self, images: NDArray[np.float32], *, explain: bool = True, target: Target = None) -> Answers:
        """Answers a batch; see `Engine`."""
        step = max(1, _PIXELS // (images.shape[2] * images.shape[3]))
        parts = [self._run(images[i : i + step], explain, target) for i in range(0, len(images), step)]
        if len(parts) == 1:
            return parts[0]
        columns = zip(*((p.probabilities, p.heat, p.distances, p.standardised) for p in parts), strict=True)
        return Answers(*(None if column[0] is None else np.concatenate(column) for column in columns))  # type: ignore[arg-type]

    def _run(self, images: NDArray[np.float32], explain: bool, target: Target) -> Answers:
        outputs = dict(zip(self._outputs, self._session.run(None, {"image": images}), strict=True))
        probabilities = outputs["probabilities"].astype(np.float64)
        probabilities /= probabilities.sum(1, keepdims=True)
        heat = None
        if explain and target == "all":
            heat = outputs["heat_maps"]
        elif explain:
            heat = outputs["heat_maps"][np.arange(len(images)), probabilities.argmax(1) if target is None else target]
        if "strangeness" not in outputs:
            return Answers(probabilities, heat)
        strangeness = outputs["strangeness"].astype(np.float64)
        return Answers(probabilities, heat, strangeness[:, :2], strangeness[:, 2:])


def graph_beside(weights: Path, card: WeightsCard) -> Path | None:
    """The graph that ships beside weights, or None where there is none of theirs."""
    path = weights.with_suffix(".onnx")
    return path if card.graph_sha256 and path.is_file() else None


def _open(path: Path, card: WeightsCard, threads: int) -> InferenceSession:
    import onnxruntime

    mismatch = "is damaged or not the graph its card names; write it anew: tumorlens export"
    data = read_checked(path, card.graph_sha256, mismatch)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"{path}: cannot be run ({' '.join(str(error).split())[:200]})") from error
