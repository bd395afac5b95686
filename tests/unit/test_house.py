"""The order of the house: who imports whom, what stays outside core, what files and public names are called.

``python tests/house.py`` prints the figures; ``docs/architecture.md`` tells the same story in words.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType

import pytest

import house
import phosphene as ph
from house import (
    BACKEND_MAY_IMPORT,
    CORE,
    HEAVY,
    IN_FUNCTIONS,
    MEMBERS,
    MODULE_LEVEL,
    ORDER,
    PUBLIC,
    ROOT,
    imports,
    room_of,
    room_of_file,
    sources,
)

BACKENDS = {name: ROOT / "backends" / name for name in ("phosphene_torch", "phosphene_jax")}
LONGEST_FILE = 600
"""Lines; a hint that a file holds several things, not a law."""


def trespasses(path: Path, text: str | None = None) -> list[str]:
    """Imports of a file of core that run back up in the order of the rooms."""
    room = room_of_file(path)
    found = []
    for item in imports(path, text):
        target = room_of(item.module)
        if item.package != "phosphene" or target == room or room in ("phosphene", "__main__"):
            continue
        if target == "phosphene":
            # A type of the public face costs nothing; a call of it is a shortcut that must be listed.
            if path.relative_to(CORE).as_posix() not in house.SHORTCUTS and room not in ("cli", "demo"):
                found.append(f"{item.where}: {room} may not import the public face")
        elif target not in ORDER or ORDER.index(target) >= ORDER.index(room):
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
        if not any(fnmatch(here, pattern) for pattern in table.get(item.package, ())):
            found.append(f"{item.where}: {item.module} {'' if item.deferred else 'at module level '}in core")
    return found


def test_rooms_import_only_rooms_that_stand_below_them() -> None:
    assert [found for path in sources(CORE) for found in trespasses(path)] == []


def test_every_room_has_a_place_in_the_order() -> None:
    assert {room_of_file(path) for path in sources(CORE)} == {*ORDER, "phosphene", "__main__"}
    assert len(ORDER) == len(set(ORDER))


def test_no_circle_spans_two_rooms_deferred_imports_included() -> None:
    assert house.circles(house.arrows()) == []
    assert house.upward(house.arrows()) == []


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a"}}
    assert sorted(house.circles(graph)) == [["a", "b", "c"], ["d", "e"]]


def test_the_tables_of_the_documentation_are_those_of_the_source() -> None:
    page = house.PAGE.read_text()
    assert house.written(page) == page, "run: python tests/house.py --write"


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
    shared = {"__init__.py", "backend.py", "network.py", "optimizers.py", "interpolation.py", "rules.py", "specimen.py"}
    assert all(shared <= found for found in names)


@pytest.mark.parametrize(
    ("file", "text", "rooms", "packages"),
    [
        ("errors.py", "import phosphene.types", 1, 0),
        ("types.py", "def f():\n    import phosphene.kit.checks", 1, 0),
        ("objectives/forms.py", "from phosphene.ascent.step import Step", 1, 0),
        ("objectives/forms.py", "from phosphene import rendering, warps", 1, 0),
        ("rendering/call.py", "def f():\n    from phosphene.trust import assess", 1, 0),
        ("rendering/call.py", "if TYPE_CHECKING:\n    from phosphene.trust import assess", 1, 0),
        ("attribution/result.py", "def f():\n    from phosphene.attribution.figure import plot", 0, 0),
        ("attribution/result.py", "def f():\n    from phosphene import assess", 1, 0),
        ("ascent/step.py", "try:\n    import torch\nexcept ImportError:\n    pass", 0, 1),
        ("ascent/step.py", "def f():\n    import jax.numpy", 0, 1),
        ("specimen/train.py", "def f():\n    import torch.nn.functional", 0, 0),
        ("specimen/train.py", "import torch", 0, 1),
        ("loaders/__init__.py", "def f():\n    import phosphene_torch", 0, 1),
        ("cli/layer_commands.py", "def f():\n    from phosphene import render", 0, 0),
        ("kit/images.py", "import numpy.typing\nfrom collections.abc import Sequence", 0, 0),
    ],
)
def test_the_guard_sees_what_it_should(file: str, text: str, rooms: int, packages: int) -> None:
    assert len(trespasses(CORE / file, text)) == rooms
    assert len(strangers(CORE / file, text)) == packages


@pytest.mark.parametrize("folder", ["core", "backends", "tests", "benchmarks", "examples"])
def test_no_file_is_longer_than_one_idea(folder: str) -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources(ROOT / folder)}
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_only_agreed_names_of_files_stand_in_two_folders() -> None:
    names = Counter(path.name for path in sources(CORE))
    assert {name for name, count in names.items() if count > 1} <= house.SHARED_NAMES


def test_files_have_nouns_for_names() -> None:
    paths = [path for folder in (CORE, *BACKENDS.values()) for path in sources(folder)]
    assert {path.name for path in paths if path.stem.endswith("ing")} <= set(house.NAMES_IN_ING)
    assert [
        path.name for path in paths if path.stem.endswith(("_test", "_tests")) or path.stem.startswith("test_")
    ] == []


def test_the_formatter_is_seldom_suppressed() -> None:
    lines = [line for folder in (CORE, *BACKENDS.values()) for path in sources(folder) for line in path.open()]
    assert sum("# fmt: skip" in line for line in lines) <= 30


def test_no_module_is_hidden_by_something_of_its_name() -> None:
    hidden = []
    for found in pkgutil.walk_packages([str(CORE)], "phosphene."):
        if found.name.endswith("__main__"):
            continue
        importlib.import_module(found.name)
        parent, _, leaf = found.name.rpartition(".")
        if not isinstance(getattr(importlib.import_module(parent), leaf), ModuleType):
            hidden.append(found.name)
    assert hidden == []
    assert set(ORDER) & (set(ph.__all__) - set(ph._NAMESPACES)) == set()


def test_importing_phosphene_imports_nothing_heavy() -> None:
    heavy = (*HEAVY, "numpy", "rich", "typer", "PIL")
    program = f"import sys, phosphene; print(*sorted(set({heavy!r}) & set(sys.modules)))"
    environment = {"PYTHONPATH": str(CORE.parent)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_using_every_public_name_imports_nothing_heavy() -> None:
    program = f"import sys; from phosphene import *; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    environment = {"PYTHONPATH": str(CORE.parent)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_public_names_are_those_that_were_agreed() -> None:
    assert set(ph.__all__) == PUBLIC
    assert ph.__all__ == sorted(ph.__all__)
    assert set(ph.__all__) <= set(dir(ph))
    for name in ph.__all__:
        found = getattr(ph, name)
        assert isinstance(found, ModuleType) == (name in ph._NAMESPACES)


def test_the_stub_tells_what_the_package_exports() -> None:
    tree = ast.parse((CORE / "__init__.pyi").read_text())
    told = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            assert node.module is not None
            told |= {alias.name: node.module for alias in node.names}
    exported = {name: f"phosphene.{module}" for name, module in ph._MODULE_OF.items()}
    assert told == exported | dict.fromkeys(ph._NAMESPACES, "phosphene")
    (listed,) = (node.value for node in tree.body if isinstance(node, ast.Assign))
    assert ast.literal_eval(listed) == ph.__all__


@pytest.mark.parametrize("name", sorted(ph._NAMESPACE_OF))
def test_a_name_that_moved_still_works_and_says_where_it_went(name: str) -> None:
    namespace = ph._NAMESPACE_OF[name]
    with pytest.warns(DeprecationWarning, match=rf"phosphene\.{name} .* use phosphene\.{namespace}\.{name}\."):
        old = getattr(ph, name)
    assert old is getattr(getattr(ph, namespace), name)
    assert name in getattr(ph, namespace).__all__


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'rendre'"):
        ph.rendre  # noqa: B018


@pytest.mark.parametrize(("protocol", "count"), [("Backend", 19), ("Network", 16)])
def test_the_contract_stays_short(protocol: str, count: int) -> None:
    declared = getattr(ph, protocol)
    members = {name for name in {**vars(declared), **declared.__annotations__} if not name.startswith("_")}
    assert members == MEMBERS[protocol]
    assert len(members) == count
