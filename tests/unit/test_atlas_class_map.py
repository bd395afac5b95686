"""Class atlases of planted attributions: which points speak for a class, where they lie, and what their cells add."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from phosphene import errors
from phosphene.atlas import Atlas, ClassMap, GridSettings, LayoutSettings, class_map
from phosphene.atlas.class_maps import _sizes

pytest.importorskip("zarr")
pytest.importorskip("sklearn")
PCA = LayoutSettings("pca")


def _planted(count: int = 900) -> tuple[np.ndarray, np.ndarray]:
    """Activations about three directions, and attributions: the point's own class gets its strength, one other half of that."""
    random = np.random.default_rng(0)
    label = np.arange(count) % 3
    strength = random.uniform(0.1, 1, count)
    activations = np.eye(8)[label] * 4 + random.normal(size=(count, 8)) * 0.3
    attributions = np.full((count, 5), -1.0)
    attributions[np.arange(count), label] = strength
    attributions[np.arange(count), (label + 1) % 3] = strength / 2
    return activations.astype(np.float32), attributions.astype(np.float32)


@pytest.fixture
def atlas(tmp_path: Path) -> Atlas:
    activations, attributions = _planted()
    return Atlas.from_activations({"a": activations, "b": activations}, tmp_path, attributions={"a": attributions})


def _wanted(classes: list[int], rank: int, magnitude: float) -> list[int]:
    attributions = _planted()[1].astype(np.float64)
    found = []
    for number, row in enumerate(attributions):
        for each in classes:
            column = attributions[:, each]
            least = np.quantile(column[column > 0], magnitude)
            place = sorted(row, reverse=True).index(row[each]) + 1
            if place <= rank and row[each] > 0 and row[each] >= least:
                found.append(number)
                break
    return found


@pytest.mark.parametrize(("rank", "magnitude"), [(1, 0.5), (2, 0.5), (1, 0.0), (2, 0.9)])
def test_points_are_those_that_speak_for_the_class(atlas: Atlas, rank: int, magnitude: float) -> None:
    found = class_map(atlas, "a", 1, rank=rank, magnitude=magnitude, layout=PCA)
    assert found.points.tolist() == _wanted([1], rank, magnitude)
    label = found.points % 3
    # Class 0 adds half as much to class 1: second in rank, and never among the strongest.
    assert set(label.tolist()) == ({0, 1} if (rank, magnitude) == (2, 0.5) else {1})
    assert (found.target, found.other, found.name, found.method) == (1, None, "1", "pca")


def test_cells_and_their_attributions_are_those_of_a_loop(atlas: Atlas) -> None:
    found = class_map(atlas, "a", 0, layout=PCA, grid=GridSettings((2, 4), minimum=3))
    activations, attributions = _planted()
    for level in found.grid.levels:
        means = found.cell_attributions(level.size)
        assert means.shape == (len(level.counts), 1)
        for cell in range(len(level.counts)):
            members = found.points[level.members_of(cell)]
            assert means[cell, 0] == pytest.approx(attributions[members, 0].mean(), rel=1e-5)
            np.testing.assert_allclose(level.means[cell], activations[members].mean(axis=0), rtol=1e-4, atol=1e-5)
        groups = found.group_attributions(level.size)
        for group in range(len(level.group_means)):
            members = found.points[level.members_of_group(group)]
            assert groups[group, 0] == pytest.approx(attributions[members, 0].mean(), rel=1e-5)


def test_two_classes_are_held_against_each_other(atlas: Atlas) -> None:
    found = class_map(atlas, "a", 2, 0, layout=PCA, magnitude=0.2)
    assert found.points.tolist() == _wanted([2, 0], 1, 0.2) and found.other == 0 and found.name == "2 vs 0"
    attributions = _planted()[1][found.points].astype(np.float64)
    np.testing.assert_allclose(found.coordinates[:, 0], attributions[:, 2] - attributions[:, 0], rtol=1e-6)
    np.testing.assert_allclose(found.attributions, attributions[:, [2, 0]], rtol=1e-6)
    # The two classes lie apart on the line too.
    label = found.points % 3
    low, high = sorted(found.coordinates[label == each, 1].mean() for each in (0, 2))
    assert high - low > 4 * found.coordinates[label == 0, 1].std()
    assert found.cell_attributions(found.grid.levels[0].size).shape[1] == 2


@pytest.mark.slow
def test_umap_lays_out_the_plane_and_the_line(atlas: Atlas) -> None:
    pytest.importorskip("umap")
    one, two = class_map(atlas, "a", 1), class_map(atlas, "a", 1, 0)
    assert one.method == two.method == "umap"
    label = two.points % 3
    ends = [(two.coordinates[label == each, 1].min(), two.coordinates[label == each, 1].max()) for each in (0, 1)]
    low, high = sorted(ends)
    assert low[1] < high[0]


def test_it_is_kept_and_found_again_and_refused_where_it_is_another(atlas: Atlas) -> None:
    def same(one: ClassMap, other: ClassMap) -> None:
        np.testing.assert_array_equal(one.points, other.points)
        np.testing.assert_array_equal(one.coordinates, other.coordinates)
        np.testing.assert_array_equal(one.attributions, other.attributions)

    first = class_map(atlas, "a", 1, layout=PCA)
    assert "class.a.1" in atlas.steps.names
    same(first, class_map(Atlas.open(atlas.folder), "a", 1, layout=PCA))
    with pytest.raises(errors.OtherStore, match="its rank is 1, this run has 2"):
        class_map(atlas, "a", 1, rank=2, layout=PCA)


def test_levels_follow_the_number_of_points() -> None:
    assert [_sizes(count, 5) for count in (6, 30, 150, 600, 2500, 10_000)] == [
        (1,),
        (2,),
        (5,),
        (5, 10),
        (5, 10, 20),
        (5, 10, 20, 40),
    ]


def test_what_cannot_be(atlas: Atlas) -> None:
    with pytest.raises(errors.UnknownClass, match="no class 5: the network has 5 classes"):
        class_map(atlas, "a", 5)
    with pytest.raises(errors.UnknownClass, match="no class 'gravel'"):
        class_map(atlas, "a", "gravel")
    with pytest.raises(errors.InvalidParameter, match=r"3, supported by 0 of 900 points.*Raise rank, lower magnitude"):
        class_map(atlas, "a", 3)
    with pytest.raises(errors.InvalidParameter, match="other: expected a class other than the target"):
        class_map(atlas, "a", 1, 1)
    with pytest.raises(errors.InvalidParameter, match="collect it with attributions=True"):
        class_map(atlas, "b", 1)
    with pytest.raises(errors.InvalidParameter, match=r"magnitude: expected a quantile in \[0, 1\)"):
        class_map(atlas, "a", 1, magnitude=1.0)
    with pytest.raises(errors.InvalidParameter, match="rank: expected an integer of at least 1"):
        class_map(atlas, "a", 1, rank=0)
    with pytest.raises(
        errors.InvalidParameter, match="levels: expected levels with at least one cell of 50 or more points"
    ):
        class_map(atlas, "a", 1, layout=PCA, grid=GridSettings((40,), minimum=50))
