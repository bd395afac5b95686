"""Make ``docs/benchmarks.md`` from the results of all benchmarks.

``python benchmarks/report.py [--results benchmarks/results] [--out docs/benchmarks.md]``

What a result must have is told in ``common.py``. One of another shape is named and left out, and the program ends with 1.
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

This page is made by `python benchmarks/report.py` from `benchmarks/results`. `make bench` measures everything and makes it anew.

Every figure is a ratio of two times that were taken in turns, in one process, on one machine. Ratios count. Wall times do not: they
change with the machine and with what else it does, and are here to give an idea of the scale. The median is of all rounds, with the
least and the most. A target is the largest ratio that is good enough, and is met when the median does not exceed it.
"""


def verdict(row: Mapping[str, Any]) -> str:
    """Whether a row's median is within its target."""
    if row["target"] is None:
        return ""
    return "met" if row["ratio"] <= row["target"] else "**missed**"


def number(value: float) -> str:
    """Three digits: enough for what repeats."""
    return f"{value:.3f}" if value < 10 else f"{value:.0f}"


def line(row: Mapping[str, Any]) -> str:
    """A row of the table."""
    target = "" if row["target"] is None else f"≤ {number(row['target'])}"
    times = ", ".join(f"{name} {duration(value)}" for name, value in row.get("seconds", {}).items())
    spread = f"{number(row['least'])} to {number(row['most'])}"
    cells = (row["case"], target, number(row["ratio"]), spread, str(row.get("rounds", "")), verdict(row), times)
    return f"| {' | '.join(cells)} |"


def duration(seconds: float) -> str:
    """Seconds, or milliseconds where there are few."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1e3 * seconds:.0f} ms"


def circumstances(result: Mapping[str, Any]) -> str:
    """Where, when and with what a benchmark ran."""
    device, threads = result["device"], result["threads"]
    kind = "a processor" if device["kind"] == "cpu" else device["kind"]
    cores = f"{device['machine']}, {device['cores']} cores"
    pool = "the framework's own threads" if threads is None else f"{threads} {'thread' if threads == 1 else 'threads'}"
    versions = ", ".join(f"{name} {value}" for name, value in result["versions"].items())
    return f"Measured on {result['date']} on {kind} ({cores}) with {pool}; {versions}."


def agreement(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a benchmark of values found: the smallest correlation a peer."""
    least: dict[str, float] = {}
    for row in rows:
        least[row["peer"]] = min(row["correlation"], least.get(row["peer"], 1.0))
    told = "; ".join(f"{peer} {value:.5f}" for peer, value in least.items())
    return [f"The smallest correlation of our maps with those of a peer, over {len(rows)} comparisons: {told}.", ""]


def section(result: Mapping[str, Any]) -> str:
    """A benchmark: its question, circumstances, table and notes.

    Parameters
    ----------
    result : mapping
        As ``common.write`` writes it.

    Returns
    -------
    str
        Markdown.
    """
    lines = [f"## {result['name']}", "", result["question"], "", circumstances(result), ""]
    lines += [
        "| case | target | median | least to most | rounds | | times |",
        "|---|---|---|---|---|---|---|",
        *map(line, result["rows"]),
        "",
    ]
    if result.get("agreement"):
        lines += agreement(result["agreement"])
    return "\n".join([*lines, *(f"- {note}" for note in result.get("notes", ()))]).rstrip() + "\n"


def page(results: Sequence[Mapping[str, Any]]) -> str:
    """The whole page, the benchmarks by name."""
    return "\n".join([HEAD, *map(section, sorted(results, key=lambda result: str(result["name"])))])


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page; 1 where a result had another shape."""
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
        print(f"left out, because they lack one of {', '.join(KEYS)}: {', '.join(strange)}", file=sys.stderr)
    return int(bool(strange))


if __name__ == "__main__":
    raise SystemExit(main())
