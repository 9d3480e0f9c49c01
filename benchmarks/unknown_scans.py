"""How well scans of unknown things are told from real ones: the table "Unknown scans" of docs/benchmarks.md.

    tumorlens crossvalidate --data masoud --output runs/cv     # makes the folds
    python benchmarks/unknown_scans.py --data masoud --runs runs/cv

The gate is fitted anew on each fold's training part, its limit on the validation part; real scans are the fold's test
part, of other patients. What it knows of CT it learns from one half of the set `head_ct`, and the other half is asked
about. Needs scikit-image for its photographs. Prints the tables in Markdown.
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

from tumorlens.data.loader import load_slices
from tumorlens.data.manifest import find_set, read_manifest
from tumorlens.data.unlike import MADE
from tumorlens.experiments.kinds import gather_examples, learn_kinds
from tumorlens.formats import read_scans
from tumorlens.model.gate import ACCEPTED, Gate, measure_checks, strictest
from tumorlens.phantoms.phantom import make_phantoms
from tumorlens.preprocess import Preprocessing
from tumorlens.strangeness import Kind, judge

SPOILED, PHANTOMS = 150, 150  # of a fold's test scans; phantoms
Inputs = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]
Score = Callable[[Inputs], NDArray[np.float64]]


def inputs(fold: Fold, images: NDArray[np.float32]) -> Inputs:
    """What scores are made of: images, pooled feature maps, logits."""
    with torch.inference_mode():
        logits = [fold.classifier.network(batch).double().numpy() for batch in torch.from_numpy(images).split(256)]
    return images, fold.classifier.pool(images), np.concatenate(logits)


def scores(gate: Gate, kinds: tuple[Kind, ...]) -> dict[str, Score]:
    """The gate's score and its rivals; larger is stranger."""

    def whole(x: Inputs) -> NDArray[np.float64]:
        measured = zip(gate.distances(x[0], x[1]).tolist(), gate.standardise(x[0]).tolist(), strict=True)
        return np.array([judge(distances, checks, kinds).score for distances, checks in measured])

    return {
        "energy": lambda x: -logsumexp(x[2], axis=1),  # Liu et al., NeurIPS 2020
        "features": lambda x: gate.distances(x[0], x[1])[:, 1],
        "checks": lambda x: gate.distances(x[0], x[1])[:, 0],
        "both": lambda x: gate.distances(x[0], x[1]).max(1),
        "gate: both and kinds": whole,
    }


def pictures_of(fold: Fold, unseen: NDArray[np.float32] | None) -> dict[str, NDArray[np.float32]]:
    """Every kind of unknown thing, and phantoms and another hospital's scans, which should pass; as inputs."""
    rng = np.random.default_rng(0)
    chosen = fold.slices.images[rng.permutation(fold.split.test)[:SPOILED]]
    phantoms = [p.scan for p in make_phantoms(PHANTOMS, size=128, seed=5)]
    scans = {**dict(drawn()), **dict(carried()), **dict(spoiled(chosen)), "PHANTOMS": phantoms}
    rule = fold.classifier.preprocessing
    inputs = {kind: np.stack([rule(s) for s in group]) for kind, group in scans.items()}
    for name, (_, make) in MADE.items():
        made = [picture for picture in (make(image[0], rng) for image in chosen) if picture is not None]
        inputs[f"made: {name}"] = np.stack(made)[:, None]
    if unseen is not None:
        inputs["head CT"] = unseen
    for name in ("lung_histology", "progression"):
        folder = find_set(Path(name))
        if folder.is_dir():
            inputs[name] = other_set(folder, rule)
    return inputs


def other_set(folder: Path, rule: Preprocessing) -> NDArray[np.float32]:
    """Pictures of another data set as inputs: of one with class folders at most some hundred, else whole volumes."""
    volumes = [v for v in sorted(folder.glob("*.nii.gz")) if not v.name.endswith("-tumour.nii.gz")]
    if volumes:
        return np.stack([rule(scan) for volume in volumes for scan in read_scans(volume)])
    images = load_slices(read_manifest(folder), rule).images
    return images[:: max(1, len(images) // 300)]


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
        labels = fold.slices.labels[fold.split.validation]
        gate = Gate.learn(*parts["train"][:2])
        gate = gate.limited(gate.distances(*parts["validation"][:2]), labels)
        examples = gather_examples(parts["train"][0], {}, fold.classifier.preprocessing)
        unseen = None
        if (folder := find_set(Path("head_ct"))).is_dir():
            ct = other_set(folder, fold.classifier.preprocessing)
            half = np.arange(len(ct)) // 8 % 2 == 0  # neighbours, which may be of one patient, go together
            examples["CT"], unseen = ct[half], ct[~half]
        kinds = learn_kinds(gate, parts["train"][0], (measure_checks(parts["validation"][0]), labels), examples)
        prepared = {kind: inputs(fold, images) for kind, images in pictures_of(fold, unseen).items()}
        truth = fold.slices.labels[fold.split.test]
        for name, score in scores(gate, kinds).items():
            limit = strictest(score(parts["validation"]), labels, ACCEPTED)
            limit = 1.0 if name.startswith("gate") else limit
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
    methods = list(scores(gate, kinds))
    print(f"\nReal scans accepted; the limit accepts {ACCEPTED:.0%} of each class of the validation part\n")
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
