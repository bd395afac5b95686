"""The page: its policy, its skeleton, and the order in which things stand in it."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from phosphene.viewer.joining import program
from phosphene.viewer.payload import Block

__all__ = ["document", "policy"]

HERE = Path(__file__).parent
COMMON = HERE.parent / "pages" / "style.css"


def policy(script: str, style: str, beside: bool) -> str:
    """What the page may do: run this one script and look so; and, where there are files beside it, load those by that script."""
    run = f"'sha256-{_digest(script)}'" + (" 'strict-dynamic'" if beside else "")
    types = "sidecar" if beside else "'none'"
    return (
        f"default-src 'none'; script-src {run}; style-src 'sha256-{_digest(style)}'; img-src data:; base-uri 'none'; "
        f"form-action 'none'; require-trusted-types-for 'script'; trusted-types {types}"
    )


def document(title: str, manifest: dict[str, Any], blocks: Sequence[Block], beside: bool) -> str:
    """The whole page.

    The sentence that says that something is missing stands before all else, and the script before the payload: the first
    picture is there while the rest is still being read, and a page that was cut off can say so.
    """
    style = COMMON.read_text(encoding="utf-8") + (HERE / "viewer.css").read_text(encoding="utf-8")
    script = program()
    # In a script element only "<" could end it, so none is left.
    facts = json.dumps(manifest, separators=(",", ":")).replace("<", "\\u003c")
    payload = "\n".join(
        f'<script type="application/octet-stream" id="{block.name}">{block.text}</script>' for block in blocks
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(script, style, beside)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">'
        f'<title>{html.escape(title)}</title><link rel="icon" href="data:,">'
        f"<style>{style}</style></head>\n<body>{(HERE / 'page.html').read_text(encoding='utf-8')}\n"
        f'<script type="application/json" id="manifest">{facts}</script>\n<script>{script}</script>\n{payload}\n'
        '<script type="application/json" id="end">1</script>\n</body></html>\n'
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
