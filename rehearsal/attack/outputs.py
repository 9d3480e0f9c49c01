"""Attacks on what is written: several writers of one folder, and kills of the command line and of the node."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from rehearsal.attack import Line, Size, environment
from rehearsal.kills import STAGES, kill_at

_SCANS = 200


def attack(size: Size, folder: Path) -> Iterator[Line]:
    """The output folder and the node's, as clumsy hands and power cuts treat them."""
    scans = _write_scans(folder / "scans")
    for count in (2, 5):
        yield _race(scans, folder / f"raced {count}", count)
    yield _killed(scans, folder / "killed", size.kills)
    counts = [
        kill_at(stage, folder / f"node {number}", kills=max(1, size.kills // len(STAGES)), seed=number)
        for number, stage in enumerate(STAGES[: size.kills])
    ]
    kills, lost, doubled = (sum(getattr(c, name) for c in counts) for name in ("kills", "lost", "doubled"))
    held = kills if not (lost or doubled) else 0
    yield Line(f"node: {kills} kills at every stage", kills, held, f"lost {lost}, doubled {doubled}")


def _write_scans(folder: Path) -> Path:
    """Pictures to analyse; what they show is nothing."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(_SCANS):
        Image.fromarray(rng.integers(0, 255, (64, 64), np.uint8)).save(folder / f"{number:04d}.png")
    return folder


def _predict(scans: Path, output: Path) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "tumorlens",
        "predict",
        str(scans),
        "-o",
        str(output),
        "--no-pictures",
        "--jobs",
        "1",
    ]
    return subprocess.Popen(  # noqa: S603 - our own command
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment()
    )


def _is_whole(output: Path) -> bool:
    """Whether the tables parse and have each scan once."""
    try:
        document = json.loads((output / "findings.json").read_text())
        with (output / "results.csv").open(newline="") as file:
            rows = Counter(row["source"] for row in csv.DictReader(file))
    except (OSError, ValueError, KeyError):
        return False
    return len(document["findings"]) == _SCANS and set(rows.values()) == {1} and len(rows) == _SCANS


def _race(scans: Path, output: Path, count: int) -> Line:
    """Several that write to one folder: one wins, the others say why they leave."""
    writers = [_predict(scans, output) for _ in range(count)]
    said = [(writer.communicate()[1], writer.returncode) for writer in writers]
    won = [code for _, code in said if code == 0]
    left = [text for text, code in said if code != 0 and "another call is writing there" in text]
    held = len(won) >= 1 and len(won) + len(left) == count and _is_whole(output)
    return Line(f"output: {count} writers at once", 1, int(held), f"{len(won)} wrote, {len(left)} left with the reason")


def _killed(scans: Path, output: Path, kills: int) -> Line:
    """SIGKILLs at random, and a last call that goes on."""
    moments = random.Random(1)
    for _ in range(kills):
        writer = _predict(scans, output)
        time.sleep(moments.uniform(0.5, 4))
        writer.kill()
        writer.communicate()
    last = _predict(scans, output)
    last.communicate()
    return Line(f"output: {kills} kills", kills, kills if last.returncode == 0 and _is_whole(output) else 0)
