"""What a release says of itself agrees, and is whole."""

import re
import tomllib
from pathlib import Path

import yaml

from tumorlens.version import __version__

ROOT = Path(__file__).parents[1]


def test_the_citation_is_of_this_version_and_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert citation["version"] == __version__
    assert citation["license"] == project["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in project["authors"]]
    assert {"cff-version", "message", "title", "type"} <= set(citation)


def test_the_changelog_is_kept() -> None:
    page = (ROOT / "CHANGELOG.md").read_text("utf-8")
    versions = re.findall(r"^## \[(.+?)\](?: - \d{4}-\d\d-\d\d)?$", page, re.M)
    assert versions[0] == "Unreleased"
    assert len(versions) == len(re.findall(r"^## ", page, re.M)), "a heading is no version with its date"
    assert set(re.findall(r"^### (\w+)$", page, re.M)) <= {
        "Added", "Changed", "Deprecated", "Removed", "Fixed", "Security",
    }  # fmt: skip
    released = [version for version in versions if version != "Unreleased"]
    assert not released or released[0] == __version__


def test_templates_and_hooks_can_be_read() -> None:
    for path in (*(ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"), ROOT / ".pre-commit-config.yaml"):
        assert yaml.safe_load(path.read_text("utf-8")), path.name


def test_no_commit_may_hold_a_scan() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0]["hooks"]
    (pattern,) = (hook["files"] for hook in hooks if hook["id"] == "no-scans")
    assert all(re.search(pattern, name) for name in ("a.dcm", "b/brain.nii.gz", "1.mat"))
    assert not re.search(pattern, "src/tumorlens/phantoms/example.png")
