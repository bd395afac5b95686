"""The program as a person starts it: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import phosphene as ph
from command_line import run


def test_help_names_every_command(tmp_path: Path) -> None:
    done = run("--help", cwd=tmp_path)
    assert done.returncode == 0
    looks, makes = (
        "demo layers diagnose activations units embed attribute",
        "render sheet dream accentuate invert replay",
    )
    names = f"{looks} {makes} trust quiz compare parity bench atlas".split()
    assert re.findall(r"^\W*(\w+)  +[A-Z]", done.stdout.partition("Commands")[2], re.MULTILINE) == names


HELP = """
import sys
from phosphene.cli import main

sys.argv = ["phosphene", "--help"]
try:
    main()
finally:
    print("loaded:", *sorted({"torch", "jax", "matplotlib", "sklearn", "PIL"} & set(sys.modules)))
"""


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", HELP], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Commands" in done.stdout and done.stdout.splitlines()[-1] == "loaded:"


def test_layers_are_a_table(backend: str, tmp_path: Path) -> None:
    done = run("layers", "specimen", "--backend", backend, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"stage3 +Stage +8 x 8 x 128 +230,144", done.stdout)


def test_render_and_invert_write_pictures_that_load(costly_backend: str, tmp_path: Path) -> None:
    done = run(
        "render",
        "specimen",
        "coins",
        "stage1:0-1",
        "stage2:3@centre",
        "--backend",
        costly_backend,
        "--steps",
        "3",
        "--size",
        "32",
        "--out",
        "a/b.png",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    renders = ph.Renders.load(tmp_path / "a/b.png")
    assert renders.labels == ("coins", "stage1 : 0", "stage1 : 1", "stage2 : 3 at centre")
    assert renders.settings["backend"] == costly_backend and len(renders.settings["fingerprint"]) == 32
    done = run(
        "invert",
        "specimen",
        "a/b.png",
        "--layer",
        "stage1",
        "--backend",
        costly_backend,
        "--steps",
        "3",
        "--size",
        "32",
        "--out",
        "c.npz",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert ph.Renders.load(tmp_path / "c.npz").scores["cosine"].shape == (1,)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("render", "specimen", "coin"), 2, "no class 'coin'. Did you mean 'coins'"),
        (("render", "specimen", "stage9:1"), 2, "no layer 'stage9' in specimen"),
        (("render", "specimen", "stage1:a"), 2, "target: expected CLASS, LAYER:CHANNEL"),
        (("render", "specimens", "coins"), 2, "name: expected 'specimen'"),
        (("render", "specimen", "coins", "--out", "x.jpg"), 2, "a name that ends in .png or .npz"),
        (("render", "specimen", "coins", "--out", "file/x.png"), 1, "cannot write file/x.png"),
        (("render", "specimen", "coins", "--backend", "theano"), 2, "backend: expected 'torch' or 'jax'"),
        (("invert", "specimen", "nothing.png", "--layer", "stage1"), 2, "nothing.png"),
        (("invert", "specimen", "file", "--layer", "stage1"), 2, "which is not a file"),
        (("paint",), 2, "No such command"),
        (("render",), 2, "Missing argument"),
    ],
)
def test_bad_usage_is_said_in_one_line(tmp_path: Path, arguments: tuple[str, ...], status: int, message: str) -> None:
    (tmp_path / "file").write_text("no picture")
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == status, done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr
    assert sorted(item.name for item in tmp_path.iterdir()) == ["file"] or (tmp_path / "out").is_dir()


@pytest.mark.slow
def test_the_demo_is_one_page_that_loads_nothing(backend: str, tmp_path: Path) -> None:
    done = run("demo", "--backend", backend, "--out", "page", "--steps", "24", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "page/index.html").read_text(encoding="utf-8")
    assert {item.name for item in (tmp_path / "page").iterdir()} == {"index.html", "atlas.html", f"atlas-{backend}"}
    assert re.findall(r"(?:src|href)=\"(?!data:)([^\"]*)", text) == ["atlas.html"]
    images = re.findall(r'<img src="data:image/png;base64,[^"]+" alt="([^"]+)"', text)
    assert len(images) >= 18 * 4 + 6 * 3 + 40 + 8 * 10 + 8 and all(images)
    assert text.count("Grad-CAM of “") == 6 and text.count("guided backpropagation of “") == 6
    assert text.count('<th scope="row"><code>stage') >= 3 and "Do the maps depend on the network?" in text
    assert text.count('class="card trust"') == 8 and text.count("with plain gradient ascent") == 1
    assert text.count("witness: ") == 18 and np.all([f"<h3>{name}</h3>" in text for name in ("coins", "gravel")])


def test_parity_of_the_specimen_with_itself_and_with_another(tmp_path: Path) -> None:
    same = run("parity", "specimen", "specimen", "--backend-b", "jax", "--images", "photos:2", cwd=tmp_path)
    assert same.returncode == 0, same.stderr
    certificate = json.loads((tmp_path / "out" / "parity.json").read_text())
    assert certificate["equal"] and certificate["verdict"].startswith("equal at all ")
    assert (tmp_path / "out" / "parity.png").is_file()
    other = run("parity", "specimen", "specimen-shortcut", "--images", "photos:2", "--out", "x.json", cwd=tmp_path)
    assert other.returncode == 1 and "differ first at" in other.stdout
    assert run("parity", "specimen", "specimen", "--out", "x.txt", cwd=tmp_path).returncode == 2
