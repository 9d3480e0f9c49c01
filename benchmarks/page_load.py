"""How quickly the page answers, on this machine, with all its load made here too. Prints the tables of docs/page.md.

python benchmarks/page_load.py                 # about six minutes; takes Debian's chromium, and playwright
python benchmarks/page_load.py --scale 0.05    # a taste of it
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))  # where rehearsal/ is

from rehearsal.files import write_dicom
from tumorlens.defaults import DEFAULT_WEIGHTS
from tumorlens.phantoms.phantom import make_phantoms, make_study

AT_ONCE = 3
"""Files that the page uploads at once."""

_FLAGS = ("--no-sandbox", "--disable-background-networking", "--use-gl=angle", "--use-angle=swiftshader")

# Runs in the page. A picture is told by its pixels, a few of them, at each frame that is painted; from(…) gives the
# milliseconds from an event to the frame whose picture differs from the one before, and is there.
_WATCH = """
() => {
  const small = new OffscreenCanvas(48, 48).getContext("2d", { willReadFrequently: true });
  window.seen = () => {
    small.clearRect(0, 0, 48, 48);
    for (const canvas of document.querySelectorAll("#stage canvas")) {
      if (canvas.offsetParent && canvas.width) small.drawImage(canvas, 0, 0, 48, 48);
    }
    return small.getImageData(0, 0, 48, 48).data.join();
  };
  window.bright = () => window.seen().split(",").filter((value, i) => i % 4 < 3 && value > 60).length;
  window.from = (event, done) => new Promise((resolve) => {
    const before = window.seen();  // not in the time that is measured: to look takes as long as to draw
    window.addEventListener(event, () => {
      const began = performance.now();
      const look = () => {
        const now = performance.now();
        if (done(before)) resolve(now - began);
        else requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    }, { capture: true, once: true });
  });
}
"""


class Asking:
    """A connection that is kept, as a browser's."""

    def __init__(self, port: int) -> None:
        self.http = HTTPConnection("127.0.0.1", port, timeout=120)

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        self.http.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = self.http.getresponse()
        return answer.status, answer.read()

    def json(self, method: str, path: str, body: bytes | None = None) -> dict:
        status, text = self.ask(method, f"/api/v1{path}", body)
        assert status < 400, (status, text[:200])
        return json.loads(text)


@contextmanager
def serving(weights: str, workers: int) -> Iterator[tuple[int, int]]:
    """A page in a process of its own: its port and process number."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "tumorlens", "serve", "--home", home, "--port", str(port), "--no-open"]
        command += ["--weights", weights, "--workers", str(workers)]
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            for _ in range(600):
                try:
                    if Asking(port).ask("GET", "/healthz")[0] == 200:
                        break
                except OSError:
                    time.sleep(0.1)
            yield port, server.pid
        finally:
            server.terminate()
            server.wait()


def drop(asking: Asking, files: list[tuple[str, bytes]], first: Callable[[str], None] | None = None) -> str:
    """Drops files as the page does, and waits until the case is done; calls `first` with it at its first finding."""
    case = asking.json("POST", "/cases", b"{}")["id"]
    lanes = [asking, *(Asking(asking.http.port) for _ in range(min(AT_ONCE, len(files)) - 1))]

    def send(lane: int) -> None:
        for name, content in files[lane :: len(lanes)]:
            lanes[lane].json("PUT", f"/cases/{case}/files?name={quote(name)}", content)

    with ThreadPoolExecutor(len(lanes)) as threads:
        list(threads.map(send, range(len(lanes))))
    asking.json("POST", f"/cases/{case}/start")
    while True:
        found = asking.json("GET", f"/cases/{case}")
        if found["slices"] and first:
            first(case)
            first = None
        if found["status"] in ("done", "failed"):
            assert found["status"] == "done", found
            return case
        time.sleep(0.01)


def first_picture(port: int, began: float, times: list[float], case: str) -> None:
    """Fetches a case's first picture, as its page does, and notes how long it took since the drop."""
    status, _ = Asking(port).ask("GET", f"/api/v1/cases/{case}/slices/1/scan.png")
    assert status == 200, status
    times.append(time.perf_counter() - began)


def jpegs(count: int) -> list[bytes]:
    out = []
    for phantom in make_phantoms(count, size=512):
        file = io.BytesIO()
        Image.fromarray(np.round(phantom.scan.pixels * 255).astype(np.uint8)).save(file, "JPEG", quality=90)
        out.append(file.getvalue())
    return out


def study(slices: int) -> list[tuple[str, bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        paths = write_dicom(make_study(3, size=256, slices=slices), Path(folder))
        return [(path.name, path.read_bytes()) for path in paths]


def zipped(files: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return [("study.zip", file.getvalue())]


def first_page(port: int) -> int:
    """Bytes of the first page and of all it loads, gzipped as they travel."""
    asking = Asking(port)
    wanted, total = ["/"], 0
    seen = set(wanted)
    while wanted:
        path = wanted.pop()
        asking.http.request("GET", path, headers={"Accept-Encoding": "gzip"})
        answer = asking.http.getresponse()
        body = answer.read()
        total += len(body)
        text = (gzip.decompress(body) if answer.getheader("Content-Encoding") == "gzip" else body).decode(
            "utf-8", "ignore"
        )
        found = re.findall(r'"(/static/[^"]+)"', text) if path == "/" else []
        found += [f"/static/{name}" for name in re.findall(r'from "\./([a-z]+\.js)"', text)]
        new = [f for f in found if f not in seen]
        seen.update(new)
        wanted += new
    return total


def in_browser(port: int, case: str, steps: int) -> tuple[list[float], float]:
    """Milliseconds from a key to the next slice's pixels, for each of some steps; and from a click to three planes."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    assert chromium, "chromium is not installed: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_FLAGS))
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"http://localhost:{port}/cases/{case}")
        page.wait_for_selector("#desk:not([hidden])", timeout=60_000)
        page.evaluate(_WATCH)
        page.wait_for_function("() => window.bright() > 50", timeout=60_000)
        page.keyboard.press("Home")
        page.wait_for_timeout(1000)
        drawn = "(before) => window.seen() !== before && window.bright() > 0"  # another picture, and no blank stage
        milliseconds = []
        for _ in range(steps):
            page.evaluate(f"() => {{ window.took = window.from('keydown', {drawn}); }}")
            page.keyboard.press("ArrowDown")
            milliseconds.append(page.evaluate("() => window.took"))
        drawn = "(before) => window.seen() !== before && window.bright() > 50"  # more than words
        page.evaluate(f"() => {{ window.took = window.from('click', {drawn}); }}")
        page.get_by_role("radio", name="Three planes").click()
        planes = page.evaluate("() => window.took")
        browser.close()
    return milliseconds, planes


def people(port: int, count: int, rounds: int, pictures: list[bytes]) -> list[float]:
    """Seconds from drop to finding, `count` people at once, each dropping one scan after another."""

    def one(person: int) -> list[float]:
        asking, seconds = Asking(port), []
        for i in range(rounds):
            began = time.perf_counter()
            drop(asking, [("scan.jpg", pictures[(person + count * i) % len(pictures)])])
            seconds.append(time.perf_counter() - began)
        return seconds

    with ThreadPoolExecutor(count) as threads:
        return [s for seconds in threads.map(one, range(count)) for s in seconds]


def steady(port: int, rate: float, seconds: float, pictures: list[bytes]) -> tuple[list[float], int]:
    """Latencies of findings asked for at a steady rate, whether or not earlier ones were answered; and refusals."""
    latencies: list[float] = []
    refused = 0
    local = threading.local()
    began = time.perf_counter() + 0.1

    def one(number: int) -> None:
        nonlocal refused
        due = began + number / rate
        time.sleep(max(0, due - time.perf_counter()))
        if not hasattr(local, "asking"):
            local.asking = Asking(port)
        status, _ = local.asking.ask("POST", "/api/v1/findings?name=scan.jpg", pictures[number % len(pictures)])
        latencies.append(time.perf_counter() - due)  # from when it was due: waiting counts
        refused += status != 200

    with ThreadPoolExecutor(64) as threads:
        list(threads.map(one, range(int(rate * seconds))))
    return latencies, refused


def memory(pid: int) -> float:
    """MB that a process and its children hold, shared pages counted once each (PSS)."""
    pids = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has just ended
            pids += [int(child) for child in (task / "children").read_text().split()]
    total = 0
    for p in pids:
        text = Path(f"/proc/{p}/smaps_rollup").read_text()
        total += int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1])
    return total / 1024


def row(*cells: object) -> None:
    print("| " + " | ".join(str(c) for c in cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the load")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    share = options.scale
    pictures, slices = jpegs(32), study(max(12, round(300 * share)))
    load = os.getloadavg()[0]
    print(
        f"{os.cpu_count()} processors, load {load:.1f} before; {options.workers} workers, weights {options.weights}\n"
    )
    row("what", "figure", "target")
    row("---", "---", "---")
    with serving(options.weights, options.workers) as (port, pid):
        row("first page with all it loads, compressed", f"{first_page(port) / 1000:.0f} kB", "200 kB")
        people(port, 4, 2, pictures)
        seconds = people(port, 4, max(2, round(25 * share)), pictures)
        row(
            f"JPEG dropped to finding, 4 people at once, {len(seconds)} drops: median, p95",
            f"{np.median(seconds):.2f} s, {np.percentile(seconds, 95):.2f} s",
            "p95 1 s",
        )
        for what, files in (("files", slices), ("zip archive", zipped(slices))):
            times: list[float] = []
            began = time.perf_counter()
            case = drop(Asking(port), files, partial(first_picture, port, began, times))
            row(
                f"{len(slices)} DICOM slices as {what}, uploaded and de-identified: first picture, all findings",
                f"{times[0]:.1f} s, {time.perf_counter() - began:.1f} s",
                "2 s, 15 s",
            )
        milliseconds, planes = in_browser(port, case, max(10, round(200 * share)))
        row(
            f"next slice of that series, from key to pixels, {len(milliseconds)} steps: median, p95",
            f"{np.median(milliseconds):.0f} ms, {np.percentile(milliseconds, 95):.0f} ms",
            "p95 50 ms",
        )
        row("three planes of that series, from click to pixels", f"{planes / 1000:.1f} s", "2 s")
        busy = threading.Thread(target=drop, args=(Asking(port), slices))
        busy.start()
        seconds = people(port, 4, max(2, round(8 * share)), pictures)
        busy.join()
        row(
            f"JPEG dropped to finding beside such a series, {len(seconds)} drops: p95",
            f"{np.percentile(seconds, 95):.2f} s",
            "",
        )
        latencies, refused = steady(port, 50, max(3, 30 * share), pictures)
        row(
            f"POST /findings, 50 a second, {len(latencies)} requests: median, p99; refused",
            f"{1000 * np.median(latencies):.0f} ms, {1000 * np.percentile(latencies, 99):.0f} ms; {refused}",
            "p99 500 ms; 0",
        )
        print()
        row("findings", "memory of all processes (PSS)")
        row("---", "---")
        row(0, f"{memory(pid):.0f} MB")
        done, asking = 0, Asking(port)
        for step in (1000, 1000, 2000, 3000, 3000):
            for _ in range(max(20, round(step * share))):
                asking.ask("POST", "/api/v1/findings?name=scan.jpg", pictures[done % len(pictures)])
                done += 1
            row(f"{done:,}", f"{memory(pid):.0f} MB")
    print(f"\nload {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
