"""How well scans of unknown things are told from real ones: the table "Unknown scans" of docs/benchmarks.md.

    tumorlens crossvalidate --data masoud --output runs/cv     # makes the folds
    python benchmarks/unknown_scans.py --data masoud --runs runs/cv

The gate is fitted anew on each fold's training part, its limit on the validation part; real scans are the fold's test
part, of other series. Needs scikit-image for its photographs. Prints the tables in Markdown.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from calibration import Fold, read_folds
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score
from unknown_pictures import carried, drawn, spoiled

from tumorlens.model.gate import ACCEPTED, Gate
from tumorlens.phantoms.phantom import make_phantoms
from tumorlens.scan import Scan

SPOILED, PHANTOMS = 150, 150  # of a fold's test scans; phantoms
Inputs = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]
Score = Callable[[Inputs], NDArray[np.float64]]


def inputs(fold: Fold, images: NDArray[np.float32]) -> Inputs:
    """What scores are made of: images, pooled feature maps, logits."""
    with torch.inference_mode():
        logits = [fold.classifier.network(batch).double().numpy() for batch in torch.from_numpy(images).split(256)]
    return images, fold.classifier.pool(images), np.concatenate(logits)


def scores(gate: Gate) -> dict[str, Score]:
    """The gate's score and its rivals; larger is stranger."""
    return {
        "energy": lambda x: -logsumexp(x[2], axis=1),  # Liu et al., NeurIPS 2020
        "features": lambda x: gate.distances(x[0], x[1])[:, 1],
        "checks": lambda x: gate.distances(x[0], x[1])[:, 0],
        "gate: checks and features": lambda x: np.array([u.score for u in gate.judge(x[0], x[1])]),
    }


def kinds_of(fold: Fold) -> dict[str, list[Scan]]:
    """Every kind of unknown thing, and phantoms, which should pass."""
    chosen = np.random.default_rng(0).permutation(fold.split.test)[:SPOILED]
    phantoms = [p.scan for p in make_phantoms(PHANTOMS, size=128, seed=5)]
    return {**dict(drawn()), **dict(carried()), **dict(spoiled(fold.slices.images[chosen])), "PHANTOMS": phantoms}


def main() -> None:
    """Measures every finished fold and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="folder of a cross-validation, or of one run")
    parser.add_argument("--data", type=Path, action="append", help="the data sets, if they moved since the training")
    parser.add_argument("--fold", action="append", default=[], help="only this one, such as fold-0; may be repeated")
    arguments = parser.parse_args()
    caught: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    areas: dict[str, list[float]] = defaultdict(list)
    count: dict[str, int] = defaultdict(int)
    accepted = []
    for fold in read_folds(arguments.runs, arguments.data, arguments.fold):
        parts = {name: inputs(fold, fold.slices.images[part]) for name, part in fold.split.parts.items()}
        gate = Gate.fit(parts["train"][:2], parts["validation"][:2])
        kinds = kinds_of(fold)
        rule = fold.classifier.preprocessing
        prepared = {kind: inputs(fold, np.stack([rule(s) for s in scans])) for kind, scans in kinds.items()}
        truth = fold.slices.labels[fold.split.test]
        for name, score in scores(gate).items():
            limit = np.quantile(score(parts["validation"]), ACCEPTED, method="higher")
            real = score(parts["test"])
            by_class = [float((real[truth == i] <= limit).mean()) for i in range(truth.max() + 1)]
            accepted.append([fold.name, name, *(f"{v:.3f}" for v in (float((real <= limit).mean()), *by_class))])
            for kind, x in prepared.items():
                strange = score(x)
                caught[kind][name].append(float((strange > limit).mean()))
                if name.startswith("gate"):
                    count[kind] += len(strange)
                    both = np.concatenate([real, strange])
                    areas[kind].append(roc_auc_score(np.arange(len(both)) >= len(real), both))
        names = [c.name for c in fold.classifier.card.classes]
        size = sum(t.nbytes for t in gate.tensors().values())
        quick = _milliseconds(lambda: gate.judge(parts["test"][0][:1], parts["test"][1][:1]))  # noqa: B023
        network = _milliseconds(lambda: inputs(fold, parts["test"][0][:1]))  # noqa: B023
    if not accepted:
        raise SystemExit(f"{arguments.runs}: holds no finished run")
    methods = list(scores(gate))
    print(f"\nReal scans accepted, the limit being set to accept {ACCEPTED:.0%} of the validation part\n")
    _table(["run", "score", "all", *names], accepted)
    print("\nShare caught at that limit, mean over the folds; AUROC of the gate, mean over the folds (worst)\n")
    _table(
        ["kind", "pictures", *methods, "worst fold", "AUROC"],
        [
            [kind, str(count[kind])]
            + [f"{np.mean(by[m]):.3f}" for m in methods]
            + [f"{min(by[methods[-1]]):.3f}", f"{np.mean(areas[kind]):.3f} ({min(areas[kind]):.3f})"]
            for kind, by in caught.items()
        ],
    )
    print(f"\nThe gate needs {size / 1024:.0f} kB and {quick:.2f} ms a scan; the network, twice: {network:.2f} ms")


def _milliseconds(call: Callable[[], object], times: int = 50) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began) / times * 1000


def _table(head: list[str], rows: list[list[str]]) -> None:
    for cells in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
