"""The commands sheet, dream, accentuate, compare and diagnose: what they write, and how they end. They run in this process."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import phosphene as ph
from phosphene.cli import main
from phosphene.cli.options import parse_target
from phosphene.data import Crops
from phosphene.data.in_memory import read_photograph
from phosphene.interface import InputSpec

pytest.importorskip("torch")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """`run(*arguments)` gives the exit status, standard output and standard error, from a folder with a photograph."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    pixels = (Crops(3, seed=4, size=72)[1][0] * 255).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photograph.png")

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["phosphene", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


def pixels_of(path: str) -> np.ndarray:
    return np.asarray(Image.open(path), np.float32) / 255


SHEET = ("sheet", "specimen", "stage1", "--channels", "0-2, 7", "--size", "32", "--steps", "2", "--out", "units")


def test_a_sheet_is_a_folder_that_is_gone_on_with(run, tmp_path: Path) -> None:
    status, out, error = run(*SHEET, "--batch", "2", "--images", "photos:12")
    assert status == 0, error
    assert "Renders of 4 pictures, 32 x 32, 2 steps" in out and out.endswith("units/index.html\n")
    manifest = json.loads((tmp_path / "units/manifest.json").read_text())
    assert manifest["batches"] == [[0, 1], [2, 7]] and manifest["identity"]["recipe"] == {"steps": "2"}
    # Its own photograph, cut out of the crop, stands beside each picture.
    assert (tmp_path / "units/index.html").read_text(encoding="utf-8").count("<img") > 4
    archives = {path: path.stat().st_mtime_ns for path in (tmp_path / "units").glob("*.npz")}
    assert len(archives) == 2
    again = run(*SHEET, "--batch", "2", "--images", "photos:12")
    assert again[:2] == (status, out)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "units").glob("*.npz")} == archives
    status, _, error = run(*SHEET, "--batch", "2", "--seed", "1")
    assert status == 1 and "holds pictures of another run: its seed is 0, this run has 1" in error


def test_a_dream_is_of_the_photograph_and_of_all_its_targets(run, tmp_path: Path) -> None:
    arguments = ("--octaves", "2", "--steps", "2", "--factor", "1.2", "--out", "dreams/d.npz")
    status, out, error = run("dream", "specimen", "photograph.png", "stage1:all", "stage2:0-1", *arguments)
    assert status == 0, error
    assert out.endswith("dreams/d.npz\n")
    found = ph.Renders.load(tmp_path / "dreams/d.npz")
    assert found.labels == ("dream of stage1 : all + stage2 : 0 + stage2 : 1",)
    assert found.settings["dream"] == {"octaves": [[60, 60], [72, 72]], "factor": 1.2}
    assert np.corrcoef(found.images[0].ravel(), pixels_of("photograph.png").ravel())[0, 1] > 0.7
    status, _, error = run("dream", "specimen", "photograph.png", "stage1:all", "--size", "48", *arguments)
    assert status == 0, error
    assert ph.Renders.load(tmp_path / "dreams/d.npz").images.shape == (1, 48, 48, 3)


def test_an_accentuation_is_drawn_and_told(run, tmp_path: Path) -> None:
    arguments = ("--layer", "stage1", "--weight", "1", "--weight", "0.1", "--steps", "3", "--out", "a/a.svg")
    status, out, error = run("accentuate", "specimen", "photograph.png", "coins", *arguments, "--threshold", "90")
    assert status == 0, error
    assert "coins, weight 1:" in out and "coins, weight 0.1:" in out and "weight 10" not in out
    assert "threshold 90: no picture crosses it" in out and out.endswith("a/a.svg\n")
    assert "<svg" in (tmp_path / "a/a.svg").read_text(encoding="utf-8")


def test_a_diagnosis_is_told_and_what_is_only_worth_knowing_stops_no_script(run) -> None:
    status, out, error = run("diagnose", "specimen", "stage2:5", "coins", "--images", "photos:12")
    assert (status, error) == (0, "") and "2 objectives: nothing was found" in out
    status, out, _ = run("diagnose", "specimen", "stem:2")
    assert status == 0 and "shallow layer (stem : 2)" in out


