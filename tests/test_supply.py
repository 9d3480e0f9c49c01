"""What the container is made of is locked, billed and licensed, and its file keeps to the rules that matter."""

from __future__ import annotations

import json
import re
import runpy
import tomllib
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


def test_the_lock_has_what_the_container_needs_at_a_version_that_fits() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    locked = _locked()
    assert len(locked) == len(LOCK.splitlines()) - 1
    extras = project["optional-dependencies"]
    for line in (*project["dependencies"], *extras["web"], *extras["postgres"]):
        requirement = Requirement(line)
        if requirement.name != "tumorlens" and (requirement.marker is None or requirement.marker.evaluate()):
            version = locked[re.sub(r"[-_.]+", "-", requirement.name).lower()]
            assert requirement.specifier.contains(version, prereleases=True), "run: make lock"


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
