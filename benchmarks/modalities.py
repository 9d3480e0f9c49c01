"""How colourful the pictures of data sets are, and which modalities' weights refuse them by that. Prints Markdown.

python benchmarks/modalities.py masoud head_ct lung_histology    # sets in the folder TUMORLENS_DATA names
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from tumorlens.data.manifest import find_set, read_manifest
from tumorlens.formats import read_scans
from tumorlens.modality import BUILT_IN, find_modality


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--every", type=int, default=1, help="take one picture of so many")
    options = parser.parse_args()
    modalities = [find_modality(path.stem) for path in sorted(BUILT_IN.glob("*.yaml"))]
    refused = " | ".join(f"refused by {m.code} weights" for m in modalities)
    print(f"| set | pictures | least colourful | most colourful | {refused} |")
    print("| --- " * (4 + len(modalities)) + "|")
    for name in options.sets:
        entries = read_manifest(find_set(name)).entries[:: options.every]
        scans = [scan for entry in entries for scan in read_scans(entry.path)]
        colours = [float(np.ptp(s.pixels, axis=2).mean()) if s.pixels.ndim == 3 else 0.0 for s in scans]
        shares = " | ".join(f"{np.mean([bool(m.refuses(s)) for s in scans]):.1%}" for m in modalities)
        print(f"| {name.name} | {len(scans)} | {min(colours):.3f} | {max(colours):.3f} | {shares} |")


if __name__ == "__main__":
    main()
