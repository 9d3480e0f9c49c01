"""`tumorlens compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tumorlens.cli.options import Quiet, make_console
from tumorlens.errors import needs_extra


def compare(
    first: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="Folder of a training run that was tested, or another with its predictions.csv."
        ),
    ],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="The one to hold against it.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for comparison.html, comparison.json and plots.")
    ] = Path("comparison"),
    quiet: Quiet = False,
) -> None:
    """Compare two tested networks: figures with paired intervals, curves over each other, where they disagree.

    Differences have intervals where both were tested on the same scans; whole patients, series or duplicate groups are
    resampled, the same for both. Folders of cross-validations can be compared, too.
    """
    console = make_console(quiet)
    with needs_extra("comparing", "train"):
        from tumorlens.evaluation.comparing.contender import read_contender
        from tumorlens.evaluation.comparing.report import write_comparison
    one, other = read_contender(first), read_contender(second)
    with console.listening() as listener:
        result = write_comparison(one, other, output, listener=listener)
    console.comparison(result, output / "comparison.html")
