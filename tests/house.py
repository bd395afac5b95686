"""The plan of the house: its rows from the ground up, the agreed names, and a reader of every import of the source.

``python tests/house.py [--source core/phosphene]``
    prints rooms, arrows between them, arrows that run back up, and circles.
``python tests/house.py --write``
    writes the two tables of docs/architecture.md anew.

A *room* is a module or a package directly in core/phosphene. An *arrow* is an import of one room by another, wherever it
stands: at the top of a module, inside a function, or for type checkers only.
"""

from __future__ import annotations

import argparse
import ast
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
CORE = ROOT / "core" / "phosphene"
PAGE = ROOT / "docs" / "architecture.md"

# From the ground up: name, what the row is for, rooms. A room imports rooms of the rows below it, and rooms that stand before
# it in its own row; so there can be no circle, of imports inside functions either.
ROWS: tuple[tuple[str, str, str], ...] = (
    (
        "ground",
        "Errors, aliases, what a layer is and what a model takes; array maths over a namespace `xp`, keyed random draws, "
        "the affine warp, backward rules. Pure, and without any framework.",
        "words errors failures types layouts interface layers findings arrays draws warps rules",
    ),
    ("contract", "What a framework must supply: the protocols `Backend` and `Network`, and their registry.", "backend"),
    (
        "kit",
        "Small tools for all subjects: checks of arguments, progress, provenance, files written whole, archives, the base of all "
        "results, figures, pages.",
        "kit",
    ),
    (
        "declarations",
        "What is maximised and how: frozen dataclasses that are compared by value, each with its maths.",
        "regularizers parameterizations transforms objectives optimizers",
    ),
    ("engine", "Gradient ascent: the step, the driver of many targets, what comes back.", "ascent"),
    (
        "models",
        "From a user's model to a network: tokens, receptive fields, `wrap`.",
        "tokens receptive_field wrapping",
    ),
    (
        "data",
        "Images and where they come from, the resumable store, the embedded networks, `load`.",
        "data store specimen loaders",
    ),
    (
        "reading",
        "What layers do: activations, maps, statistics of units, embeddings, directions, two ports side by side.",
        "extraction channel_maps unit_statistics embedding features port_parity",
    ),
    ("explaining", "What a target depends on, and what is wrong with a model.", "attribution concepts diagnosis"),
    ("rendering", "`render`, its recipes, results and replays.", "rendering"),
    (
        "pictures",
        "What is built on rendering: inversion, pictures from photographs, networks side by side, speed.",
        "inversion photographs comparison benchmark",
    ),
    ("trust", "How far a picture can be believed; every unit of a layer on one page.", "trust sheet"),
    ("atlas", "The activation atlas, its report, its page and viewer.", "atlas"),
    ("face", "The first look and the command line, over the public names.", "demo cli"),
)
ORDER = [room for _, _, rooms in ROWS for room in rooms.split()]

SHORTCUTS = {"rendering/result.py"}
"""Files below the command line that call the public face: `Renders.trust` is `phosphene.assess` of these pictures."""

# A backend sees the contract, the maths that it may override, and the architecture that it builds; never the engine above.
BACKEND_MAY_IMPORT = set(f"{ROWS[0][2]} backend specimen".split())

# Other people's packages in core: NumPy anywhere; the rest where it is named, and never when phosphene is imported.
MODULE_LEVEL: dict[str, tuple[str, ...]] = {"numpy": ("*",), "typer": ("cli/*",)}
IN_FUNCTIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("PIL", "rich", "safetensors"), ("*",)),
    "fsspec": ("data/addresses.py",),
    "av": ("data/films.py",),
    "filelock": ("kit/locks.py",),
    "matplotlib": ("kit/figures.py", "*/figure.py"),
    "umap": ("embedding/call.py", "atlas/layout.py"),
    "pynndescent": ("atlas/neighbours.py",),
    "threadpoolctl": ("kit/threads.py",),
    "scipy": ("atlas/*", "comparison/similarity.py"),
    "sklearn": ("atlas/*", "embedding/call.py", "features/factorization.py"),
    "skimage": ("data/photographs.py",),
    "tifffile": ("data/tiff.py",),
    "zarr": ("store/store.py",),
    "xxhash": ("data/digests.py",),
    "torch": ("specimen/train.py", "loaders/*", "benchmark/devices.py"),
    "jax": ("loaders/jax_weights.py", "benchmark/devices.py"),
    "flax": ("loaders/jax_weights.py",),
    "torchvision": ("loaders/torchvision.py",),
    "timm": ("loaders/timm.py",),
    "transformers": ("loaders/transformers.py", "loaders/preprocessing.py"),
    "huggingface_hub": ("loaders/download.py",),
    "phosphene_torch": ("specimen/train.py",),
}

# What nobody may take away or add to without meaning to: the public names, and the contract's members.
PUBLIC = set(
    "Atlas Backend Benchmark InputSpec Layer Layers Network Objective Parity PhospheneError PhospheneWarning Progress "
    "Renders accentuate activations assess attribute bench compare concept diagnose dream embed factorize feature_maps "
    "images invert load parity probe quiz render render_all replay units wrap "
    "Images Accentuation Attribution Comparison Concept Diagnosis Embedding FeatureMaps Features Quiz TrustCard TrustCards Units "
    "channel direction logit neuron objective "
    "objectives optimizers parameterizations regularizers transforms".split()
)
MEMBERS = {
    "Backend": set(
        "name xp compiled owns wrap is_array from_numpy to_numpy grad run loop warp jvp with_rule nonlinearities optimizer "
        "build devices memory".split()
    ),
    "Network": set(
        "name backend input classes device dtype layers weights weight_shapes forward shapes scope fingerprint with_weights "
        "findings report".split()
    ),
}
HEAVY = (
    *("torch", "torchvision", "timm", "transformers", "huggingface_hub", "jax", "jaxlib", "flax", "equinox", "optax"),
    *("matplotlib", "sklearn", "skimage", "scipy", "zarr", "umap"),
)
SHARED_NAMES = {"__init__.py", "call.py", "result.py", "figure.py", "page.py"}
"""The only names of files that more than one folder of core has."""

