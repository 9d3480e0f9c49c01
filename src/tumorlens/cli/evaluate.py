"""`tumorlens evaluate`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tumorlens.cli.options import Data, Device, Quiet, Weights, make_console, need
from tumorlens.defaults import DEFAULT_WEIGHTS
from tumorlens.errors import ConfigError, needs_extra


def evaluate(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN]",
            help="Folder of a training run: tested on its own test part, or, like --weights RUN, on --data.",
        ),
    ] = None,
    weights: Weights = DEFAULT_WEIGHTS,
    data: Data = None,
    split: Annotated[
        str, typer.Option(help="Which scans of --data to test on: all, publisher (its testing part), or fold:K.")
    ] = "all",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for report.html and metrics.json; by default evaluation, or RUN/evaluation for its own test "
            "part.",
        ),
    ] = None,
    heatmaps: Annotated[
        bool,
        typer.Option("--heatmaps", help="Also measure a run's heat maps against outlines, and how faithful they are."),
    ] = False,
    studies: Annotated[
        Path | None,
        typer.Option(
            help="Folder of whole studies, NIfTI volumes with masks of their tumours (NAME-seg beside NAME, folders as "
            "BraTS has them, or a table): measures slices with tumour against those without, and each study's "
            "finding; writes studies.json and studies.csv."
        ),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Class of the studies of --studies, where no table names it, such as glioma.")
    ] = None,
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """Test a run, or any weights on any labelled scans or whole studies, and write what was found."""
    own = run is not None and not data and studies is None
    _refuse_what_is_not_heeded(
        {
            "--weights": run is not None and weights != DEFAULT_WEIGHTS,
            "--split": split != "all" and (own or studies is not None),
            "--heatmaps": heatmaps and not own,
            "--data": bool(data) and studies is not None,
            "--label": label is not None and studies is None,
        }
    )
    console = make_console(quiet)
    with needs_extra("evaluation", "train"):
        from tumorlens.experiments.experiment import Experiment, evaluate_weights
        from tumorlens.training.run import Run

    if studies is not None:
        from tumorlens.classifier import Classifier
        from tumorlens.evaluation.studies.measure import measure_studies, write_scores
        from tumorlens.evaluation.studies.volumes import find_volumes

        classifier = Classifier.load(run or weights, device=device)
        with console.progress("reading studies", "studies") as progress:
            measured = measure_studies(classifier, find_volumes(studies), label=label, progress=progress)
        console.study_scores(measured, write_scores(measured, output or Path("evaluation")))
        return
    with console.listening() as listener:
        if run is not None and own:
            opened = Run.open(run)
            if not opened.finished:
                raise ConfigError(f"{run}: is not trained to its end; go on with: tumorlens train --resume {run}")
            experiment = Experiment.load(opened, listener)
            folder = output or run / "evaluation"
            scores = experiment.test(output, device=device)
        else:
            folder = output or Path("evaluation")
            scores = evaluate_weights(str(run or weights), need(data), split, folder, listener, device=device)
    console.scores(scores, folder / "report.html")
    if heatmaps:
        with console.listening() as listener:
            replace(experiment, listener=listener).explain(output, device=device)
        console.say(f"heat maps: {folder / 'heatmaps.html'}")


_WHY = {
    "--weights": "RUN names the weights already; give one of the two",
    "--split": "it divides --data; a run is tested on its own test part, and --studies on all",
    "--heatmaps": "it needs a run and its own test part: its validation part fixes the thresholds",
    "--data": "--studies names the scans already; give one of the two",
    "--label": "it is of --studies",
}


def _refuse_what_is_not_heeded(given: dict[str, bool]) -> None:
    """Raises ConfigError for the first option that this call would not heed."""
    for option, vain in given.items():
        if vain:
            raise ConfigError(f"{option}: {_WHY[option]}")
