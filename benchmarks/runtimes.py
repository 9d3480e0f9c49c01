"""Other ways to run the graph: OpenVINO, and 8-bit integers. The table "Runtimes" of docs/speed.md.

    python benchmarks/runtimes.py cnn_lstm_attention_fast

Needs `pip install openvino`, which the package does not. Each runs the graph that ships beside the weights, in one
thread, in turns; the differences are to ONNX Runtime in 32-bit floats, over phantoms.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quant_pre_process, quantize_static

from tumorlens.card import find_weights, read_card
from tumorlens.phantoms.phantom import make_phantoms

Run = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Scans(CalibrationDataReader):
    """Phantoms that ranges of activations are measured on."""

    def __init__(self, scans: np.ndarray) -> None:
        self.left = iter(scans[i : i + 16] for i in range(0, len(scans), 16))

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch, or None."""
        batch = next(self.left, None)
        return None if batch is None else {"image": batch}


def with_onnxruntime(path: Path) -> Run:
    """Probabilities and heat maps by ONNX Runtime."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda scans: tuple(session.run(["probabilities", "heat_maps"], {"image": scans}))  # type: ignore[return-value]


def with_openvino(path: Path, precision: str) -> Run:
    """The same by OpenVINO."""
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    outputs = [compiled.output(name) for name in ("probabilities", "heat_maps")]

    def run(scans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = compiled([scans])
        return found[outputs[0]], found[outputs[1]]

    return run


def to_int8(path: Path, folder: Path, scans: np.ndarray) -> Path:
    """The graph with its convolutions in 8-bit integers."""
    prepared, found = folder / "prepared.onnx", folder / "int8.onnx"
    quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(found),
        Scans(scans),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        op_types_to_quantize=["Conv"],
    )
    return found


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="?", default="cnn_lstm_attention_fast")
    arguments = parser.parse_args()
    path = find_weights(arguments.weights)
    card = read_card(path)
    graph = path.with_suffix(".onnx")
    scans = np.stack([card.preprocessing(p.scan) for p in make_phantoms(256, size=128)])
    with tempfile.TemporaryDirectory() as folder:
        runs: dict[str, Run] = {
            "ONNX Runtime, float32": with_onnxruntime(graph),
            "ONNX Runtime, int8 convolutions": with_onnxruntime(to_int8(graph, Path(folder), scans[:128])),
        }
        try:
            runs |= {
                "OpenVINO, float32": with_openvino(graph, "f32"),
                "OpenVINO, bfloat16": with_openvino(graph, "bf16"),
            }
        except ModuleNotFoundError:
            print("OpenVINO is not installed: pip install openvino")
        tests = scans[128:]
        truth = runs["ONNX Runtime, float32"](tests)
        seconds: dict[tuple[str, int], list[float]] = {}
        for _ in range(12):
            for name, run in runs.items():
                for count in (1, 16):
                    began = time.perf_counter()
                    run(tests[:count])
                    seconds.setdefault((name, count), []).append(time.perf_counter() - began)
        print(f"\n{arguments.weights}, one thread\n")
        print("| runtime | one scan, ms | scans a second, by 16 | probabilities differ by | heat maps differ by |")
        print("| --- | --- | --- | --- | --- |")
        for name, run in runs.items():
            probabilities, heat = run(tests)
            off = np.abs(probabilities - truth[0]).max(), np.abs(heat - truth[1]).max() / truth[1].max()
            one, many = (float(np.median(seconds[name, count])) for count in (1, 16))
            print(f"| {name} | {one * 1e3:.2f} | {16 / many:.0f} | {off[0]:.1e} | {off[1]:.1e} of the peak |")


if __name__ == "__main__":
    main()