CONSTANT = '''
import torch


class Constant(torch.nn.Module):
    """It answers the same whatever the image."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.still = torch.nn.Identity()

    def forward(self, x):
        return self.still(self.conv(x) * 0.0 + 1.0).mean((2, 3))


def build():
    return Constant().eval()
'''


def test_a_grave_finding_is_an_exit_status(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "constant_model.py").write_text(CONSTANT)
    monkeypatch.syspath_prepend(tmp_path)
    status, out, error = run("diagnose", "constant_model:build", "still:0", "--input-size", "16")
    assert status == 1, error
    assert "no gradient (still : 0)" in out


def test_models_are_compared_on_a_page(run, costly_backend: str, tmp_path: Path) -> None:
    backends = ("--backend", "torch", "--backend", costly_backend)
    options = (
        "--images",
        "photos:12",
        "--layer",
        "stem,stage1",
        "--units",
        "1",
        "--target",
        "coins",
        "--target",
        "stage2:3",
    )
    status, out, error = run(
        "compare",
        "specimen",
        "specimen-witness",
        *backends,
        *options,
        "--steps",
        "2",
        "--size",
        "32",
        "--out",
        "c.html",
    )
    assert status == 0, error
    names = {"torch": "specimen and specimen-witness", "jax": "specimen (torch) and specimen-witness (jax)"}[
        costly_backend
    ]
    assert f"Comparison of {names}" in out and "pictures of coins; stage2 : 3; stage1 : " in out
    assert "    stem  " in out and "    stage1  " in out and "stage2  " not in out
    assert (tmp_path / "c.html").read_text(encoding="utf-8").count("<img") >= 6


def test_layers_are_named_once_or_for_each_model(run, tmp_path: Path) -> None:
    layers = ("--layer", "stage1,stage2", "--layer", "stage3")
    status, out, error = run(
        "compare", "specimen", "specimen-witness", "--images", "photos:12", *layers, "--out", "c.svg"
    )
    assert status == 0, error
    assert out.count("is nearest to stage3") == 2 and "pictures of" not in out
    assert (tmp_path / "c.svg").stat().st_size > 1000


