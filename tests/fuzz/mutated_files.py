"""Damage files at random and read them: ``python -m fuzz.mutated_files COUNT SEED`` in tests/ prints what came of it as JSON.

The process may take 1 GB beyond what it has before the first file is read; more raises MemoryError, which is a finding.
"""

from __future__ import annotations

import json
import random
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from fuzz.mutations import mutate, restore
from fuzz.specimens import Specimen, same, specimens
from phosphene.errors import PhospheneError

PATIENCE = 20
ROOM = 1 << 30


class Endless(BaseException):
    """Reading took longer than the patience."""


def main(count: int, seed: int) -> dict[str, Any]:
    """Read mutated files of all kinds in turn, and count what comes of it."""
    signal.signal(signal.SIGALRM, _endless)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place:
        known = list(specimens(Path(place)))
        truth = {each.kind: each.read() for each in known}
        contents = [each.path.read_bytes() for each in known]
        _bound_memory()
        base = _most_memory()
        outcomes: Counter[str] = Counter()
        findings: list[str] = []
        for number in range(count):
            each = known[number % len(known)]
            draw = random.Random(f"{seed} {number}")
            before = each.path.read_bytes()
            done = mutate(each.path, each.form, contents, draw)
            outcome, detail = _read(each, truth[each.kind])
            restore(each.path, before)
            outcomes[outcome] += 1
            if outcome == "finding":
                findings.append(f"{number} {each.kind}, {done}: {detail}")
        most = _most_memory() - base
    return {"kinds": len(known), "outcomes": dict(outcomes), "findings": findings, "bytes": most}


def _most_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _bound_memory() -> None:
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, resource.RLIM_INFINITY))


def _read(each: Specimen, truth: Any) -> tuple[str, str]:
    signal.alarm(PATIENCE)
    try:
        found = each.read()
        shown = repr(found)
    except (PhospheneError, FileNotFoundError) as error:
        text = str(error)
        return ("refused", "") if text and len(text) < 1000 else ("finding", f"message of {len(text)} characters")
    except BaseException:  # noqa: BLE001  (whatever it is, it is no named error)
        return "finding", traceback.format_exc(limit=-4)[-900:]
    finally:
        signal.alarm(0)
    if same(truth, found):
        return "equal", ""
    return ("finding", "something else was read") if each.exact else ("other", shown[:150])


def _endless(number: int, frame: FrameType | None) -> None:
    raise Endless


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))) + "\n")
