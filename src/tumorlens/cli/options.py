"""Options that several commands take, and what they make of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tumorlens.errors import ConfigError

if TYPE_CHECKING:
    from tumorlens.cli.console import Console

Data = Annotated[
    list[Path] | None,
    typer.Option(
        "--data",
        "-d",
        help="Folder of class folders, CSV manifest (path, label), or name of a set in the folder that TUMORLENS_DATA "
        "names; twice for two sets.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, mps, or auto for the best there is.")]


def _shipped(incomplete: str) -> list[str]:
    """Weights that a shell may complete to."""
    from tumorlens.card import shipped_weights

    return [name for name in shipped_weights() if name.startswith(incomplete)]


Weights = Annotated[
    str,
    typer.Option(
        "--weights",
        "-w",
        help="Weights in the package, a run's folder, a .safetensors file, or hf://OWNER/NAME.",
        autocompletion=_shipped,
    ),
]

Model = Annotated[
    str | None,
    typer.Option(
        help="cnn_lstm_efficientnet, on pretrained features; cnn_lstm_attention, with exact heat maps that outlines "
        "guide; cnn_lstm, the paper's; cnn, without LSTM."
    ),
]
Config = Annotated[Path | None, typer.Option("--config", "-c", help="YAML file of settings; flags go before.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="Any other setting, as name=value; `tumorlens settings` lists them."),
]
Engine = Annotated[str, typer.Option(help="local, or ray for a cluster; the results are the same.")]
Address = Annotated[
    str | None, typer.Option(help="Address of a running Ray cluster; without one, --engine ray starts it here.")
]


def make_console(quiet: bool = False) -> Console:
    """The console of a command, as its flags set it."""
    from tumorlens.cli.console import Console

    return Console(quiet=quiet)


def on_ray(engine: str, address: str | None) -> bool:
    """Whether a Ray cluster is to compute.

    Raises:
        ConfigError: If the two options make no sense.
    """
    if engine not in ("local", "ray"):
        raise ConfigError(f"--engine {engine}: choose local or ray")
    if address is not None and engine != "ray":
        raise ConfigError("--address is of a Ray cluster; add --engine ray")
    return engine == "ray"


def need(data: list[Path] | None) -> list[Path]:
    """The data sets.

    Raises:
        ConfigError: If none was given.
    """
    if not data:
        raise ConfigError("say where the scans are, with --data FOLDER")
    return data
