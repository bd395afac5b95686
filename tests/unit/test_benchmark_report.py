"""The page of benchmarks says of each target whether it is met; every benchmark says what it does."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py") if '__name__ == "__main__"' in path.read_text())


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT / "core"), str(ROOT / "backends"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )


def result(**changes: Any) -> dict[str, Any]:
    shared = {"least": 0.2, "most": 0.5, "rounds": 7, "seconds": {"phosphene": 0.25, "peer": 1.5}}
    return {
        "name": "pictures",
        "question": "What does a picture cost?",
        "device": {"kind": "cpu", "machine": "x86_64", "cores": 2},
        "threads": 2,
        "versions": {"python": "3.12.0", "peer": "1.0"},
        "date": "2026-01-02",
        "rows": [
            {"case": "small", "target": 1 / 3, "ratio": 0.3, **shared},
            {"case": "large", "target": 0.25, "ratio": 0.3, **shared},
            {"case": "other", "target": None, "ratio": 12.3, **shared},
        ],
        "notes": ["A note."],
        **changes,
    }


def report(folder: Path, *results: Any) -> tuple[subprocess.CompletedProcess[str], str]:
    for number, found in enumerate(results):
        (folder / f"{number}.json").write_text(json.dumps(found))
    out = folder / "page.md"
    done = run(str(FOLDER / "report.py"), "--results", str(folder), "--out", str(out))
    return done, out.read_text()


def test_the_page_says_what_is_met_and_what_is_missed(tmp_path: Path) -> None:
    done, page = report(tmp_path, result(), result(name="answers", threads=None))
    assert done.returncode == 0, done.stderr
    assert page.index("## answers") < page.index("## pictures")
    assert "| small | ≤ 0.333 | 0.300 | 0.200 to 0.500 | 7 | met | phosphene 250 ms, peer 1.5 s |" in page
    assert "| large | ≤ 0.250 | 0.300 | 0.200 to 0.500 | 7 | **missed** |" in page
    assert "| other |  | 12 | 0.200 to 0.500 | 7 |  |" in page
    assert "Measured on 2026-01-02 on a CPU (x86_64, 2 cores) with 2 threads; python 3.12.0, peer 1.0." in page
    assert "with the framework's default threads" in page
    assert "Wall times depend on the machine and its" in page
    assert "- A note." in page


def test_a_result_of_another_shape_is_named(tmp_path: Path) -> None:
    done, page = report(tmp_path, result(), {"rows": []})
    assert done.returncode == 1
    assert "1.json" in done.stderr
    assert "## pictures" in page


def test_the_results_that_are_kept_have_the_common_shape(tmp_path: Path) -> None:
    out = tmp_path / "page.md"
    done = run(str(FOLDER / "report.py"), "--out", str(out))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_benchmark_says_what_it_does(script: str) -> None:
    assert ast.get_docstring(ast.parse((FOLDER / script).read_text()))
    done = run(str(FOLDER / script), "--help")
    assert done.returncode == 0, done.stderr
    assert "--help" in done.stdout
