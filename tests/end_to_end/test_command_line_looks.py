"""The commands that look at layers and images: what they write, and how they end. They run in this process, which is quick."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import phosphene as ph
from phosphene.backend import InputSpec
from phosphene.cli import main
from phosphene.cli.image_arguments import labels_of, read_images
from phosphene.data import PHOTOGRAPHS, Crops
from phosphene.data.sources import source_of
from phosphene.store import Store


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """`run(*arguments)` gives the exit status, standard output and standard error, from a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["phosphene", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight pictures of various sizes in two subfolders."""
    place = tmp_path / "pictures"
    for index, (image, _) in enumerate(Crops(8, size=80)):
        own = place / ("even" if index % 2 == 0 else "odd")
        own.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 255).astype(np.uint8)[: 50 + 3 * index]).save(own / f"{index}.png")
    return place


def test_activations_draw_a_figure_a_layer(run, backend: str, tmp_path: Path) -> None:
    layers = ("--layer", "stage1", "--layer", "stage2")
    status, out, error = run(
        "activations", "specimen", "photos:2", *layers, "--backend", backend, "--out", "a/maps.png"
    )
    assert status == 0, error
    assert "8 maps of 32 x 32 each" in out
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["maps-stage1.png", "maps-stage2.png"]


def test_activations_fill_a_store_and_find_it_full_the_second_time(run, folder: Path, tmp_path: Path) -> None:
    arguments = ("activations", "specimen", str(folder), "--layer", "stage2", "--store", "kept", "--dtype", "float16")
    assert run(*arguments)[0] == 0
    store = Store.open(tmp_path / "kept")
    assert store.complete and store.read("stage2").shape == (8, 16, 16, 64) and store.read("stage2").dtype == np.float16
    status, out, _ = run(*arguments)
    assert status == 0 and "8 rows, 1 of 1 shards written" in out
    status, _, error = run(*arguments[:2], "photos:8", *arguments[3:])
    assert status == 1 and "holds a store of another run" in error


def test_activations_become_an_archive_of_what_the_function_returns(run, folder: Path, tmp_path: Path) -> None:
    (folder / "list.txt").write_text("# two of them\nodd/1.png\neven/0.png\n")
    arguments = ("--layer", "stage1", "--layer", "head", "--out", "x.npz")
    assert run("activations", "specimen", str(folder / "list.txt"), *arguments)[0] == 0
    images = read_images(str(folder / "list.txt"), InputSpec((64, 64)))
    expected = ph.activations(ph.load("specimen"), images, ["stage1", "head"])
    with np.load(tmp_path / "x.npz") as archive:
        assert set(archive) == {"stage1", "head"}
        for path, value in expected.items():
            np.testing.assert_allclose(archive[path], value, atol=1e-5)


def test_units_write_a_page_a_table_and_a_figure(run, backend: str, tmp_path: Path) -> None:
    status, out, error = run(
        "units", "specimen", "photos:20", "--layer", "stage1", "--top", "2", "--backend", backend, "--out", "u.html"
    )
    assert status == 0, error
    assert "32 channels over 20 images" in out
    assert "What the channels of stage1 respond to" in (tmp_path / "u.html").read_text(encoding="utf-8")
    assert len(list(csv.DictReader((tmp_path / "u.csv").open()))) == 32
    assert (tmp_path / "u.png").read_bytes().startswith(b"\x89PNG")


def test_a_damaged_file_ends_it_or_is_left_out(run, folder: Path) -> None:
    (folder / "odd" / "9.png").write_bytes(b"no picture")
    arguments = ("units", "specimen", str(folder), "--layer", "stage1", "--top", "1", "--out", "u.html")
    status, _, error = run(*arguments)
    assert status == 1 and "9.png" in error
    status, out, _ = run(*arguments, "--on-error", "skip")
    assert status == 0 and "over 8 images" in out


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_embed_colours_by_photograph(run, method: str, tmp_path: Path) -> None:
    arguments = ("--layer", "stage3", "--method", method)
    status, out, error = run("embed", "specimen", "photos:24:3", *arguments, "--out", "e.npz")
    assert status == 0, error
    assert "24 points in 2 dimensions" in out
    with np.load(tmp_path / "e.npz") as archive:
        names = [PHOTOGRAPHS[label].name for label in Crops(24, 3).labels]
        assert archive["labels"].tolist() == names and archive["points"].shape == (24, 2)


def test_embed_colours_by_subfolder_and_draws_thumbnails(run, folder: Path, tmp_path: Path) -> None:
    source = source_of(str(folder), InputSpec((64, 64)))
    labels = labels_of(str(folder), source)
    assert labels is not None and labels.tolist() == ["even"] * 4 + ["odd"] * 4
    assert labels_of(str(folder / "odd"), source_of(str(folder / "odd"), InputSpec((64, 64)))) is None
    status, _, error = run("embed", "specimen", str(folder), "--layer", "stage2", "--thumbnails", "--out", "e.png")
    assert status == 0, error
    assert (tmp_path / "e.png").is_file()


@pytest.mark.parametrize(
    ("options", "label"),
    [
        (("--target", "coins"), "coins"),
        (("--target", "3", "--method", "guided_backprop"), "cat"),
        (("--target", "stage2:4", "--layer", "stage1"), "stage2 : 4"),
    ],
)
def test_attribute_explains_a_target(run, backend: str, options: tuple[str, ...], label: str, tmp_path: Path) -> None:
    status, out, error = run("attribute", "specimen", "photos:2", *options, "--backend", backend, "--out", "a.npz")
    assert status == 0, error
    assert out.count(label) >= 2
    with np.load(tmp_path / "a.npz") as archive:
        assert archive["maps"].shape == (2, 64, 64)


def test_attribute_explains_what_is_predicted_and_tells_the_control(run, folder: Path, tmp_path: Path) -> None:
    status, out, error = run("attribute", "specimen", str(folder / "even" / "0.png"), "--sanity", "--out", "a.png")
    assert status == 0, error
    assert "by gradcam at stage3" in out and "random from the output down to stem.conv: rank correlation" in out
    assert (tmp_path / "a.png").is_file()


def test_patterns_and_the_resizing_rule(run, folder: Path, tmp_path: Path) -> None:
    found = {}
    for rule in ("", "stretch", "pad", "crop:0.5"):
        options = ("--fit", rule) if rule else ()
        status, _, error = run(
            "activations", "specimen", "pictures/*/*.png", "--layer", "stage1", "--out", f"a{rule[:4]}.npz", *options
        )
        assert status == 0, error
        found[rule] = np.load(tmp_path / f"a{rule[:4]}.npz")["stage1"]
        assert len(found[rule]) == 8
    fitted = ph.images(sorted(str(path) for path in folder.rglob("*.png")), fit="crop", fraction=0.5)
    wanted = ph.activations(ph.load("specimen"), fitted, "stage1")["stage1"]
    np.testing.assert_allclose(found["crop:0.5"], wanted, atol=1e-5)
    assert len({value.tobytes() for value in found.values()}) == 4
    for rule in ("squash", "crop:2", "crop:x", ":"):
        status, _, error = run("activations", "specimen", "pictures", "--layer", "stage1", "--fit", rule)
        assert status == 2 and "--fit" in error and "Traceback" not in error, error


@pytest.mark.parametrize("command", ["invert", "dream", "accentuate"])
def test_one_photograph_from_a_path(run, folder: Path, tmp_path: Path, command: str) -> None:
    arguments = {
        "invert": ("pictures/even/0.png", "--layer", "stage1", "--steps", "2", "--size", "64"),
        "dream": ("pictures/even/0.png", "stage1:3", "--steps", "1", "--octaves", "1", "--size", "64"),
        "accentuate": ("pictures/even/0.png", "stage2:3", "--layer", "stage1", "--steps", "2", "--size", "64"),
    }[command]
    status, _, error = run(command, "specimen", *arguments, "--fit", "pad", "--out", "a.png")
    assert status == 0 and (tmp_path / "a.png").is_file(), error
    status, _, error = run(command, "specimen", "nowhere.png", *arguments[1:], "--out", "b.png")
    assert status != 0 and "nowhere.png" in error and "Traceback" not in error and not (tmp_path / "b.png").exists()


def test_images_fit_networks_that_are_not_square_or_see_grey(folder: Path) -> None:
    for place, count in (("photos:3:1", 3), (str(folder), 8)):
        assert read_images(place, InputSpec((40, 72))).shape == (count, 40, 72, 3)
        assert read_images(place, InputSpec((72, 40), channels=1)).shape == (count, 72, 40, 1)
    wide, other = source_of("photos:3", InputSpec((40, 72))), source_of("photos:3:1", InputSpec((40, 72)))
    assert wide.identity() != other.identity()
    labels = labels_of("photos:3", wide)
    assert labels is not None and labels.tolist() == [PHOTOGRAPHS[label].name for label in Crops(3).labels]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("activations", "specimen", "photos:2"), 2, "Missing option '--layer'"),
        (("activations", "specimen", "photos:2", "--layer", "stage9"), 2, "no layer 'stage9' in specimen"),
        (("activations", "specimen", "photos:2", "--layer", "head"), 2, "a layer with positions"),
        (("activations", "specimen", "photos:2", "--layer", "stage1", "--out", "x.txt"), 2, "For example x.png"),
        (("activations", "specimen", "photos:99", "--layer", "stage1"), 2, "at most 64 images in one figure"),
        (("units", "specimen", "nowhere", "--layer", "stage1"), 2, "Nothing exists at that path"),
        (("units", "specimen", "photos:2", "--layer", "stage1", "--out", "x.csv"), 2, "a name that ends in .html"),
        (("units", "specimen", "photos:2", "--layer", "stage1", "--layer", "stage4"), 2, "no layer 'stage4'"),
        (("embed", "specimen", "photos:9", "--layer", "stage1", "--method", "sne"), 2, "Did you mean 'tsne'"),
        (("attribute", "specimen", "photos:2", "--target", "coin"), 2, "no class 'coin'"),
        (("attribute", "specimen", "photos:2", "--target", "stage1:0-3"), 2, "one target"),
        (("attribute", "specimen", "photos:2", "--method", "gradcan"), 2, "Did you mean 'gradcam'"),
        (("attribute", "specimen", "photos:2", "--layer", "head"), 2, "a layer with positions"),
        (("attribute", "specimen", "photos:x"), 2, "photos:N[:SEED]"),
    ],
)
def test_bad_usage_is_said_and_nothing_is_written(
    run, arguments: tuple[str, ...], status: int, message: str, tmp_path: Path
) -> None:
    found, _, error = run(*arguments)
    assert found == status, error
    assert message in error and "Traceback" not in error
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
