"""Measures of a map against their definitions, and against maps that are known to be good or bad."""

from __future__ import annotations

import numpy as np
import pytest

from phosphene import errors
from phosphene.atlas.grids import GridSettings, grid
from phosphene.atlas.measures import MeasureSettings, by_cell, measure, seed_disparity, split_half
from phosphene.atlas.neighbours import GraphSettings, neighbour_graph

pytest.importorskip("sklearn")


def _ranks(vectors: np.ndarray) -> np.ndarray:
    """Rank of each point among the neighbours of each other; 0 of itself."""
    distance = np.linalg.norm(vectors[:, None].astype(np.float64) - vectors[None], axis=2)
    np.fill_diagonal(distance, -1)
    return np.argsort(np.argsort(distance, axis=1), axis=1)


def _by_definition(vectors: np.ndarray, points: np.ndarray, k: int) -> tuple[float, float, float]:
    """Equations 1 and 2 of Venna and Kaski (2001), point by point."""
    high, low, count = _ranks(vectors), _ranks(points), len(points)
    trust = continuity = shared = 0.0
    for i in range(count):
        true = {j for j in range(count) if 1 <= high[i, j] <= k}
        near = {j for j in range(count) if 1 <= low[i, j] <= k}
        trust += sum(high[i, j] - k for j in near - true)
        continuity += sum(low[i, j] - k for j in true - near)
        shared += len(true & near)
    scale = 2 / (count * k * (2 * count - 3 * k - 1))
    return 1 - scale * trust, 1 - scale * continuity, shared / count / k


@pytest.mark.parametrize("k", [1, 5, 15])
@pytest.mark.parametrize("noise", [0.0, 0.3, 100.0])
def test_measures_are_those_of_the_definition(k: int, noise: float) -> None:
    random = np.random.default_rng(k)
    vectors = random.normal(size=(80, 6)).astype(np.float32)
    points = vectors[:, :2] + noise * random.normal(size=(80, 2))
    graph = neighbour_graph(vectors, GraphSettings(20, "euclidean"))
    found = measure(vectors, points, graph, MeasureSettings(k))
    wanted = _by_definition(vectors, points, k)
    assert (found.trustworthiness, found.continuity, found.recall) == pytest.approx(wanted, abs=1e-6)
    from sklearn.manifold import trustworthiness

    assert found.trustworthiness == pytest.approx(trustworthiness(vectors, points, n_neighbors=k), abs=1e-9)
    assert found.point_recall.shape == (80,) and found.point_trustworthiness.shape == (80,)


def test_a_faithful_map_is_perfect_and_a_shuffled_one_is_chance() -> None:
    random = np.random.default_rng(0)
    plane = random.normal(size=(500, 2)).astype(np.float32)
    vectors = plane @ np.linalg.qr(random.normal(size=(7, 7)))[0][:2]
    graph = neighbour_graph(vectors, GraphSettings(20, "euclidean"))
    good = measure(vectors, 3 * plane[:, ::-1] + 5, graph)
    assert (good.trustworthiness, good.continuity, good.recall) == pytest.approx((1, 1, 1), abs=1e-3)
    np.testing.assert_allclose(good.point_stretch, 0, atol=1e-3)
    bad = measure(vectors, random.permutation(plane), graph)
    assert 0.45 < bad.trustworthiness < 0.55 and 0.45 < bad.continuity < 0.55 and bad.recall < 0.1


def test_tearing_and_folding_are_told_apart() -> None:
    random = np.random.default_rng(1)
    sheet = random.uniform(-1, 1, size=(800, 3)).astype(np.float32) * np.array([1, 1, 0.001], np.float32)
    graph = neighbour_graph(sheet, GraphSettings(20, "euclidean"))
    folded = sheet[:, :2].copy()
    folded[:, 0] = np.abs(folded[:, 0])
    torn = sheet[:, :2] + np.where(np.sin(20 * sheet[:, :1]) > 0, 30, 0)
    fold, tear = measure(sheet, folded, graph), measure(sheet, torn, graph)
    assert fold.continuity > 0.98 > fold.trustworthiness + 0.1
    assert tear.trustworthiness > tear.continuity + 0.02


