"""The node under load, and killed: what comes in, what goes out, how fast, and what is lost.

    python benchmarks/hospital_load.py study                # one study of 200 slices, into an Orthanc
    python benchmarks/hospital_load.py rate                 # 1,000 instances from 4 associations at once
    python benchmarks/hospital_load.py many                 # 200 studies, and what became of each
    python benchmarks/hospital_load.py department           # the same, analysed for real
    python benchmarks/hospital_load.py kills                # SIGKILL at every stage
    python benchmarks/hospital_load.py --scale 0.05 all     # all of it, small

Prints Markdown tables for docs/hospital.md. In `many` and `kills` the analysis pretends: it is the node they measure.
In `study` and `department` it is real, of brain phantoms, by default with the weights that know them. `study` needs
Debian's orthanc and orthanc-dicomweb, `study` and `rate` dcmtk; what is missing is said.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import httpx
from pydicom import dcmread

sys.path.insert(0, str(Path(__file__).parents[1]))  # where rehearsal/ is

from rehearsal.archive import Archive, send
from rehearsal.files import write_dicom
from rehearsal.kills import STAGES, NodeProcess, free_port, kill_at, wait_for
from rehearsal.orthanc import TITLE, Orthanc, installed
from rehearsal.phantoms import make_instance, write_study
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.node.config import NodeConfig
from tumorlens.node.flow import prepare_analysis
from tumorlens.node.node import Node, open_ledger
from tumorlens.node.status import study_states, totals
from tumorlens.phantoms.phantom import make_study

NO_DELAY = os.environ | {"TCP_NODELAY": "1"}  # without, DCMTK waits 40 ms for each acknowledgement
SENDERS = 4


LABELS = BRAIN_TUMORS.keys


def study(folder: Path, slices: int, size: int, weights: str) -> None:
    """A study from a modality, analysed, and its results in a PACS: wall seconds from the first byte."""
    if not installed() or shutil.which("storescu") is None:
        print("\nOne study into an Orthanc: skipped; it needs the packages orthanc, orthanc-dicomweb and dcmtk.")
        return
    prepare = prepare_analysis(weights)
    write_dicom(make_study(3, label="glioma", size=size, slices=slices), folder / "study")
    print(f"\nOne study of {slices} slices of {size} × {size}, quiet for 1 s, {weights}:\n")
    print("| way to the PACS | received, s | analysed, s | in the PACS, s | results |\n| --- | --- | --- | --- | --- |")
    for way in ("C-STORE", "STOW-RS"):
        with Orthanc(folder / f"orthanc {way}") as orthanc:
            dicom = {"name": "pacs", "host": "127.0.0.1", "port": orthanc.dicom, "ae_title": TITLE}
            web = {"name": "pacs", "url": orthanc.web}
            settings = {
                "folder": folder / f"node {way}",
                "port": free_port(),
                "quiet_seconds": 1,
                "destinations": [dicom if way == "C-STORE" else web],
            }
            seconds = pass_through(Node(NodeConfig.model_validate(settings), prepare), folder / "study", orthanc)
        *times, count = seconds
        print(f"| {way} | {' | '.join(f'{s:.2f}' for s in times)} | {count} |", flush=True)


def pass_through(node: Node, files: Path, orthanc: Orthanc) -> tuple[float, float, float, int]:
    """Seconds until a study was received, analysed, and its results in the PACS; and how many there are."""
    node.start()
    try:
        began = time.monotonic()
        storescu(node.config.port, files).wait()
        received = time.monotonic() - began
        wait_for(lambda: totals(node.ledger)["results"] > 0, 1800)
        analysed = time.monotonic() - began
        wait_for(lambda: study_states(node.ledger)["done"] == 1, 1800)
        stored = time.monotonic() - began
        there = len(httpx.get(f"{orthanc.url}/instances").json())
        assert there == totals(node.ledger)["results"], "not all results are in the PACS"
        return received, analysed, stored, there
    finally:
        node.stop()


def rate(folder: Path, count: int, size: int) -> None:
    """Instances a second from several associations, beside DCMTK's storescp, which does not wait for the disk."""
    if shutil.which("storescu") is None or shutil.which("storescp") is None:
        print("\nRate of receiving: skipped; it needs the package dcmtk.")
        return
    each = max(1, count // SENDERS)
    folders = [folder / f"sender {n}" for n in range(SENDERS)]
    for number, place in enumerate(folders):
        write_study(place, f"rate {number}", each, size=size)
    node = NodeProcess(folder / "rate", quiet_seconds=3600)
    node.start()
    assert node.process is not None
    before = memory(node.process.pid)
    ours = timed(node.port, folders)
    after = memory(node.process.pid)
    kept = node_total(node, "instances")
    node.end()
    port, place = free_port(), folder / "storescp"
    place.mkdir()
    other = subprocess.Popen(["storescp", "--fork", "-od", place, str(port)], env=NO_DELAY)
    try:
        echo = ["echoscu", "127.0.0.1", str(port)]
        wait_for(lambda: subprocess.run(echo, check=False, capture_output=True).returncode == 0)
        theirs = timed(port, folders)
    finally:
        other.terminate()
        other.wait()
    total = each * SENDERS
    print(f"\n{total:,} instances of {size} × {size} from {SENDERS} associations at once, sent by DCMTK's storescu:\n")
    print("| receiver | seconds | instances a second | kept | memory before, MB | after, MB |")
    print("| --- | --- | --- | --- | --- | --- |")
    print(f"| node, each on the disk | {ours:.1f} | {total / ours:.0f} | {kept:,} | {before:.0f} | {after:.0f} |")
    there = sum(1 for _ in place.iterdir())
    print(f"| DCMTK storescp, unsynced | {theirs:.1f} | {total / theirs:.0f} | {there:,} | | |", flush=True)


def many(folder: Path, studies: int, slices: int) -> None:
    """Many studies at once, some of them sent twice."""
    with Archive() as archive:
        # Longer than a sender may wait for its turn: a study is not to be taken for complete in its middle.
        node = NodeProcess(folder / "many", archive.port, quiet_seconds=5)
        node.start()
        began = time.monotonic()
        sent, accepted, lock = [0], set(), threading.Lock()

        def modality(numbers: range) -> None:
            for number in numbers:
                instances = [make_instance(f"many {number}", i + 1) for i in range(slices)]
                for _ in range(2 if number % 10 == 0 else 1):
                    statuses = send(node.port, instances)
                    with lock:
                        sent[0] += slices
                        pairs = zip(instances, statuses, strict=True)
                        accepted.update(str(i.SOPInstanceUID) for i, s in pairs if s == 0)

        threads = [threading.Thread(target=modality, args=(range(n, studies, SENDERS),)) for n in range(SENDERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        received = time.monotonic() - began
        wait_for(lambda: node.states()["done"] == studies, 1800)
        seconds = time.monotonic() - began
        kept = node_total(node, "instances")
        node.end()
    stored = len(archive.stored)
    print(f"\n{studies} studies of {slices} slices from {SENDERS} modalities, every tenth sent twice:\n")
    print("| what | count |\n| --- | --- |")
    print(
        f"| instances sent | {sent[0]:,} |\n| different instances accepted | {len(accepted):,} |\n| kept | {kept:,} |"
    )
    print(f"| studies analysed | {node.analysed()} |\n| results stored | {stored} |")
    print(f"| doubled | {sum(archive.stored.values()) - studies} |")
    print(f"| lost | {len(accepted) - kept + studies - stored} |")
    print(f"\nReceived in {received:.0f} s, all done after {seconds:.0f} s.", flush=True)


def department(folder: Path, studies: int, weights: str) -> None:
    """A day of a department, analysed for real."""
    with Archive() as archive:
        destination = {"name": "archive", "host": "127.0.0.1", "port": archive.port, "ae_title": "ARCHIVE"}
        settings = {"folder": folder / "day", "port": free_port(), "quiet_seconds": 2, "destinations": [destination]}
        node = Node(NodeConfig.model_validate(settings), prepare_analysis(weights))
        node.start()
        began = time.monotonic()
        for number in range(studies):
            label = LABELS[number % len(LABELS)]
            files = write_dicom(make_study(number, label=label, size=128, slices=12), folder / "next")
            statuses = send(node.config.port, [dcmread(file) for file in files])
            assert set(statuses) == {0}, statuses
        received = time.monotonic() - began
        wait_for(lambda: study_states(node.ledger)["done"] == studies, 3600)
        seconds = time.monotonic() - began
        counts = totals(node.ledger)
        bare = node.ledger.value("SELECT count(*) FROM revisions WHERE id NOT IN (SELECT revision FROM results)")
        node.stop()
    stored, times = len(archive.stored), sum(archive.stored.values())
    print(f"\n{studies} brain phantom studies of 12 slices, analysed for real, {weights}:\n")
    print("| what | count |\n| --- | --- |")
    print(f"| instances sent and kept | {studies * 12:,}, {counts['instances']:,} |")
    print(f"| results made, stored | {counts['results']:,}, {stored:,} |\n| studies without a result | {bare} |")
    print(f"| results stored twice | {times - stored} |\n| results lost | {counts['results'] - stored} |")
    print(f"\nAll sent after {received:.0f} s, all done after {seconds:.0f} s.", flush=True)


def kills(folder: Path, slices: int, studies: int) -> None:
    """A kill at every stage."""
    print(f"\nSIGKILL of the node, {studies} studies of {slices} slices:\n")
    head = "killed while, kills, answers, accepted, kept, studies, analyses, stored, sent again, grown, doubled, lost"
    print(f"| {head.replace(', ', ' | ')} |\n|{' --- |' * 12}")
    for number, stage in enumerate(STAGES):
        c = kill_at(stage, folder / f"kill {number}", slices=slices, studies=studies)
        row = (
            c.kills,
            c.sent,
            c.accepted,
            c.kept,
            c.studies,
            c.analysed,
            c.stored,
            c.repeats,
            c.grown,
            c.doubled,
            c.lost,
        )
        print(f"| {stage} | {' | '.join(map(str, row))} |", flush=True)


def storescu(port: int, folder: Path) -> subprocess.Popen[bytes]:
    """Sends a folder in one association."""
    return subprocess.Popen(["storescu", "+sd", "127.0.0.1", str(port), folder], env=NO_DELAY)


def timed(port: int, folders: list[Path]) -> float:
    """Seconds that it takes to send folders at once, each in an association of its own."""
    began = time.monotonic()
    senders = [storescu(port, place) for place in folders]
    if sum(sender.wait() for sender in senders):
        raise SystemExit("a sender failed")
    return time.monotonic() - began


def memory(pid: int) -> float:
    """Resident memory of a process, MB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS")) / 1e3


def node_total(node: NodeProcess, what: str) -> int:
    """A count of what a node has."""
    ledger = open_ledger(node.folder)
    try:
        return totals(ledger)[what]
    finally:
        ledger.close()


def main() -> None:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("study", "rate", "many", "department", "kills", "all"))
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full sizes")
    parser.add_argument("--size", type=int, default=256, help="rows and columns of a slice")
    parser.add_argument("--weights", default="cnn_lstm", help="analyse with these, in `study` and `department`")
    arguments = parser.parse_args()

    def scaled(count: int, least: int) -> int:
        return max(least, round(count * arguments.scale))

    runs = {
        "study": partial(study, slices=scaled(200, 10), size=arguments.size, weights=arguments.weights),
        "rate": partial(rate, count=scaled(1000, 40), size=arguments.size),
        "many": partial(many, studies=scaled(200, 8), slices=5),
        "department": partial(department, studies=scaled(200, 6), weights=arguments.weights),
        "kills": partial(kills, slices=scaled(12, 4), studies=scaled(20, 2)),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, run in runs.items():
            if arguments.what in (name, "all"):
                run(Path(folder))


if __name__ == "__main__":
    main()
