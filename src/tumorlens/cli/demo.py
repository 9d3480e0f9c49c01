"""Everything once, on phantoms: a data set, a split, a training, a test, explanations, one report."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tumorlens.batch import Job, find_in_files
from tumorlens.classifier import Classifier
from tumorlens.data.manifest import SYNTHETIC, Manifest, read_manifest
from tumorlens.errors import ConfigError
from tumorlens.experiments.experiment import Experiment
from tumorlens.phantoms.dataset import write_phantoms
from tumorlens.phantoms.phantom import contact_sheet, make_phantoms
from tumorlens.picture import to_picture
from tumorlens.training.config import TrainConfig
from tumorlens.training.run import Run

if TYPE_CHECKING:
    from tumorlens.cli.console import Console

_SEED = 2026  # of the demo's phantoms; the shipped weights saw phantoms of other seeds
_EXAMPLES = 8
READER = "cnn_lstm"  # these weights had phantoms among their training scans; the default ones saw real scans alone
_OURS = {"phantoms", "phantoms.png", "run", "explained", "report.html", "examples", "findings"}


def run_demo(folder: Path, count: int, epochs: int, console: Console) -> None:
    """Makes the demo, in a folder that it clears first if it is an earlier demo's.

    Raises:
        ConfigError: If the folder holds something else.
    """
    began = time.monotonic()
    phantoms, run_folder = folder / "phantoms", folder / "run"
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; choose another --output")
    held = {p.name for p in folder.iterdir()} if folder.exists() else set()
    if held - _OURS or (held and not (phantoms / SYNTHETIC).exists()):
        raise ConfigError(f"{folder}: holds other files; choose another --output")
    for name in held:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    console.say("1/5  making synthetic brain MRI slices")
    with console.progress("drawing phantoms") as progress:
        write_phantoms(phantoms, count, size=128, seed=_SEED, progress=progress)
    contact_sheet(make_phantoms(24, seed=_SEED)).save(folder / "phantoms.png")

    console.say("2/5  training the paper's CNN-LSTM on them, split 80:20 by patient, and testing it")
    config = TrainConfig(name="demo", epochs=epochs, patience=epochs)
    run = Run.create(run_folder, config, [phantoms])
    with console.listening() as listener:
        scores = Experiment.load(run, listener).complete()

    console.say("3/5  explaining the test slices")
    tested = _test_slices(run, read_manifest(phantoms))
    with console.progress("explaining") as progress:
        find_in_files(tested, Classifier.load(run_folder), Job(output=folder / "explained"), progress=progress)

    console.say("4/5  the report")
    shutil.copyfile(run_folder / "evaluation" / "report.html", folder / "report.html")
    console.scores(scores, folder / "report.html")

    console.say(f"5/5  the shipped weights {READER} read {_EXAMPLES} other synthetic slices")
    console.say("     (the default weights were trained on real scans alone, and name phantoms wrongly)")
    classifier = Classifier.load(READER)
    examples = folder / "examples"
    for number, phantom in enumerate(make_phantoms(_EXAMPLES, size=256, seed=_SEED + 1), 1):
        examples.mkdir(exist_ok=True)
        name = f"synthetic-{number}-{phantom.label}.png"
        to_picture(phantom.scan.pixels).save(examples / name)
    document = find_in_files([examples], classifier, Job(output=folder / "findings"))
    console.findings(document, classifier.card)

    console.say(f"\nDone in {time.monotonic() - began:.0f} s. Everything here is synthetic. Look at")
    for path, what in (
        (folder / "report.html", "the report: figures, curves, right and wrong cases with their heat maps"),
        (folder / "phantoms.png", "what the phantoms look like, with their outlines"),
        (folder / "explained", "a heat map over every test slice with a tumour"),
        (folder / "findings", "what the shipped weights find in the examples"),
        (run_folder, "the run: settings, split, log, weights and their card"),
    ):
        console.say(f"  {path}  {what}")


def _test_slices(run: Run, manifest: Manifest) -> list[Path]:
    parts = run.read_parts()
    return [e.path for e in manifest.entries if parts.get(e.name) == "test"]
