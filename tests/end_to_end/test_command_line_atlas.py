"""`phosphene atlas build`: it finishes, goes on, and says what is wrong. It runs in this process, which is quick."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from phosphene.atlas import Atlas
from phosphene.cli import main

pytest.importorskip("zarr")
pytest.importorskip("umap")

Run = Callable[..., tuple[int, str, str]]
DATA, LAYERS = ("--data", "photos:300"), ("--layers", "stage3")
FEW = ("--levels", "2,4", "--no-icons")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """`run(*arguments)` gives the exit status, standard output and standard error, from a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["phosphene", "atlas", "build", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


def _files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_an_atlas_is_built_and_found_when_called_again(run: Run, tmp_path: Path) -> None:
    arguments = ("specimen", *DATA, *LAYERS, *FEW, "--workers", "2", "--out", "a")
    status, out, error = run(*arguments)
    assert status == 0, error
    assert "Atlas of 300 points" in out and out.strip().endswith("a")
    atlas = Atlas.open(tmp_path / "a")
    assert [level.size for level in atlas.grid("stage3").levels] == [2, 4]
    assert len(atlas.patches("stage3", 4).pictures) and len(atlas.clusters("stage3", 2).names)
    assert not any(name.startswith("icons") for name in atlas.steps.names)
    before = _files(tmp_path / "a")
    status, again, error = run(*arguments)
    assert (status, again) == (0, out), error
    assert _files(tmp_path / "a") == before
    for other, message in (
        (("--seed", "1"), "its seed is 0, this run has 1"),
        (("--levels", "2,8"), "its levels is [2, 4], this run has [2, 8]"),
        (("--count", "200"), "holds a store of another run"),
    ):
        status, _, error = run(*arguments, *other)
        assert status == 1 and message in error and "hoose another folder" in error
    assert _files(tmp_path / "a") == before


def test_icons_of_a_few_crops(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import phosphene.atlas as atlas

    monkeypatch.setattr(atlas, "IconSettings", lambda: _quick())
    few = ("--data", "photos:80:2", "--count", "60", "--levels", "2", "--no-patches", "--positions", "2")
    status, out, error = run("specimen", *LAYERS, *few, "--out", "b")
    assert status == 0, error
    found = Atlas.open(tmp_path / "b")
    assert "Atlas of 120 points" in out and found.images().max() == 59
    assert found.icons("stage3", 2).images.shape[1:] == (64, 64, 3)
    assert not any(name.startswith("patches") for name in found.steps.names)


def _quick() -> object:
    from phosphene.atlas.icons import IconSettings

    return IconSettings(steps=4, steps_from_parent=2, tries=1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"--levels": "ten"}, "levels: expected integers and ranges separated by commas, got 'ten'."),
        ({"--levels": "4,6"}, "levels: expected integers that each divide the next, coarse to fine, got (4, 6)"),
        ({"--levels": "0"}, "levels: expected an integer of at least 1, got 0"),
        ({"--levels": "80"}, "at which no cell has more than"),
        ({"--layers": "stage9"}, "no layer 'stage9'"),
        ({"--layers": " , "}, "layers: expected at least one layer"),
        ({"--data": "nowhere"}, "Nothing exists at that path"),
        ({"--data": "photos:many"}, "photos"),
        (
            {"--positions": "99"},
            "positions: expected at most 36, the number of inner positions of the coarsest layer, got 99",
        ),
        ({"--count": "70"}, "count: expected at most 60, the number of images, got 70"),
        ({"--on-error": "ignore"}, "on_error: expected 'raise' or 'skip'"),
    ],
)
def test_what_cannot_be_ends_with_status_2(run: Run, changed: dict[str, str], message: str) -> None:
    given = {"--data": "photos:60", "--layers": "stage3", "--levels": "2", "--out": "c", **changed}
    status, out, error = run(
        "specimen", *(part for pair in given.items() for part in pair), "--no-icons", "--no-patches"
    )
    assert status == 2 and out == "", (status, out)
    assert error.startswith("phosphene: ") and message in error and "Traceback" not in error


def test_an_option_that_is_missing_and_a_folder_that_cannot_be(run: Run, tmp_path: Path) -> None:
    status, _, error = run("specimen", "--data", "photos:60", "--out", "d")
    assert status == 2 and "--layers" in error
    (tmp_path / "file").write_text("mine")
    status, _, error = run("specimen", "--data", "photos:60", *LAYERS, "--out", "file")
    assert status == 1 and error.startswith("phosphene: cannot write") and (tmp_path / "file").read_text() == "mine"
