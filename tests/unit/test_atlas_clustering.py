"""Planted blobs found again, regions that nest, and names that differ."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phosphene import errors
from phosphene.atlas.cells import Grid
from phosphene.atlas.clustering import Clusters, ClusterSettings, cluster, log_density, named
from phosphene.atlas.grids import GridSettings, grid
from phosphene.atlas.labels import Labels
from phosphene.atlas.neighbours import GraphSettings, Neighbours, neighbour_graph

pytest.importorskip("sklearn")
CENTRES = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0], [5.0, 5.0]])


def _blobs(each: int = 150, parts: int = 5, spread: float = 0.8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = random.permutation(np.repeat(np.arange(parts), each))
    return CENTRES[truth] + spread * random.normal(size=(len(truth), 2)), truth


def _graph(points: np.ndarray, count: int = 15) -> Neighbours:
    return neighbour_graph(points.astype(np.float32), GraphSettings(count, "euclidean"))


def _grid(points: np.ndarray, levels: tuple[int, ...] = (4, 8)) -> Grid:
    return grid(points, np.ones((len(points), 2)), GridSettings(levels, 1, split_below=0))


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two partitions are one."""
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


@pytest.mark.parametrize("parts", [1, 2, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_planted_blobs_are_the_clusters(parts: int, seed: int) -> None:
    points, truth = _blobs(parts=parts, seed=seed)
    for found in cluster(_graph(points), _grid(points)):
        assert _same(found.cluster_of, truth)
        np.testing.assert_array_equal(found.counts, [150] * parts)
        for number, peak in enumerate(found.peaks):
            assert found.cluster_of[peak] == number
            assert np.linalg.norm(points[peak] - CENTRES[truth[peak]]) < 1.5
        assert found.names == tuple(f"cluster {number + 1}" for number in range(parts))


@pytest.mark.parametrize("dimension", [2, 5, 20])
def test_a_blob_without_structure_is_one_cluster(dimension: int) -> None:
    random = np.random.default_rng(dimension)
    counts = []
    for _ in range(4):
        for vectors in (random.normal(size=(1000, dimension)), random.uniform(size=(1000, dimension))):
            found = cluster(_graph(vectors), _grid(vectors[:, :2]), ClusterSettings(cells=0))
            counts.append(len(found[-1].counts))
    # By chance one may seem to have two peaks.
    assert counts.count(1) >= 7 and max(counts) <= 2


def test_the_density_is_that_which_was_planted() -> None:
    random = np.random.default_rng(0)
    for dimension in (1, 3):
        sparse, dense = random.uniform(size=(3000, dimension)), 5 + random.uniform(size=(3000, dimension)) / 2
        found = log_density(_graph(np.concatenate([sparse, dense])))
        # Half as wide, so so many times as dense.
        assert found[3000:].mean() - found[:3000].mean() == pytest.approx(dimension * np.log(2), rel=0.15)
        if dimension == 1:
            assert found[:3000].std() == pytest.approx(1 / np.sqrt(10), rel=0.25)


def test_equal_points_are_no_trouble() -> None:
    points = np.repeat(np.array([[0.0, 0.0], [1.0, 1.0], [5.0, 5.0]]), 40, axis=0)
    found = cluster(_graph(points), _grid(points))
    assert all(len(each.cluster_of) == 120 and each.counts.sum() == 120 for each in found)
    assert np.isfinite(found[0].density).all()
    assert (log_density(_graph(np.ones((30, 2)))) == 0).all()


def _by_definition(graph: Neighbours, height: np.ndarray, count: int, least: float) -> np.ndarray:
    """ToMATo as its authors write it: points from the highest down, each with its neighbours that came before."""
    near: list[set[int]] = [set() for _ in height]
    for point, row in enumerate(graph.indices[:, :count].tolist()):
        for other in row:
            near[point].add(other)
            near[other].add(point)
    order = np.lexsort((-graph.distances[:, :count].sum(axis=1), height))[::-1].tolist()
    place = {point: number for number, point in enumerate(order)}
    root: dict[int, int] = {}

    def find(point: int) -> int:
        while root[point] != point:
            point = root[point]
        return point

    for point in order:
        before = sorted((other for other in near[point] if other in root), key=place.__getitem__)
        if not before:
            root[point] = point
            continue
        root[point] = find(before[0])
        for other in before:
            low, high = sorted((find(other), find(point)), key=place.__getitem__, reverse=True)
            if low != high and height[low] - height[point] < least:
                root[low] = high
    return np.array([find(point) for point in range(len(height))])


@pytest.mark.parametrize("prominence", [0.5, 1.5, 3.0])
def test_peaks_merge_as_the_paper_says(prominence: float) -> None:
    points, _ = _blobs(80, spread=2.0)
    graph = _graph(points)
    found = cluster(graph, _grid(points), ClusterSettings(10, prominence, cells=0))[-1]
    wanted = _by_definition(graph, log_density(graph, 10), 10, prominence * np.sqrt(2 / 10))
    small = np.bincount(np.unique(wanted, return_inverse=True)[1]).min()
    assert small >= 10  # None was too small to stay.
    assert _same(found.cluster_of, wanted)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.3, 3.0), st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from([0.0, 1.0, 3.0]))