NAMES_IN_ING = {
    "wrapping.py": "what `wrap` does; the room beside `tokens`",
    "writing.py": "files written whole or not at all",
    "clustering.py": "the noun of the literature",
    "whitening.py": "the noun of the literature",
    "preprocessing.py": "the noun of the literature",
    "fitting.py": "how a picture is fitted into a size; `Fit` is the rule",
}
"""Files whose name ends in -ing, each with its reason."""


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


def imports(path: Path, text: str | None = None, core: Path = CORE) -> list[Import]:
    """All imports of a file; ``from phosphene import warps`` is one of ``phosphene.warps``, since that is a room."""
    rooms = {entry.stem for entry in core.iterdir()}

    def visit(node: ast.AST, deferred: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            where = f"{path}:{getattr(child, 'lineno', 0)}"
            if isinstance(child, ast.Import):
                yield from (Import(alias.name, deferred, where) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{where}: relative import"
                assert child.module is not None
                if child.module == "phosphene":
                    for alias in child.names:
                        room = f".{alias.name}" if alias.name in rooms else ""
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


def room_of_file(path: Path, core: Path = CORE) -> str:
    first = path.relative_to(core).parts[0]
    return "phosphene" if first == "__init__.py" else first.removesuffix(".py")


@functools.cache
def arrows(core: Path = CORE) -> dict[str, set[str]]:
    """Rooms that each room imports, anywhere in its files; the public face and ``__main__`` are left out."""
    found: dict[str, set[str]] = {}
    for path in sources(core):
        room = room_of_file(path, core)
        if room in ("phosphene", "__main__"):
            continue
        mine = found.setdefault(room, set())
        mine |= {room_of(item.module) for item in imports(path, core=core) if item.package == "phosphene"}
        mine -= {room, "phosphene"}
    return found


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Strongly connected components of more than one node (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            component = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(component) > 1:
                found.append(sorted(component))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def upward(graph: Mapping[str, set[str]]) -> list[str]:
    """Arrows to a room that does not stand before the one that imports it in the order of the rows."""
    place = {room: number for number, room in enumerate(ORDER)}
    return [
        f"{room} -> {other}"
        for room, others in graph.items()
        for other in sorted(others)
        if place.get(other, -1) >= place.get(room, -1)
    ]


def purpose(room: str) -> str:
    """First sentence of a room's docstring."""
    path = CORE / f"{room}.py"
    path = path if path.exists() else CORE / room / "__init__.py"
    text = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n\n")[0].replace("\n", " ")
    return re.sub(r"\|", "/", text)


def tables() -> dict[str, str]:
    """The two tables of docs/architecture.md, by the name of their marker."""
    graph = arrows()
    rows = ["| row | rooms | what it is for |", "|---|---|---|"]
    rows += [f"| {name} | {' '.join(f'`{room}`' for room in rooms.split())} | {words} |" for name, words, rooms in ROWS]
    fine = ["| room | what it holds | imports |", "|---|---|---|"]
    ground = set(ROWS[0][2].split())
    for room in ORDER:
        mine = graph.get(room, set())
        named = [other for other in ORDER if other in mine and (room in ground or other not in ground)]
        also = ["ground"] if room not in ground and mine & ground else []
        fine.append(f"| `{room}` | {purpose(room)} | {', '.join(also + named) or 'nothing'} |")
    return {"rows": "\n".join(rows), "rooms": "\n".join(fine)}


def written(text: str) -> str:
    """A page with its tables as they are now, each between ``<!-- NAME: made by tests/house.py -->`` and ``<!-- end -->``."""
    for name, table in tables().items():
        start = f"<!-- {name}: made by tests/house.py -->"
        pattern = re.escape(start) + r"\n.*?\n<!-- end -->"
        text, count = re.subn(
            pattern, lambda _, body=table, head=start: f"{head}\n{body}\n<!-- end -->", text, flags=re.S
        )
        assert count == 1, f"no place for the table {name}"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=CORE, help="the folder of the package (default: core/phosphene)")
    parser.add_argument("--write", action="store_true", help="write the tables of docs/architecture.md")
    given = parser.parse_args()
    graph = arrows(given.source.resolve())
    files = sources(given.source)
    found = circles(graph)
    inside = sum(len(graph[room] & set(circle)) for circle in found for room in circle)
    print(f"{len(graph)} rooms, {len(files)} files, {sum(map(len, graph.values()))} arrows")
    print(f"{len(found)} circles: {[len(circle) for circle in found]} rooms, {inside} arrows inside them")
    if given.source.resolve() == CORE:
        print(f"{len(upward(graph))} arrows run back up {upward(graph)}")
    for circle in found:
        print("circle:", " ".join(circle))
    if given.write:
        PAGE.write_text(written(PAGE.read_text()))


if __name__ == "__main__":
    main()
