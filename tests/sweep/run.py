# ruff: noqa: T201 - a command
"""Run the whole sweep and write ``outcomes.csv``; some of it, and nothing is written.

make sweep                                   # all, in two processes
python tests/sweep/run.py --only timm:conv   # those whose names contain this
python tests/sweep/run.py --quick            # the quick tier
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import multiprocessing
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("tests", "core", "backends")]

from sweep.architectures import SOURCES, architectures  # noqa: E402
from sweep.outcomes import TABLE, Outcome, read, write  # noqa: E402

PATIENCE = 900
"""Seconds by the clock after which a process that hangs in compiled code ends itself."""


def one(key: str) -> Outcome:
    """Try the architecture of that key; a process that hangs ends itself."""
    import pretend_operators

    pretend_operators.declare()
    if key.startswith(("torch", "timm", "trans")):
        import torch

        torch.set_num_threads(1)
    from sweep.trial import tried

    source, _, name = key.partition(":")
    chosen = next(item for item in architectures(source) if item.name == name)
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    try:
        return tried(chosen)
    finally:
        faulthandler.cancel_dump_traceback_later()


def main() -> int:
    """Run, print a line each, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="Only architectures whose SOURCE:NAME contains this.")
    parser.add_argument("--quick", action="store_true", help="Only the quick tier.")
    parser.add_argument("--workers", type=int, default=1, help="Processes.")
    parser.add_argument(
        "--table", type=Path, default=None, help=f"Where to write (default: {TABLE.name}, after a whole run)."
    )
    parser.add_argument("--resume", action="store_true", help="Keep the rows that are in --table already.")
    given = parser.parse_args()
    whole = [item for source in SOURCES for item in architectures(source)]
    wanted = [item for item in whole if given.only in item.key and (item.quick or not given.quick)]
    done = read(given.table) if given.resume and given.table else {}
    wanted, rows, start = [item for item in wanted if item.key not in done], [*done.values()], time.perf_counter()
    # A process each for some architectures, so that memory of large ones is given back.
    with multiprocessing.get_context("spawn").Pool(given.workers, maxtasksperchild=16) as pool:
        pending = [(item, pool.apply_async(one, (item.key,))) for item in wanted]
        for number, (item, result) in enumerate(pending, 1):
            try:
                row = result.get(timeout=PATIENCE + 60)
            except multiprocessing.TimeoutError:
                row = Outcome(item.source, item.family, item.name, item.size, item.quick)
                row.add("timeout", "all", "the process ended itself, or never came back")
            rows.append(row)
            if given.table:
                write(rows, given.table)
            print(
                f"[{number}/{len(wanted)}] {row.seconds:5.1f} s  {row.key}: {row.outcome}  {row.part}  {row.reason[:160]}",
                flush=True,
            )
    counts = collections.Counter(row.outcome for row in rows)
    print(
        ", ".join(f"{outcome} {count}" for outcome, count in counts.most_common()),
        f"after {time.perf_counter() - start:.0f} s",
    )
    known = read()
    for row in rows:
        if row.key in known:
            for field, (before, now) in row.compared_with(known[row.key]).items():
                print(f"{row.key}: {field} was {before!r}, is {now!r}")
    if not given.table and len(wanted) == len(whole):
        write(rows)
    return int(any(row.outcome in ("wrong", "raw exception", "timeout") for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
