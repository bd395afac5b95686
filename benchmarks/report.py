"""Make ``docs/benchmarks.md`` from the results of all benchmarks.

``python benchmarks/report.py [--results benchmarks/results] [--out docs/benchmarks.md]``

The format of results is described in ``common.py``. Results of another format are skipped, and the exit status is then 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

KEYS = ("name", "question", "device", "threads", "versions", "date", "rows")
ROOT = Path(__file__).parents[1]
HEAD = """# Benchmarks

This page is made by `python benchmarks/report.py` from `benchmarks/results`. `make bench` repeats all measurements.

Every number is a ratio of two times, measured alternately in one process on one machine. Wall times depend on the machine and its
load, and are only given for scale. The median is over all rounds, and is followed by the minimum and the maximum. A target is the
largest acceptable ratio; it is met if the median does not exceed it.
"""


def verdict(row: Mapping[str, Any]) -> str:
    """Return whether a row's median is within its target."""
    if row["target"] is None:
        return ""
    return "met" if row["ratio"] <= row["target"] else "**missed**"


def number(value: float) -> str:
    """Format a ratio with three digits."""
    return f"{value:.3f}" if value < 10 else f"{value:.0f}"


def line(row: Mapping[str, Any]) -> str:
    """Return a row of the table."""
    target = "" if row["target"] is None else f"≤ {number(row['target'])}"
    times = ", ".join(f"{name} {duration(value)}" for name, value in row.get("seconds", {}).items())
    spread = f"{number(row['least'])} to {number(row['most'])}"
    cells = (row["case"], target, number(row["ratio"]), spread, str(row.get("rounds", "")), verdict(row), times)
    return f"| {' | '.join(cells)} |"


def duration(seconds: float) -> str:
    """Format a duration in seconds, or milliseconds below one second."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1e3 * seconds:.0f} ms"


def circumstances(result: Mapping[str, Any]) -> str:
    """Describe date, machine, threads and versions of a benchmark."""
    device, threads = result["device"], result["threads"]
    kind = "a CPU" if device["kind"] == "cpu" else device["kind"]
    cores = f"{device['machine']}, {device['cores']} cores"
    pool = (
        "the framework's default threads" if threads is None else f"{threads} {'thread' if threads == 1 else 'threads'}"
    )
    versions = ", ".join(f"{name} {value}" for name, value in result["versions"].items())
    return f"Measured on {result['date']} on {kind} ({cores}) with {pool}; {versions}."


def agreement(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Summarize a benchmark of values: the smallest correlation with each other library."""
    least: dict[str, float] = {}
    for row in rows:
        least[row["peer"]] = min(row["correlation"], least.get(row["peer"], 1.0))
    told = "; ".join(f"{peer} {value:.5f}" for peer, value in least.items())
    return [f"The smallest correlation with the maps of other libraries, over {len(rows)} comparisons: {told}.", ""]


def section(result: Mapping[str, Any]) -> str:
    """Return the section of a benchmark: its question, circumstances, table and notes.

    Parameters
    ----------
    result : mapping
        A result as written by ``common.write``.

    Returns
    -------
    str
        Markdown.
    """
    lines = [f"## {result['name']}", "", result["question"], "", circumstances(result), ""]
    lines += [
        "| case | target | median | min to max | rounds | | times |",
        "|---|---|---|---|---|---|---|",
        *map(line, result["rows"]),
        "",
    ]
    if result.get("agreement"):
        lines += agreement(result["agreement"])
    return "\n".join([*lines, *(f"- {note}" for note in result.get("notes", ()))]).rstrip() + "\n"


def page(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the page with all benchmarks, sorted by name."""
    return "\n".join([HEAD, *map(section, sorted(results, key=lambda result: str(result["name"])))])


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page; return 1 if a result has another format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks.md")
    given = parser.parse_args(arguments)
    results, strange = [], []
    for path in sorted(given.results.glob("*.json")):
        result = json.loads(path.read_text())
        if isinstance(result, dict) and all(key in result for key in KEYS):
            results.append(result)
        else:
            strange.append(path.name)
    given.out.write_text(page(results))
    print(given.out)
    if strange:
        print(f"skipped, since they lack one of {', '.join(KEYS)}: {', '.join(strange)}", file=sys.stderr)
    return int(bool(strange))


if __name__ == "__main__":
    raise SystemExit(main())
