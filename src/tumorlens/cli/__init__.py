"""The command line: a thin shell, one command, one call. Heavy imports wait until a command needs them."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from tumorlens.cli.compare import compare
from tumorlens.cli.data import app as data_app
from tumorlens.cli.deidentify import deidentify
from tumorlens.cli.doctor import doctor
from tumorlens.cli.evaluate import evaluate
from tumorlens.cli.export import export
from tumorlens.cli.node import app as node_app
from tumorlens.cli.options import (
    Address,
    Config,
    Data,
    Device,
    Engine,
    Model,
    Quiet,
    Settings,
    Weights,
    make_console,
    need,
    on_ray,
)
from tumorlens.cli.results import results
from tumorlens.cli.serve import accounts_app, serve
from tumorlens.cli.slide import slide
from tumorlens.defaults import DEFAULT_WEIGHTS
from tumorlens.errors import ConfigError, ModelError, TumorLensError, needs_extra
from tumorlens.listener import Listener
from tumorlens.version import __version__

app = typer.Typer(
    name="tumorlens",
    help="Explainable deep learning for brain tumours on MRI. A scan comes in, a finding goes out. "
    "For research use only: not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # joins the lines of a paragraph
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Runs the command line and exits: 0 for done, 1 for an error, 2 for wrong usage, 130 for Ctrl-C.

    Weights that cannot be used are wrong usage: 1 would say that other scans were done.
    """
    try:
        app(standalone_mode=True, prog_name="tumorlens")
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)  # whoever read our output has gone
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still held would be tried again at the end
        typer.echo("error: no space is left where the output goes; make room and run it again", err=True)
        sys.exit(1)
    except TumorLensError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2 if isinstance(error, ConfigError | ModelError) else 1)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tumorlens {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None: ...


def predict(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Scans: files, folders and URLs, in any format.")],
    weights: Weights = DEFAULT_WEIGHTS,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="Folder or URL for overlays, heat maps (.npy), tables and findings.json."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document, and nothing else, to stdout.")
    ] = False,
    axis: Annotated[str, typer.Option(help="Plane to cut NIfTI volumes in: axial, coronal or sagittal.")] = "axial",
    target: Annotated[
        str | None, typer.Option(help="Class to explain, such as meningioma; the most probable one by default.")
    ] = None,
    explain: Annotated[bool, typer.Option(help="Make heat maps and regions.")] = True,
    heat_map: Annotated[
        str | None,
        typer.Option(help="Way to make heat maps, such as gradcam, hirescam or layercam; the weights' own by default."),
    ] = None,
    pictures: Annotated[
        bool, typer.Option(help="Draw an overlay and a heat map of each scan into --output, or only the tables.")
    ] = True,
    device: Device = "cpu",
    jobs: Annotated[
        int,
        typer.Option("--jobs", "-j", min=0, help="Processes, or actors of Ray; 0 takes all processors for many files."),
    ] = 0,
    engine: Engine = "local",
    address: Address = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget an unfinished call in --output, instead of going on with it.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Say what scans show, how sure that is, and where the evidence lies.

    Reads PNG, JPEG, TIFF, BMP, DICOM, NIfTI and, with the extra `train`, Cheng's MATLAB files, known by their content.
    With the extra `batch`, paths may be URLs, such as s3://bucket/scans. With --output, results.csv, findings.json and,
    with that extra, results.parquet hold every scan; after Ctrl-C or a kill, the same command goes on where it was.

    Exits with 0 if all were read, 1 if some could not be (the others are still done), 2 for wrong usage, unusable
    weights or an output folder that cannot be written.

    --weights MR=…,CT=… names weights for each modality, and the DICOM files say which are theirs.
    """
    from tumorlens import batch
    from tumorlens.cli.weights import choose_weights
    from tumorlens.processes import collect_rarely

    if axis not in ("axial", "coronal", "sagittal"):
        raise ConfigError(f"--axis {axis}: choose axial, coronal or sagittal")
    console = make_console(quiet)
    collect_rarely()
    job = batch.Job(output, axis, explain, target, heat_map, pictures)  # type: ignore[arg-type]
    computing = batch.Computing(choose_weights(weights, paths), device)
    pool = None
    if on_ray(engine, address):
        from tumorlens.cluster.scoring import actors

        pool = actors(computing, job, jobs, address)
    with console.progress("reading scans", "files") as progress:
        listener = Listener(console.say, progress)
        try:
            outcome = batch.run(paths, computing, job, listener, pool=pool, jobs=jobs, restart=restart)
        except KeyboardInterrupt:
            if output is not None:
                console.say("stopped; the same command goes on where it was")
            raise
    console.outcome(outcome, output, as_json=as_json)
    if outcome.failures:
        raise typer.Exit(1)


def train(
    data: Data = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")] = Path("runs/latest"),
    config: Config = None,
    resume: Annotated[Path | None, typer.Option(help="Folder of a run to go on with.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the weights.")] = None,
    model: Model = None,
    split: Annotated[
        str | None,
        typer.Option(help="grouped (by patient, series or duplicates), random (the paper's), publisher, or fold:K."),
    ] = None,
    size: Annotated[int | None, typer.Option(help="Height and width of the input, in pixels.")] = None,
    channels: Annotated[int | None, typer.Option(help="1 for greyscale, 3 for colour.")] = None,
    settings: Settings = None,
    devices: Annotated[
        int, typer.Option(min=1, help="GPUs of each machine to spread the training over; processes, on a CPU.")
    ] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines; start this command on each, with srun or torchrun.")] = 1,
    tensorboard: Annotated[bool, typer.Option(help="Also log to TensorBoard, in the run's folder.")] = False,
    mlflow: Annotated[bool, typer.Option(help="Also log to MLflow, where MLFLOW_TRACKING_URI says.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train a network on labelled scans, test it, and write its report.

    Ctrl-C, or a kill, loses no more than the epoch it falls into: go on with --resume.
    """
    console = make_console(quiet)
    with needs_extra("training", "train"):
        from tumorlens.experiments.experiment import Experiment
        from tumorlens.training.config import parse_settings, read_config
        from tumorlens.training.fit import Interrupted, Machines, leads
        from tumorlens.training.run import Run
        from tumorlens.training.trackers import make_loggers

    machines = Machines(devices, nodes)
    if not leads():
        Experiment.load(Run.follow(resume or output)).train(machines=machines)
        sys.stdout.flush()
        os._exit(0)  # at once: a library's thread that dies at the interpreter's end would count as a failure
    if resume is not None:
        run = Run.open(resume)
    else:
        flags = {"preprocessing.size": size, "preprocessing.channels": channels}
        changes = parse_settings([f"{k}={v}" for k, v in flags.items() if v is not None] + (settings or []))
        changes |= {k: v for k, v in {"name": name, "model": model, "split": split}.items() if v is not None}
        run = Run.create(output, read_config(config, changes), need(data))
    try:
        trackers = make_loggers(run, tensorboard=tensorboard, mlflow=mlflow)
        with console.listening() as listener:
            scores = Experiment.load(run, listener).complete(loggers=trackers, machines=machines)
    except Interrupted:
        console.say(f"stopped; go on with: tumorlens train --resume {run.folder}")
        raise
    console.scores(scores, run.folder / "evaluation" / "report.html")


def settings() -> None:
    """List every setting of a training run, with its default."""
    from tumorlens.training.config import describe_settings

    make_console().table(("setting", "default", "what it is"), describe_settings())


def crossvalidate(
    data: Data = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the runs.")] = Path("runs/crossvalidation"),
    config: Config = None,
    model: Model = None,
    folds: Annotated[int, typer.Option(min=2, help="Folds to make where the data have none.")] = 5,
    publisher: Annotated[bool, typer.Option(help="Also train on the publisher's split, where there is one.")] = True,
    final: Annotated[
        bool,
        typer.Option("--final", help="Also train on all folds, into final/, calibrated by out-of-fold predictions."),
    ] = False,
    settings: Settings = None,
    engine: Engine = "local",
    address: Address = None,
    quiet: Quiet = False,
) -> None:
    """Train and test fold by fold, and name what the publisher's split adds: leakage.

    Takes the manifest's folds, or makes stratified ones that keep patients, series and duplicates whole. Scores one
    scan of each duplicate group. Started again, it goes on where it was.
    """
    console = make_console(quiet)
    with needs_extra("cross-validation", "train"):
        from tumorlens.cluster.training import train_on_ray
        from tumorlens.experiments.crossvalidation import crossvalidate as run_folds
        from tumorlens.training.config import parse_settings, read_config
        from tumorlens.training.fit import Interrupted

    changes = parse_settings(settings or []) | ({} if model is None else {"model": model})
    try:
        with console.listening() as listener:
            scores = run_folds(
                need(data),
                read_config(config, changes),
                output,
                folds=folds,
                publisher=publisher,
                final=final,
                listener=listener,
                trainer=train_on_ray(address) if on_ray(engine, address) else None,
            )
    except Interrupted:
        console.say("stopped; the same command goes on where it was")
        raise
    console.crossvalidation(scores, output)


def validate(
    data: Data = None,
    weights: Weights = DEFAULT_WEIGHTS,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for validation.html, validation.json and the forms.")
    ] = Path("validation"),
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """Validate locked weights on a hospital's own labelled scans: flow of cases, figures, subgroups, failures, forms.

    Nothing is fitted on the scans. Pre-filled CLAIM and TRIPOD+AI checklists and a model card lie beside the report.
    """
    console = make_console(quiet)
    with needs_extra("validation", "train"):
        from tumorlens.evaluation.site.validate import validate_site
    with console.listening() as listener:
        validation = validate_site(weights, need(data), output, device=device, listener=listener)
    for comparison in validation.comparisons:
        console.say(comparison.words)
    console.scores(validation.scores, output / "validation.html")


def info(
    weights: Annotated[
        str | None, typer.Argument(metavar="[WEIGHTS]", help="Weights to show alone: a run's folder, say.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the version, and the weights in the package, or any others, with their cards."""
    import json

    from tumorlens.card import find_weights, read_card, shipped_cards

    cards = shipped_cards() if weights is None else [read_card(find_weights(weights))]
    if as_json:
        typer.echo(json.dumps({"version": __version__, "weights": [c.model_dump(mode="json") for c in cards]}))
    else:
        make_console().cards(cards)


def make_demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")] = Path("demo"),
    count: Annotated[int, typer.Option(min=80, help="Number of phantoms.")] = 2400,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of training.")] = 30,
) -> None:
    """Show everything on phantoms: make a data set, split, train, test, explain, and write one report."""
    with needs_extra("the demo", "train"):
        from tumorlens.cli.demo import run_demo
    run_demo(output, count, epochs, make_console())


_PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Begin": (make_demo, doctor, info),
    "Read scans": (predict, serve, results, slide),
    "Train, and measure": (train, settings, crossvalidate, evaluate, compare, validate, export),
    "In a hospital": (deidentify,),
}
for _panel, _commands in _PANELS.items():
    for _command in _commands:  # `demo` is called otherwise here: a module beside this one has that name
        app.command(_command.__name__.removeprefix("make_"), rich_help_panel=_panel)(_command)
app.add_typer(data_app, name="data", rich_help_panel="Train, and measure")
app.add_typer(node_app, name="node", rich_help_panel="In a hospital")
app.add_typer(accounts_app, name="accounts", rich_help_panel="In a hospital")
