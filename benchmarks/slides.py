"""How quickly a whole slide is mapped, and in how much memory. Prints Markdown.

python benchmarks/slides.py /tmp/slide.tiff --weights runs/tiles     # 50,000 × 50,000 pixels, written if it is missing

The slide is a pyramid of tiled TIFF, JPEG as scanners write it: glass with discs of tissue, drawn. "Own rate" is what
the network does on tiles that are read already, by one thread. Tiles are read by two others meanwhile, so by the clock
a machine with cores to spare hides the reading; by processor time, where what else the machine does changes little, all
of it counts.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tumorlens.classifier import Classifier
from tumorlens.slides import Slide, map_slide

BLOCK = 256
GLASS, PINK, VIOLET = (240, 239, 238), (228, 150, 190), (120, 70, 160)
MICRONS = 0.5


def write_slide(path: Path, side: int) -> None:
    """Writes a slide of `side` pixels along its sides. A handful of blocks, packed once, make all of it."""
    import tifffile

    # It asks for an encoder though every block comes packed, and has one only with a further package.
    tifffile.TIFF.COMPRESSORS._codecs[7] = bytes  # type: ignore[attr-defined]
    rng = np.random.default_rng(0)

    def block(shade: tuple[int, int, int]) -> bytes:
        # Nuclei of a few pixels, and a little noise: as much work to decode as a real one.
        grain = rng.integers(0, 2, (BLOCK // 4, BLOCK // 4, 1)).repeat(4, 0).repeat(4, 1) * 24
        picture = np.array(shade) - grain + rng.integers(0, 4, (BLOCK, BLOCK, 1))
        file = io.BytesIO()
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=80, subsampling="4:2:0")
        return file.getvalue()

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
                photometric="ycbcr",
                subsampling=(2, 2),
                compression="jpeg",
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
        scans = slide.scans(tiles[:: max(1, len(tiles) // 256)][:256], size)
    classifier.find(scans[:64], explain=False)  # warm
    own = _rates(lambda: classifier.find(scans, explain=False), len(scans))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "map")
        rate = _rates(lambda: map_slide(str(options.slide), classifier, path, field=options.field), len(tiles))
        width, height = (json.loads((path / "summary.json").read_text())[side] for side in ("width", "height"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("| slide | file | network | tiles | peak memory | share of the own rate by the clock | by processor time |")
    print("| --- " * 7 + "|")
    name = f"{classifier.card.network}, {size} px"
    file = f"{options.slide.stat().st_size / 2**20:,.0f} MB"
    shares = [f"{whole / alone:.0%} ({whole:,.0f} of {alone:,.0f}/s)" for whole, alone in zip(rate, own, strict=True)]
    print(f"| {width:,} × {height:,} | {file} | {name} | {len(tiles):,} | {peak:,.0f} MB | {' | '.join(shares)} |")


def _rates(work: Callable[[], object], count: int) -> tuple[float, float]:
    """How many a second, by the clock and by processor time."""
    wall, busy = time.perf_counter(), time.process_time()
    work()
    return count / (time.perf_counter() - wall), count / (time.process_time() - busy)


if __name__ == "__main__":
    main()
