"""The house stands as docs/architecture.md says: its table of rooms, the highest first, holds here."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from tumorlens.cli import app

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "tumorlens"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Room:
    """A row of the table.

    Attributes:
        name: A folder of the package ("web/"), a file of it ("classifier.py"), or the package itself ("tumorlens/").
        modules: The files in it, as paths from the package.
    """

    name: str
    modules: frozenset[str]


def read_map(page: str) -> list[Room]:
    """The rooms of the page's table, the highest first."""
    rooms = []
    for name, modules in re.findall(r"^\| `([\w/.]+)` \|[^|]+\| ([^|]*) \|$", page.partition("## Rooms")[2], re.M):
        folder = "" if name == "tumorlens/" else name
        files = {name} if name.endswith(".py") else {f"{folder}{module}.py" for module in modules.split()}
        rooms.append(Room(name, frozenset(files)))
    return rooms


def modules_of(package: Path) -> set[str]:
    """Every module of a package but the faces of its folders, as paths from it."""
    paths = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    return {path for path in paths if path == "__init__.py" or not path.endswith("/__init__.py")}


def imports(package: Path, path: str) -> set[str]:
    """The package's files that a file imports, anywhere in it: in functions and for types too."""

    def file_of(dotted: str) -> str | None:
        base = dotted.removeprefix("tumorlens").removeprefix(".").replace(".", "/")
        candidates = (f"{base}.py", f"{base}/__init__.py".removeprefix("/"))
        return next((c for c in candidates if (package / c).is_file()), None)

    def names() -> Iterator[str | None]:
        for node in ast.walk(ast.parse((package / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (file_of(a.name) for a in node.names if f"{a.name}.".startswith("tumorlens."))
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: name the module in full"
                if f"{node.module}.".startswith("tumorlens."):
                    yield from (file_of(f"{node.module}.{a.name}") or file_of(str(node.module)) for a in node.names)

    return {name for name in names() if name}


def room_of(path: str, rooms: list[Room]) -> str:
    """Name of the room that a file lies in: its own, or that of the innermost folder which is one."""
    inside = (r.name for r in rooms if path == r.name or (r.name.endswith("/") and path.startswith(r.name)))
    return max(inside, key=len, default="tumorlens/")


def upward(package: Path, rooms: list[Room]) -> list[str]:
    """Each import of a room from one below it. Where there is none, rooms cannot stand in a circle."""
    height = {room.name: -i for i, room in enumerate(rooms)}
    files = sorted(path.relative_to(package).as_posix() for path in package.rglob("*.py"))
    return [
        f"{path} imports {other}"
        for path in files
        for other in sorted(imports(package, path))
        if height[room_of(other, rooms)] > height[room_of(path, rooms)]
    ]


def unmapped(package: Path, rooms: list[Room]) -> set[str]:
    """What lies in the package and not on the map, or on the map and not in its place."""
    return modules_of(package) ^ {module for room in rooms for module in room.modules}


def circle(package: Path) -> list[str]:
    """Modules that import one another in a circle."""
    files = [path.relative_to(package).as_posix() for path in package.rglob("*.py")]
    try:
        TopologicalSorter({path: imports(package, path) - {path} for path in files}).prepare()
    except CycleError as error:
        return [str(path) for path in error.args[1]]
    return []


def untested(package: Path, tests: Path) -> set[str]:
    """Modules without a test file of their name in their place; migrations run in every test of the database."""
    names = {path for path in modules_of(package) if path != "__init__.py" and "/migrations/" not in path}
    return {path for path in names if not (tests / path).with_name(f"test_{Path(path).name}").is_file()}


def shared_names(package: Path) -> dict[str, list[str]]:
    """Names that public classes of several modules have, with these: one name, one thing."""
    places: dict[str, list[str]] = {}
    for path in sorted(package.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(path.relative_to(package).as_posix())
    return {name: paths for name, paths in places.items() if len(paths) > 1}


def test_a_room_imports_only_rooms_below_it() -> None:
    assert upward(PACKAGE, read_map(PAGE)) == []


def test_every_module_is_on_the_map_in_its_room() -> None:
    assert unmapped(PACKAGE, read_map(PAGE)) == set()


def test_every_folder_is_a_room_or_in_one() -> None:
    rooms = {room.name for room in read_map(PAGE)}
    folders = {p.parent.relative_to(PACKAGE).parts[:1] for p in PACKAGE.rglob("*.py")} - {()}
    assert {f"{folder}/" for (folder,) in folders} <= rooms


def test_every_module_has_its_tests_in_a_file_of_its_name() -> None:
    assert untested(PACKAGE, ROOT / "tests") == set()


def test_no_two_public_classes_have_one_name() -> None:
    assert shared_names(PACKAGE) == {}


def test_no_modules_import_one_another_in_a_circle() -> None:
    assert circle(PACKAGE) == []


MAP = """
## Rooms

| room | is | modules |
| --- | --- | --- |
| `shop/` | sells | till |
| `kitchen/` | cooks | oven/fire pan |
| `tumorlens/` | is the ground | salt |
"""
HOUSE = {
    "__init__.py": "",
    "salt.py": "",
    "kitchen/__init__.py": "",
    "kitchen/pan.py": "from tumorlens.salt import pinch",
    "kitchen/oven/fire.py": "from tumorlens.kitchen import pan",
    "shop/till.py": "import tumorlens.kitchen.pan",
}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A made-up package that keeps to its map."""
    for name, text in HOUSE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "__init__.py").unlink()  # the face is no module of this house
    return tmp_path


def test_a_house_that_keeps_to_its_map_is_left_alone(house: Path) -> None:
    rooms = read_map(MAP)
    assert [room.name for room in rooms] == ["shop/", "kitchen/", "tumorlens/"]
    assert (upward(house, rooms), unmapped(house, rooms), circle(house)) == ([], set(), [])


@pytest.mark.parametrize(
    "text",
    [
        "from tumorlens.shop import till",
        "from tumorlens.shop.till import open_drawer",
        "import tumorlens.shop.till",
        "def late():\n    from tumorlens.shop.till import open_drawer",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from tumorlens.shop import till",
    ],
)
@pytest.mark.parametrize("path", ["salt.py", "kitchen/oven/fire.py", "kitchen/__init__.py"])
def test_an_upward_import_is_told(house: Path, path: str, text: str) -> None:
    (house / path).write_text(text)
    assert upward(house, read_map(MAP)) == [f"{path} imports shop/till.py"]


def test_a_module_off_the_map_is_told_by_its_path(house: Path) -> None:
    (house / "shop" / "pan.py").touch()  # the kitchen has one of this name
    (house / "salt.py").unlink()
    assert unmapped(house, read_map(MAP)) == {"shop/pan.py", "salt.py"}


def test_a_module_without_tests_is_told_by_its_path(tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    (tests / "kitchen" / "oven").mkdir(parents=True)
    for name in ("test_salt.py", "kitchen/test_pan.py", "kitchen/oven/test_fire.py", "test_till.py"):
        (tests / name).touch()
    modules = tmp_path / "modules"
    for name in HOUSE:
        (modules / name).parent.mkdir(parents=True, exist_ok=True)
        (modules / name).touch()
    assert untested(modules, tests) == {"shop/till.py"}  # its tests lie in another place


def test_a_circle_within_a_room_is_told(house: Path) -> None:
    (house / "kitchen" / "pan.py").write_text("def late():\n    from tumorlens.kitchen.oven import fire")
    assert set(circle(house)) == {"kitchen/pan.py", "kitchen/oven/fire.py"}


def test_a_class_that_has_the_name_of_another_is_told(house: Path) -> None:
    (house / "salt.py").write_text("class Spoon: ...\nclass _Own: ...")
    (house / "shop" / "till.py").write_text("class Spoon: ...\nclass _Own: ...")
    assert shared_names(house) == {"Spoon": ["salt.py", "shop/till.py"]}


def test_no_file_is_a_maze() -> None:
    long = {p.name: n for p in PACKAGE.rglob("*.py") if (n := len(p.read_text(encoding="utf-8").splitlines())) > 450}
    assert long == {}


def test_the_command_line_reference_names_every_command_and_option() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")

    def options(command: Any, path: str) -> list[str]:
        below = getattr(command, "commands", {})
        found = [f"`{path}`", *(o for p in command.params for o in p.opts if o.startswith("--"))]
        return found + [o for name, sub in below.items() for o in options(sub, f"{path} {name}")]

    missing = {o for o in options(get_command(app), "tumorlens") if o not in page}
    assert missing == set(), "run: python docs/commands.py"
