"""`tumorlens export`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tumorlens.cli.options import Weights, make_console
from tumorlens.defaults import DEFAULT_WEIGHTS
from tumorlens.errors import ConfigError, needs_extra


class ExportForm(StrEnum):
    """File format that `tumorlens export` writes."""

    onnx = "onnx"
    huggingface = "huggingface"
    monai = "monai"


_WHAT = {
    ExportForm.huggingface: "put it onto the hub with: hf upload OWNER/NAME FOLDER; "
    "--weights takes the folder, or hf://OWNER/NAME",
    ExportForm.monai: "run it there with: "
    "python -m monai.bundle run --config_file configs/inference.json --scans FOLDER",
}


def export(
    weights: Weights = DEFAULT_WEIGHTS,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The .onnx file, by default beside the weights, where it becomes their engine; or the folder.",
        ),
    ] = None,
    form: Annotated[
        ExportForm, typer.Option("--format", help="onnx, or a folder: huggingface, as on that hub, or monai, a bundle.")
    ] = ExportForm.onnx,
) -> None:
    """Write network, gate and heat maps as one ONNX graph: any runtime gets an explained finding in one pass.

    Takes `image`, (batch, channels, size, size) float32 in [0, 1]; gives calibrated `probabilities`, `heat_maps` of
    all classes, the `unknown_score` (1 is the limit), and what it is made of. The weights' card is in its metadata.
    Nothing is written if the graph's answers differ from PyTorch's.
    """
    console = make_console()
    if form is not ExportForm.onnx:
        if output is None:
            raise ConfigError(f"--format {form.value} writes a folder; name it with --output")
        console.say(f"{_write_folder(form, weights, output)}: {_WHAT[form]}")
        return
    with needs_extra("exporting", "train"):
        from tumorlens.engines.export import export_graph
    from tumorlens.card import find_weights

    find_weights(weights)  # that there are none is said before anything takes a minute
    with console.working("writing the graph; this takes a minute or two"):
        path, difference = export_graph(weights, output)
    size = path.stat().st_size / 1e6
    console.say(f"wrote {path}, {size:.1f} MB; its answers differ from PyTorch's by at most {difference:.1g}")
    if output is None:
        console.say("it lies beside the weights and answers from now on: --weights needs no PyTorch for them")


def _write_folder(form: ExportForm, weights: str, output: Path) -> Path:
    if form is ExportForm.huggingface:
        from tumorlens.engines.huggingface import export_hub_folder

        return export_hub_folder(weights, output)
    with needs_extra("a MONAI bundle", "train"):
        from tumorlens.engines.monai import export_bundle

        return export_bundle(weights, output)
