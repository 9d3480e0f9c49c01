"""What the weights in the package weigh: the second table "The weights that ship" of docs/benchmarks.md.

    python benchmarks/weights.py                       # those in the package
    python benchmarks/weights.py runs/mine other.json  # and others, which must have their graph beside them

Bytes on the disk, parameters, multiplications of one pass (a mirror image counts twice), and milliseconds of one
explained scan at batch 1 on one thread, all taking turns. Prints Markdown.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from speed import Contender, graph_of, macs, median, table, take_turns, timed

from tumorlens.card import find_weights, read_card, shipped_weights
from tumorlens.model import build_network


def explained(weights: str) -> Contender:
    """One scan through the graph, as the classifier asks it: the mirror image too, where the card says so."""
    graph, card = graph_of(weights), read_card(find_weights(weights))
    size = card.preprocessing.size
    scan = np.random.default_rng(0).random((1, card.preprocessing.channels, size, size), np.float32)
    return timed(lambda: graph.answer(scan))


def row(weights: str, seconds: list[float]) -> list[Any]:
    """A line of the table."""
    path = find_weights(weights)
    card = read_card(path)
    classes, channels = len(card.classes), card.preprocessing.channels
    network = build_network(card.network, channels=channels, classes=classes, **card.options)
    megabytes = [p.stat().st_size / 1e6 for p in (path, path.with_suffix(".onnx"))]
    return [
        f"`{card.name}`",
        f"{card.preprocessing.size} × {card.preprocessing.size}",
        f"{megabytes[0]:.1f} + {megabytes[1]:.1f}",
        f"{sum(p.numel() for p in network.parameters()):,}",
        f"{macs(weights) / 1e6:.0f}",
        f"{median(seconds) * 1e3:.2f}",
    ]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="*", help="further weights")
    parser.add_argument("--rounds", type=int, default=12)
    arguments = parser.parse_args()
    names = [*shipped_weights(), *arguments.weights]
    measured = take_turns({name: explained(name) for name in names}, arguments.rounds, 5)
    head = ["weights", "input", "MB: weights + graph", "parameters", "million multiplications", "ms a scan, explained"]
    table("The weights, one thread", head, [row(name, measured[name]) for name in names])


if __name__ == "__main__":
    main()
