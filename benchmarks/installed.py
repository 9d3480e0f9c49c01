"""What `pip install tumorlens` takes: the table "Installed" of docs/speed.md.

    python benchmarks/installed.py                     # the core
    python benchmarks/installed.py --extra web         # with an extra, or several: web,postgres
    python benchmarks/installed.py --against ../other  # another checkout takes turns

Builds a wheel, installs it into an empty environment, and has it read a phantom there. Prints Markdown.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import Distribution
from pathlib import Path

from speed import run, table

from tumorlens.overlay import draw_scan
from tumorlens.phantoms.phantom import make_phantoms

ROOT = Path(__file__).resolve().parents[1]
LIMITS = (350, 12)  # MB, dependencies


def install(source: Path, folder: Path, extras: str) -> Path:
    """Installs a checkout's wheel into an environment of its own; gives that environment's Python."""
    pip = (sys.executable, "-m", "pip", "--quiet")
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, source], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    (wheel,) = folder.glob("tumorlens-*.whl")
    subprocess.run([*pip, "--python", python, "install", f"{wheel}[{extras}]" if extras else wheel], check=True)
    return python


def size(python: Path) -> float:
    """MB on the disk of what was installed, compiled modules included."""
    (packages,) = (python.parents[1] / "lib").glob("python*/site-packages")
    return sum(file.stat().st_blocks * 512 for file in packages.rglob("*") if file.is_file()) / 2**20


def direct_dependencies(python: Path) -> int:
    """Packages that the wheel asks for without any extra."""
    (metadata,) = (python.parents[1] / "lib").glob("python*/site-packages/tumorlens-*.dist-info")
    requires = Distribution.at(metadata).requires or []
    return sum("extra ==" not in requirement for requirement in requires)


def main() -> None:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extra", default="")
    parser.add_argument("--against", type=Path, action="append", default=[])
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    sources = {path.resolve().name: path.resolve() for path in (ROOT, *args.against)}
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "phantom.png")
        draw_scan(next(make_phantoms(1)).scan).save(picture)
        pythons = {}
        for name, source in sources.items():
            Path(folder, name).mkdir()
            pythons[name] = str(install(source, Path(folder, name), args.extra))
        doings = {"import": ("-c", "import tumorlens"), "predict": ("-m", "tumorlens", "predict", str(picture))}
        turns: dict[tuple[str, str], list[tuple[float, int]]] = {(n, d): [] for n in sources for d in doings}
        for number in range(args.rounds + 1):
            for (name, doing), measured in turns.items():
                once = run([pythons[name], "-I", *doings[doing]])
                if number:  # the first reads from disk
                    measured.append(once)
        rows = []
        for name, python in pythons.items():
            seconds = {d: f"{statistics.median(s for s, _ in turns[name, d]):.2f}" for d in doings}
            peak = max(kb for _, kb in turns[name, "predict"]) / 1e3
            megabytes, direct = size(Path(python)), direct_dependencies(Path(python))
            rows.append([name, f"{megabytes:.0f}", direct, seconds["import"], seconds["predict"], f"{peak:.0f}"])
    head = ["", "MB installed", "direct dependencies", "import, s", "predict one.png, s", "MB at the peak"]
    table(f"Installed (targets: {LIMITS[0]} MB, {LIMITS[1]} dependencies)", head, rows)


if __name__ == "__main__":
    main()