def test_a_whole_layer_is_a_target_and_a_photograph_takes_the_colours_of_the_network(tmp_path: Path) -> None:
    assert parse_target("blocks.1#1:all") == [ph.objectives.layer("blocks.1#1")]
    place = tmp_path / "wide.png"
    Image.fromarray(np.full((20, 40, 3), (255, 0, 0), np.uint8)).save(place)
    spec = InputSpec((16, 16))
    for size, own_size, shape in ((None, True, (20, 40, 3)), ((8, 12), True, (8, 12, 3)), (None, False, (16, 16, 3))):
        assert read_photograph(place, spec, size=size, own_size=own_size).shape == shape
    grey = read_photograph(place, InputSpec((8, 8), channels=1))
    assert grey.shape == (8, 8, 1) and grey.max() == pytest.approx(0.299, abs=1 / 255)  # as the eye weighs red


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("sheet", "specimen"), 2, "Missing argument"),
        (("sheet", "specimen", "stage9"), 2, "no layer 'stage9' in specimen"),
        (("sheet", "specimen", "stage1", "--channels", "0-x"), 2, "channels: expected integers and ranges"),
        (
            ("sheet", "specimen", "stage1", "--channels", "31-32"),
            2,
            "channels: expected distinct channels from 0 to 31",
        ),
        (("sheet", "specimen", "stage1", "--preset", "lucit"), 2, "Did you mean 'lucid'"),
        (("sheet", "specimen", "stage1", "--images", "nothing"), 2, "images: expected a folder"),
        (("sheet", "specimen", "stage1", "--out", "photograph.png"), 1, "cannot write photograph.png/index.html"),
        (("dream", "specimen", "photograph.png"), 2, "Missing argument"),
        (("dream", "specimen", "photograph.png", "coin"), 2, "no class 'coin'. Did you mean 'coins'"),
        (("dream", "specimen", "photograph.png", "stage9:all"), 2, "no layer 'stage9' in specimen"),
        (("dream", "specimen", "photograph.png", "stage1:some"), 2, "target: expected CLASS, LAYER:CHANNEL"),
        (("dream", "specimen", "nothing.png", "stage1:all"), 2, "nothing.png"),
        (("dream", "specimen", "text.png", "stage1:all"), 1, "cannot be read as an image"),
        (("dream", "specimen", "photograph.png", "stage1:all", "--out", "d.jpg"), 2, "ends in .png or .npz"),
        (("dream", "specimen", "photograph.png", "stage1:all", "--octaves", "0"), 2, "octaves: expected an integer"),
        (("dream", "specimen", "photograph.png", "stage2:all", "--size", "9"), 2, "image: expected a photograph of at"),
        (("dream", "specimen", "photograph.png", "stage2:all", "--size", "0"), 2, "Invalid value for '--size'"),
        (("accentuate", "specimen", "photograph.png", "coins"), 2, "Missing option '--layer'"),
        (("accentuate", "specimen", "nothing.png", "coins", "--layer", "stage1"), 2, "nothing.png"),
        (("accentuate", "specimen", "photograph.png", "coin", "--layer", "stage1"), 2, "no class 'coin'"),
        (("accentuate", "specimen", "photograph.png", "coins", "--layer", "stage9"), 2, "no layer 'stage9'"),
        (("accentuate", "specimen", "photograph.png", "stage1:0-2", "--layer", "stage1"), 2, "expected one target"),
        (
            ("accentuate", "specimen", "photograph.png", "coins", "--layer", "stage1", "--out", "a.npz"),
            2,
            ".svg or .pdf",
        ),
        (
            ("accentuate", "specimen", "photograph.png", "coins", "--layer", "stage1", "--weight", "-1"),
            2,
            "weights: exp",
        ),
        (("diagnose", "specimens"), 2, "name: expected 'specimen'"),
        (("diagnose", "specimen", "coin"), 2, "no class 'coin'"),
        (("diagnose", "specimen", "stage9:1"), 2, "no layer 'stage9'"),
        (("diagnose", "specimen", "--images", "photos:3"), 2, "images: expected at least 8 images, got 3"),
        (("diagnose", "specimen", "--images", "nothing"), 2, "Nothing exists at that path"),
        (("compare", "specimen", "--target", "coins"), 2, "networks: expected at least two networks, got 1"),
        (("compare", "specimen", "specimen"), 2, "targets: expected targets, images or both"),
        (("compare", "specimen", "specimen", "--target", "coin"), 2, "no class 'coin'"),
        (("compare", "specimen", "specimen", "--images", "nothing"), 2, "Nothing exists at that path"),
        (
            ("compare", "specimen", "specimen", "--target", "coins", "--out", "c.json"),
            2,
            "ends in .html, .png, .svg or",
        ),
        (
            ("compare", "specimen", "specimen", "--images", "photos:12", "--layer", "stage1,stage9"),
            2,
            "no layer 'stage9'",
        ),
        (
            ("compare", *["specimen"] * 3, "--images", "photos:12", "--layer", "stem", "--layer", "stem"),
            2,
            "layer: expected 1 item, or 3 items (one per model)",
        ),
        (
            ("compare", *["specimen"] * 3, "--backend", "torch", "--backend", "jax", "--target", "coins"),
            2,
            "backend: expected 1 item, or 3 items (one per model)",
        ),
    ],
)
def test_bad_usage_is_said_and_nothing_is_written(
    run, arguments: tuple[str, ...], status: int, message: str, tmp_path: Path
) -> None:
    (tmp_path / "text.png").write_text("no picture")
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    found, _, error = run(*arguments)
    assert found == status, error
    assert message in error and "Traceback" not in error
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before
