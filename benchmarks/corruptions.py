"""How much a network loses on corrupted scans: the table "Robustness" of docs/benchmarks.md.

    python benchmarks/corruptions.py runs/latest                 # a sample of 500 scans of the run's own test part
    python benchmarks/corruptions.py runs/cv/fold-0 --count 100  # a small size, for CI

Writes corruptions.html, .png, .json and .md to the run's folder corruptions/, and prints the tables in Markdown.

Corrupted is what scanners do to pictures: noise, blur, uneven fields, ghosts, turned heads. Each corruption acts on the
scan's own pixels, in five severities: 1 is barely visible, 5 is clearly bad and still a head (after Hendrycks and
Dietterich 2019; the artefacts as in TorchIO, Pérez-García et al. 2021). Strengths that are lengths are shares of the
longer side, so that a scan of 512 pixels suffers as much as the same of 128.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy import ndimage

from tumorlens.classifier import Classifier
from tumorlens.data.loader import read_scan
from tumorlens.data.manifest import Manifest
from tumorlens.errors import ConfigError, DataError
from tumorlens.evaluation.metrics import Estimate, score
from tumorlens.evaluation.pages import plots
from tumorlens.evaluation.pages.page import load_template, per_cent
from tumorlens.evaluation.pages.plots import save_figures
from tumorlens.evaluation.predictions import Predictions
from tumorlens.experiments.experiment import read_manifests
from tumorlens.files import write_atomically
from tumorlens.scan import Scan
from tumorlens.training.run import Run

SEVERITIES = (1, 2, 3, 4, 5)

_MATRIX = 256  # pixels; scanners measure about so many, and larger pictures are interpolated, noise and all
_BATCH = 16  # scans held at a time, each in every condition
_MARKERS = "osD^vPX"
Pixels = NDArray[np.float32]
Real = TypeVar("Real", bound=np.floating)


def noise(pixels: Pixels, severity: int, rng: np.random.Generator) -> Pixels:
    """Rician noise, the magnitude of a signal with Gaussian noise in both channels (Gudbjartsson and Patz 1995)."""
    sigma = (0.02, 0.04, 0.07, 0.11, 0.16)[severity - 1]
    real, imaginary = (sigma * _grain(pixels.shape, rng) for _ in range(2))
    return np.hypot(pixels + real, imaginary)


def blur(pixels: Pixels, severity: int, _: np.random.Generator) -> Pixels:
    """Gaussian blur, its standard deviation a share of the longer side."""
    share = (0.003, 0.006, 0.010, 0.016, 0.024)[severity - 1]
    blurred: Pixels = ndimage.gaussian_filter(pixels, share * max(pixels.shape))
    return blurred


def bias_field(pixels: Pixels, severity: int, rng: np.random.Generator) -> Pixels:
    """A smooth gain over the picture, as of a surface coil: exp of a random polynomial of degree 2."""
    strength = (0.25, 0.5, 0.9, 1.4, 2.0)[severity - 1]
    rows, columns = (np.linspace(-1, 1, n)[:, None] ** np.arange(3) for n in pixels.shape)
    share = np.array([[0, 1, 0.7], [1, 0.7, 0], [0.7, 0, 0]])  # no constant, and no terms beyond degree 2
    field = rows @ (share * rng.normal(size=(3, 3))) @ columns.T
    top, left = (n // 6 for n in pixels.shape)  # the head lies in the middle; corners would take all the strength
    field /= np.abs(field[top:-top, left:-left]).max()
    return pixels * np.exp(strength * np.clip(field, -1.5, 1.5))


def gamma(pixels: Pixels, severity: int, rng: np.random.Generator) -> Pixels:
    """Another contrast: the pixels to a power, up or down as chance has it."""
    power = (1.15, 1.35, 1.6, 2.0, 2.6)[severity - 1]
    return pixels ** (power if rng.random() < 0.5 else 1 / power)


def rotation(pixels: Pixels, severity: int, rng: np.random.Generator) -> Pixels:
    """A turned head, to either side."""
    degrees = (3, 7, 12, 20, 30)[severity - 1] * rng.choice((-1, 1))
    turned: Pixels = ndimage.rotate(pixels, degrees, reshape=False, order=1)
    return turned


def ghosting(pixels: Pixels, severity: int, rng: np.random.Generator) -> Pixels:
    """Ghosts of a pulsating or moving head: one line of k-space in two to four is too weak, which shifts copies in."""
    strength = (0.12, 0.25, 0.45, 0.7, 1.0)[severity - 1]
    axis, ghosts = int(rng.integers(2)), int(rng.integers(2, 5))
    gain = np.ones(pixels.shape[axis])
    gain[::ghosts] = 1 - strength
    gain[0] = 1  # the middle of k-space: the picture keeps its brightness
    return np.abs(np.fft.ifft2(np.fft.fft2(pixels) * (gain[:, None] if axis == 0 else gain)))


def low_resolution(pixels: Pixels, severity: int, _: np.random.Generator) -> Pixels:
    """Fewer lines: scaled down to so many pixels on the longer side, and up again. A smaller scan stays as it is."""
    side = (112, 80, 56, 40, 28)[severity - 1]
    factor = side / max(pixels.shape)
    if factor >= 1:
        return pixels
    soft = ndimage.gaussian_filter(pixels, 0.4 / factor)
    shape = tuple(max(2, round(n * factor)) for n in pixels.shape)
    return _resize(_resize(soft, shape), pixels.shape)


CORRUPTIONS: dict[str, Callable[[Pixels, int, np.random.Generator], Pixels]] = {
    "noise": noise,
    "blur": blur,
    "bias field": bias_field,
    "gamma": gamma,
    "rotation": rotation,
    "ghosting": ghosting,
    "low resolution": low_resolution,
}
"""Every corruption, by name."""


class Condition(BaseModel):
    """Scans under one corruption.

    Attributes:
        kind: Name of the corruption, or "clean".
        severity: 1 to 5; 0 for clean.
        accuracy: Share of scans classified correctly, resampled by group.
        ece: Expected calibration error, 15 bins.
        confidence: Mean probability of the predicted class.
    """

    model_config = ConfigDict(frozen=True)
    kind: str
    severity: int
    accuracy: Estimate
    ece: float
    confidence: float


class Robustness(BaseModel):
    """What a network makes of corrupted scans.

    Attributes:
        weights: Name of the weights.
        data: What was corrupted, in words.
        n: Scans.
        seed: Of the corruptions.
        conditions: Clean first, then kind by kind, severities ascending.
    """

    model_config = ConfigDict(frozen=True)
    weights: str
    data: str
    n: int
    seed: int
    conditions: tuple[Condition, ...]

    @property
    def clean(self) -> Condition:
        """The scans as they are."""
        return self.conditions[0]

    @property
    def kinds(self) -> dict[str, list[Condition]]:
        """The conditions of each corruption."""
        names = dict.fromkeys(c.kind for c in self.conditions[1:])
        return {name: [c for c in self.conditions if c.kind == name] for name in names}

    def markdown(self) -> str:
        """Accuracy and ECE by corruption and severity, as Markdown tables."""
        text = []
        figures: tuple[tuple[str, Callable[[Condition], float | None]], ...] = (
            ("accuracy", lambda c: c.accuracy.value),
            ("ECE", lambda c: c.ece),
            ("mean confidence", lambda c: c.confidence),
        )
        for name, figure in figures:
            text += [f"| {name} | clean | {' | '.join(map(str, SEVERITIES))} | mean |", "| --- " * 8 + "|"]
            for kind, conditions in self.kinds.items():
                values = [figure(c) or 0.0 for c in conditions]
                cells = [per_cent(v) for v in (figure(self.clean) or 0.0, *values, float(np.mean(values)))]
                text.append(f"| {kind} | {' | '.join(cells)} |")
            text.append("")
        return "\n".join(text)


def corrupt(scan: Scan, kind: str, severity: int, seed: int = 0) -> Scan:
    """A scan with its pixels corrupted.

    Args:
        scan: Any scan; of a colour picture each channel suffers the same.
        kind: A key of `CORRUPTIONS`.
        severity: 1 to 5.
        seed: The same seed, the same noise, whatever the severity.

    Returns:
        The scan with pixels of the same shape in [0, 1].

    Raises:
        ConfigError: If there is no such corruption or severity.
    """
    if kind not in CORRUPTIONS or severity not in SEVERITIES:
        raise ConfigError(f"no corruption {kind!r} of severity {severity}; choose of {', '.join(CORRUPTIONS)}, 1 to 5")
    planes = [scan.pixels] if scan.pixels.ndim == 2 else [scan.pixels[..., i] for i in range(3)]
    changed = [CORRUPTIONS[kind](plane, severity, np.random.default_rng(seed)) for plane in planes]
    pixels = np.clip(changed[0] if len(changed) == 1 else np.stack(changed, -1), 0, 1).astype(np.float32)
    return replace(scan, pixels=pixels)


def measure_corruptions(
    classifier: Classifier,
    scans: Iterable[tuple[Scan, int, str]],
    *,
    data: str = "",
    kinds: Sequence[str] = tuple(CORRUPTIONS),
    seed: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> Robustness:
    """Measures accuracy and calibration under every corruption and severity.

    Args:
        classifier: The network.
        scans: Scans with the index of their class and their group; a generator will do, few are held at a time.
        data: What they are, in words.
        kinds: Which corruptions, keys of `CORRUPTIONS`.
        seed: Of the corruptions; each scan gets its own.
        progress: Called with how many scans are done.

    Raises:
        DataError: If there are no scans, or all are of one class.
    """
    conditions = [("clean", 0), *((kind, severity) for kind in kinds for severity in SEVERITIES)]
    rows: list[NDArray[np.float64]] = []
    truth: list[int] = []
    groups: list[str] = []
    remaining = iter(scans)
    while batch := list(islice(remaining, _BATCH)):
        images = [
            classifier.preprocessing(scan if not severity else corrupt(scan, kind, severity, seed + len(truth) + i))
            for kind, severity in conditions
            for i, (scan, _, _) in enumerate(batch)
        ]
        rows.append(classifier.probabilities(np.stack(images)).reshape(len(conditions), len(batch), -1))
        truth += [label for _, label, _ in batch]
        groups += [group for _, _, group in batch]
        progress(len(truth))
    if not truth:
        raise DataError("there are no scans to corrupt; name some with a label")
    probabilities = np.concatenate(rows, 1)
    names = [str(i) for i in range(len(truth))]
    results = []
    for (kind, severity), p in zip(conditions, probabilities, strict=True):
        predictions = Predictions(classifier.card.classes, np.array(truth), p, names, np.array(groups))
        scores = score(predictions)
        confidence = float(predictions.confidence.mean())
        results.append(
            Condition(kind=kind, severity=severity, accuracy=scores.accuracy, ece=scores.ece, confidence=confidence)
        )
    return Robustness(weights=classifier.card.name, data=data, n=len(truth), seed=seed, conditions=tuple(results))


def corruption_figure(robustness: Robustness, theme: plots.Theme = plots.LIGHT) -> Figure:
    """Accuracy, and below it the calibration error, over the severities; a curve for each corruption."""
    figure, (upper, lower) = plots.panels(theme, size=(7.2, 6.4), ratios=(3, 2))
    colours = (*theme.series, theme.ink)
    for axes, name in ((upper, "accuracy"), (lower, "expected calibration error")):
        axes.set_ylabel(name)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        for i, (kind, conditions) in enumerate(robustness.kinds.items()):
            shown = (robustness.clean, *conditions)
            values = [c.accuracy.value if axes is upper else c.ece for c in shown]
            axes.plot(
                [c.severity for c in shown],
                np.array(values, np.float64),
                color=colours[i % len(colours)],
                marker=_MARKERS[i % len(_MARKERS)],
                markersize=4.5,
                linewidth=1.6,
                label=kind,
            )
    upper.set_ylim(top=1.01)
    lower.set(xlabel="severity", ylim=(0, None))
    lower.set_xticks((0, *SEVERITIES), ("clean", *map(str, SEVERITIES)))
    handles, labels = upper.get_legend_handles_labels()
    plots.add_legend(figure, theme, handles=handles, labels=labels, loc="outside upper left", ncols=4)
    return figure


def write_corruptions(folder: Path, robustness: Robustness) -> Path:
    """Writes corruptions.json, corruptions.md, corruptions.png, and corruptions.html last, whose path it returns.

    Raises:
        MissingExtra: If Jinja2 is not installed.
        OSError: If a file cannot be written.
    """
    template = load_template(Path(__file__).with_name("corruptions.html.j2"))
    folder.mkdir(parents=True, exist_ok=True)
    figures = save_figures(folder, {"corruptions": lambda theme: corruption_figure(robustness, theme)})
    write_atomically(folder / "corruptions.json", robustness.model_dump_json(indent=1).encode() + b"\n")
    write_atomically(folder / "corruptions.md", robustness.markdown().encode())
    page = folder / "corruptions.html"
    write_atomically(page, template.render(robustness=robustness, figures=figures, severities=SEVERITIES).encode())
    return page


def _resize(pixels: NDArray[Real], shape: tuple[int, ...]) -> NDArray[Real]:
    steps = [new / old for new, old in zip(shape, pixels.shape, strict=True)]
    resized: NDArray[Real] = ndimage.zoom(pixels, steps, order=1, grid_mode=True, mode="nearest")
    return resized


def _grain(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Gaussian noise of deviation 1 on the scanner's matrix, interpolated where the picture is finer."""
    width = max(shape) / _MATRIX
    if width <= 1:
        return rng.normal(size=shape)
    return _resize(rng.normal(size=tuple(max(2, round(n / width)) for n in shape)), shape)


