"""Paths as callers give them: the home folder, and what no file system keeps."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import phosphene as ph
from phosphene.errors import CorruptFile, InvalidParameter, PhospheneError, UnwritablePath
from phosphene.kit.places import given_path, readable_file
from phosphene.kit.writing import check_writable, write_whole
from result_instances import every_result, small_renders

RESULTS = every_result()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, and another folder to work in, in which no folder "~" may appear."""
    here, home = tmp_path / "here", tmp_path / "home"
    here.mkdir()
    home.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.mark.parametrize("what", ["units", "attribution", "embedding", "quiz", "renders"])
def test_results_are_saved_to_and_loaded_from_the_home_folder(what: str, home: Path) -> None:
    result = RESULTS[what]
    assert result.save("~/sub/r.npz") == home / "sub" / "r.npz"
    assert type(type(result).load("~/sub/r.npz")) is type(result)
    assert not list(Path.cwd().iterdir())


def test_pictures_and_animations_are_in_the_home_folder(home: Path) -> None:
    pictures = small_renders()
    pictures.save("~/p.png")
    assert len(ph.Renders.load("~/p.png")) == len(pictures)
    RESULTS["full renders"].animate("~/a.gif")  # type: ignore[attr-defined]
    RESULTS["units"].save("~/u.html")
    RESULTS["units"].save(Path("~") / "u.csv")
    assert {path.name for path in home.iterdir()} == {"p.png", "a.gif", "u.html", "u.csv"}
    with pytest.raises(InvalidParameter, match="what was maximised"):
        ph.replay("~/p.png")
    assert not list(Path.cwd().iterdir())


def test_a_configuration_is_in_the_home_folder(home: Path) -> None:
    from phosphene.rendering.configuration import read_config, save_config

    save_config("~/run.toml", {"run": {"steps": 3}})
    assert read_config("~/run.toml")["run"] == {"steps": 3}
    assert (home / "run.toml").exists()


def test_an_atlas_is_in_the_home_folder(home: Path) -> None:
    values = {"stage": np.random.default_rng(0).standard_normal((40, 5)).astype(np.float32)}
    ph.Atlas.from_activations(values, "~/atlas")
    assert ph.Atlas.open("~/atlas").folder == home / "atlas"
    assert not list(Path.cwd().iterdir())


def test_a_tilde_before_no_user_is_part_of_the_name(home: Path) -> None:
    assert given_path("~nobody-of-that-name.png") == Path("~nobody-of-that-name.png")
    assert given_path("a/~/b") == Path("a/~/b")
    write_whole(Path("~$draft.png"), b"x")
    assert readable_file("~$draft.png").read_bytes() == b"x"


def test_a_home_that_is_not_known_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", unknown)
    with pytest.raises(InvalidParameter, match="The home folder is not known here"):
        given_path("~/p.png")


@pytest.mark.parametrize("path", ["a\0b.npz", "half \ud83d.npz", "", None, 3, b"bytes.npz", ["a.npz"]], ids=repr)
def test_what_is_no_path_is_refused_by_its_parameter(path: object, home: Path) -> None:
    for call in (RESULTS["units"].save, ph.Units.load, ph.Atlas.open, ph.replay):
        with pytest.raises(InvalidParameter, match=r"^(path|source)"):
            call(path)  # type: ignore[operator]
    with pytest.raises(InvalidParameter, match=r"^out"):
        check_writable(path, "out")  # type: ignore[arg-type]
    assert not list(Path.cwd().iterdir())


def test_a_path_that_is_too_long_is_a_named_error(home: Path) -> None:
    for path in ("x" * 300 + ".npz", "/".join(["deep" * 10] * 150) + "/x.npz"):
        with pytest.raises(UnwritablePath, match="File name too long"):
            RESULTS["units"].save(path)
        with pytest.raises((CorruptFile, FileNotFoundError)):
            ph.Units.load(path)
    longest = "y" * 251 + ".npz"
    RESULTS["units"].save(longest)
    assert [path.name for path in Path.cwd().glob("y*")] == [longest]


def test_a_folder_where_a_file_is_meant_is_a_named_error(home: Path) -> None:
    for name in ("f.npz", "f.png", "f.toml"):
        (home / name).mkdir()
    with pytest.raises(UnwritablePath, match=r"f\.npz is a folder, where a file is expected"):
        RESULTS["units"].save("~/f.npz")
    for load in (ph.Units.load, ph.Renders.load, ph.replay):
        with pytest.raises(CorruptFile, match="a folder, not a file"):
            load("~/f.npz")
    with pytest.raises(CorruptFile, match="a folder, not a file"):
        ph.Renders.load("~/f.png")


def test_pipes_and_devices_are_neither_read_nor_replaced(home: Path) -> None:
    os.mkfifo(home / "p.npz")
    os.mkfifo(home / "p.png")
    for name in ("p.npz", "p.png"):
        with pytest.raises(CorruptFile, match="never read"):
            ph.Renders.load(home / name)
        with pytest.raises(UnwritablePath, match="pipe or a device"):
            small_renders().save(home / name)


def test_every_refusal_is_one_of_phosphene(home: Path) -> None:
    for path in ("~/none/../x\0.png", "~/" + "z" * 400 + ".png", "~"):
        with pytest.raises(PhospheneError):
            small_renders().save(path)
