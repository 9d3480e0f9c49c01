"""What container and tests are made of is locked, billed, licensed, audited; the container file keeps to its rules."""

from __future__ import annotations

import json
import re
import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
CONTAINER = (ROOT / "Containerfile").read_text("utf-8")
LOCK = (ROOT / "locks" / "container.txt").read_text("utf-8")
BILL = json.loads((ROOT / "locks" / "container.cdx.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def supply() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / ".ci" / "supply"), run_name="supply")


def _locked() -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+) --hash=sha256:[0-9a-f]{64}$", LOCK, re.M))


def _needed(*extras: str) -> Iterator[Requirement]:
    """What the project and some of its extras need here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *(line for e in extras for line in project["optional-dependencies"][e])]
    for requirement in map(Requirement, lines):
        if requirement.name == "tumorlens":
            yield from _needed(*requirement.extras)
        elif requirement.marker is None or requirement.marker.evaluate():
            yield requirement


def _assert_fit(locked: dict[str, str], *extras: str) -> None:
    for requirement in _needed(*extras):
        if requirement.name != "torch":
            version = locked.get(re.sub(r"[-_.]+", "-", requirement.name).lower(), "none")
            assert version != "none", f"{requirement.name} is not locked; run: make lock"
            assert requirement.specifier.contains(version, prereleases=True), "run: make lock"


def test_the_lock_has_what_the_container_needs_at_a_version_that_fits() -> None:
    locked = _locked()
    assert len(locked) == len(LOCK.splitlines()) - 1
    _assert_fit(locked, "web", "postgres")


def test_the_tests_have_a_lock_and_make_uses_it(supply: dict[str, Any]) -> None:
    text = (ROOT / "locks" / "dev.txt").read_text("utf-8")
    locked = dict(re.findall(r"^([a-z0-9-]+)==([^\s+]+)$", text, re.M))
    assert len(locked) == len(text.splitlines()) - 1
    assert "torch" not in locked  # a machine's own build; PyPI's is for CUDA
    _assert_fit(locked, "dev")
    assert supply["constraints_of"]({"torch": "1", "a": "2.0+cpu"}).splitlines()[1:] == ["a==2.0"]
    installs = re.findall(r"pip install .*--editable .*", (ROOT / "Makefile").read_text("utf-8"))
    assert len(installs) == 3
    assert all("$(AS_LOCKED)" in install for install in installs)


def test_what_is_installed_is_followed_to_its_end(supply: dict[str, Any]) -> None:
    installed = supply["installed"]("web")
    assert {"fastapi", "starlette", "anyio", "idna"} <= set(installed)  # each for the one before
    assert not {"tumorlens", "pytest"} & set(installed)


_ADVISORY = """id: PYSEC-1
affected:
- package: {name: thing, ecosystem: PyPI}
  ranges:
  - {type: GIT, repo: x, events: [{introduced: "0"}]}
  - type: ECOSYSTEM
    events: [{introduced: "0"}, {fixed: "1.2"}, {introduced: "2.0"}, {last_affected: "2.3"}]
  versions: ["3.1"]
- package: {name: thing, ecosystem: npm}
  ranges:
  - {type: ECOSYSTEM, events: [{introduced: "0"}]}
"""


@pytest.mark.parametrize(
    ("version", "affected"),
    [("1.1", 1), ("1.2", 0), ("1.10", 0), ("2.0", 1), ("2.3", 1), ("2.3.1", 0), ("3.1", 1), ("4", 0)],
)
def test_an_advisory_is_of_the_versions_that_it_names(
    supply: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], version: str, affected: int
) -> None:
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "PYSEC-1.yaml").write_text(_ADVISORY)
    (tmp_path / "thing" / "PYSEC-2.yaml").write_text(f'{_ADVISORY}withdrawn: "2026-01-01"\n')
    lock = tmp_path / "lock.txt"
    lock.write_text(f"# Made\nthing=={version} --hash=sha256:0\nother==1\n")
    assert supply["audit"](lock, tmp_path) == affected
    assert f"lock.txt: of 1 advisories on 2 packages, {affected} apply" in capsys.readouterr().out


def test_the_bill_is_of_the_lock_and_every_licence_is_known() -> None:
    assert (BILL["bomFormat"], BILL["specVersion"]) == ("CycloneDX", "1.6")
    assert {c["name"]: c["version"] for c in BILL["components"]} == _locked()
    licences = {c["name"]: c["licenses"][0]["license"]["name"] for c in BILL["components"]}
    assert "unknown" not in licences.values()
    assert not {name: licence for name, licence in licences.items() if re.search(r"\bA?GPL", licence)}


def test_a_report_of_pip_becomes_a_lock_and_a_bill(supply: dict[str, Any]) -> None:
    def item(name: str, **about: Any) -> dict[str, Any]:
        download = {"archive_info": {"hashes": {"sha256": "0" * 64}}}
        return {"metadata": {"name": name, "version": "1.0", **about}, "download_info": download}

    report = {
        "install": [
            item("Some_Package", license_expression="MIT"),
            item("old", classifier=["License :: OSI Approved :: BSD License"]),
            item("older", license="Apache 2\n\nwhole text"),
            item("silent"),
            {"metadata": {"name": "tumorlens", "version": "1.0"}, "download_info": {"dir_info": {}}},
        ]
    }
    packages = supply["packages_of"](report)
    assert [p["licence"] for p in packages] == ["BSD License", "Apache 2", "", "MIT"]
    assert supply["lock_of"](packages).splitlines()[-1] == "some-package==1.0 --hash=sha256:" + "0" * 64
    assert supply["list_licences"](supply["bill_of"](packages)) == 1  # one does not say its own


def test_the_container_s_file_keeps_to_the_rules_that_matter() -> None:
    steps = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", CONTAINER, flags=re.M)).splitlines()
    named = [tuple(step.split(maxsplit=1)) for step in steps if step.strip()]
    of = {kind: [text for k, text in named if k == kind] for kind, _ in named}
    assert all(re.fullmatch(r"\S+:[\w.-]*\d[\w.-]*", image) for image in of["FROM"]), "a version of its own, not latest"
    assert of["USER"][-1] not in ("root", "0")
    assert "ADD" not in of
    assert not [text for text in of["ENV"] if re.search("password|secret|token", text, re.I)]
    assert all("--no-cache-dir" in part for text in of["RUN"] for part in re.findall("pip install[^;&]*", text))
    assert not [text for text in of["RUN"] if re.search(r"apt-get (?!.*--no-install-recommends)|sudo|curl|wget", text)]
    assert all(text.startswith("[") for text in (*of["ENTRYPOINT"], *of["CMD"]))
    assert len(of["HEALTHCHECK"]) == 1
    assert [kind for kind, _ in named].index("USER") < [kind for kind, _ in named].index("ENTRYPOINT")
