"""`tumorlens slide`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tumorlens.cli.options import Device, Quiet, make_console
from tumorlens.errors import needs_extra


def slide(
    path: Annotated[str, typer.Argument(metavar="SLIDE", help="Whole slide, of any format that OpenSlide reads.")],
    weights: Annotated[
        str, typer.Option("--weights", "-w", help="Weights of tiles in colour: a .safetensors file, or a run's folder.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for overlay.png, tiles.csv, tiles.geojson and summary.json.")
    ],
    field: Annotated[
        float, typer.Option(min=1, help="Microns along a tile's sides, as in training; 112 are 224 pixels at 20×.")
    ] = 112.0,
    microns: Annotated[
        float | None, typer.Option(help="Microns a pixel of the slide, where its file does not say.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Class that the overlay shows; the one most tiles were given by default.")
    ] = None,
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """Map a whole slide of stained tissue: find the tissue, say what each tile shows, and draw it over the slide.

    tiles.geojson opens in QuPath. The slide is read tile by tile, so memory does not grow with it.
    """
    from tumorlens import Classifier

    console = make_console(quiet)
    with needs_extra("whole slides", "slides"):
        import openslide  # noqa: F401 - before the weights are loaded
    from tumorlens.slides import map_slide

    classifier = Classifier.load(weights, device=device)
    with console.progress("mapping the slide", "tiles") as progress:
        mapped = map_slide(path, classifier, output, field=field, microns=microns, target=target, progress=progress)
    summary = mapped.summary
    rows = [(key, str(count), f"{count / summary.tiles:.0%}") for key, count in summary.labels.items()]
    console.table(("tiles of", "number", "share"), rows)
    console.say(f"{output / 'overlay.png'} shows {summary.shown}; tiles.geojson opens in QuPath")
