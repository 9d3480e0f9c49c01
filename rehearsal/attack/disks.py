"""Full disks: files of a process that may not grow beyond a size, which needs no root and can be taken back."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from rehearsal.archive import Archive, send
from rehearsal.attack import Line, Size, environment
from rehearsal.attack.http import Page
from rehearsal.attack.outputs import is_whole, predict, write_scans
from rehearsal.kills import NodeProcess, wait_for
from rehearsal.phantoms import make_instance

_ROOM = 100_000  # bytes of a file
_SIDE = 300  # of pictures and slices that are larger: 180 KB


@contextmanager
def _full(*pids: int) -> Iterator[None]:
    """While in the block, no file of these processes grows beyond `_ROOM`."""
    before = [(pid, resource.prlimit(pid, resource.RLIMIT_FSIZE)) for pid in pids]
    for pid, (_, hard) in before:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (_ROOM, hard))
    try:
        yield
    finally:
        for pid, was in before:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, was)


def attack(size: Size, folder: Path) -> Iterator[Line]:
    """What node, page and command line say when there is no room, and whether they go on when there is."""
    yield from _node(folder / "full-node", size.rounds)
    yield from _page(folder / "full-page", size)
    yield from _command_line(folder / "full-output")


def _node(folder: Path, rounds: int) -> Iterator[Line]:
    with Archive() as archive:
        node = NodeProcess(folder, archive.port, quiet_seconds=10)
        node.start()
        assert node.process is not None
        try:
            large = [make_instance("large", number, size=_SIDE) for number in range(rounds)]
            with _full(node.process.pid):
                told = send(node.port, large).count(0xA700)
            yield Line("disk: the node says A700", rounds, told)
            taken = send(node.port, large).count(0x0000)
            with suppress(TimeoutError):
                wait_for(lambda: node.states()["done"] == 1)
            done, halves = node.states()["done"], len(list(node.folder.rglob("*.part")))
            held = taken if done == len(archive.stored) == 1 and not halves else 0
            note = f"{done} studies done, {len(archive.stored)} results, {halves} files half written"
            yield Line("disk: it takes them when there is room", rounds, held, note)
        finally:
            node.kill()


def _page(folder: Path, size: Size) -> Iterator[Line]:
    page = Page(folder, size.patience)
    noise = np.random.default_rng(0).integers(0, 255, (2 * _SIDE, _SIDE), np.uint8)
    picture = io.BytesIO()
    Image.fromarray(noise).save(picture, "PNG")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("large.png", picture.getvalue())
    workers = Path(f"/proc/{page.process.pid}/task/{page.process.pid}/children").read_text(encoding="ascii").split()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{page.port}/api/v1", timeout=60) as api:
            case = api.post("/cases", json={}).json()["id"]
            with _full(page.process.pid):
                answers = [
                    api.put(f"/cases/{case}/files", params={"name": "large.zip"}, content=packed.getvalue())
                    for _ in range(size.rounds)
                ]
                well = page.is_well()
            refused = sum(answer.status_code == 507 for answer in answers)
            yield Line("disk: the page says 507", size.rounds, refused if well else 0)
            api.put(f"/cases/{case}/files", params={"name": "large.zip"}, content=packed.getvalue())

            def read() -> str:
                api.post(f"/cases/{case}/start")
                wait_for(lambda: api.get(f"/cases/{case}").json()["status"] in ("done", "failed"))
                return str(api.get(f"/cases/{case}").json()["status"])

            with _full(*map(int, workers)):
                full = read()
            held = full == "failed" and read() == "done"
            yield Line("disk: a case fails, and is read when there is room", 1, int(held))
            held = "Traceback" not in page.log() and not list(page.home.rglob("*.part"))
            yield Line("disk: no traceback, nothing half written", 1, int(held))
    finally:
        page.end()


def _command_line(folder: Path) -> Iterator[Line]:
    scans, output = write_scans(folder / "scans", 100), folder / "output"
    writer = predict(scans, output)
    resource.prlimit(writer.pid, resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    said, code = writer.communicate()[1], writer.returncode
    held = code == 2 and "Traceback" not in said and "cannot be written" in said
    yield Line("disk: predict says so", 1, int(held), said.strip().rpartition("\n")[2][-120:])
    again = predict(scans, output)
    again.communicate()
    yield Line("disk: predict goes on when there is room", 1, int(again.returncode == 0 and is_whole(output, 100)))
    with Path("/dev/full").open("w") as nowhere:
        command = [sys.executable, "-m", "tumorlens", "predict", str(scans / "0000.png"), "--json"]
        printer = subprocess.run(  # noqa: S603 - our own command
            command, stdout=nowhere, stderr=subprocess.PIPE, text=True, env=environment(), check=False
        )
    held = printer.returncode != 0 and "Traceback" not in printer.stderr
    yield Line("disk: predict --json into a full one", 1, int(held), printer.stderr.strip().rpartition("\n")[2][-120:])
