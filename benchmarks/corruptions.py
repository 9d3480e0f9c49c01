"""How much a network loses on corrupted scans: the table "Robustness" of docs/benchmarks.md.

    python benchmarks/corruptions.py runs/latest                 # a sample of 500 scans of the run's own test part
    python benchmarks/corruptions.py runs/cv/fold-0 --count 100  # a small size, for CI

Writes corruptions.html, .png, .json and .md to the run's folder corruptions/, and prints the tables in Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tumorlens.classifier import Classifier
from tumorlens.data.manifest import Manifest
from tumorlens.evaluation.predictions import Predictions
from tumorlens.evaluation.testing.corruptions import measure_corruptions, write_corruptions
from tumorlens.experiments.experiment import read_manifests
from tumorlens.formats import read_scans
from tumorlens.scan import Scan
from tumorlens.training.run import Run


def main() -> None:
    """Measures a run and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--count", type=int, default=500, help="scans; 0 for the whole test part")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    classifier = Classifier.load(arguments.run)
    run = Run.open(arguments.run)
    tested = Predictions.read_csv(run.folder / "evaluation" / "predictions.csv", classifier.card.classes)
    rows = np.random.default_rng(arguments.seed).permutation(len(tested))[: arguments.count or None]
    found = measure_corruptions(
        classifier,
        scans(read_manifests(run.data), tested.pick(np.sort(rows))),
        data=f"of the test part of {run.folder.name}, seed {arguments.seed}",
        seed=arguments.seed,
        progress=lambda done: print(f"  {done} of {len(rows)}", flush=True),
    )
    page = write_corruptions(run.folder / "corruptions", found)
    print(f"\n{found.weights}, {found.n} scans {found.data}\n\n{found.markdown()}\n{page}")


def scans(manifest: Manifest, tested: Predictions) -> Iterator[tuple[Scan, int, str]]:
    """The tested scans again, with their class and group."""
    entries = {e.name: e for e in manifest.entries}
    for name, label, group in zip(tested.names, tested.truth, tested.groups, strict=True):
        file, _, frame = name.partition("#") if name not in entries else (name, "", "")
        for scan in read_scans(entries[file].path):
            if not frame or str(scan.frame) == frame:
                yield scan, int(label), str(group)
                break


if __name__ == "__main__":
    main()
