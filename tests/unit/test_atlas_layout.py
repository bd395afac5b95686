"""Neighbours against brute force; layouts that find planted groups, repeat themselves and lie over one another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import phosphene.atlas.layout as layout_module
from phosphene import errors
from phosphene.atlas.layout import METHODS, LayoutSettings, lay_out, lay_out_layers
from phosphene.atlas.neighbours import GraphSettings, Neighbours, nearest_among, neighbour_graph
from phosphene.atlas.procrustes import disparity, fit_similarity

pytest.importorskip("sklearn")
GROUPS = np.random.default_rng(0).integers(0, 5, 400)


def _vectors(noise: float = 1.0) -> np.ndarray:
    random = np.random.default_rng(3)
    centres = 3 * random.normal(size=(5, 12))
    return (centres[GROUPS] + noise * random.normal(size=(400, 12))).astype(np.float32)


def _distances(vectors: np.ndarray, metric: str) -> np.ndarray:
    wide = vectors.astype(np.float64)
    if metric == "cosine":
        unit = wide / np.linalg.norm(wide, axis=1, keepdims=True)
        return 1 - unit @ unit.T
    return np.array([[np.linalg.norm(one - other) for other in wide] for one in wide])


def _same_group(points: np.ndarray) -> float:
    """Part of the five nearest on the map that are of the point's own group."""
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    near = np.argsort(distance, axis=1)[:, 1:6]
    return float((GROUPS[near] == GROUPS[:, None]).mean())


@pytest.fixture(scope="module")
def graph() -> Neighbours:
    return neighbour_graph(_vectors(), GraphSettings(count=15))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_neighbours_are_those_of_brute_force(metric: str) -> None:
    vectors = _vectors()[:150]
    found = neighbour_graph(vectors, GraphSettings(count=7, metric=metric))
    wanted = _distances(vectors, metric)
    np.fill_diagonal(wanted, np.inf)
    assert found.exact and found.count == 7
    np.testing.assert_array_equal(found.indices, np.argsort(wanted, axis=1)[:, :7])
    np.testing.assert_allclose(found.distances, np.sort(wanted, axis=1)[:, :7], rtol=1e-4, atol=1e-6)


def test_equal_points_are_neighbours_and_no_point_is_its_own() -> None:
    vectors = np.repeat(np.eye(3, 4, dtype=np.float32), 20, axis=0)
    found = neighbour_graph(vectors, GraphSettings(count=10))
    assert (found.indices != np.arange(60)[:, None]).all() and found.distances.max() < 1e-6
    assert (found.indices // 20 == np.arange(60)[:, None] // 20).all()
    own, zero = found.with_self(5)
    np.testing.assert_array_equal(own[:, 0], np.arange(60))
    assert own.shape == (60, 5) and (zero[:, 0] == 0).all()


def test_zeros_are_near_zeros_and_as_far_from_all_else() -> None:
    vectors = np.concatenate([np.zeros((5, 6)), np.random.default_rng(0).normal(size=(20, 6))])
    found = neighbour_graph(vectors, GraphSettings(count=24))
    assert set(found.indices[0, :4]) == {1, 2, 3, 4}
    np.testing.assert_allclose(found.distances[0], [0.0] * 4 + [0.5] * 20, atol=1e-6)


def test_nearest_among_others() -> None:
    vectors = _vectors()
    indices, distances = nearest_among(vectors[:300], 4, GraphSettings(metric="euclidean"))(vectors[300:])
    wanted = np.linalg.norm(vectors[300:, None].astype(np.float64) - vectors[None, :300], axis=2)
    np.testing.assert_array_equal(indices, np.argsort(wanted, axis=1)[:, :4])
    np.testing.assert_allclose(distances, np.sort(wanted, axis=1)[:, :4], rtol=1e-4)


@pytest.mark.slow
def test_approximate_neighbours_are_almost_all_there() -> None:
    pytest.importorskip("pynndescent")
    random = np.random.default_rng(0)
    vectors = (random.normal(size=(2500, 6)) @ random.normal(size=(6, 20))).astype(np.float32)
    exact, rough = (neighbour_graph(vectors, GraphSettings(count=15, exact_up_to=most)) for most in (5000, 100))
    again = neighbour_graph(vectors, GraphSettings(count=15, exact_up_to=100))
    assert exact.exact and not rough.exact
    np.testing.assert_array_equal(rough.indices, again.indices)
    assert (rough.indices[:, :, None] == exact.indices[:, None]).any(axis=2).mean() > 0.9
    assert (rough.indices != np.arange(2500)[:, None]).all()
    # Queries against an approximate index, as of points that are placed among many landmarks.
    indices, _ = nearest_among(vectors[:2000], 5, GraphSettings(exact_up_to=100))(vectors[2000:])
    truth, _ = nearest_among(vectors[:2000], 5)(vectors[2000:])
    assert (indices[:, :, None] == truth[:, None]).any(axis=2).mean() > 0.9


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_planted_groups_together_and_repeats_itself(method: str, graph: Neighbours) -> None:
    if method == "umap":
        pytest.importorskip("umap")
    settings = LayoutSettings(method, seed=4, epochs=None if method == "pca" else 300)
    first = lay_out(_vectors(), graph, settings)
    assert first.points.shape == (400, 2) and first.points.dtype == np.float32 and first.method == method
    np.testing.assert_array_equal(lay_out(_vectors(), graph, settings).points, first.points)
    assert _same_group(first.points) > (0.6 if method == "pca" else 0.97)  # by chance: 0.2


def test_points_that_are_no_landmarks_lie_among_their_own(graph: Neighbours) -> None:
    found = lay_out(_vectors(0.5), graph, LayoutSettings("tsne", landmarks=250, epochs=300))
    assert len(found.landmarks) == 250 and np.isfinite(found.points).all()
    rest = np.setdiff1d(np.arange(400), found.landmarks)
    near = np.argsort(np.linalg.norm(found.points[rest, None] - found.points[None], axis=2), axis=1)[:, 1:6]
    assert (GROUPS[near] == GROUPS[rest, None]).mean() > 0.97


def test_landmarks_are_indexed_once_for_all_that_are_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    """To index them costs more than to place ten thousand points among them."""
    made = []
    index = layout_module.nearest_among
    monkeypatch.setattr(layout_module, "nearest_among", lambda *given: made.append(given) or index(*given))
    monkeypatch.setattr(layout_module, "PLACED_AT_ONCE", 40)
    vectors = _vectors()
    found = lay_out(vectors, neighbour_graph(vectors), LayoutSettings("pca", landmarks=250))
    assert len(made) == 1 and np.isfinite(found.points).all()
    monkeypatch.undo()
    whole = lay_out(vectors, neighbour_graph(vectors), LayoutSettings("pca", landmarks=250))
    np.testing.assert_allclose(found.points, whole.points, atol=1e-6)


@pytest.mark.parametrize("method", ["tsne", "umap"])
def test_a_layer_starts_from_the_one_before_and_lies_over_it(method: str, graph: Neighbours) -> None:
    if method == "umap":
        pytest.importorskip("umap")
    # The next layer is the same data, turned: without a start and a fit its map would be anywhere.
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(12, 12)))[0]
    turned = (_vectors() @ turn + 0.1 * np.random.default_rng(6).normal(size=(400, 12))).astype(np.float32)
    other = neighbour_graph(turned, GraphSettings(count=15))
    settings = LayoutSettings(method, seed=1, epochs=300)
    first, second = lay_out_layers([(_vectors(), graph), (turned, other)], settings)
    centres = [
        np.array([layout.points[group == GROUPS].mean(axis=0) for group in range(5)]) for layout in (first, second)
    ]
    apart = np.linalg.norm(centres[0][:, None] - centres[1][None], axis=2)
    assert apart.argmin(axis=1).tolist() == [0, 1, 2, 3, 4]
    alone = lay_out(turned, other, LayoutSettings(method, seed=2, epochs=300))
    assert disparity(first.points, second.points) < disparity(first.points, alone.points)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 100), st.booleans())
