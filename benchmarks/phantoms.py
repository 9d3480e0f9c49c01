"""How quickly phantoms are drawn, on one core: the figure of docs/benchmarks.md.

python benchmarks/phantoms.py
"""

from __future__ import annotations

import time

from tumorlens.phantoms.phantom import make_phantoms

COUNT = 1000


def main() -> None:
    """Draws phantoms at three sizes and prints slices a second, without and with the one-off set-up."""
    began = time.perf_counter()
    next(make_phantoms(1))
    print(f"set-up, once a process: {time.perf_counter() - began:.1f} s")
    print("| size | slices a second |\n| --- | --- |")
    for size in (64, 128, 256):
        began, cpu = time.perf_counter(), time.process_time()
        for _ in make_phantoms(COUNT, size=size, seed=1):
            pass
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        print(f"| {size} | {COUNT / wall:.0f} ({COUNT / cpu:.0f} a second of processor time) |")


if __name__ == "__main__":
    main()
