"""A class map as an atlas of its own: the same points, their numbers and their place, with icons and patches to look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from built_atlases import QUICK
from phosphene import errors
from phosphene.atlas import Atlas, ClassMap, IconSettings, LayoutSettings, PatchSettings, build, class_atlas, class_map
from phosphene.backend import Network

pytest.importorskip("zarr")
pytest.importorskip("sklearn")

LAYER, DATA = "stage3", "photos:500:5"
ICONS = IconSettings(steps=6, steps_from_parent=4, tries=1)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, load: Callable[..., Network]) -> Atlas:
    network = load("specimen", "torch")
    return build(network, DATA, LAYER, tmp_path_factory.mktemp("whole"), levels=(2,), settings=QUICK, progress=False)


def of_own(built: Atlas, network: Network, found: ClassMap, out: Path) -> Atlas:
    return class_atlas(built, network, DATA, found, out, icons=ICONS, patches=PatchSettings(2), progress=False)


@pytest.mark.parametrize("other", [None, "grass"])
def test_it_is_the_map_with_pictures(
    built: Atlas, load: Callable[..., Network], other: str | None, tmp_path: Path
) -> None:
    network = load("specimen", "torch")
    found = class_map(built, LAYER, "gravel", other, layout=LayoutSettings("pca"))
    own = of_own(built, network, found, tmp_path / "own")
    np.testing.assert_array_equal(own.images(), built.images()[found.points])
    np.testing.assert_array_equal(own.activations(LAYER), built.activations(LAYER)[found.points])
    np.testing.assert_array_equal(own.layout(LAYER).points, found.coordinates)
    for level, same in zip(own.grid(LAYER).levels, found.grid.levels, strict=True):
        np.testing.assert_array_equal(level.cells, same.cells)
        np.testing.assert_array_equal(level.counts, same.counts)
        assert len(own.icons(LAYER, level.size)) and len(own.patches(LAYER, level.size).pictures)
    page = own.view(tmp_path / "gravel.html", title="gravel")
    assert page.stat().st_size > 10_000
    again = of_own(built, network, found, tmp_path / "own")
    assert again.identity == own.identity


def test_another_model_or_other_images_are_refused(built: Atlas, load: Callable[..., Network], tmp_path: Path) -> None:
    network = load("specimen", "torch")
    found = class_map(built, LAYER, "gravel", layout=LayoutSettings("pca"))
    other = network.with_weights(lambda path, array: array * np.float32(1.01))
    with pytest.raises(errors.OtherStore, match="model"):
        class_atlas(built, other, DATA, found, tmp_path / "own")
    with pytest.raises(errors.OtherStore, match="images"):
        class_atlas(built, network, "photos:500:6", found, tmp_path / "own")
    assert not (tmp_path / "own").exists()
