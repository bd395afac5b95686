"""Whatever is wrong with a file, it is one named error: thousands of damaged files of every kind that the library reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("zarr")
TESTS = Path(__file__).parents[1]


def outcomes(count: int, seed: int) -> dict[str, Any]:
    """What came of reading so many damaged files, in a process that may take 1 GB."""
    roots = os.pathsep.join(str(path) for path in (TESTS, TESTS.parent / "core", TESTS.parent / "backends"))
    ran = subprocess.run(
        [sys.executable, "-m", "fuzz.mutated_files", str(count), str(seed)],
        env={**os.environ, "PYTHONPATH": roots, "OMP_NUM_THREADS": "1"},
        cwd=TESTS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    assert sum(found["outcomes"].values()) == count
    return found


def check(found: dict[str, Any]) -> None:
    """Only named errors, no more than 1 GB, and most damage is told."""
    assert found["findings"] == [], "\n".join(found["findings"])
    assert found["bytes"] < 1 << 30
    assert found["outcomes"]["refused"] > sum(found["outcomes"].values()) / 2


def test_a_damaged_file_of_any_kind_is_a_named_error() -> None:
    found = outcomes(400, seed=0)
    check(found)
    assert found["kinds"] > 60


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_five_thousand_damaged_files_are_named_errors(seed: int) -> None:
    check(outcomes(2500, seed))
