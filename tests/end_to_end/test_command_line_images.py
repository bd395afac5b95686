"""Commands take images as the functions of the same names do: from any place, fitted by any rule. They run in this process."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import phosphene as ph
from phosphene.cli import main
from phosphene.data.crops import Crops
from phosphene.data.in_memory import read_images
from phosphene.rendering.result import Renders

pytest.importorskip("torch")

COUNT = 3
LAYER = ("--layer", "stage1")


class Entered(Exception):
    """Ends a command when its function is called, with the images that it is given."""

    def __init__(self, images: Any, options: dict[str, Any]) -> None:
        self.images, self.options = images, options


@pytest.fixture(scope="module")
def network() -> Any:
    return ph.load("specimen")


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The working directory, with three pictures of 70 x 90 pixels in every form."""
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "pictures"
    place.mkdir()
    pixels = (Crops(COUNT, size=90).images()[:, :70] * 255).astype(np.uint8)
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(place / f"{number}.png")
    (tmp_path / "list.txt").write_text("\n".join(f"pictures/{number}.png" for number in range(COUNT)))
    with tarfile.open(tmp_path / "all.tar", "w") as shard, zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in sorted(place.iterdir()):
            shard.add(path, path.name)
            archive.write(path, path.name)
    fitted = np.round(255 * read_images(place, ph.load("specimen").input)).astype(np.uint8)
    np.save(tmp_path / "all.npy", fitted)
    np.savez(tmp_path / "two.npz", left=fitted, right=255 - fitted)
    return place


def entered(monkeypatch: pytest.MonkeyPatch, function: str, *arguments: str) -> Entered:
    """Run a command up to the call of its function."""

    def stop(*given: Any, images: Any = None, start: Any = None, **options: Any) -> Any:
        found = start if start is not None else images if images is not None else given[2 if function in LATE else 1]
        raise Entered(found, options)

    if function == "Atlas.build":
        monkeypatch.setattr(ph.Atlas, "build", stop)
    else:
        if function in ("assess", "quiz"):
            monkeypatch.setattr(ph, "render", lambda *given, **options: Renders)
        monkeypatch.setattr(ph, function, stop)
    monkeypatch.setattr(sys, "argv", ["phosphene", *arguments])
    with pytest.raises(Entered) as ended:
        main()
    return ended.value


LATE = ("assess", "quiz", "parity")
"""Functions whose images are the third argument."""

PLACES = {
    "folder": "pictures",
    "pattern": "pictures/*.png",
    "recursive pattern": "**/*.png",
    "text file of paths": "list.txt",
    "shard": "all.tar",
    "address": "file://{here}/pictures",
    "array": "all.npy",
}

COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "diagnose": ("diagnose", ("specimen", "coins", "--images", "{}")),
    "activations": ("activations", ("specimen", "{}", *LAYER, "--store", "kept")),
    "activations, archive": ("activations", ("specimen", "{}", *LAYER, "--out", "a.npz")),
    "activations, figure": ("feature_maps", ("specimen", "{}", *LAYER, "--out", "a.png")),
    "units": ("units", ("specimen", "{}", *LAYER)),
    "embed": ("embed", ("specimen", "{}", *LAYER)),
    "attribute": ("attribute", ("specimen", "{}")),
    "sheet": ("render_all", ("specimen", "stage1", "--images", "{}")),
    "trust": ("assess", ("specimen", "coins", "--images", "{}")),
    "quiz": ("quiz", ("specimen", "coins", "--images", "{}")),
    "compare": ("compare", ("specimen", "specimen-witness", "--images", "{}")),
    "parity": ("parity", ("specimen", "specimen", "--images", "{}")),
    "atlas build": ("Atlas.build", ("--data", "{}", "--layers", "stage1", "--out", "made", "specimen")),
    "render": ("render", ("specimen", "coins", "--start", "{}")),
}
"""Commands that take images: the function that they call, and their arguments."""


