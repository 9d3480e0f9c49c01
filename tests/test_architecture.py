"""The house stands as docs/architecture.md says."""

import ast
from pathlib import Path
from typing import Any

from typer.main import get_command

from tumorlens.cli import app

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "tumorlens"
SCIENCE = {"data", "training", "evaluation", "experiment", "crossvalidation"}
SURFACES = {"__main__", "cli", "ui", "batch", "demo", "web", "hospital"}


def floor(module: str) -> int:
    return 2 if module in SURFACES else 1 if module in SCIENCE else 0


def imports(path: Path) -> set[str]:
    """Names of the package's modules and rooms that a file imports, anywhere in it but under TYPE_CHECKING."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found = [n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module]
    found += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    return {m.split(".")[1] for m in found if m.startswith("tumorlens.")}


def test_a_floor_imports_only_what_is_below_it() -> None:
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        wrong += [f"{room} imports {other}" for other in imports(path) if floor(other) > floor(room)]
    assert wrong == []


def test_no_file_is_a_maze() -> None:
    long = {p.name: n for p in PACKAGE.rglob("*.py") if (n := len(p.read_text(encoding="utf-8").splitlines())) > 450}
    assert long == {}


def test_every_room_is_on_the_map() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    modules = {p.name for p in PACKAGE.rglob("*.py") if not p.name.startswith(("_", "phantom_", "0"))}
    assert {name for name in modules if name not in page} == set()


def test_the_command_line_reference_names_every_command_and_option() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")

    def options(command: Any, path: str) -> list[str]:
        below = getattr(command, "commands", {})
        found = [f"`{path}`", *(o for p in command.params for o in p.opts if o.startswith("--"))]
        return found + [o for name, sub in below.items() for o in options(sub, f"{path} {name}")]

    missing = {o for o in options(get_command(app), "tumorlens") if o not in page}
    assert missing == set(), "run: python -m typer tumorlens.cli utils docs --name tumorlens --output docs/cli.md"
