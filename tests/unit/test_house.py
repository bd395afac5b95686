"""The order of the house: who imports whom, what stays outside core, how long a file and how short the contract is.

``docs/architecture.md`` tells the same story in words.
"""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

import phosphene as ph
from house import BACKEND_MAY_IMPORT, HEAVY, IN_FUNCTIONS, MAY_FETCH, MAY_IMPORT, MEMBERS, MODULE_LEVEL, PUBLIC

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core" / "phosphene"
BACKENDS = {name: ROOT / "backends" / name for name in ("phosphene_torch", "phosphene_jax")}
LONGEST_FILE = 350


@dataclass(frozen=True)
class Import:
    """One imported module; `deferred` when it is inside a function or for type checkers only."""

    module: str
    deferred: bool
    where: str

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]


def sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if ".venv" not in path.parts)


def imports(path: Path, text: str | None = None) -> list[Import]:
    """All imports of a file; ``from phosphene import warps`` is one of ``phosphene.warps``, since that is a room."""

    def visit(node: ast.AST, deferred: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            where = f"{path.relative_to(ROOT)}:{getattr(child, 'lineno', 0)}"
            if isinstance(child, ast.Import):
                yield from (Import(alias.name, deferred, where) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0 and child.module is not None, f"{where}: relative import"
                if child.module == "phosphene":
                    for alias in child.names:
                        room = f".{alias.name}" if alias.name in MAY_IMPORT else ""
                        yield Import(f"phosphene{room}", deferred, where)
                else:
                    yield Import(child.module, deferred, where)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                yield from (found for statement in child.body for found in visit(ast.Module([statement], []), True))
                yield from (
                    found for statement in child.orelse for found in visit(ast.Module([statement], []), deferred)
                )
            else:
                function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from visit(child, deferred or function)

    return list(visit(ast.parse(path.read_text() if text is None else text), False))


def room_of(module: str) -> str:
    """The room of ``phosphene.objectives.forms`` is ``objectives``, that of ``phosphene`` itself is ``phosphene``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "phosphene"


def room_of_file(path: Path) -> str:
    first = path.relative_to(CORE).parts[0]
    return "phosphene" if first == "__init__.py" else first.removesuffix(".py")


def trespasses(path: Path, text: str | None = None) -> list[str]:
    """Imports of a file of core that the table does not allow."""
    room = room_of_file(path)
    found = []
    for item in imports(path, text):
        target = room_of(item.module)
        if item.package != "phosphene" or target == room:
            continue
        allowed = MAY_IMPORT[room] | (MAY_FETCH.get(room, set()) if item.deferred else set())
        if target not in allowed:
            found.append(f"{item.where}: {room} may not import {target}")
    return found


def strangers(path: Path, text: str | None = None) -> list[str]:
    """Imports of other people's packages by a file of core where they have no business."""
    here = path.relative_to(CORE).as_posix()
    found = []
    for item in imports(path, text):
        if item.package == "phosphene" or item.package in sys.stdlib_module_names:
            continue
        table = MODULE_LEVEL | IN_FUNCTIONS if item.deferred else MODULE_LEVEL
        files = table.get(item.package, set())
        if files is not None and here not in files:
            found.append(f"{item.where}: {item.module} {'' if item.deferred else 'at module level '}in core")
    return found


def test_rooms_import_only_what_the_table_allows() -> None:
    assert [found for path in sources(CORE) for found in trespasses(path)] == []


def test_every_room_is_in_the_table_and_every_entry_is_a_room() -> None:
    assert {room_of_file(path) for path in sources(CORE)} == set(MAY_IMPORT)
    named = set().union(*MAY_IMPORT.values(), *MAY_FETCH.values(), MAY_FETCH, BACKEND_MAY_IMPORT)
    assert named <= set(MAY_IMPORT)


def test_the_table_has_no_circles() -> None:
    order = list(graphlib.TopologicalSorter(MAY_IMPORT).static_order())
    assert order.index("backend") > order.index("layers")


def test_core_imports_no_framework_and_no_backend() -> None:
    assert [found for path in sources(CORE) for found in strangers(path)] == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_imports_the_contract_and_its_own_framework(backend: str) -> None:
    foreign = {"phosphene_torch": {"jax", "jaxlib", "flax", "optax"}, "phosphene_jax": {"torch"}}[backend]
    foreign |= set(BACKENDS) - {backend}
    found = []
    for path in sources(BACKENDS[backend]):
        for item in imports(path):
            if item.package in foreign:
                found.append(f"{item.where}: {item.module}")
            elif item.package == "phosphene" and room_of(item.module) not in BACKEND_MAY_IMPORT:
                found.append(f"{item.where}: a backend may not import {item.module}")
    assert found == []


def test_both_backends_have_the_same_files_at_the_core_of_them() -> None:
    names = [{path.name for path in folder.glob("*.py")} for folder in BACKENDS.values()]
    shared = {"__init__.py", "backend.py", "network.py", "optimizers.py", "resampling.py", "rules.py", "specimen.py"}
    assert all(shared <= found for found in names)


@pytest.mark.parametrize(
    ("file", "text", "rooms", "packages"),
    [
        ("errors.py", "import phosphene.types", 1, 0),
        ("objectives/forms.py", "from phosphene.ascent.step import Step", 1, 0),
        ("objectives/forms.py", "from phosphene import rendering, warps", 1, 0),
        ("results.py", "from phosphene.plots import plot_renders", 1, 0),
        ("results.py", "def f():\n    from phosphene.plots import plot_renders", 0, 0),
        ("plots.py", "if TYPE_CHECKING:\n    from phosphene.rendering import render", 1, 0),
        ("ascent/step.py", "try:\n    import torch\nexcept ImportError:\n    pass", 0, 1),
        ("ascent/step.py", "def f():\n    import jax.numpy", 0, 1),
        ("specimen/train.py", "def f():\n    import torch.nn.functional", 0, 0),
        ("specimen/train.py", "import torch", 0, 1),
        ("loaders/__init__.py", "def f():\n    import phosphene_torch", 0, 1),
        ("cli/looks.py", "def f():\n    from phosphene import render", 0, 0),
        ("images.py", "import numpy.typing\nfrom collections.abc import Sequence", 0, 0),
    ],
)
def test_the_guard_sees_what_it_should(file: str, text: str, rooms: int, packages: int) -> None:
    assert len(trespasses(CORE / file, text)) == rooms
    assert len(strangers(CORE / file, text)) == packages


@pytest.mark.parametrize("folder", ["core", "backends", "tests", "benchmarks", "examples"])
def test_no_file_is_longer_than_one_idea(folder: str) -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources(ROOT / folder)}
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_importing_phosphene_imports_nothing_heavy() -> None:
    program = f"import sys, phosphene; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    environment = {"PYTHONPATH": str(CORE.parent)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_public_names_are_those_that_were_agreed() -> None:
    assert set(ph.__all__) == PUBLIC
    assert ph.__all__ == sorted(ph.__all__)
    found = {
        name
        for name, value in vars(ph).items()
        if not name.startswith("_") and name != "annotations" and not isinstance(value, ModuleType)
    }
    assert found == PUBLIC


@pytest.mark.parametrize(("protocol", "count"), [("Backend", 16), ("Network", 14)])
def test_the_contract_stays_short(protocol: str, count: int) -> None:
    declared = getattr(ph, protocol)
    members = {name for name in {**vars(declared), **declared.__annotations__} if not name.startswith("_")}
    assert members == MEMBERS[protocol]
    assert len(members) == count
