"""What an extra brings is enough for what it is for."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]

_IMPORT = """
import importlib, sys
sys.modules |= dict.fromkeys(sys.argv[1].split())
for name in sys.argv[2:]:
    importlib.import_module(name)
"""


def _brought(extra: str) -> set[str]:
    """The distributions that come with an extra, or with none, their own requirements included."""
    waiting = [*PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] if extra else [])]
    brought: set[str] = set()
    while waiting:
        requirement = Requirement(waiting.pop())
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name == "tumorlens":
            waiting += [r for e in requirement.extras for r in PROJECT["optional-dependencies"][e]]
        elif name not in brought:
            brought.add(name)
            waiting += _requirements(name, requirement.extras)
    return brought


def _requirements(name: str, extras: set[str]) -> list[str]:
    try:
        every = requires(name) or []
    except PackageNotFoundError:  # of another platform
        return []
    return [
        r for r in every if (m := Requirement(r).marker) is None or any(m.evaluate({"extra": e}) for e in {"", *extras})
    ]


@pytest.mark.parametrize(
    ("extra", "modules"),
    [
        ("", "cli classifier batch formats.dicom.decoders overlay results.analysis"),
        ("batch", "batch.store"),
        ("web", "web.app web.worker web.report_pdf formats.dicom.deidentify"),
        ("hospital", "node.node results.make results.capture results.maps results.report results.fhir"),
        (
            "train",
            "experiments.crossvalidation evaluation.site.validate evaluation.audit phantoms.dataset",
        ),
        ("cluster", "cluster.scoring"),
        ("slides", "slides"),
    ],
)
def test_an_extra_brings_what_its_rooms_import(extra: str, modules: str) -> None:
    brought = _brought(extra)
    absent = {
        module
        for module, distributions in packages_distributions().items()
        if not any(re.sub(r"[-_.]+", "-", d).lower() in brought | {"tumorlens"} for d in distributions)
    }
    assert absent & {"pytest", "hypothesis"}
    names = [f"tumorlens.{module}" for module in modules.split()]
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT, " ".join(absent), *names], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
