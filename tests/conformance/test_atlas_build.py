"""An atlas from images in one call: whole, the same on both backends, found again, and refused where it is of something else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
import phosphene.atlas.icons as icons_module
from built_atlases import CHART, QUICK, SETTINGS, same_atlas
from phosphene import errors
from phosphene.atlas import (
    Atlas,
    IconSettings,
    PatchSettings,
    build,
    chart,
    collect,
    draw_icons,
)
from phosphene.atlas.partition import directions
from phosphene.backend import Network
from phosphene.data import Crops

pytest.importorskip("zarr")
pytest.importorskip("sklearn")

IMAGES = "photos:500:3"
LAYER = "stage3"


@pytest.fixture(scope="module", params=["torch", pytest.param("jax", marks=pytest.mark.slow)])
def network(request: pytest.FixtureRequest, load: Callable[..., Network]) -> Network:
    """The specimen on each backend, as `costly_specimen`, once for all tests of this file."""
    return load("specimen", request.param)


@pytest.fixture(scope="module")
def built(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = tmp_path_factory.mktemp("built")
    return build(network, IMAGES, LAYER, folder, levels=(4, 8), settings=SETTINGS, progress=False)


def _files(folder: Path) -> dict[Path, tuple[int, int]]:
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_icons_are_truer_to_their_cells_than_the_most_typical_patch(built: Atlas) -> None:
    activations = directions(built.activations(LAYER))
    for size in (4, 8):
        level, icons = built.grid(LAYER).level(size), built.icons(LAYER, size)
        assert len(icons) >= 20 and icons.images.shape[1:] == (64, 64, 3)
        typical = []
        for group in icons.groups:
            mean = directions(level.group_means[[group]])[0]
            typical.append((activations[level.members_of_group(int(group))] @ mean).max())
        assert (icons.fidelity > typical).mean() > 0.75 and np.median(icons.fidelity) > 0.96
        assert (icons.rank == 1).mean() > 0.9
        assert icons.evaluations.min() >= 16 and icons.evaluations.max() <= 24 + 16


def test_fidelity_is_what_the_network_says_of_the_picture_as_it_is_kept(built: Atlas, network: Network) -> None:
    icons, level = built.icons(LAYER, 8), built.grid(LAYER).level(8)
    seen = ph.activations(network, icons.images.astype(np.float32) / 255, LAYER)[LAYER]
    for row, group in enumerate(icons.groups):
        centre, mean = seen[row, seen.shape[1] // 2, seen.shape[2] // 2], level.group_means[group]
        cosine = centre @ mean / np.linalg.norm(centre) / np.linalg.norm(mean)
        assert icons.fidelity[row] == pytest.approx(cosine, abs=1e-4)


def test_labels_clusters_and_patches_are_there(built: Atlas) -> None:
    assert repr(built).startswith("Atlas of 500 points")
    truth = np.array([built.classes[label] for label in Crops(500, 3).labels])[built.images()]
    for size in (4, 8):
        level = built.grid(LAYER).level(size)
        labels, clusters, patches = (
            built.labels(LAYER, size),
            built.clusters(LAYER, size),
            built.patches(LAYER, size),
        )
        agree = [
            (truth[level.members_of_group(group)] == labels.text(group)).mean()
            for group in np.flatnonzero(labels.claimed).tolist()
        ]
        assert len(agree) >= 8 and np.mean(agree) > 0.7
        assert len(clusters.names) >= 2 and len(built.cell_measures(LAYER, size)["recall"]) == len(level.counts)
        for group in range(len(level.group_cells)):
            shown = patches.points[group][patches.points[group] >= 0]
            assert len(shown) and np.isin(shown, level.members_of_group(group)).all()
            assert len(patches.of_group(group)) == len(shown)


def test_called_again_it_finds_everything(built: Atlas, network: Network) -> None:
    before, told = _files(built.folder), []
    again = build(network, IMAGES, LAYER, built.folder, levels=(4, 8), settings=SETTINGS, progress=told.append)
    assert _files(built.folder) == before
    assert {state.unit for state in told} <= {"steps", "icons"}  # no image was read
    np.testing.assert_array_equal(again.icons(LAYER, 8).images, built.icons(LAYER, 8).images)


def test_what_is_of_something_else_is_refused_with_the_way_out(built: Atlas, network: Network) -> None:
    other = network.with_weights(lambda path, array: array * 1.5 if path.startswith("head") else array)
    before = _files(built.folder)

    def call(network: Network = network, images: Any = IMAGES, settings: Any = SETTINGS, **more: Any) -> Any:
        return build(
            network, images, LAYER, built.folder, **{"levels": (4, 8), **more}, settings=settings, progress=False
        )

    for wrong, message in (
        ({"network": other}, "its model is"),
        ({"images": "photos:500:4"}, "its data is"),
        ({"seed": 1}, "its seed is"),
        ({"count": 400}, "its data is|its rows is"),
        ({"positions": 2}, "its positions is|its rows is"),
        ({"levels": (5, 10)}, r"step 'grid.stage3' of another run: its levels is \[4, 8\], this run has \[5, 10\]"),
        (
            {"settings": replace(SETTINGS, icons=IconSettings(steps=25))},
            "step 'icons.stage3.4.0000' .* its steps is 24",
        ),
        ({"settings": replace(SETTINGS, patches=PatchSettings(3))}, "step 'patches.stage3' .* its most is 2"),
        ({"settings": replace(SETTINGS, chart=replace(CHART, evenness=0.5))}, "its evenness is 0.8"),
        ({"texts": ["one"] * 500}, "clusters that were named without texts"),
    ):
        with pytest.raises(errors.OtherStore, match=rf"(?s)({message}).*[Cc]hoose another folder"):
            call(**wrong)
    with pytest.raises(errors.OtherStore, match="is an atlas of another model"):
        draw_icons(built, other, LAYER, SETTINGS.icons)
    assert _files(built.folder) == before


def test_a_store_of_a_later_version_is_refused(network: Network, built: Atlas, tmp_path: Path) -> None:
    for place in ("points/manifest.json", f"steps/layout.{LAYER}.json"):
        folder = tmp_path / place.partition("/")[0]
        shutil.copytree(built.folder, folder)
        text = json.loads((folder / place).read_text())
        (folder / place).write_text(json.dumps({**text, "format": 99}))
        with pytest.raises(errors.OtherStore, match=r"written in format 99, .* Install a later version"):
            build(network, IMAGES, LAYER, folder, levels=(4, 8), settings=SETTINGS, progress=False)


def test_a_damaged_shard_of_icons_is_made_again(
    built: Atlas, network: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(built.folder, tmp_path / "damaged")
    path = tmp_path / "damaged" / "steps" / f"icons.{LAYER}.4.0000.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)
    with pytest.raises(errors.CorruptStore, match=r"icons\.stage3\.4\.0000\.npz: damaged"):
        Atlas.open(tmp_path / "damaged").icons(LAYER, 4)
    again = build(network, IMAGES, LAYER, tmp_path / "damaged", levels=(4, 8), settings=SETTINGS, progress=False)
    assert f"icons.{LAYER}.4.0000.npz" in caplog.text
    same_atlas(again, built)


def _copied(built: Atlas, folder: Path) -> Atlas:
    """An atlas without its icons."""
    shutil.copytree(built.folder, folder)
    atlas = Atlas.open(folder)
    for name in atlas.steps.names:
        if name.startswith("icons."):
            atlas.steps.discard(name)
    return atlas


def test_threads_draw_the_same_icons(
    network: Network, built: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(icons_module, "SHARD", 8)
    alone, together = _copied(built, tmp_path / "alone"), _copied(built, tmp_path / "together")
    draw_icons(alone, network, LAYER, QUICK.icons, progress=False)
    with ThreadPoolExecutor(3) as executor:
        draw_icons(together, network, LAYER, QUICK.icons, executor=executor, progress=False)
    same_atlas(alone, together)
    assert len([name for name in alone.steps.names if name.startswith("icons.")]) >= 8


def test_threads_read_the_same_images(network: Network, built: Atlas, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as executor:
        store = collect(network, IMAGES, LAYER, tmp_path, executor=executor, progress=False)
    for name in store.names:
        np.testing.assert_array_equal(store.read(name), built.store.read(name))


@pytest.mark.slow
def test_both_backends_build_the_same_map(load: Callable[..., Network], tmp_path: Path) -> None:
    """Neighbours and a layout amplify rounding; of one layout all else is the same."""
    atlases = {}
    for backend in ("torch", "jax"):
        network = load("specimen", backend)
        collect(network, IMAGES, LAYER, tmp_path / backend, progress=False)
        layouts = None if backend == "torch" else {LAYER: atlases["torch"].layout(LAYER).points}
        atlases[backend] = chart(Atlas.open(tmp_path / backend), settings=CHART, layouts=layouts, progress=False)
        draw_icons(atlases[backend], network, LAYER, SETTINGS.icons, progress=False)
    torch, jax = atlases["torch"], atlases["jax"]
    np.testing.assert_array_equal(torch.positions(LAYER), jax.positions(LAYER))
    np.testing.assert_allclose(torch.activations(LAYER), jax.activations(LAYER), rtol=1e-3, atol=1e-4)
    for size in (4, 8):
        one, other = torch.grid(LAYER).level(size), jax.grid(LAYER).level(size)
        for name in ("cells", "counts", "kept", "cell_of", "members", "group_starts", "group_cells"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
        np.testing.assert_allclose(one.group_means, other.group_means, rtol=1e-3, atol=1e-4)
        mine, theirs = torch.labels(LAYER, size), jax.labels(LAYER, size)
        np.testing.assert_array_equal(mine.classes[:, 0], theirs.classes[:, 0])
        np.testing.assert_array_equal(mine.claimed, theirs.claimed)
        figures = [np.median(atlas.icons(LAYER, size).fidelity) for atlas in (torch, jax)]
        assert abs(figures[0] - figures[1]) < 0.01, figures
