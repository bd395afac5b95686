"""Memory stays where it is while points of an atlas are collected, however many images there are."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("zarr")
TESTS = Path(__file__).parents[1]

# A small network and images of 8 x 10 pixels: what could grow is the collecting around it. Images are drawn when they are asked
# for, and so take no room either.
MEMORY = """
import json, sys
from dataclasses import dataclass
from pathlib import Path
import numpy as np
import phosphene as ph
from phosphene.atlas import Atlas, collect
from phosphene.data.source import Source
from small_models import small_network

@dataclass(frozen=True)
class Drawn(Source):
    count: int
    def __len__(self):
        return self.count
    def image(self, index):
        return np.random.default_rng(index).integers(0, 256, (8, 10, 3), np.uint8)
    def identity(self):
        return f"drawn {self.count}"

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])

seen = {}
def tell(state):
    for mark in (10_000, 50_000, 100_000):
        if state.done >= mark and mark not in seen:
            seen[mark] = resident()

network = ph.wrap(small_network(sys.argv[2]), size=(8, 10), channels=3)
store = collect(network, Drawn(100_000), ["conv", "norm"], sys.argv[1], batch=128, progress=tell)
print(json.dumps([seen, len(store.rows()), store.complete, Atlas.open(sys.argv[1]).left_out]))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path, backend: str) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("resident memory is read from /proc")
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEMORY), str(tmp_path), backend],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert found.returncode == 0, found.stderr
    seen, rows, complete, left_out = json.loads(found.stdout.strip().splitlines()[-1])
    logging.getLogger(__name__).info("resident kB by image: %s", seen)
    assert complete and rows == 100_000 and left_out == {}
    assert seen["50000"] / seen["10000"] - 1 < 0.15, seen
    assert seen["100000"] / seen["10000"] - 1 < 0.15, seen
