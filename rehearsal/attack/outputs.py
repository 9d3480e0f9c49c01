"""Attacks on what is written: several writers of one folder, and kills of the command line and of the node."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from rehearsal.attack import Line, Size, environment
from rehearsal.kills import STAGES, NodeProcess, kill_at

_COUNTED = ("kills", "lost", "doubled", "studies")


def attack(size: Size, folder: Path) -> Iterator[Line]:
    """The output folder and the node's, as clumsy hands and power cuts treat them."""
    few, many = write_scans(folder / "few", 200), write_scans(folder / "many", 30 * size.kills)
    for count in (2, 5):
        yield _race(few, folder / f"raced {count}", count)
    yield _second_node(folder / "nodes")
    yield _killed(many, folder / "killed", size.kills)
    yield _killed_node(folder, size.kills)


def write_scans(folder: Path, count: int) -> Path:
    """Pictures to analyse; what they show is nothing."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(rng.integers(0, 255, (64, 64), np.uint8)).save(folder / f"{number:04d}.png")
    return folder


def predict(scans: Path, output: Path) -> subprocess.Popen[str]:
    """`tumorlens predict`, begun."""
    command = [sys.executable, "-m", "tumorlens", "predict", str(scans), "-o", str(output), "--no-pictures"]
    return subprocess.Popen(  # noqa: S603 - our own command
        [*command, "--jobs", "1"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment()
    )


def is_whole(output: Path, scans: int) -> bool:
    """Whether the tables parse and have each scan once."""
    lost, doubled = _lost_and_doubled(output, scans)
    return lost == doubled == 0


def _lost_and_doubled(output: Path, scans: int) -> tuple[int, int]:
    """Scans that the tables do not have, and that they have more than once; all are lost if they do not parse."""
    try:
        found = [finding["source"] for finding in json.loads((output / "findings.json").read_text())["findings"]]
        with (output / "results.csv").open(newline="") as file:
            rows = [row["source"] for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError):
        return scans, 0
    return scans - min(len({*found}), len({*rows})), max(len(found) - len({*found}), len(rows) - len({*rows}))


def _race(scans: Path, output: Path, count: int) -> Line:
    """Several that write to one folder: one wins, the others say why they leave, at once."""
    began = time.monotonic()
    writers = [predict(scans, output) for _ in range(count)]
    ended = dict[int, float]()
    while len(ended) < count:
        for number, writer in enumerate(writers):
            if number not in ended and writer.poll() is not None:
                ended[number] = time.monotonic() - began
        time.sleep(0.05)
    said = [writer.communicate()[1] for writer in writers]
    won = [number for number, writer in enumerate(writers) if writer.returncode == 0]
    left = [n for n, text in enumerate(said) if writers[n].returncode == 2 and "another call is writing there" in text]
    held = len(won) == 1 and len(left) == count - 1 and is_whole(output, len([*scans.iterdir()]))
    at_once = max((ended[number] for number in left), default=0.0)
    held = held and at_once < ended[won[0]]
    note = f"{len(won)} wrote for {max(ended.values()):.0f} s, {len(left)} left with the reason, after {at_once:.0f} s"
    return Line(f"output: {count} writers at once", 1, int(held), note)


def _second_node(folder: Path) -> Line:
    """A node on another's folder."""
    first = NodeProcess(folder / "first")
    second = NodeProcess(folder / "second", folder=str(first.folder))
    first.start()
    try:
        second.start()
    except RuntimeError as error:
        reason = str(error).strip().rpartition("\n")[2]
        held = "ConfigError" in reason
    else:
        reason, held = "it started", False
        second.kill()
    finally:
        first.kill()
    return Line("output: a second node on a node's folder", 1, int(held), reason[-100:])


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _killed(scans: Path, output: Path, kills: int) -> Line:
    """SIGKILLs at random, one of four while it starts, the others while it works; and a last call that goes on."""
    moments, count, working = random.Random(1), len([*scans.iterdir()]), 0
    parts = output / ".unfinished" / "parts"
    for number in range(kills):
        before, writer = _names(parts), predict(scans, output)
        while number % 4 and writer.poll() is None and _names(parts) <= before:
            time.sleep(0.02)
        time.sleep(moments.uniform(0, 1))
        working += writer.poll() is None and bool(number % 4)
        writer.kill()
        writer.communicate()
    last = predict(scans, output)
    last.communicate()
    lost, doubled = _lost_and_doubled(output, count)
    held = kills if last.returncode == 0 and lost == doubled == 0 else 0
    note = f"{working} while it worked; of {count} scans lost {lost}, doubled {doubled}"
    return Line(f"output: {kills} SIGKILLs", kills, held, note)


def _killed_node(folder: Path, kills: int) -> Line:
    """SIGKILLs of a node: one at each stage, the others at any time while studies come and results go."""
    counts = []
    for number, stage in enumerate(STAGES[:kills]):
        often = max(1, kills - len(STAGES) + 1) if stage == "at any time" else 1
        counts.append(kill_at(stage, folder / f"node {number}", studies=max(3, often // 2), kills=often, seed=number))
    done, lost, doubled, studies = (sum(getattr(c, name) for c in counts) for name in _COUNTED)
    held = done if not (lost or doubled) else 0
    return Line(
        f"node: {done} SIGKILLs at every stage", done, held, f"{studies} studies, lost {lost}, doubled {doubled}"
    )
