"""The page: its content security policy, its skeleton, and its program, joined from ES modules."""

from __future__ import annotations

import base64
import graphlib
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from phosphene.atlas.viewer.payload import Block
from phosphene.kit.html import STYLE
from phosphene.words import plain_name

__all__ = ["FOLDER", "document", "join_modules", "policy", "program"]

HERE = Path(__file__).parent

FOLDER = HERE / "js"
IMPORT = re.compile(r'^import \{ ([^}]*) \} from "\./([\w-]+\.js)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async function|function|class|const) ([A-Za-z_$][\w$]*))", re.MULTILINE)
OTHER = re.compile(r"^(?:import|export)\b.*$", re.MULTILINE)


def policy(script: str, style: str, beside: bool) -> str:
    """The content security policy: only this script and this style, and, if there are files beside the page, those it loads."""
    run = f"'sha256-{_digest(script)}'" + (" 'strict-dynamic'" if beside else "")
    types = "sidecar" if beside else "'none'"
    return (
        f"default-src 'none'; script-src {run}; style-src 'sha256-{_digest(style)}'; img-src data:; base-uri 'none'; "
        f"form-action 'none'; require-trusted-types-for 'script'; trusted-types {types}"
    )


def document(title: str, manifest: dict[str, Any], blocks: Sequence[Block], beside: bool) -> str:
    """The whole page.

    The message for an incomplete page comes first, and the script comes before the payload, so that the first picture appears
    while the rest is still being read, and a truncated page can report it.
    """
    style = STYLE.read_text(encoding="utf-8") + (HERE / "viewer.css").read_text(encoding="utf-8")
    script = program()
    # Without "<" the JSON cannot end its script element.
    facts = json.dumps(manifest, separators=(",", ":")).replace("<", "\\u003c")
    payload = "\n".join(
        f'<script type="application/octet-stream" id="{block.name}">{block.text}</script>' for block in blocks
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(script, style, beside)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">'
        f'<title>{html.escape(plain_name(title))}</title><link rel="icon" href="data:,">'
        f"<style>{style}</style></head>\n<body>{(HERE / 'page.html').read_text(encoding='utf-8')}\n"
        f'<script type="application/json" id="manifest">{facts}</script>\n<script>{script}</script>\n{payload}\n'
        '<script type="application/json" id="end">1</script>\n</body></html>\n'
    )


def join_modules(sources: Mapping[str, str]) -> str:
    """Join ES modules into one classic script, since a page opened from a file cannot load modules.

    Each module becomes a function, in order of dependency.

    Parameters
    ----------
    sources : mapping of str to str
        Source text by file name. The only supported forms are ``import { a, b } from "./other.js";`` on one line, and
        ``export`` before a function, a class or a constant.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        For circular imports, unknown modules or names, and other forms of import and export.
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
                raise ValueError(f"{name}: unsupported import or export: {left[0]!r}")
            given = ", ".join(sorted(exported[name]))
            parts.append(f'modules["{name}"] = (() => {{\n{body}return {{ {given} }};\n}})();\n')
    except graphlib.CycleError as error:
        raise ValueError(f"circular imports: {' -> '.join(error.args[1])}") from error
    return '"use strict";\n{\nconst modules = {};\n' + "".join(parts) + "}\n"


def program(folder: Path = FOLDER) -> str:
    """The program of the page, as one script."""
    return join_modules({path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.js"))})


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
