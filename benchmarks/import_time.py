"""What ``import phosphene`` and ``phosphene --help`` cost over the start of a bare interpreter.

``python benchmarks/import_time.py [--rounds 9] [--out benchmarks/results/import_time.json]``

Every call is a fresh interpreter. NumPy, which phosphene cannot do without, and the frameworks, which it does not load, are
measured beside it.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path

from common import RESULTS, Work, row, said, turns, write

COMMANDS = {
    "import numpy": ["-c", "import numpy"],
    "import phosphene": ["-c", "import phosphene"],
    "phosphene --help": ["-m", "phosphene", "--help"],
    "import torch": ["-c", "import torch"],
    "import jax": ["-c", "import jax"],
}


def starting(arguments: list[str]) -> Work:
    """A fresh interpreter with these arguments, run to its end."""
    return lambda: subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="interpreters a command (default 9)")
    parser.add_argument("--out", type=Path, default=RESULTS / "import_time.json")
    given = parser.parse_args()
    known = {
        name: arguments
        for name, arguments in COMMANDS.items()
        if name.startswith("phosphene") or importlib.util.find_spec(name.split()[-1]) is not None
    }
    contestants = {"bare interpreter": starting(["-c", "pass"])} | {name: starting(known[name]) for name in known}
    for work in contestants.values():
        work()  # the first one is cold
    taken = turns(contestants, given.rounds)
    rows = [row(name, None, taken, name, "bare interpreter") for name in known]
    for found in rows:
        print(f"{said(found)}, {found['seconds'][found['case']]:.3f} s")
    write(given.out, "import_time", "What does a start cost over that of a bare interpreter?", rows, threads=None)


if __name__ == "__main__":
    main()
