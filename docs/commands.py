"""Writes the reference of the command line, docs/cli.md, from the commands' own help.

python docs/commands.py
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent / "cli.md"
_INTRODUCTION = """# Command line

Every command with its arguments and options, as `tumorlens COMMAND --help` has them.
"""
_SECTION = re.compile(r"^#(#*) `(tumorlens[^`]*)`\n\n(.*?)(?=^#+ `|\Z)", re.M | re.S)
_NO_ARGUMENTS = re.compile(r"```console\n\$ [\w -]+ \[OPTIONS\](?: COMMAND \[ARGS\]\.\.\.)?\n```\n\n")


def reference(help_pages: str) -> str:
    """The page: what typer writes, without what it says of every command, and with links where it cuts sentences.

    Args:
        help_pages: What `python -m typer tumorlens.cli utils docs` prints.
    """

    def rewrite(section: re.Match[str]) -> str:
        level, name, text = section.groups()
        text = re.sub(r"^\* `--help`: .*\n", "", text, flags=re.M)
        text = _NO_ARGUMENTS.sub("", text.replace("**Usage**:\n\n", ""))
        text = text.replace("**Options**:\n\n", "").replace("**Arguments**:\n\n", "")
        head, _, listed = text.partition("**Commands**:\n\n")
        links = [
            f"[`{command}`](#{name.replace(' ', '-')}-{command})"
            for command in re.findall(r"^\* `([\w-]+)`", listed, re.M)
        ]
        text = f"{head}Commands: {', '.join(links)}.\n\n" if links else head
        return f"#{level or '#'} `{name}`\n\n{text}"

    page = f"{_INTRODUCTION}\n{_SECTION.sub(rewrite, help_pages)}"
    page = re.sub(r"\n{3,}", "\n\n", page)
    return re.sub(r"(?<=\n)(\* .*\n)\n(?=\* )", r"\1", page).strip() + "\n"  # arguments and options: one list


def main() -> None:
    """Writes the page."""
    command = [sys.executable, "-m", "typer", "tumorlens.cli", "utils", "docs", "--name", "tumorlens"]
    told = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout
    PAGE.write_text(reference(told), encoding="utf-8")


if __name__ == "__main__":
    main()