def test_stretch_says_where_the_map_is_too_wide() -> None:
    random = np.random.default_rng(2)
    plane = random.normal(size=(900, 2)).astype(np.float32)
    plane[:, 0] += np.repeat([0, 50, 100], 300)
    drawn = plane.copy()
    drawn[600:] = 4 * (drawn[600:] - [100, 0]) + [100, 0]
    stretch = measure(plane, drawn, neighbour_graph(plane, GraphSettings(10, "euclidean"))).point_stretch
    np.testing.assert_allclose(stretch[:600], 0, atol=0.7)
    assert np.median(stretch[600:]) == pytest.approx(2, abs=0.2)


def test_a_sample_estimates_the_whole() -> None:
    random = np.random.default_rng(3)
    vectors = random.normal(size=(1500, 5)).astype(np.float32)
    graph = neighbour_graph(vectors)
    whole, part = (measure(vectors, vectors[:, :2], graph, MeasureSettings(sample=size)) for size in (1500, 300))
    assert len(part.sample) == 300 == len(set(part.sample.tolist()))
    assert part.trustworthiness == pytest.approx(whole.trustworthiness, abs=0.02)
    assert part.continuity == pytest.approx(whole.continuity, abs=0.02)
    np.testing.assert_allclose(part.point_trustworthiness, whole.point_trustworthiness[part.sample])


def test_halves_of_a_cell_agree_as_far_as_it_has_a_direction() -> None:
    random = np.random.default_rng(4)
    points = np.concatenate(
        [random.uniform(0, 0.4, size=(400, 2)), random.uniform(0.6, 1, size=(400, 2)), [[0.1, 0.9]] * 4]
    )
    vectors = random.normal(size=(804, 30))
    vectors[:400] += 5 * np.eye(30)[0]
    level = grid(points, vectors, GridSettings((2,), minimum=3, percentile=0)).levels[0]
    found = split_half(vectors, level)
    sizes = level.counts.tolist()
    assert sizes == [400, 4, 400] and np.isnan(found[1])
    assert found[0] > 0.99 and abs(found[2]) < 0.5
    # By a loop over random halves of the first cell.
    members, cosines = level.members_of(2), []
    for _ in range(200):
        half = random.permutation(members)
        one, other = vectors[half[:200]].mean(axis=0), vectors[half[200:]].mean(axis=0)
        cosines.append(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
    many = split_half(vectors, level, repeats=200)
    assert many[2] == pytest.approx(np.mean(cosines), abs=0.05)
    np.testing.assert_array_equal(split_half(vectors, level), found)


def test_means_by_cell() -> None:
    random = np.random.default_rng(5)
    points, values = random.uniform(size=(300, 2)), random.normal(size=300)
    values[7] = np.nan
    level = grid(points, random.normal(size=(300, 4)), GridSettings((5,))).levels[0]
    wanted = [np.nanmean(values[level.cell_of == cell]) for cell in range(len(level.counts))]
    np.testing.assert_allclose(by_cell(level, values), wanted)


def test_maps_of_several_seeds() -> None:
    random = np.random.default_rng(6)
    one = random.normal(size=(200, 2))
    assert seed_disparity([one, -2 * one + 3, one[:, ::-1]]) == pytest.approx(0, abs=1e-9)
    assert seed_disparity([one, random.normal(size=(200, 2))]) > 0.9


def test_what_cannot_be() -> None:
    vectors = np.random.default_rng(0).normal(size=(20, 4))
    graph = neighbour_graph(vectors)
    with pytest.raises(
        errors.InvalidParameter, match=r"neighbours: expected at most 9, fewer than half of the 20 points"
    ):
        measure(vectors, vectors[:, :2], graph)
    with pytest.raises(
        errors.InvalidParameter, match=r"points: expected a layout of the 20 vectors, got one of 5 points"
    ):
        measure(vectors, vectors[:5, :2], graph, MeasureSettings(3))
    with pytest.raises(errors.InvalidParameter, match="layouts: expected at least 2 layouts, got 1"):
        seed_disparity([vectors[:, :2]])