def written(command: str, place: str) -> list[str]:
    words = command.partition(",")[0].split()
    return [*words, *(place if argument == "{}" else argument for argument in COMMANDS[command][1])]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_images_from_any_place(
    command: str, network: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = read_images(folder, network.input)
    for kind, place in PLACES.items():
        if kind == "address":
            pytest.importorskip("fsspec")
        found = entered(monkeypatch, COMMANDS[command][0], *written(command, place.format(here=Path.cwd())))
        pixels = read_images(found.images, network.input)
        np.testing.assert_allclose(pixels, wanted, atol=1 / 128, err_msg=kind)


FITTED = [command for command in COMMANDS if command != "render"]


@pytest.mark.parametrize("command", FITTED)
def test_every_command_fits_them_as_it_is_told(
    command: str, network: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = COMMANDS[command][0]
    for fit, stated in (("pad", {"fit": "pad"}), ("crop:0.5", {"fit": "crop", "fraction": 0.5})):
        found = entered(monkeypatch, function, *written(command, "pictures"), "--fit", fit)
        wanted = read_images(ph.images(folder, **stated), network.input)
        np.testing.assert_array_equal(read_images(found.images, network.input), wanted)
    found = entered(monkeypatch, function, *written(command, "two.npz"), "--column", "right")
    with np.load("two.npz") as arrays:
        np.testing.assert_allclose(read_images(found.images, network.input), arrays["right"] / 255, atol=1e-6)
    monkeypatch.setattr(sys, "argv", ["phosphene", *written(command, "pictures"), "--fit", "squash"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2


@pytest.mark.parametrize("command", ["activations", "units", "embed", "attribute"])
def test_a_pattern_that_the_shell_has_expanded(
    command: str, network: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, arguments = COMMANDS[command]
    files = sorted(f"pictures/{path.name}" for path in folder.iterdir())
    given = [part for argument in arguments for part in (files if argument == "{}" else [argument])]
    found = entered(monkeypatch, function, command, *given)
    np.testing.assert_array_equal(read_images(found.images, network.input), read_images(folder, network.input))


ONE = {
    "invert": ("invert", ("specimen", "{}", *LAYER, "--size", "64")),
    "dream": ("dream", ("specimen", "{}", "stage1:3", "--size", "64")),
    "accentuate": ("accentuate", ("specimen", "{}", "stage2:3", *LAYER)),
    "render": ("render", ("specimen", "coins", "--start", "{}")),
}


@pytest.mark.parametrize("command", ONE)
def test_one_photograph_from_any_place(
    command: str, network: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, arguments = ONE[command]
    (folder / "1.png").rename("cat.png")
    for path in folder.iterdir():
        path.unlink()
    Path("cat.png").rename(folder / "cat.jpeg")  # told by its content
    Path("list.txt").write_text("pictures/cat.jpeg\n")
    wanted = read_images(folder, network.input)
    for place in ("pictures", "pictures/cat.jpeg", "pictures/c*.jp*g", "list.txt"):
        given = [place if argument == "{}" else argument for argument in arguments]
        found = entered(monkeypatch, function, command, *given)
        np.testing.assert_allclose(read_images(found.images, network.input), wanted, atol=1e-6)


@pytest.mark.parametrize("command", ONE)
def test_several_photographs_are_refused_and_nothing_is_written(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["pictures" if argument == "{}" else argument for argument in ONE[command][1]]
    monkeypatch.setattr(sys, "argv", ["phosphene", command, *given, "--out", "a.png"])
    with pytest.raises(SystemExit) as ended:
        main()
    error = capsys.readouterr().err
    assert ended.value.code == 2 and "got 3" in error and "Traceback" not in error
    assert not Path("a.png").exists()


def test_a_start_is_kept_with_the_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> Renders:
        monkeypatch.setattr(sys, "argv", ["phosphene", "render", *arguments, "--out", "a.npz"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code, capsys.readouterr().err
        return ph.Renders.load("a.npz")

    short = ("--steps", "2", "--size", "32")
    first = run("specimen", "coins", *short, "--start", "pictures/0.png", "--save-config", "run.toml")
    assert 'start = "pictures/0.png"' in Path("run.toml").read_text(encoding="utf-8")
    np.testing.assert_array_equal(run("--config", "run.toml").images, first.images)
    assert np.abs(run("specimen", "coins", *short).images - first.images).max() > 0.05
    assert np.abs(run("--config", "run.toml", "--start", "pictures/1.png").images - first.images).max() > 0.05
