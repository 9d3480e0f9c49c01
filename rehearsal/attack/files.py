"""Files of other projects' test suites, the sound and the broken: those that installed packages carry, and any folder.

TUMORLENS_CORPORA names a folder of them; none is in the repository.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rehearsal.attack import MB, Line, Size, environment

CORPORA = "TUMORLENS_CORPORA"
_CARRIED = {"pydicom": "data/test_files", "nibabel": "tests/data", "scipy": "io/matlab/tests/data"}
_MOST_MEMORY = 1024 * MB


def attack(size: Size, folder: Path) -> Iterator[Line]:
    """Every file of each corpus, as one who gives it to `predict` treats it."""
    del size
    corpora = {name: _carried(name, path) for name, path in _CARRIED.items()}
    if named := os.environ.get(CORPORA):
        corpora |= {path.name: path for path in sorted(Path(named).iterdir()) if path.is_dir()}
    for name, corpus in corpora.items():
        if corpus.is_dir():
            yield _read(name, corpus, folder / "read" / name)


def _carried(package: str, path: str) -> Path:
    found = importlib.util.find_spec(package)
    return Path(found.origin).parent / path if found and found.origin else Path(package)


def _read(name: str, corpus: Path, output: Path) -> Line:
    """Each file has findings or a reason, nothing fails by itself, and memory is bounded."""
    command = [sys.executable, "-m", "tumorlens", "predict", str(corpus), "-o", str(output), "--no-pictures"]
    output.parent.mkdir(parents=True, exist_ok=True)
    log, began = output.parent / f"{name}.log", time.monotonic()
    with log.open("wb") as said:
        reader = subprocess.Popen(  # noqa: S603 - our own command
            [*command, "--jobs", "1"], stdout=subprocess.DEVNULL, stderr=said, env=environment()
        )
        _, status, used = os.wait4(reader.pid, 0)
    code, most = os.waitstatus_to_exitcode(status), used.ru_maxrss * 1024
    text = log.read_text(errors="replace")
    try:
        document = json.loads((output / "findings.json").read_text())
    except (OSError, ValueError):
        document = {"findings": [], "failures": []}
    slices, failed = len(document["findings"]), len(document["failures"])
    nobody_foresaw = sum("could not be analysed" in failure["error"] for failure in document["failures"])
    held = code in (0, 1) and "Traceback" not in text and most < _MOST_MEMORY
    note = f"{slices} slices, {failed} files refused, {nobody_foresaw} without a reason, at most {most // MB} MB, "
    note += f"{time.monotonic() - began:.0f} s, exit code {code}"
    return Line(f"files: {name}'s", slices + failed, slices + failed - nobody_foresaw if held else 0, note)
