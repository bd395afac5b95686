"""Memory stays where it is, however many images are streamed."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from phosphene.data import Crops

pytest.importorskip("zarr")

MEMORY = """
import json, sys
from pathlib import Path
import phosphene as ph
def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])
seen = {}
def tell(state):
    for mark in (2000, 10000, 20000):
        if state.done >= mark and mark not in seen:
            seen[mark] = resident()
network = ph.load("specimen", backend=sys.argv[3])
store = ph.activations(network, sys.argv[1], ["stage3", "output"], out=sys.argv[2], dtype="float16", batch=50, progress=tell)
print(json.dumps([seen, len(store.rows()), store.complete]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["files", "crops"])
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path, kind: str, backend: str) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("resident memory is read from /proc")
    if kind == "files":
        # 500 photographs of 96 x 128 pixels, 40 names for each.
        source, made = tmp_path / "list.txt", tmp_path / "made"
        made.mkdir()
        crops = Crops(500, seed=9, size=96)
        for index in range(500):
            Image.fromarray(np.round(255 * crops[index][0]).astype(np.uint8)).resize((128, 96)).save(
                made / f"{index}.jpg"
            )
        for index in range(20_000):
            os.link(made / f"{index % 500}.jpg", made / f"name{index}.jpg")
        source.write_text("\n".join(f"made/name{index}.jpg" for index in range(20_000)))
    given = str(tmp_path / "list.txt") if kind == "files" else "photos:20000:4"
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEMORY), given, str(tmp_path / "s"), backend],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    seen, rows, complete = json.loads(found.stdout.strip().splitlines()[-1])
    logging.getLogger(__name__).info("resident kB by image: %s", seen)
    assert complete and rows == 20_000
    assert abs(seen["20000"] / seen["2000"] - 1) <= 0.15, seen
    assert abs(seen["10000"] / seen["2000"] - 1) <= 0.15, seen
