"""The direction of imports, read from the sources: a room imports only rooms below it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[1] / "src" / "avalan"

# From the top to the ground; rooms on one line do not see each other.
ORDER = [
    {"cli"},
    {"serve"},
    {"agent", "lab"},
    {"train"},
    {"compress"},
    {"evaluate"},
    {"data"},
    {"reflection"},
    {"retrieval"},
    {"model"},
    {"hub"},
    {"errors", "extras", "state", "locale", "table"},
]
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
GROUND = len(ORDER) - 1

# The package itself gives names away, `python -m avalan` starts the top, and fakes may see all.
DOORS = {"__init__", "__main__", "testing"}
VAGUE = {"utils", "util", "helpers", "manager", "base", "common"}

FILES = sorted(SOURCES.rglob("*.py"))
Where = tuple[str, int]


def room(path: Path) -> str:
    return path.relative_to(SOURCES).with_suffix("").parts[0]


def allowed(importer: str, imported: str) -> bool:
    if importer == imported or importer in DOORS:
        return True
    if imported not in LEVEL or importer not in LEVEL:
        return False
    below = LEVEL[importer] < LEVEL[imported]
    return below or LEVEL[importer] == LEVEL[imported] == GROUND


def imported_rooms(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Rooms that a module names: in its imports, and in the strings that it gives to tables."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module="avalan", names=names):
                modules = [f"avalan.{alias.name}" for alias in names]
            case ast.ImportFrom(module=str(name), level=0):
                modules = [name]
            case ast.Constant(value=str(text)) if re.fullmatch(r"avalan(\.\w+)+", text):
                modules = [text]
            case _:
                continue
        for module in modules:
            head, _, rest = module.partition(".")
            if head == "avalan" and rest and not rest.startswith("__"):
                yield rest.partition(".")[0], getattr(node, "lineno", 0)


def violations(path: Path, source: str) -> list[str]:
    importer = room(path)
    return [
        f"{path.name}:{line}: {importer} imports {imported}"
        for imported, line in imported_rooms(ast.parse(source))
        if not allowed(importer, imported)
    ]


def test_every_room_has_its_place_in_the_order() -> None:
    assert {room(path) for path in FILES} <= set(LEVEL) | DOORS


def test_imports_go_one_way_down() -> None:
    found = [each for path in FILES for each in violations(path, path.read_text())]
    assert not found


@pytest.mark.parametrize(
    ("importer", "line"),
    [
        ("hub", "import avalan.model.uri"),
        ("model", "from avalan.reflection import tokens"),
        ("model", "from avalan import cli"),
        ("agent", "from avalan.lab import runs"),
        ("retrieval", 'extras.load("avalan.reflection.loop")'),
        ("errors", "from avalan.hub import cache"),
        ("cli", "from avalan.testing import pico_llama"),
        ("model", "from avalan.nowhere import x"),
    ],
)
def test_an_import_that_goes_up_is_seen(importer: str, line: str) -> None:
    assert violations(SOURCES / importer / "x.py", line)


@pytest.mark.parametrize(
    ("importer", "line"),
    [
        ("cli", "from avalan import __version__, extras"),
        ("cli", 'extras.load("avalan.model.nlp.text")'),
        ("model", "from avalan.model.entities import Token"),
        ("state", "from avalan.errors import StateError"),
        ("model", 'text = "avalan.org says so."'),
    ],
)
def test_an_import_that_goes_down_is_fine(importer: str, line: str) -> None:
    assert not violations(SOURCES / importer / "x.py", line)


def test_nothing_in_the_package_imports_the_fakes() -> None:
    found = [
        path.name
        for path in FILES
        if room(path) != "testing"
        and "testing" in {name for name, _ in imported_rooms(ast.parse(path.read_text()))}
    ]
    assert not found


def test_imports_stand_at_the_top() -> None:
    """Inside functions there is one door, `extras.load`."""
    found = [
        f"{path.relative_to(SOURCES)}:{inner.lineno}"
        for path in FILES
        for outer in ast.walk(ast.parse(path.read_text()))
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for inner in ast.walk(outer)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    assert not found


def test_only_the_door_calls_the_import_machinery() -> None:
    machinery = re.compile(r"\b(import_module|__import__|find_spec)\b")
    found = {
        path.relative_to(SOURCES).as_posix() for path in FILES if machinery.search(path.read_text())
    }
    # The way in hears Ctrl-C before the door itself is imported.
    assert found <= {"extras.py", "__init__.py", "__main__.py"}


def test_only_the_door_guards_an_import() -> None:
    """Elsewhere a missing package is an instruction, never another way of doing things."""
    found = [
        f"{path.relative_to(SOURCES)}:{attempt.lineno}"
        for path in FILES
        for attempt in ast.walk(ast.parse(path.read_text()))
        if isinstance(attempt, ast.Try)
        and any(isinstance(line, ast.Import | ast.ImportFrom) for line in attempt.body)
    ]
    assert not found


def test_no_module_has_a_vague_name() -> None:
    assert not VAGUE & {part for path in FILES for part in path.with_suffix("").parts}
