"""`python -m phosphene` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What it printed and how it ended, started in `cwd` with a plain terminal of 100 columns."""
    environment = {**os.environ, "TERM": "dumb", "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "-m", "phosphene", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
