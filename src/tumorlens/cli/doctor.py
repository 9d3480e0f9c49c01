"""`tumorlens doctor`: what is installed here, and whether it works."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tumorlens.cli.options import make_console
from tumorlens.errors import TumorLensError
from tumorlens.version import __version__

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_EXTRAS = ("train", "batch", "cluster", "hub", "web", "postgres", "hospital", "slides", "tensorboard", "mlflow")
_LEAST = 0.5e9  # bytes that a classifier with all its libraries takes, with room to spare


@dataclass(frozen=True)
class Check:
    """One check of `tumorlens doctor`: what was looked at, and how it stands.

    Attributes:
        what: What was looked at.
        state: "well"; "missing", which something optional may be; or "ill".
        words: What was found, and the remedy for what is ill.
    """

    what: str
    state: Literal["well", "missing", "ill"]
    words: str


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say what is installed and whether it works: packages, weights, device, memory, a phantom read and explained.

    Exits with 0 if all is well, 1 if something is ill. An extra that is not installed is neither.
    """
    console = make_console(quiet=as_json)
    with console.working("examining the installation"):
        checks = list(examine())
    ill = [check for check in checks if check.state == "ill"]
    if as_json:
        typer.echo(json.dumps({"well": not ill, "checks": [asdict(check) for check in checks]}, indent=1))
    else:
        console.table(("what", "state", "found"), [(check.what, check.state, check.words) for check in checks])
        console.say("all is well" if not ill else f"ill: {', '.join(check.what for check in ill)}")
    if ill:
        raise typer.Exit(1)


def examine() -> Iterator[Check]:
    """Looks at everything, one thing after another."""
    where = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Check("tumorlens", "well", f"{__version__}, {where}")
    yield from _packages()
    yield _device()
    yield _memory()
    yield from _weights()


def _packages() -> Iterator[Check]:
    """Whether the core's packages and each extra's are there, in versions that fit."""
    try:
        named = requires("tumorlens") or []
    except PackageNotFoundError:
        yield Check("packages", "ill", "tumorlens is run from a folder and not installed; run there: pip install .")
        return
    yield _compare("packages", named, "")
    for extra in _EXTRAS:
        yield _compare(f"extra {extra}", named, extra)


def _wanted(named: list[str], extra: str) -> Iterator[Requirement]:
    """What an extra brings, with the extras that it names; of "", what comes without any."""
    from packaging.requirements import Requirement

    for requirement in map(Requirement, named):
        marker = requirement.marker
        always = marker is None or marker.evaluate({"extra": ""})
        if always if not extra else (not always and marker is not None and marker.evaluate({"extra": extra})):
            if requirement.name != "tumorlens":
                yield requirement
            for other in requirement.extras if requirement.name == "tumorlens" else ():
                yield from _wanted(named, other)


def _compare(what: str, named: list[str], extra: str) -> Check:
    """Holds what an extra needs, or the core, against what is installed."""
    wanted = list(_wanted(named, extra))
    missing, unfit = [], []
    for requirement in wanted:
        try:
            have = version(requirement.name)
        except PackageNotFoundError:
            missing.append(requirement.name)
            continue
        if not requirement.specifier.contains(have, prereleases=True):
            unfit.append(f"{requirement.name} {have} (needed: {requirement.specifier})")
    remedy = f"pip install '.[{extra}]'" if extra else "pip install ."
    if unfit or (missing and not extra):
        found = [*unfit, *(f"{name} is missing" for name in missing)]
        return Check(what, "ill", f"{', '.join(found)}; run in your clone of TumorLens: {remedy}")
    if missing:
        return Check(what, "missing", f"needs {', '.join(missing)}; if you want it: {remedy}")
    return Check(what, "well", f"{len(wanted)} package{'s' * (len(wanted) != 1)}")


def _device() -> Check:
    """What can compute here."""
    import onnxruntime

    runtime = f"{os.cpu_count()} processors, ONNX Runtime {onnxruntime.__version__}"
    try:
        import torch
    except ModuleNotFoundError:
        return Check("device", "well", f"cpu: {runtime}")
    from tumorlens.engines.eager import choose_device

    best = choose_device("auto").type
    name = torch.cuda.get_device_name() if best == "cuda" else best
    return Check("device", "well", f"{name}: {runtime}, PyTorch {torch.__version__}")


def _memory() -> Check:
    """Whether there is enough memory, where the system says so."""
    free = free_memory()
    if free is None:
        return Check("free memory", "well", "the system does not say")
    if free < _LEAST:
        return Check("free memory", "ill", f"{free / 1e9:.1f} GB; reading scans takes {_LEAST / 1e9:.1f} GB")
    return Check("free memory", "well", f"{free / 1e9:.1f} GB")


def free_memory() -> int | None:
    """Bytes of memory that programs could still take; None where the system does not say."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    with suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _weights() -> Iterator[Check]:
    """Whether the weights in the package are whole, and read and explain a phantom."""
    from tumorlens.card import shipped_weights

    names = shipped_weights()
    if not names:
        yield Check("weights", "ill", "there are none in the package; install it anew")
    for name in names:
        try:
            yield Check(f"weights {name}", "well", _explain_phantom(name))
        except TumorLensError as error:
            yield Check(f"weights {name}", "ill", str(error))


def _explain_phantom(name: str) -> str:
    """Has weights read and explain the phantom in the package; says what they answer.

    Raises:
        TumorLensError: If weights, graph or phantom are not whole, or the answer is none.
    """
    import numpy as np

    from tumorlens.card import find_weights, read_checked
    from tumorlens.classifier import Classifier
    from tumorlens.errors import ModelError
    from tumorlens.formats import read_scans
    from tumorlens.phantoms import EXAMPLE

    classifier, scans = Classifier.load(name), read_scans(EXAMPLE)
    read_checked(find_weights(name), classifier.card.sha256, "is damaged; install the package anew")
    answers = classifier.engine.answer(classifier.prepare(scans), target="all")
    finite = answers.heat is not None and bool(np.isfinite(answers.heat).all())
    if not finite or not np.isclose(answers.probabilities.sum(), 1):
        raise ModelError(f"{name}: its answer to a phantom is no finite numbers; is the processor sound?")
    (finding,) = classifier.find(scans, target=next(c.key for c in classifier.card.classes if not c.nothing))
    shown = "with a heat map" if finding.heatmap is not None else "and so without a heat map"
    return f"{type(classifier.engine).__name__.lower()}, sha256 as its card says; a phantom: {finding}, {shown}"
