"""The cost of ``import phosphene``, beside NumPy, which it cannot do without, and the frameworks, which it spares.

Every figure is the least of several fresh interpreters, less the start of a bare one: ``python benchmarks/import_time.py``.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time

MODULES = ("numpy", "phosphene", "phosphene.cli", "torch", "jax")


def seconds(statement: str, repeats: int) -> float:
    """Least wall-clock seconds of a fresh interpreter that runs `statement`; the first, cold one is not counted."""
    taken = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        taken.append(time.perf_counter() - start)
    return min(taken[1:])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="interpreters a module (default 7)")
    repeats = parser.parse_args().repeats
    bare = seconds("pass", repeats)
    print(f"{'bare interpreter':<18}{1000 * bare:8.0f} ms")
    for module in MODULES:
        if importlib.util.find_spec(module) is None:
            print(f"{module:<18}{'not installed':>11}")
            continue
        print(f"{module:<18}{1000 * (seconds(f'import {module}', repeats) - bare):8.0f} ms")


if __name__ == "__main__":
    main()
