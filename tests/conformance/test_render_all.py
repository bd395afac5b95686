"""Every unit of a layer: batches that are kept, resumed, halved where memory does not suffice, and a page of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from phosphene import errors
from phosphene.backend import Network
from phosphene.data import Crops
from phosphene.sheet import call as sheet
from phosphene.sheet import cards as judging
from small_models import linear_convolution

Load = Callable[..., Network]
OPTIONS: dict[str, Any] = {"size": 32, "steps": 6, "batch": 5, "warm_up": 0, "progress": False}


def archives(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.npz"))}


def test_a_run_that_was_stopped_goes_on_and_equals_one_that_was_not(backend: str, load: Load, tmp_path: Path) -> None:
    network = load("specimen", backend)
    options = {**OPTIONS, "steps": 40}
    whole = ph.render_all(network, "stage1", tmp_path / "whole", channels=range(12), **options)
    assert whole.settings["channels"] == list(range(12)) and len(archives(tmp_path / "whole")) == 3

    def stop(state: ph.Progress) -> bool:
        return state.done < 7  # in the midst of the second batch

    folder = tmp_path / "halves"
    part = ph.render_all(network, "stage1", folder, channels=range(12), **{**options, "progress": stop})
    first = archives(folder)
    assert len(part) == 5 and len(first) == 1
    again = ph.render_all(network, "stage1", folder, channels=range(12), **options)
    assert {name: data for name, data in archives(folder).items() if name in first} == first  # not made again
    np.testing.assert_array_equal(again.images, whole.images)
    np.testing.assert_array_equal(again.history, whole.history)
    assert again.labels == tuple(f"stage1 : {index}" for index in range(12))


def test_a_recipe_that_is_refused_leaves_the_folder_to_the_right_one(
    costly_backend: str, load: Load, tmp_path: Path
) -> None:
    network, folder = load("specimen", costly_backend), tmp_path / "units"
    with pytest.raises(errors.InvalidParameter, match="Did you mean 'plain'"):
        ph.render_all(network, "stage1", folder, channels=[0], preset="plein", **OPTIONS)
    assert list(folder.iterdir()) == []
    assert len(ph.render_all(network, "stage1", folder, channels=[0], preset="plain", **OPTIONS)) == 1
    with pytest.raises(errors.OtherStore, match="its recipe is"):
        ph.render_all(network, "stage1", folder, channels=[0], preset="default", **OPTIONS)


def test_a_damaged_batch_is_made_again(costly_backend: str, load: Load, tmp_path: Path) -> None:
    network = load("specimen", costly_backend)
    whole = ph.render_all(network, "stage1", tmp_path, channels=range(6), **OPTIONS)
    path = sorted(tmp_path.glob("*.npz"))[0]
    path.write_bytes(path.read_bytes()[:100])
    again = ph.render_all(network, "stage1", tmp_path, channels=range(6), **OPTIONS)
    np.testing.assert_array_equal(again.images, whole.images)


def test_where_memory_does_not_suffice_a_batch_is_halved(
    costly_backend: str, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, render = load("specimen", costly_backend), sheet.render

    def small(network: Network, objectives: Any, **options: Any) -> Any:
        if len(objectives) > 3:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return render(network, objectives, **options)

    monkeypatch.setattr(sheet, "render", small)
    found = ph.render_all(network, "stage1", tmp_path, channels=range(10), **OPTIONS)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["batches"] == [[0, 1, 2], [3, 4], [5, 6, 7], [8, 9]] and len(found) == 10
    monkeypatch.setattr(sheet, "render", lambda *_, **__: pytest.fail("all is there"))
    again = ph.render_all(network, "stage1", tmp_path, channels=range(10), **OPTIONS)
    np.testing.assert_array_equal(again.images, found.images)


def test_other_errors_are_no_want_of_memory(
    backend: str, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(sheet, "render", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        ph.render_all(load("specimen", backend), "stage1", tmp_path, channels=range(4), **OPTIONS)


def test_units_that_show_nothing_are_said_not_drawn(backend: str, tmp_path: Path) -> None:
    """Three filters: one that works, one of zeros, whose gradient never arrives, one dead on the images."""
    filters = np.random.default_rng(0).standard_normal((3, 5, 5, 3)).astype(np.float32)
    filters[1] = 0
    network = ph.wrap(linear_convolution(backend, filters), size=16)
    images = np.full((20, 16, 16, 3), 0.5, np.float32) + 0.1 * np.sign(filters[0].sum((0, 1)))
    found = ph.render_all(
        network, "conv", tmp_path, images=np.clip(images, 0, 1).astype(np.float32), steps=10, warm_up=8, progress=False
    )
    told = found.settings["said"]
    assert "1" in told and found.settings["channels"] == [index for index in range(3) if str(index) not in told]
    page = (tmp_path / "index.html").read_text()
    assert "channel 1: " in page and "http" not in page.replace("http-equiv", "")


def test_cards_are_those_of_assess_and_are_made_once(
    costly_backend: str, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, images, channels = load("specimen", costly_backend), Crops(24, seed=2).images(), range(8)
    options: dict[str, Any] = {**OPTIONS, "batch": 8}
    found = ph.render_all(network, "stem", tmp_path, images=images, channels=channels, trust=True, **options)
    wanted = [ph.channel("stem", index) for index in found.settings["channels"]]
    again = ph.render(network, wanted, seed=1, size=32, steps=6, warm_up=0, slots=len(wanted), progress=False)
    own = ph.assess(network, [found, again], images, objectives=wanted, seeds=2)
    told = found.settings["trust"]
    assert [row["word"] for row in told] == list(own.words)
    assert [row["score"] for row in told] == pytest.approx(own.scores.tolist(), abs=0.26)  # a pair of four may turn
    page = (tmp_path / "index.html").read_text()
    assert page.count("data-word=") == len(found) and "24 real images are not enough" in page

    monkeypatch.setattr(judging, "assess", lambda *_, **__: pytest.fail("the cards are there"))
    once_more = ph.render_all(network, "stem", tmp_path, images=images, channels=channels, trust=True, **options)
    assert once_more.settings["trust"] == told and (tmp_path / "index.html").read_text() == page
    without = ph.render_all(network, "stem", tmp_path, images=images, channels=channels, **options)
    assert "trust" not in without.settings and "data-word=" not in (tmp_path / "index.html").read_text()

    made: list[int] = []
    monkeypatch.setattr(judging, "assess", lambda *_, **__: made.append(1) or own)
    kept = next(tmp_path.glob("trust-*.json"))
    kept.write_text(kept.read_text()[:200])
    mended = ph.render_all(network, "stem", tmp_path, images=images, channels=channels, trust=True, **options)
    assert [row["reason"] for row in mended.settings["trust"]] == [card.reason for card in own] and len(made) == 1
    with pytest.raises(errors.OtherStore, match="its images is"):
        ph.render_all(network, "stem", tmp_path, images=images[::-1].copy(), channels=channels, trust=True, **options)
    assert len(made) == 1


def test_a_stop_before_anything_is_finished_says_so(load: Load, tmp_path: Path) -> None:
    network, options = load("specimen", "torch"), {**OPTIONS, "steps": 40}
    with pytest.raises(errors.InvalidParameter, match="progress: expected a stop after the first batch"):
        ph.render_all(network, "stem", tmp_path, channels=range(3), **{**options, "progress": lambda state: False})
    assert len(ph.render_all(network, "stem", tmp_path, channels=range(3), **options)) == 3


def test_a_run_that_was_stopped_before_its_cards_goes_on_to_them(
    costly_backend: str, load: Load, tmp_path: Path
) -> None:
    network, images = load("specimen", costly_backend), Crops(24, seed=2).images()
    options: dict[str, Any] = {
        **OPTIONS,
        "batch": 4,
        "steps": 12,
        "images": images,
        "channels": range(8),
        "trust": True,
    }

    def stop(state: ph.Progress) -> bool:
        return state.unit != "pictures" or state.done < 10  # in the midst of the second seed

    part = ph.render_all(network, "stem", tmp_path, **{**options, "progress": stop})
    assert len(part) == 8 and "trust" not in part.settings
    first = archives(tmp_path)
    whole = ph.render_all(network, "stem", tmp_path, **options)
    np.testing.assert_array_equal(whole.images, part.images)
    assert len(whole.settings["trust"]) == 8
    assert {name: data for name, data in archives(tmp_path).items() if name in first} == first


def test_what_cannot_be_is_refused(costly_backend: str, load: Load, tmp_path: Path) -> None:
    network = load("specimen", costly_backend)
    ph.render_all(network, "stem", tmp_path, channels=[0, 3], **OPTIONS)
    for change, kind, message in (
        ({"seed": 1}, errors.OtherStore, "its seed is 0, this run has 1"),
        ({"channels": [0, 4]}, errors.OtherStore, "its units is"),
        ({"channels": [0, 0]}, errors.InvalidParameter, "channels: expected distinct channels from 0 to"),
        ({"channels": [0, 9999]}, errors.InvalidParameter, "channels: expected distinct channels from 0 to"),
        ({"trust": True}, errors.InvalidParameter, "trust: expected False, or True together with images"),
        ({"slots": 4}, errors.InvalidParameter, "recipe: expected .*preset"),
        ({"layer": "stern"}, errors.UnknownLayer, "stem"),
    ):
        given = {"layer": "stem", "channels": [0, 3], **OPTIONS, **change}
        with pytest.raises(kind, match=message):
            ph.render_all(network, given.pop("layer"), tmp_path, **given)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(errors.CorruptFile):
        ph.render_all(network, "stem", tmp_path, channels=[0, 3], **OPTIONS)
