"""`phosphene bench` as a person starts it: a table, a file, and one line where it is used wrongly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import run

QUICK = ("--size", "16", "--steps", "2", "--rounds", "3", "--batch", "1", "--dtype", "float32", "--device", "cpu")


def test_help_names_it(tmp_path: Path) -> None:
    done = run("--help", cwd=tmp_path)
    assert done.returncode == 0 and "bench" in done.stdout


def test_a_table_and_a_file(costly_backend: str, tmp_path: Path) -> None:
    done = run(
        "bench",
        "specimen",
        "--backend",
        costly_backend,
        "--layer",
        "stem",
        *QUICK,
        "--out",
        "a/x.json",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "images/s" in done.stdout and "is fastest" in done.stdout and "a/x.json" in done.stdout
    found = json.loads((tmp_path / "a/x.json").read_text())
    assert [(row["backend"], row["batch"], len(row["seconds"])) for row in found["rows"]] == [(costly_backend, 1, 3)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("specimens",), "name: expected 'specimen'"),
        (("specimen", "--layer", "stage9", "--backend", "torch"), "no layer 'stage9' in specimen"),
        (("specimen", "--backend", "theano"), "backends: expected 'torch' or 'jax'"),
        (("specimen", "--rounds", "1"), "rounds: expected an integer of at least 3"),
        (("specimen", "--out", "x.csv"), "a name that ends in .json"),
    ],
)
def test_bad_usage_is_said_in_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = run("bench", *QUICK, *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
