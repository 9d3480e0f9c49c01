"""`tumorlens data`: public sets, audits, phantoms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tumorlens.cli.options import Quiet, make_console
from tumorlens.errors import needs_extra

app = typer.Typer(help="Get public data sets, and make phantoms.", no_args_is_help=True)


@app.command("list")
def list_sets() -> None:
    """List the public data sets `tumorlens data get` knows."""
    from tumorlens.data.sources import SOURCES

    rows = [
        (s.name, s.modality, s.what, s.size if s.fetch else f"{s.size}, by hand", s.licence) for s in SOURCES.values()
    ]
    make_console().table(("name", "modality", "what", "download", "licence"), rows)


def _set_names(incomplete: str) -> list[str]:
    from tumorlens.data.sources import SOURCES

    return [name for name in SOURCES if name.startswith(incomplete)]


@app.command("get")
def get_set(
    name: Annotated[str, typer.Argument(help="A name that `tumorlens data list` shows.", autocompletion=_set_names)],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder; data/NAME by default.")] = None,
) -> None:
    """Download a public data set; a download that was cut off goes on where it stopped.

    Sets whose publisher asks for a person to sign in are not fetched: it says what to do by hand.
    """
    from tumorlens.data.sources import SOURCES, get

    folder = get(name, output or Path("data") / name)
    source = SOURCES[name]
    modality = "" if source.modality == "MR" else f" --set modality={source.modality}"
    make_console().say(f"{name} is in {folder}; train with: tumorlens train --data {folder / source.train}{modality}")


@app.command("audit")
def audit_set(
    folder: Annotated[Path, typer.Argument(help="Folder of class folders, or a CSV manifest.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for audit.html, audit.json, duplicates.csv.")
    ] = Path("audit"),
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--write-manifest", help="CSV file for groups and folds that keep duplicates and series together."
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Find the same picture within and across splits and labels, and what gives the label away.

    Sees copies that are identical, re-encoded, resized, brighter or darker, mirrored or turned. Started again, it goes
    on where it was cut off.
    """
    console = make_console(quiet)
    with needs_extra("the audit", "train"):
        from tumorlens.data.manifest import read_manifest
        from tumorlens.evaluation.audit import audit, write_manifest
    scans = read_manifest(folder)
    with console.progress("auditing") as progress:
        report = audit(scans, output, data=folder.resolve().name, progress=progress)
    console.audit(report, output / "audit.html")
    if manifest is not None:
        write_manifest(report, scans, manifest)
        console.say(f"groups and folds: {manifest}")


@app.command("phantoms")
def make_phantoms(
    output: Annotated[Path, typer.Argument(help="Folder to write to.")],
    count: Annotated[int, typer.Option("--count", "-n", min=4, help="Number of slices.")] = 1000,
    size: Annotated[int, typer.Option(min=64, max=512, help="Height and width, in pixels.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other phantoms.")] = 0,
    sequences: Annotated[
        str, typer.Option(help="Draw each slice in several sequences, as NIfTI in one space: t1,t1c,t2,flair.")
    ] = "",
    quiet: Quiet = False,
) -> None:
    """Make a synthetic data set: brain MRI slices with simulated tumours, outlines and patients."""
    console = make_console(quiet)
    with needs_extra("making phantoms", "train"):
        from tumorlens.phantoms.dataset import write_phantoms
    with console.progress("drawing phantoms") as progress:
        names = tuple(name.strip() for name in sequences.split(",")) if sequences else ()
        write_phantoms(output, count, size=size, seed=seed, sequences=names, progress=progress)
    console.say(f"{count} synthetic slices and manifest.csv are in {output}")
