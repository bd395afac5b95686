"""Programs that some tests need and no Python package brings: a browser, node, a compiler of types."""

from __future__ import annotations

import os
import shutil

import pytest

__all__ = ["need"]

HINTS = {
    "chromium": "apt-get install chromium",
    "node": "install Node.js 18 or later",
    "tsc": "npm install --global typescript",
}
OTHER_NAMES = {"chromium": ("chromium-browser",), "node": ("nodejs",)}


def need(program: str) -> str:
    """Where a program is. Without it the test is skipped, and says how to get it; with PHOSPHENE_NEEDS=all it fails."""
    for name in (program, *OTHER_NAMES.get(program, ())):
        found = shutil.which(name)
        if found is not None:
            return found
    said = f"no {program}: {HINTS[program]}"
    if os.environ.get("PHOSPHENE_NEEDS") == "all":
        pytest.fail(said)
    pytest.skip(said)
