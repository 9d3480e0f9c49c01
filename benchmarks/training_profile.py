"""Where the time of a training goes: the table "What a training step is made of" of docs/speed.md.

    python benchmarks/training_profile.py --model cnn_lstm cnn_lstm_attention_fast

Runs training steps as `tumorlens train` does, on random scans, in one thread, under PyTorch's profiler, and prints how
the time divides. Another state of the code is measured with PYTHONPATH set to its src folder. `--trace FILE` writes the
steps for https://ui.perfetto.dev, which draws the flame graph.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from tumorlens.data.augment import augment_with
from tumorlens.model import build_network
from tumorlens.training.config import TrainConfig
from tumorlens.training.module import Batch, TrainingModule

KINDS = {
    "convolution": ("convolution",),
    "LSTM": ("rnn", "lstm"),
    "normalisation": ("batch_norm",),
    "activation and pooling": ("threshold", "relu", "clamp_min", "pool", "sigmoid", "upsample_nearest"),
    "copies and casts": ("copy_", "to_copy", "cat", "contiguous", "fill_", "empty"),
    "optimiser": ("Optimizer", "adam", "foreach", "norm"),
}


def steps(model: str, count: int) -> tuple[Callable[[Batch], None], list[Batch], TrainConfig]:
    """A training step of a network, and batches for it."""
    config = TrainConfig(model=model)
    size, rng = config.preprocessing.size, np.random.default_rng(0)
    network = build_network(model, channels=1, classes=4, **config.options)
    network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module = TrainingModule(network, config, torch.ones(4), 1000, torch.tensor([False, False, False, True]))
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    optimizer = module.configure_optimizers()["optimizer"]
    batches = []
    for _ in range(count):
        images = torch.from_numpy(rng.random((config.batch_size, 1, size, size), np.float32))
        batch = [images, torch.from_numpy(rng.integers(0, 4, config.batch_size))]
        if "attention" in model:
            covered = (rng.random((config.batch_size, size, size)) > 0.9).astype(np.uint8) * 255
            batch += [torch.from_numpy(covered), torch.ones(config.batch_size, dtype=torch.bool)]
        batches.append(batch)

    def step(batch: Batch) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=torch.cpu._is_avx512_bf16_supported()):
            loss = module.training_step(batch, 0)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step, batches, config


def milliseconds(do: Callable[[Batch], object], batches: list[Batch]) -> float:
    """Median of a call's time."""
    found = []
    for batch in batches:
        began = time.perf_counter()
        do(batch)
        found.append(time.perf_counter() - began)
    return float(np.median(found)) * 1e3


def kind_of(name: str) -> str:
    """What an operation is for."""
    return next((kind for kind, words in KINDS.items() if any(word in name for word in words)), "other arithmetic")


def main() -> None:
    """Prints a table for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["cnn_lstm", "cnn_lstm_attention_fast"])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--trace", type=Path, help="file for the trace of the first network")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for model in arguments.model:
        step, batches, config = steps(model, arguments.steps)
        for batch in batches[:3]:
            step(batch)
        whole = milliseconds(step, batches)

        def augment(batch: Batch, config: TrainConfig = config) -> None:
            covered = batch[2].float() / 255 if len(batch) > 2 else None
            augment_with(batch[0], covered, config.augmentation, config.warp)

        augmenting = milliseconds(augment, batches)
        with profile(activities=[ProfilerActivity.CPU]) as found:
            for batch in batches[:8]:
                step(batch)
        with profile(activities=[ProfilerActivity.CPU]) as apart:
            for batch in batches[:8]:
                augment(batch)
        times: Counter[str] = Counter()
        for sign, events in ((1, found.key_averages()), (-1, apart.key_averages())):
            for event in events:
                times[kind_of(event.key)] += sign * event.self_cpu_time_total / 8e3
        scale = (whole - augmenting) / sum(times.values())
        print(
            f"\n{model}, {config.preprocessing.size} x {config.preprocessing.size}, {config.batch_size} scans a step\n"
        )
        print("| what | ms | share |\n| --- | --- | --- |")
        for name, value in sorted({k: v * scale for k, v in times.items()}.items(), key=lambda item: -item[1]):
            print(f"| {name} | {value:.1f} | {value / whole:.0%} |")
        print(
            f"| augmentation, of all kinds | {augmenting:.1f} | {augmenting / whole:.0%} |\n| a step | {whole:.1f} | |"
        )
        if arguments.trace and model == arguments.model[0]:
            found.export_chrome_trace(str(arguments.trace))


if __name__ == "__main__":
    main()
