"""What carries over from layer to layer: held to planted truths, and to scikit-learn's figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from phosphene import errors
from phosphene.atlas import Atlas
from phosphene.atlas.carryover import (
    adjusted_mutual_information,
    carry_over,
    carry_overs,
    contingency,
    neighbour_overlap,
)
from phosphene.atlas.neighbours import GraphSettings, Neighbours, neighbour_graph
from small_atlases import LAYERS, small_atlas

pytest.importorskip("zarr")
pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return small_atlas(tmp_path_factory.mktemp("atlas"), icons=None)


def test_points_are_counted_by_hand() -> None:
    one, other = np.array([0, 0, 1, 1, -1, 2]), np.array([1, 1, 0, 1, 0, -1])
    table = contingency(one, other)
    assert table.tolist() == [[0, 2], [1, 1], [0, 0]]
    assert contingency(one, other, 4, 3).shape == (4, 3)


def test_the_figure_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import adjusted_mutual_info_score

    random = np.random.default_rng(0)
    for kinds, others, count in ((3, 3, 50), (10, 4, 300), (2, 40, 200)):
        one = random.integers(0, kinds, count)
        other = np.where(random.random(count) < 0.5, one % others, random.integers(0, others, count))
        wanted = adjusted_mutual_info_score(one, other)
        assert adjusted_mutual_information(contingency(one, other)) == pytest.approx(wanted, abs=1e-10)


def test_equal_groups_are_one_and_chance_is_nothing() -> None:
    random = np.random.default_rng(1)
    one = random.integers(0, 8, 2000)
    assert adjusted_mutual_information(contingency(one, 7 - one)) == pytest.approx(1)
    by_chance = [adjusted_mutual_information(contingency(one, random.integers(0, 8, 2000), 8, 8)) for _ in range(20)]
    assert abs(float(np.mean(by_chance))) < 0.003
    # Without the correction many small groups would seem to agree: here each of them is of two points.
    fine = random.permutation(2000) // 2
    assert abs(adjusted_mutual_information(contingency(one, fine))) < 0.05
    assert adjusted_mutual_information(np.array([[5]])) == adjusted_mutual_information(np.eye(4, dtype=int)) == 1.0
    assert adjusted_mutual_information(np.array([[5, 5]])) == 0.0


def test_shared_neighbours_of_planted_graphs() -> None:
    def graph(indices: np.ndarray) -> Neighbours:
        return Neighbours(indices.astype(np.int32), np.zeros(indices.shape, np.float32), "cosine", True)

    one = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])
    other = np.array([[3, 2, 1], [3, 2, 0], [0, 1, 3], [2, 1, 0]])
    assert neighbour_overlap(graph(one), graph(other), 3) == 1.0
    assert neighbour_overlap(graph(one), graph(other), 2) == pytest.approx((1 + 1 + 2 + 1) / 8)
    random = np.random.default_rng(0)
    graphs = [neighbour_graph(random.normal(size=(400, 20)), GraphSettings(10)) for _ in range(2)]
    assert neighbour_overlap(*graphs, 10) == pytest.approx(10 / 399, abs=0.01)
    with pytest.raises(
        errors.InvalidParameter, match="other: expected a graph of the 4 points of the first, got one of 400 points"
    ):
        neighbour_overlap(graph(one), graphs[0])


def test_regions_that_become_one_are_seen_to(atlas: Atlas) -> None:
    found = carry_over(atlas, *LAYERS, 4, neighbours=10)
    assert found.layers == LAYERS and found.parts == "clusters" and found.neighbours == 10
    assert found.table.sum() == 600
    assert found.table.shape == tuple(len(names) for names in found.names)
    # Three kinds go into two: each whole, and two of them into the same.
    assert len(found.names[0]) == 3 and len(found.names[1]) == 2
    flows = [found.flows(region)[0] for region in range(3)]
    assert sorted(flow.to for flow in flows) == [0, 0, 1]
    assert all(flow.share > 0.97 and flow.points > 190 for flow in flows)
    assert sorted(round(flow.lift, 1) for flow in flows) == [1.5, 1.5, 3.0]
    np.testing.assert_allclose(found.spread, 1, atol=0.2)
    # The entropies are log 3 and log 3 - log(2) 2 / 3; what is shared is the second.
    coarse = np.log(3) - np.log(2) * 2 / 3
    assert found.mutual_information == pytest.approx(2 * coarse / (np.log(3) + coarse), abs=0.02)
    assert 0 <= found.disparity <= 1
    # Within a kind nothing is told apart, so there neighbours are by chance.
    assert found.overlap == pytest.approx(10 / 399 * 2 / 3 + 10 / 199 / 3, abs=0.005)
    assert found.overlap_chance == pytest.approx(10 / 599)


def test_the_way_back_is_that_of_the_turned_table(atlas: Atlas) -> None:
    there, back = carry_over(atlas, *LAYERS, 8), carry_over(atlas, *LAYERS[::-1], 8)
    np.testing.assert_array_equal(there.table, back.table.T)
    assert back.mutual_information == pytest.approx(there.mutual_information)
    assert back.disparity == pytest.approx(there.disparity) and back.overlap == pytest.approx(there.overlap)
    halves = back.shares[0]
    assert sorted(halves.round(1).tolist())[-2:] == [0.5, 0.5] and back.spread[0] == pytest.approx(2, abs=0.2)


def test_cells_can_be_followed_as_well(atlas: Atlas) -> None:
    found = carry_over(atlas, *LAYERS, 4, parts="cells")
    counts = [atlas.grid(layer).level(4).counts for layer in LAYERS]
    assert found.table.shape == (len(counts[0]), len(counts[1]))
    assert (found.table.sum(axis=1) <= counts[0]).all() and found.names[0][0].startswith("row ")
    assert len(carry_overs(atlas, 4)) == 1 and carry_overs(atlas, 4)[0].layers == LAYERS


def test_what_cannot_be(atlas: Atlas, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidParameter, match=r"second: expected 'a' or 'deep/b', got 'deep/c'. Did you mean"):
        carry_over(atlas, "a", "deep/c", 4)
    with pytest.raises(
        errors.InvalidParameter, match=r"second: expected a layer other than 'a', got 'a'. Choose two layers"
    ):
        carry_over(atlas, "a", "a", 4)
    with pytest.raises(errors.InvalidParameter, match="parts: expected 'clusters' or 'cells'"):
        carry_over(atlas, *LAYERS, 4, parts="classes")
    with pytest.raises(errors.InvalidParameter, match="size: expected a level of 4 or 8 cells per side, got 5"):
        carry_over(atlas, *LAYERS, 5)
    with pytest.raises(
        errors.InvalidParameter, match=r"other: expected an array of shape \(2,\), one region per point, got"
    ):
        contingency(np.array([0, 1]), np.array([0]))
    with pytest.raises(errors.InvalidParameter, match="region: expected an integer from 0 to 2, got 3"):
        carry_over(atlas, *LAYERS, 4).flows(3)
    bare = small_atlas(tmp_path, charted=False)
    assert carry_overs(bare, 4) == ()
    with pytest.raises(errors.InvalidParameter, match="clusters"):
        carry_over(bare, *LAYERS, 4)
