"""How well and how quickly an audit finds duplicates: the tables "Audit" of docs/benchmarks.md.

    python benchmarks/audit.py --data "$TUMORLENS_DATA/masoud"   # against the table's duplicate_group
    python benchmarks/audit.py --phantoms 100000                 # against duplicates planted among phantoms
    python benchmarks/audit.py --phantoms 1100                   # a small size, for CI

The limits of the audit were chosen on the slices of Cheng's set in odd blocks of twenty numbers; the even blocks were
kept. Prints Markdown.
"""

from __future__ import annotations

import argparse
import csv
import io
import multiprocessing
import resource
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tumorlens.data.manifest import Manifest, read_manifest
from tumorlens.evaluation.audit import AuditReport, audit

BLOCK = 20
EVERY = 10  # a planted duplicate after so many phantoms


def jpeg(image: Image.Image, quality: int = 60) -> Image.Image:
    """The picture as a JPEG gives it back."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("L")


def brighter(image: Image.Image) -> Image.Image:
    """With another brightness and contrast."""
    return image.point([min(255, round(0.75 * v + 30)) for v in range(256)])


def smaller(image: Image.Image) -> Image.Image:
    """With three quarters of the edge."""
    return image.resize((image.width * 3 // 4,) * 2, Image.Resampling.LANCZOS)


def turned(method: Image.Transpose) -> Callable[[Image.Image], Image.Image]:
    """Mirrored or turned."""
    return lambda image: image.transpose(method)


PLANTS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "identical": lambda image: image,
    "re-encoded": jpeg,
    "resized": smaller,
    "brightness": brighter,
    "mirrored": turned(Image.Transpose.FLIP_LEFT_RIGHT),
    "rotated 90": turned(Image.Transpose.ROTATE_270),  # Pillow counts the other way round
    "rotated 180": turned(Image.Transpose.ROTATE_180),
    "rotated 270": turned(Image.Transpose.ROTATE_90),
    "mirrored, rotated 90": lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    "all at once": lambda image: jpeg(brighter(smaller(image.transpose(Image.Transpose.TRANSPOSE)))),
}


def write_planted(folder: Path, count: int, size: int) -> None:
    """Writes phantoms, and after every tenth of them a duplicate of it, in files named after what was done."""
    from tumorlens.phantoms.phantom import make_phantoms

    written = 0
    kinds = list(PLANTS)
    for number, phantom in enumerate(make_phantoms(count, size=size, seed=7)):
        image = Image.fromarray(np.round(phantom.scan.pixels * 255).astype(np.uint8))
        place = folder / phantom.label / f"{number // 1000:04d}"
        place.mkdir(parents=True, exist_ok=True)
        stem = f"{number:07d}_{phantom.scan.series}_{phantom.position:.2f}"
        image.save(place / f"{stem}.png", compress_level=1)
        written += 1
        if number % EVERY == EVERY - 1 and written < count:
            kind = number // EVERY % len(kinds)
            copy = PLANTS[kinds[kind]](image)
            copy.save(place / f"{stem}_{kind}.png", compress_level=1)
            written += 1
        if written >= count:
            return


def timed_audit(manifest: Manifest, folder: Path) -> tuple[AuditReport, float, float]:
    """The report, seconds, and peak memory in MB of this process."""
    began = time.perf_counter()
    report = audit(manifest, folder)
    seconds = time.perf_counter() - began
    return report, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def table(head: list[str], rows: list[list[str]]) -> None:
    """Prints a table in Markdown."""
    for cells in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(cells) + " |")
    print()


def agreement(found: list[str], truth: list[str]) -> list[str]:
    """Pairs that are duplicates by the table, precision and recall of the found ones."""

    def pairs(values: Counter) -> int:
        return sum(n * (n - 1) // 2 for n in values.values())

    wanted, got, both = pairs(Counter(truth)), pairs(Counter(found)), pairs(Counter(zip(found, truth, strict=True)))
    return [f"{wanted:,}", f"{both / got:.4f}" if got else "–", f"{both / wanted:.4f}" if wanted else "–"]


def on_data(data: Path, folder: Path) -> None:
    """Against the duplicate groups of a data set's table."""
    manifest = read_manifest(data)
    report, seconds, memory = timed_audit(manifest, folder)
    with (data / "slices.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = {p.entry: str(p.group or f"alone {p.entry}") for p in report.table}
    block = [int(r["cheng_number"] or -BLOCK) // BLOCK for r in rows]
    parts = {
        "slices of Cheng's set, odd blocks (limits chosen here)": lambda i: block[i] >= 0 and block[i] % 2 == 1,
        "slices of Cheng's set, even blocks": lambda i: block[i] >= 0 and block[i] % 2 == 0,
        "all tumour slices": lambda i: rows[i]["label"] != "notumor",
        "no tumour": lambda i: rows[i]["label"] == "notumor",
        "all": lambda _: True,
    }
    lines = []
    for name, belongs in parts.items():
        chosen = [i for i in found if belongs(i)]
        pairs = agreement([found[i] for i in chosen], [rows[i]["duplicate_group"] for i in chosen])
        lines.append([name, f"{len(chosen):,}", *pairs])
    table(["pictures", "number", "duplicate pairs in the table", "precision", "recall"], lines)
    if report.leak:
        shares = {**report.leak_by_label, "all": report.leak}
        known = {r["duplicate_group"] for r in rows if r["split"] == "training"}
        lines = []
        for key, s in shares.items():
            tests = [
                row
                for row, entry in zip(rows, manifest.entries, strict=True)
                if row["split"] == "testing" and key in (entry.label, "all")
            ]
            by_table = sum(r["duplicate_group"] in known for r in tests)
            mirrored = f"{s.mirrored_share:.1%}" if s.mirrored_share is not None else "–"
            lines.append([key, str(s.pictures), f"{s.share:.1%}", f"{by_table / len(tests):.1%}", mirrored])
        table(["class", "test pictures", "also in training", "by the table", "of the found, mirrored only"], lines)
    print(f"{report.pictures:,} pictures in {seconds:.0f} s, peak memory {memory:.0f} MB")


def on_phantoms(count: int, size: int, folder: Path) -> None:
    """Against duplicates planted among phantoms; the audit is told of no patient and no series."""
    pictures = folder / "pictures"
    # In another process, so that its memory does not count.
    writer = multiprocessing.get_context("spawn").Process(target=write_planted, args=(pictures, count, size))
    began = time.perf_counter()
    writer.start()
    writer.join()
    print(f"written in {time.perf_counter() - began:.0f} s\n", flush=True)
    manifest = read_manifest(pictures)
    report, seconds, memory = timed_audit(Manifest(manifest.entries, manifest.classes), folder / "audit")
    groups: dict[int, dict[str, tuple[str, float]]] = defaultdict(dict)
    group_of: dict[tuple[str, str], int | None] = {}
    for p in report.table:
        number, series, position, *kind = manifest.entries[p.entry].path.stem.split("_")
        group_of[number, "".join(kind)] = p.group
        if p.group is not None:
            groups[p.group][number] = series, float(position)
    kinds = list(PLANTS)
    planted, hit = Counter(), Counter()
    for (number, kind), group in group_of.items():
        if kind:
            planted[kinds[int(kind)]] += 1
            hit[kinds[int(kind)]] += group is not None and group == group_of[number, ""]
    lines = [[k, f"{planted[k]:,}", f"{hit[k] / planted[k]:.4f}"] for k in kinds if planted[k]]
    table(["planted", "pairs", "recall"], lines)
    mixed = [list(members.values()) for members in groups.values() if len(members) > 1]
    apart = sorted(max(z for _, z in m) - min(z for _, z in m) for m in mixed if len({series for series, _ in m}) == 1)
    print(f"{report.groups:,} groups found, {len(mixed):,} of them with different phantoms in them")
    if apart:
        print(f"{len(apart):,} of these are slices of one series, {apart[len(apart) // 2]:.2f} mm apart (median)")
    print(f"{report.pictures:,} phantoms in {seconds:.0f} s, peak memory {memory:.0f} MB")


def main() -> None:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of a set with duplicate_group in its slices.csv")
    parser.add_argument("--phantoms", type=int, metavar="N", help="make N phantoms, a tenth of them duplicates")
    parser.add_argument("--size", type=int, default=128, help="edge of the phantoms, in pixels")
    arguments = parser.parse_args()
    if not arguments.data and not arguments.phantoms:
        parser.error("give --data or --phantoms")
    with tempfile.TemporaryDirectory() as folder:
        if arguments.data:
            on_data(arguments.data, Path(folder) / "audit")
        if arguments.phantoms:
            on_phantoms(arguments.phantoms, arguments.size, Path(folder))


if __name__ == "__main__":
    main()