def main() -> None:
    """Measures a run and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--count", type=int, default=500, help="scans; 0 for the whole test part")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    classifier = Classifier.load(arguments.run)
    run = Run.open(arguments.run)
    tested = Predictions.read_csv(run.folder / "evaluation" / "predictions.csv", classifier.card.classes)
    rows = np.random.default_rng(arguments.seed).permutation(len(tested))[: arguments.count or None]
    robustness = measure_corruptions(
        classifier,
        scans(read_manifests(run.data), tested.pick(np.sort(rows))),
        data=f"of the test part of {run.folder.name}, seed {arguments.seed}",
        seed=arguments.seed,
        progress=lambda done: print(f"  {done} of {len(rows)}", flush=True),
    )
    page = write_corruptions(run.folder / "corruptions", robustness)
    print(f"\n{robustness.weights}, {robustness.n} scans {robustness.data}\n\n{robustness.markdown()}\n{page}")


def scans(manifest: Manifest, tested: Predictions) -> Iterator[tuple[Scan, int, str]]:
    """The tested scans again, with their class and group."""
    entries = {e.name: e for e in manifest.entries}
    for name, label, group in zip(tested.names, tested.truth, tested.groups, strict=True):
        entry = entries.get(name) or entries[name.rpartition("#")[0]]
        yield read_scan(replace(entry, name=name)), int(label), str(group)


if __name__ == "__main__":
    main()
