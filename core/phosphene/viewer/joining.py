"""ES modules in files, joined into one classic script: modules cannot be loaded by a page that was opened from a file."""

from __future__ import annotations

import graphlib
import re
from collections.abc import Mapping
from pathlib import Path

__all__ = ["join_modules", "program"]

FOLDER = Path(__file__).parent / "js"
IMPORT = re.compile(r'^import \{ ([^}]*) \} from "\./([\w-]+\.js)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async function|function|class|const) ([A-Za-z_$][\w$]*))", re.MULTILINE)
OTHER = re.compile(r"^(?:import|export)\b.*$", re.MULTILINE)


def join_modules(sources: Mapping[str, str]) -> str:
    """Modules as one script, each in a function of its own, in an order in which all are there before they are asked for.

    Parameters
    ----------
    sources : mapping of str to str
        Text by file name. Imports are lines such as ``import { a, b } from "./other.js";``, and ``export`` stands before a
        function, a class or a constant: nothing else is understood.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        For a circle, for a module or a name that there is not, and for other forms of import and export.
    """
    exported = {name: set(EXPORT.findall(text)) for name, text in sources.items()}
    needs: dict[str, list[str]] = {}
    for name, text in sources.items():
        needs[name] = []
        for wanted, other in IMPORT.findall(text):
            missing = set(wanted.split(", ")) - exported.get(other, set())
            if missing:
                raise ValueError(f"{name}: {other} does not export {', '.join(sorted(missing))}")
            needs[name].append(other)
    parts = []
    try:
        for name in graphlib.TopologicalSorter(needs).static_order():
            body = IMPORT.sub(lambda found: f'const {{ {found[1]} }} = modules["{found[2]}"];\n', sources[name])
            body = EXPORT.sub("", body)
            if left := OTHER.search(body):
                raise ValueError(f"{name}: cannot join {left[0]!r}")
            given = ", ".join(sorted(exported[name]))
            parts.append(f'modules["{name}"] = (() => {{\n{body}return {{ {given} }};\n}})();\n')
    except graphlib.CycleError as error:
        raise ValueError(f"modules in a circle: {' -> '.join(error.args[1])}") from error
    return '"use strict";\n{\nconst modules = {};\n' + "".join(parts) + "}\n"


def program(folder: Path = FOLDER) -> str:
    """The page's program."""
    return join_modules({path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.js"))})