def test_a_moved_copy_is_the_same_map(seed: int, scale: float, mirrored: bool) -> None:
    random = np.random.default_rng(seed)
    points = random.normal(size=(30, 2)) * [1.0, 3.0]
    angle = random.uniform(0, 7)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) @ np.diag(
        [1, -1 if mirrored else 1]
    )
    moved = scale * points @ turn + random.normal(size=2)
    assert disparity(points, moved) < 1e-9
    found = fit_similarity(points, moved)
    np.testing.assert_allclose(found(points), moved, atol=1e-8 * max(1.0, scale))
    assert found.scale == pytest.approx(scale, rel=1e-6)


def test_disparity_is_that_of_scipy() -> None:
    spatial = pytest.importorskip("scipy.spatial")
    random = np.random.default_rng(2)
    one = random.normal(size=(50, 2))
    for noise in (0.1, 1.0, 10.0):
        other = one + noise * random.normal(size=(50, 2))
        assert disparity(one, other) == pytest.approx(spatial.procrustes(one, other)[2], abs=1e-10)
        assert disparity(other, one) == pytest.approx(disparity(one, other), abs=1e-10)


def test_what_cannot_be(graph: Neighbours) -> None:
    with pytest.raises(errors.InvalidParameter, match=r"metric: expected 'cosine' or 'euclidean', got 'manhattan'"):
        GraphSettings(metric="manhattan")
    with pytest.raises(errors.InvalidParameter, match="2 of 10 rows with infinity or NaN"):
        neighbour_graph(np.where(np.arange(10)[:, None] < 2, np.nan, np.ones((10, 3))))
    with pytest.raises(errors.InvalidParameter, match=r"expected an array \(N, C\) of at least 3 vectors"):
        neighbour_graph(np.ones((2, 4)))
    with pytest.raises(errors.InvalidParameter, match="Did you mean 'umap'"):
        LayoutSettings("umpa")
    with pytest.raises(
        errors.InvalidParameter, match=r"graph: expected a graph of the 10 vectors, got one of 400 points"
    ):
        lay_out(_vectors()[:10], graph)
    with pytest.raises(
        errors.InvalidParameter, match=r"start: expected a start of the 400 vectors, got one of 3 points"
    ):
        lay_out(_vectors(), graph, start=np.ones((3, 2)))
    with pytest.raises(errors.InvalidParameter, match="points that do not all coincide"):
        disparity(np.ones((4, 2)), np.ones((4, 2)))
    with pytest.raises(errors.InvalidParameter, match="two maps of the same points"):
        fit_similarity(np.ones((4, 2)), np.ones((5, 2)))
