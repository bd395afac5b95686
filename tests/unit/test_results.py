"""Results are saved whole, come back as they were, and damaged files are refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import phosphene as ph
from phosphene import errors, results


def _renders(channels: int = 3) -> ph.Renders:
    random = np.random.default_rng(0)
    history = random.random((10, 3))
    history[5:, 2] = np.nan
    return ph.Renders(
        images=random.random((3, 12, 9, channels)).astype(np.float32),
        values=np.array([1.0, 2.5, -3.0]),
        history=history,
        labels=("a", "b <script>", "ü"),
        status=("budget", "converged", "interrupted"),
        steps=np.array([10, 10, 5]),
        awake_at=np.array([0, 2, -1]),
        scores={"cosine": np.array([0.1, 0.2, 0.3])},
        settings={"seed": 3, "recipe": {"steps": 10}},
        seconds=1.5,
    )


@pytest.mark.parametrize(("ending", "tolerance"), [(".png", 0.5 / 255 + 1e-6), (".npz", 0.0)])
@pytest.mark.parametrize("channels", [1, 2, 3, 7, 12])
def test_what_is_saved_comes_back(tmp_path: Path, ending: str, tolerance: float, channels: int) -> None:
    renders = _renders(channels)
    again = ph.Renders.load(renders.save(tmp_path / f"x{ending}"))
    assert np.abs(again.images - renders.images).max() <= tolerance
    np.testing.assert_array_equal(again.history, renders.history)
    np.testing.assert_array_equal(again.values, renders.values)
    np.testing.assert_array_equal(again.steps, renders.steps)
    np.testing.assert_array_equal(again.awake_at, renders.awake_at)
    np.testing.assert_array_equal(again.scores["cosine"], renders.scores["cosine"])
    assert (again.labels, again.status, again.settings) == (renders.labels, renders.status, renders.settings)


@pytest.mark.parametrize(("steps", "kept"), [(900, True), (6000, False)])
def test_a_history_that_is_too_long_for_a_png_does_not_spoil_it(tmp_path: Path, steps: int, kept: bool) -> None:
    """Readers refuse more than 2^20 characters; 128 pictures of 512 steps are enough."""
    from dataclasses import replace

    short = _renders()[:1]
    many = 64
    history = np.random.default_rng(0).random((steps, many))
    renders = replace(
        short, images=np.repeat(short.images, many, axis=0), values=np.arange(many) / 3, history=history,
        labels=tuple(map(str, range(many))), status=("budget",) * many, steps=np.full(many, steps),
        awake_at=np.zeros(many, np.int64), scores={},
    )  # fmt: skip
    again = ph.Renders.load(renders.save(tmp_path / "x.png"))
    assert again.history.shape == ((steps if kept else 0), many) and again.labels == renders.labels
    if kept:
        np.testing.assert_allclose(again.history, history, rtol=1e-3)


def test_settings_are_plain_json_in_the_png(tmp_path: Path) -> None:
    from PIL import Image

    path = _renders().save(tmp_path / "x.png")
    with Image.open(path) as opened:
        metadata = json.loads(opened.text["phosphene"])  # type: ignore[attr-defined]
    assert metadata["settings"]["seed"] == 3


def test_channels_that_are_no_colours_stand_side_by_side() -> None:
    image = np.linspace(0, 1, 4 * 5 * 6).reshape(4, 5, 6)
    picture = results.as_picture(image)
    assert picture.shape == (2 * 4 + 1, 3 * 5 + 2, 1)
    np.testing.assert_array_equal(picture[5:, 6:11, 0], image[..., 4].astype(np.float32))
    assert (picture[4] == 1).all() and (picture[:, 5] == 1).all()
    np.testing.assert_array_equal(results.from_picture(picture, (4, 5, 6)), image.astype(np.float32))
    assert _renders(5)._repr_png_().startswith(b"\x89PNG")
    assert len(_renders(5).plot().axes) == 4


@pytest.mark.parametrize("ending", [".png", ".npz"])
def test_damaged_and_foreign_files_are_refused(tmp_path: Path, ending: str) -> None:
    path = _renders().save(tmp_path / f"x{ending}")
    whole = path.read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(errors.CorruptFile, match="not a result of phosphene, or damaged"):
            ph.Renders.load(path)


def test_a_picture_of_somebody_else_is_refused(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    with pytest.raises(errors.CorruptFile, match="carries no settings"):
        ph.Renders.load(tmp_path / "x.png")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(errors.UnwritablePath, match="No space left on device"):
        _renders().save(path)
    assert path.read_bytes() == b"old" and [item.name for item in tmp_path.iterdir()] == ["x.png"]


def test_rows_are_taken_like_a_list() -> None:
    renders = _renders()
    assert renders[1].labels == ("b <script>",) and len(renders[1:]) == 2
    assert renders[-1].labels == ("ü",)


def test_convergence_is_read_from_the_history() -> None:
    rising, level = np.linspace(0, 10, 80), np.concatenate([np.linspace(0, 10, 40), np.full(40, 10.0)])
    base = _renders()
    renders = ph.Renders(
        base.images, base.values, np.stack([rising, level, level], axis=1), base.labels, base.status,
        np.array([80, 80, 40]), base.awake_at, {}, {},
    )  # fmt: skip
    assert renders.converged.tolist() == [False, True, False]


def test_a_plot_has_a_picture_and_a_title_each() -> None:
    pytest.importorskip("matplotlib")
    figure = _renders().plot()
    drawn = [axis for axis in figure.axes if axis.images]
    assert len(drawn) == 3 and drawn[2].get_title().endswith("(interrupted)")


def test_a_notebook_gets_a_png() -> None:
    assert _renders()._repr_png_()[:4] == b"\x89PNG"
