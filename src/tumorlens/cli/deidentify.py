"""`tumorlens deidentify`."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

from tumorlens.cli.options import make_console
from tumorlens.errors import ConfigError, InputError
from tumorlens.listener import counted


def deidentify(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="DICOM files and folders of them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the de-identified files.")],
    key: Annotated[
        Path | None,
        typer.Option(help="File with a secret: the same one gives the same new UIDs in a later call."),
    ] = None,
) -> None:
    """Take from DICOM files what could name somebody (PS3.15 basic profile); text in the pixels is only warned of.

    Files are named by their new UID. Exits with 1 if a file could not be read; the others are still done.
    """
    from tumorlens.formats import find_sources
    from tumorlens.formats.dicom.deidentify import deidentify_file
    from tumorlens.formats.dicom.header import read_header

    console = make_console()
    try:
        secret = key.read_bytes() if key else secrets.token_bytes(32)
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}; choose another") from error
    if not secret:
        raise ConfigError(f"{key}: is empty; put at least 16 random bytes into it")
    done, failed, doubts = 0, 0, 0
    with console.progress("de-identifying", "files") as progress:
        for number, source in enumerate(counted(find_sources(paths), progress), 1):
            temporary = output / f".{number}.part"
            try:
                if source.error:
                    raise source.error
                warnings = deidentify_file(source.path, temporary, secret)
                uid = read_header(str(temporary)).uid
            except InputError as error:
                temporary.unlink(missing_ok=True)
                console.say(f"error: {error}")
                failed += 1
                continue
            target = output / f"{uid or number}.dcm"
            temporary.replace(target)
            done += 1
            doubts += bool(warnings)
            for warning in warnings:
                console.say(f"{target.name}: {warning}")
    console.say(f"{done} files de-identified into {output}" + (f"; look at the pixels of {doubts}" if doubts else ""))
    if failed:
        raise typer.Exit(1)
