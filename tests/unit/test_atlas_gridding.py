"""The grid as an exact pyramid, its cells against loops, and planted directions taken apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from phosphene import errors
from phosphene.atlas.cells import Grid, Level
from phosphene.atlas.grids import GridSettings, fit_frame, grid
from phosphene.atlas.partition import agreement, directions, spherical_kmeans, split


def _map(count: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(size=(count, 2)), random.normal(size=(count, 5)).astype(np.float32) + 1


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float64, st.tuples(st.integers(1, 80), st.just(2)), elements=st.floats(-1e6, 1e6, width=32)),
    st.sampled_from([(2, 4, 8), (10, 20, 40), (1, 3, 6, 12), (7,)]),
    st.sampled_from([(0.0, 0.0), (0.0, 0.1), (1.0, 0.1)]),
)
def test_every_point_is_in_one_cell_of_each_level_and_cells_are_tiled(
    points: np.ndarray, levels: tuple[int, ...], frame: tuple[float, float]
) -> None:
    vectors = np.random.default_rng(0).normal(size=(len(points), 3))
    found = grid(points, vectors, GridSettings(levels, 1, *frame))
    inside = set(np.flatnonzero(~found.outliers).tolist())
    if frame[0] == 0:
        assert len(inside) == len(points)  # even without a margin the uppermost points are on the map
    for level in found.levels:
        assert sorted(level.members.tolist()) == sorted(inside)
        assert level.counts.sum() == len(inside) and (level.counts > 0).all()
        for cell in range(len(level.counts)):
            members = level.members_of(cell)
            assert (level.cell_of[members] == cell).all()
            row, column = level.cells[cell]
            assert 0 <= row < level.size and 0 <= column < level.size
        assert (level.cell_of[sorted(set(range(len(points))) - inside)] == -1).all()
    for coarse, fine in zip(found.levels, found.levels[1:], strict=False):
        ratio = fine.size // coarse.size
        for cell, place in enumerate(coarse.cells):
            children = np.flatnonzero((fine.cells // ratio == place).all(axis=1))
            below = np.concatenate([fine.members_of(child) for child in children])
            assert sorted(below.tolist()) == sorted(coarse.members_of(cell).tolist())


def test_cells_are_those_of_a_loop() -> None:
    points, vectors = _map()
    found = grid(points, vectors, GridSettings((4, 8), minimum=3, split_below=0))
    low, high = found.frame.low, found.frame.high
    for level in found.levels:
        cells: dict[tuple[int, int], list[int]] = {}
        for number, (x, y) in enumerate((points - low) / (high - low)):
            if 0 <= x < 1 and 0 <= y < 1:
                cells.setdefault((int(y * level.size), int(x * level.size)), []).append(number)
            else:
                assert found.outliers[number]
        assert [tuple(place) for place in level.cells.tolist()] == sorted(cells)
        for cell, place in enumerate(sorted(cells)):
            members = cells[place]
            assert level.members_of(cell).tolist() == members and level.counts[cell] == len(members)
            assert bool(level.kept[cell]) == (len(members) >= 3)
            mean = vectors[members].astype(np.float64).mean(axis=0)
            np.testing.assert_allclose(level.means[cell], mean, rtol=1e-5)
            cosine = np.mean([row @ mean / np.linalg.norm(row) / np.linalg.norm(mean) for row in vectors[members]])
            assert level.concentration[cell] == pytest.approx(cosine, abs=1e-5)


def test_the_frame_is_even_on_all_sides_and_far_points_do_not_stretch_it() -> None:
    points, vectors = _map(2000)
    frame = fit_frame(points)
    mirrored = fit_frame(-points)
    np.testing.assert_allclose(frame.low, -mirrored.high)
    far = np.concatenate([points, [[1000.0, 0.0], [0.0, -1000.0]]])
    found = grid(far, np.concatenate([vectors, vectors[:2]]), GridSettings((10,)))
    assert found.outliers[-2:].all() and (found.frame.high - found.frame.low).max() < 10
    assert found.outliers.mean() < 0.02


def test_a_map_without_width_is_one_line_of_cells() -> None:
    random = np.random.default_rng(0)
    points = np.stack([random.normal(size=200), np.zeros(200)], axis=1)
    level = grid(points, random.normal(size=(200, 3)), GridSettings((4,))).levels[0]
    assert len(set(level.cells[:, 0].tolist())) == 1 and len(set(level.cells[:, 1].tolist())) == 4


def test_levels_follow_the_number_of_points() -> None:
    few, many = (grid(*_map(count), GridSettings(split_below=0)) for count in (300, 30_000))
    assert [level.size for level in few.levels] == [10]
    assert [level.size for level in many.levels] == [10, 20, 40, 80]
    for level in many.levels:
        assert level.counts[level.kept].sum() >= 15_000


def _planted(parts: int, each: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    axes = np.linalg.qr(random.normal(size=(16, parts)))[0].T
    truth = np.repeat(np.arange(parts), each)
    return (axes[truth] + noise * random.normal(size=(len(truth), 16))) * random.uniform(1, 9, (len(truth), 1)), truth


@pytest.mark.parametrize("parts", [1, 2, 3, 4])
def test_planted_directions_are_taken_apart(parts: int) -> None:
    vectors, truth = _planted(parts, 20, 0.08)
    labels = split(directions(vectors), np.random.default_rng(1))
    assert len(set(labels.tolist())) == parts == len(set(zip(truth.tolist(), labels.tolist(), strict=True)))


@pytest.mark.parametrize("count", [10, 20, 100])
def test_what_has_no_directions_of_its_own_stays_whole(count: int) -> None:
    whole = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        # One direction with much noise: members agree little, but no split would make them agree more.
        vectors = np.eye(64)[0] * 5 + random.normal(size=(count, 64))
        whole += int(split(directions(vectors), random).max() == 0)
    assert whole >= 19


def test_agreement_does_not_count_a_vector_with_itself() -> None:
    assert agreement(np.eye(6)) == pytest.approx(0.0)
    assert agreement(directions(np.ones((4, 3)))) == pytest.approx(1.0)
    units = directions(np.random.default_rng(0).normal(size=(7, 3)))
    wanted = []
    for number, unit in enumerate(units):
        mean = np.delete(units, number, axis=0).mean(axis=0)
        wanted.append(unit @ mean / np.linalg.norm(mean))
    assert agreement(units) == pytest.approx(np.mean(wanted))


def test_a_cell_of_two_kinds_has_two_groups_and_their_means() -> None:
    vectors, truth = _planted(2, 30, 0.05)
    random = np.random.default_rng(0)
    points = random.uniform(size=(60, 2))
    level = grid(points, vectors, GridSettings((1,), percentile=0)).levels[0]
    assert level.group_cells.tolist() == [0, 0] and len(level.counts) == 1
    kinds = [set(truth[level.members_of_group(group)].tolist()) for group in range(2)]
    assert sorted(map(sorted, kinds)) == [[0], [1]]
    for group in range(2):
        members = level.members_of_group(group)
        np.testing.assert_allclose(level.group_means[group], vectors[members].mean(axis=0), rtol=1e-4, atol=1e-6)
    assert level.group_concentration.min() > level.concentration[0] + 0.2
    again = grid(points, vectors, GridSettings((1,), percentile=0)).levels[0]
    np.testing.assert_array_equal(again.members, level.members)
    never = grid(points, vectors, GridSettings((1,), percentile=0, split_below=0)).levels[0]
    assert never.group_cells.tolist() == [0]


def test_kmeans_numbers_clusters_by_size() -> None:
    vectors, _ = _planted(3, 1, 0.0)
    units = directions(np.repeat(vectors, [2, 9, 5], axis=0))
    labels = spherical_kmeans(units, 3, np.random.default_rng(0))
    assert np.bincount(labels).tolist() == [9, 5, 2] and labels[2:11].tolist() == [0] * 9


def test_a_grid_comes_back_from_its_arrays() -> None:
    found = grid(*_map(), GridSettings((4, 8)))
    again = Grid.of(found.arrays())
    assert [level.size for level in again.levels] == [4, 8]
    for level, other in zip(found.levels, again.levels, strict=True):
        for name in Level.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(level, name), getattr(other, name))
    np.testing.assert_array_equal(again.outliers, found.outliers)


def test_what_cannot_be() -> None:
    points, vectors = _map(30)
    with pytest.raises(
        errors.InvalidParameter, match=r"40, at which no cell has more than 1 of the \d+ points\. .*stop at level 4"
    ):
        grid(points, vectors, GridSettings((4, 40), minimum=3))
    with pytest.raises(
        errors.InvalidParameter, match=r"at which no cell has more than \d of the \d+ points. Collect more"
    ):
        grid(points, vectors, GridSettings(minimum=20))
    with pytest.raises(errors.InvalidParameter, match="levels: expected integers that each divide the next"):
        GridSettings((10, 25))
    with pytest.raises(errors.InvalidParameter, match=r"points: expected shape \(30, 2\)"):
        grid(points[:10], vectors)
    with pytest.raises(errors.InvalidParameter, match="finite numbers"):
        grid(np.full((30, 2), np.nan), vectors)
    with pytest.raises(errors.InvalidParameter, match="size: expected a level of 4 cells per side, got 5"):
        grid(points, vectors, GridSettings((4,), minimum=1)).level(5)
