"""Links of the docs lead somewhere, in a clone and on the site, and the site has every page."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from mkdocs.exceptions import PluginError

from tumorlens.version import __version__

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings make, as GitHub and the site write them."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    words = (re.sub(r"[^\w\- ]", "", heading.casefold()) for heading in re.findall(r"^#+ (.+)$", text, re.M))
    return {re.sub(r" ", "-", heading.strip()) for heading in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\((?!https?://|mailto:)([^)\s]+)\)", page.read_text("utf-8")):
        name, _, anchor = target.partition("#")
        other = page.parent / name if name else page
        if not other.exists() or (anchor and anchor not in anchors(other)):
            broken.append(target)
    assert broken == []


def test_the_site_has_every_page_once() -> None:
    def pages(part: object) -> list[str]:
        if isinstance(part, str):
            return [part]
        children = part.values() if isinstance(part, dict) else part
        return [page for child in children for page in pages(child)]  # type: ignore[attr-defined]

    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    listed = pages(site["nav"])
    assert sorted(listed) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))
    parts = [next(iter(part)) for part in site["nav"] if isinstance(part, dict)]
    assert parts == ["Tutorial", "How to", "Reference", "Explanation"]  # the four of Diataxis


def test_a_page_of_the_site_may_fetch_nothing_from_elsewhere() -> None:
    hooks = runpy.run_path(str(ROOT / "docs" / "hooks.py"))
    page = SimpleNamespace(file=SimpleNamespace(src_path="a.md"))
    here = '<script src="javascripts/a.js"></script><a href="https://example.org">there</a>'
    assert hooks["on_post_page"](here, page) == here
    for tag in ('<script async src="https://example.org/a.js">', '<link rel="stylesheet" href="//example.org/a.css">'):
        with pytest.raises(PluginError, match=r"a\.md: works only online"):
            hooks["on_post_page"](here + tag, page)
    assert (
        hooks["on_page_markdown"]("see [the tests](../tests/web) and [data](data.md)")
        == "see the tests and [data](data.md)"
    )


def test_every_page_of_the_site_says_which_version_it_is_of() -> None:
    config = SimpleNamespace(config_file_path=str(ROOT / "mkdocs.yml"), copyright="Apache-2.0.")
    told = runpy.run_path(str(ROOT / "docs" / "hooks.py"))["on_config"](config).copyright
    assert told == f"TumorLens {__version__}. Apache-2.0."


def test_the_figures_are_drawn_from_the_tables_of_the_docs(tmp_path: Path) -> None:
    figures = runpy.run_path(str(ROOT / "docs" / "figures.py"))
    estimate = figures["Estimate"].of
    assert estimate("0.908 (0.898–0.918)") == figures["Estimate"](0.908, 0.898, 0.918)
    assert estimate("9.5% (8.4–10.5)").high == pytest.approx(0.105)
    assert estimate("**0.833**").low == 0.833
    with pytest.raises(LookupError, match=r"docs/speed\.md: no line has 'nothing of the kind'"):
        figures["read_table"]("speed.md", "nothing of the kind")
    (row,) = (r for r in figures["read_table"]("benchmarks.md", "### The default", "fold") if r["fold"] == "mean")
    texts = (
        ROOT.joinpath("README.md").read_text("utf-8"),
        ROOT.joinpath("docs", "benchmarks.md").read_text("utf-8").partition("## The weights")[0],
    )
    assert all(row["accuracy"] in text and row["macro AUC"] in text for text in texts)  # the figures that count agree
    for name, draw in figures["FIGURES"].items():
        draw().savefig(tmp_path / f"{name}.svg")
        assert (ROOT / "docs" / "images" / f"{name}.svg").is_file()
        pages = (ROOT / "docs" / page for page in ("benchmarks.md", "heatmaps.md", "speed.md"))
        assert any(f"](images/{name}.svg)" in page.read_text("utf-8") for page in pages)


def test_the_reference_of_the_command_line_says_each_thing_once() -> None:
    reference = runpy.run_path(str(ROOT / "docs" / "commands.py"))["reference"]
    told = """# `tumorlens`

What it is.

**Usage**:

```console
$ tumorlens [OPTIONS] COMMAND [ARGS]...
```

**Options**:

* `--help`: Show this message and exit.

**Commands**:

* `read`: Read a scan, and say...

## `tumorlens read`

Read a scan, and say what it shows.

**Usage**:

```console
$ tumorlens read [OPTIONS] PATH
```

**Arguments**:

* `PATH`: A scan.

**Options**:

* `--json`: Print JSON.
* `--help`: Show this message and exit.
"""
    assert (
        reference(told).partition("## ")[2]
        == """`tumorlens`

What it is.

Commands: [`read`](#tumorlens-read).

## `tumorlens read`

Read a scan, and say what it shows.

```console
$ tumorlens read [OPTIONS] PATH
```

* `PATH`: A scan.
* `--json`: Print JSON.
"""
    )


def test_every_test_that_a_page_names_is_there() -> None:
    missing = []
    for page in PAGES:
        for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text("utf-8")):
            if not (ROOT / file).is_file() or f"def {name}(" not in (ROOT / file).read_text("utf-8"):
                missing.append(f"{page.name}: {file}::{name}")
    assert missing == []
