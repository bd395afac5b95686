"""`phosphene replay`, and runs as files: `render --config` and `--save-config`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import phosphene as ph
from command_line import run

RENDER = ("render", "specimen", "coins", "stage1:0-1", "--steps", "3", "--size", "32")


def test_a_picture_is_made_again_from_its_file(tmp_path: Path) -> None:
    first = run(*RENDER, "--backend", "torch", "--seed", "4", "--out", "a.png", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    again = run("replay", "a.png", "--out", "b.png", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert first.stdout.splitlines()[:-1] == again.stdout.splitlines()[:-1]
    left, right = (ph.Renders.load(tmp_path / name) for name in ("a.png", "b.png"))
    np.testing.assert_array_equal(left.images, right.images)
    assert left.settings == right.settings
    other = run("replay", "a.png", "--model", "specimen-witness", "--out", "c.png", cwd=tmp_path)
    assert other.returncode == 0 and "its weights differ" in other.stderr


def test_a_run_is_written_and_run_again_from_its_file(tmp_path: Path) -> None:
    first = run(*RENDER, "--preset", "plain", "--out", "a.npz", "--save-config", "f/run.toml", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    (tmp_path / "a.npz").rename(tmp_path / "first.npz")
    again = run("render", "--config", "f/run.toml", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    left, right = (ph.Renders.load(tmp_path / name) for name in ("first.npz", "a.npz"))
    np.testing.assert_array_equal(left.images, right.images)
    assert left.settings == right.settings
    # What is given beside it wins: another target, another seed, another place, a whole other recipe.
    beside = ("specimen", "gravel", "--seed", "5", "--steps", "2", "--preset", "default", "--out", "c.png")
    done = run("render", *beside, "--config", "f/run.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = ph.Renders.load(tmp_path / "c.png")
    assert found.labels == ("gravel",) and found.settings["seed"] == 5 and found.settings["size"] == [32, 32]
    assert found.settings["run"]["preset"] == "default" and found.settings["run"]["recipe"]["transforms"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("replay", "file.png"), 1, "file.png: not a result of phosphene"),
        (("replay", "nothing.png"), 1, "nothing.png"),
        (("replay", "file.png", "--out", "x.jpg"), 2, "a name that ends in .png or .npz"),
        (("replay", "file.png", "--weights", "random"), 2, "--weights: expected None without --model"),
        (("replay",), 2, "Missing argument"),
        (("render", "--config", "nothing.toml"), 1, "nothing.toml"),
        (("render", "--config", "file.png"), 2, "config: expected a TOML file, got 'file.png'"),
        (("render", "--config", "unknown.toml"), 2, "unknown.toml: run.stpes: expected one of targets, size"),
        (("render", "--config", "unknown.toml"), 2, "Did you mean 'steps'"),
        (
            ("render", "--config", "recipe.toml"),
            2,
            "recipe.toml: recipe.optimizer.kind: expected one of adam, nadam, sgd",
        ),
        (("render", "specimen", "--config", "model.toml"), 2, "Missing argument 'TARGETS'"),
        (("render", "--config", "model.toml"), 2, "Missing argument 'TARGETS'"),
        (("render", "specimen"), 2, "Missing argument 'TARGETS'"),
        (("render", "specimen", "coins", "--save-config", "run.json"), 2, "a name that ends in .toml"),
        (
            ("render", "specimen", "coins", "--steps", "0", "--save-config", "run.toml"),
            2,
            "run.steps: expected an integer",
        ),
    ],
)
def test_bad_usage_is_said_in_one_line(tmp_path: Path, arguments: tuple[str, ...], status: int, message: str) -> None:
    (tmp_path / "file.png").write_bytes(b"\xff no picture")
    (tmp_path / "unknown.toml").write_text("[run]\nstpes = 3\n")
    (tmp_path / "model.toml").write_text('[model]\nname = "specimen"\n')
    (tmp_path / "recipe.toml").write_text('[recipe]\noptimizer = { kind = "os.system" }\n')
    before = sorted(os.listdir(tmp_path))
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == status, done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr
    assert [name for name in sorted(os.listdir(tmp_path)) if name != "out"] == before
