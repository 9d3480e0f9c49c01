"""How quickly a whole slide is mapped, and in how much memory. Prints Markdown.

python benchmarks/slides.py /tmp/slide.tiff --weights runs/tiles     # 50,000 × 50,000 pixels, written if it is missing

The slide is a pyramid of tiled TIFF: glass with discs of tissue, drawn. "Own rate" is what the network does on tiles
that are read already. Rates are by processor time, so that what else the machine does changes nothing.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tumorlens.classifier import Classifier
from tumorlens.slides import Slide, map_slide

BLOCK = 256
GLASS, PINK, VIOLET = (240, 239, 238), (228, 150, 190), (120, 70, 160)
MICRONS = 0.5


def write_slide(path: Path, side: int) -> None:
    """Writes a slide of `side` pixels along its sides. A handful of blocks, packed once, make all of it."""
    import tifffile

    rng = np.random.default_rng(0)

    def block(shade: tuple[int, int, int]) -> bytes:
        # Nuclei of a few pixels, and little noise: the file stays small and is as much work to decode as a real one.
        grain = rng.integers(0, 2, (BLOCK // 4, BLOCK // 4, 1)).repeat(4, 0).repeat(4, 1) * 24
        picture = np.array(shade) - grain + rng.integers(0, 4, (BLOCK, BLOCK, 1))
        return zlib.compress(picture.clip(0, 255).astype(np.uint8).tobytes(), 6)

    glass, tissue = block(GLASS), [[block(shade) for _ in range(8)] for shade in (PINK, VIOLET)]
    discs = [(rng.uniform(0.15, 0.85), rng.uniform(0.15, 0.85), rng.uniform(0.08, 0.16), i % 2) for i in range(12)]

    def blocks(across: int) -> Iterator[bytes]:
        count = -(-across // BLOCK)
        for number in range(count * count):
            x, y = (number % count + 0.5) / count, (number // count + 0.5) / count
            kind = next((k for cx, cy, r, k in discs if (x - cx) ** 2 + (y - cy) ** 2 < r * r), None)
            yield glass if kind is None else tissue[kind][number % 8]

    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        level = 0
        while level == 0 or side >> level >= 2 * BLOCK:
            tiff.write(
                blocks(side >> level),
                shape=(side >> level, side >> level, 3),
                dtype=np.uint8,
                tile=(BLOCK, BLOCK),
                photometric="rgb",
                compression="zlib",
                subfiletype=1 if level else 0,
                metadata=None,
                resolution=(1e4 / MICRONS,) * 2,
                resolutionunit="CENTIMETER",
            )
            level += 1


def main() -> None:
    """Writes the slide where it is missing, maps it, and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slide", type=Path)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--side", type=int, default=50_000)
    parser.add_argument("--field", type=float, default=112.0, help="microns along a tile's sides")
    options = parser.parse_args()
    if not options.slide.exists():
        write_slide(options.slide, options.side)
    classifier = Classifier.load(options.weights, threads=1)
    with Slide(str(options.slide)) as slide:
        tiles = list(slide.tiles(options.field / slide.microns))
        size = classifier.preprocessing.size
        scans = [slide.scan(tile, size, i) for i, tile in enumerate(tiles[:: max(1, len(tiles) // 256)][:256])]
    classifier.find(scans[:64], explain=False)  # warm
    began = time.process_time()
    classifier.find(scans, explain=False)
    own = len(scans) / (time.process_time() - began)
    with tempfile.TemporaryDirectory() as folder:
        began, wall = time.process_time(), time.perf_counter()
        found = map_slide(str(options.slide), classifier, Path(folder, "map"), field=options.field)
        rate, took = len(tiles) / (time.process_time() - began), time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("| slide | file | network | tiles | own rate | rate of the map | share | wall | peak memory |")
    print("| --- " * 9 + "|")
    name = f"{classifier.card.network}, {size} px"
    shape = f"{found.summary.width:,} × {found.summary.height:,}"
    print(
        f"| {shape} | {options.slide.stat().st_size / 2**20:,.0f} MB | {name} | {len(tiles):,} | {own:,.0f}/s "
        f"| {rate:,.0f}/s | {rate / own:.0%} | {took:,.0f} s | {peak:,.0f} MB |"
    )


if __name__ == "__main__":
    main()
