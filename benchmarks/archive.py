"""An archive of phantoms, read whole: rate, memory, a kill in the middle, and a Ray cluster.

    python benchmarks/archive.py memory --count 100000      # the memory curve: does it stay flat?
    python benchmarks/archive.py kill --count 20000         # SIGKILL in the middle, then the same command again
    python benchmarks/archive.py ray --count 4000           # one worker, two workers, and are the results the same?

Prints Markdown tables for docs/speed.md. The phantoms are made once, in build/archive.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tumorlens.overlay import draw_scan
from tumorlens.phantoms.phantom import make_phantoms

BLOCK = 500  # phantoms a task draws, and files in a folder


def draw(folder: Path, block: int, size: int) -> None:
    """Draws one folder of phantoms."""
    place = folder / f"{block:05d}"
    if place.is_dir():
        return
    begun = place.with_suffix(".part")
    begun.mkdir(parents=True, exist_ok=True)
    for number, phantom in enumerate(make_phantoms(BLOCK, size=size, seed=block)):
        draw_scan(phantom.scan).convert("L").save(begun / f"{number:04d}.jpg", quality=92)
    begun.rename(place)


def archive(count: int, size: int) -> Path:
    """A folder of that many phantoms."""
    root = Path("build/archive") / f"{size}-{count}"
    blocks = -(-count // BLOCK)
    with ProcessPoolExecutor() as pool:
        list(pool.map(draw, [root] * blocks, range(blocks), [size] * blocks))
    return root


def memory_of(pid: int) -> float:
    """Memory of a process and of those it started, in MB; what they share is shared out."""
    total = 0.0
    for process in [pid, *children(pid)]:
        try:
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1e3
    return total


def children(pid: int) -> list[int]:
    """A process's children and theirs."""
    try:
        own = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [p for child in own for p in (child, *children(child))]


def command(scans: Path, output: Path, weights: str, *more: str) -> list[str]:
    """What a user would type."""
    return [sys.executable, "-m", "tumorlens", "predict", str(scans), "-o", str(output), "-w", weights, *more]


def rows(output: Path) -> list[dict[str, str]]:
    """The table of results."""
    with (output / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def done(output: Path) -> int:
    """Files that an unfinished call has recorded, from the places of its parts."""
    return sum(part.read_text().count('"path":') for part in (output / ".unfinished" / "parts").glob("*.json"))


def memory(scans: Path, output: Path, weights: str, count: int) -> None:
    """Prints memory and rate over time."""
    began = time.monotonic()
    process = subprocess.Popen(command(scans, output, weights, "--no-pictures", "--quiet"), stdout=subprocess.DEVNULL)
    curve = []
    while process.poll() is None:
        curve.append((time.monotonic() - began, memory_of(process.pid)))
        time.sleep(1)
    seconds = time.monotonic() - began
    found = rows(output)
    print(f"\n{count:,} files, {weights}: {seconds:.0f} s, {count / seconds:.0f} a second, {len(found):,} rows\n")
    print("| share of the time | seconds | MB, all processes |\n| --- | --- | --- |")
    for share in (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99):
        at, used = min(curve, key=lambda point: abs(point[0] - share * seconds))
        print(f"| {share:.0%} | {at:.0f} | {used:.0f} |")
    print(f"| highest | | {max(used for _, used in curve):.0f} |")


def kill(scans: Path, output: Path, weights: str, count: int) -> None:
    """Kills the command in its middle, and starts it again."""
    started = subprocess.Popen(
        command(scans, output, weights, "--no-pictures", "--quiet"), stdout=subprocess.DEVNULL, start_new_session=True
    )
    while done(output) < count // 2 and started.poll() is None:
        time.sleep(0.2)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    before = done(output)
    began = time.monotonic()
    told = subprocess.run(command(scans, output, weights, "--no-pictures"), capture_output=True, text=True, check=True)
    seconds = time.monotonic() - began
    counted = Counter(row["source"] for row in rows(output))
    print("\n| what | count |\n| --- | --- |")
    print(f"| files | {count:,} |\n| done when it was killed | {before:,} |")
    print(f"| rows at the end | {sum(counted.values()):,} |\n| files with a row | {len(counted):,} |")
    print(f"| rows that stand twice | {sum(n - 1 for n in counted.values())} |")
    print(f"| done in the second call | {count - before:,}, in {seconds:.0f} s |")
    print("\n" + next(line for line in told.stderr.splitlines() if "done before" in line))


def on_ray(scans: Path, output: Path, weights: str, count: int) -> None:
    """One worker and two, and whether the results are those of this machine's own engine."""
    print("\n| engine | workers | seconds | scans a second |\n| --- | --- | --- | --- |")
    tables, rates = [], {}
    for engine in ("local", "ray"):
        for workers in (1, 2):
            place = output / f"{engine}-{workers}"
            began = time.monotonic()
            more = ("--no-pictures", "--quiet", "--engine", engine, "--jobs", str(workers))
            subprocess.run(command(scans, place, weights, *more), capture_output=True, check=True)
            seconds = time.monotonic() - began
            rates[engine, workers] = count / seconds
            print(f"| {engine} | {workers} | {seconds:.1f} | {count / seconds:.0f} |", flush=True)
            tables.append((place / "results.csv").read_bytes())
    print(f"\nTwo workers of Ray are {rates['ray', 2] / rates['ray', 1]:.2f} times one, its start included.")
    print(f"The four tables of results are {'the same' if len(set(tables)) == 1 else 'NOT the same'}, byte by byte.")


def main() -> None:
    """Runs one of the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("memory", "kill", "ray"))
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--weights", default="cnn_lstm_attention_fast")
    arguments = parser.parse_args()
    scans = archive(arguments.count, arguments.size)
    count = sum(1 for _ in scans.rglob("*.jpg"))
    output = Path("build/archive/results")
    shutil.rmtree(output, ignore_errors=True)
    {"memory": memory, "kill": kill, "ray": on_ray}[arguments.what](scans, output, arguments.weights, count)


if __name__ == "__main__":
    main()