def test_every_point_is_in_one_cluster_and_clusters_nest_in_any_order(
    seed: int, spread: float, cells: float, prominence: float
) -> None:
    points, _ = _blobs(50, spread=spread, seed=seed)
    graph, chosen = _graph(points), ClusterSettings(8, prominence, cells)
    found = cluster(graph, _grid(points, (2, 4, 8)), chosen)
    above: Clusters | None = None
    for each in found:
        assert np.bincount(each.cluster_of).tolist() == each.counts.tolist() and each.counts.sum() == len(points)
        assert (np.diff(each.counts) <= 0).all()
        members, starts = each.members
        for number in range(len(each.counts)):
            assert (each.cluster_of[members[starts[number] : starts[number + 1]]] == number).all()
            if above is not None:
                inside = set(above.cluster_of[each.cluster_of == number].tolist())
                assert inside == {int(each.parents[number])}
        assert each.density.min() >= 0 and each.density.max() <= 1
        above = each
    order = np.random.default_rng(seed).permutation(len(points))
    back = np.argsort(order)
    moved = Neighbours(back[graph.indices[order]].astype(np.int32), graph.distances[order], graph.metric, True)
    for one, other in zip(found, cluster(moved, _grid(points[order], (2, 4, 8)), chosen), strict=True):
        assert _same(one.cluster_of[order], other.cluster_of)
        np.testing.assert_allclose(one.places[one.cluster_of[order]], other.places[other.cluster_of], atol=1e-12)


def test_a_coarse_level_has_fewer() -> None:
    random = np.random.default_rng(0)
    centres = random.uniform(0, 30, size=(30, 2))
    points = centres[np.repeat(np.arange(30), 60)] + 1.5 * random.normal(size=(1800, 2))
    plane = _grid(points, (3, 6, 12))
    found = cluster(_graph(points, 40), plane, ClusterSettings(prominence=1))
    counts = [len(each.counts) for each in found]
    assert counts[0] < counts[1] < counts[2] <= 31
    for level, each in zip(plane.levels, found, strict=True):
        assert each.counts.min() >= len(level.members) / len(level.counts) or len(each.counts) == 1


def test_the_place_is_on_the_map_where_some_of_the_cluster_is() -> None:
    points, truth = _blobs(100, 2, 0.5)
    far = np.concatenate([points, [[1e4, 1e4]]])
    graph = _graph(np.concatenate([points, points[truth == 0].mean(axis=0)[None]]))
    plane = grid(far, np.ones((len(far), 2)), GridSettings((4,), 1, split_below=0))
    found = cluster(graph, plane)[0]
    assert plane.outliers[-1] and ((found.places >= 0) & (found.places < 1)).all()


def _labels(first: list[str], second: list[str], claimed: list[bool]) -> Labels:
    names = tuple(sorted({*first, *second}))
    classes = np.array(
        [[names.index(one), names.index(other)] for one, other in zip(first, second, strict=True)], np.int32
    )
    some = np.ones(len(first))
    return Labels("logits", names, classes, classes * 1.0, some, np.ones((len(first), 2)), np.array(claimed), some)


def _named(*labels: Labels) -> Clusters:
    many = len(labels[0].claimed)
    zeros = np.zeros(many, np.int64)
    blank = Clusters(
        tuple(map(str, range(many))),
        zeros.astype(np.int32),
        zeros,
        zeros.astype(np.int32),
        zeros,
        np.zeros((many, 2)),
        zeros.astype(bool),
        zeros.astype(np.float32),
    )
    return named(blank, labels)


def test_names_differ() -> None:
    first = ["coins", "page", "page", "page", "moon", "moon", "cat"]
    second = ["page", "text", "brick", "brick", "cat", "cat", "moon"]
    found = _named(_labels(first, second, [True, True, True, True, False, False, True]))
    assert found.names == ("coins", "page · text", "page · brick 1", "page · brick 2", "unnamed 1", "unnamed 2", "cat")
    assert found.claimed.tolist() == [True, True, True, True, False, False, True]
    # A class may bear a number of its own.
    assert _named(_labels(["a"] * 2 + ["a · b 1"], ["b"] * 3, [True] * 3)).names == ("a · b 2", "a · b 3", "a · b 1")


def test_texts_name_what_they_can() -> None:
    texts = _labels(["mine", "mine"], ["yours", "yours"], [True, False])
    classes = _labels(["coins", "page"], ["page", "coins"], [True, True])
    assert _named(texts, classes).names == ("mine", "page")


def test_clusters_come_back_from_their_arrays() -> None:
    points, _ = _blobs()
    found = cluster(_graph(points), _grid(points))[0]
    again = Clusters.of(found.arrays())
    assert again.names == found.names
    for name in list(Clusters.__dataclass_fields__)[1:]:
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))


def test_what_cannot_be() -> None:
    points, _ = _blobs()
    with pytest.raises(
        errors.InvalidParameter, match="graph: expected a graph of the 750 points of the grid, got one of 100 points"
    ):
        cluster(_graph(points[:100]), _grid(points))
    for wrong in ({"neighbours": 1}, {"prominence": -1.0}, {"cells": float("nan")}):
        with pytest.raises(errors.InvalidParameter, match=next(iter(wrong))):
            ClusterSettings(**wrong)
