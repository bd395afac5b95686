"""Icons of cells: what they climb, what their figures say, from whom they start; maps spread evenly; icons of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from phosphene import errors
from phosphene.atlas import (
    Atlas,
    ChartSettings,
    GraphSettings,
    GridSettings,
    LayoutSettings,
    MeasureSettings,
    chart,
    icon_set,
    own_icons,
)
from phosphene.atlas.cells import Level
from phosphene.atlas.equalization import evened
from phosphene.atlas.icon_set import Icons, groups_of, icons_of
from phosphene.atlas.icons import IconSettings, Parents
from phosphene.backend import backend_named
from phosphene.objectives.forms import NEAREST, DirectionForm


@pytest.fixture
def arrays(backend: str) -> Any:
    """The namespace of one backend, its gradient, from NumPy and to NumPy."""
    owner = backend_named(backend)

    def give(array: Any) -> Any:
        return owner.from_numpy(np.asarray(array), device="cpu", dtype="float32")

    return owner, give


def _cosines(seen: np.ndarray, vectors: np.ndarray) -> list[float]:
    return [float(h @ v / (h @ h) ** 0.5 / (v @ v) ** 0.5) for h, v in zip(seen, vectors, strict=True)]


@pytest.mark.parametrize("where", ["centre", "mean"])
def test_directions_by_the_cosine_alone(arrays: Any, where: str) -> None:
    owner, give = arrays
    random = np.random.default_rng(0)
    activation, vectors = random.normal(size=(4, 3, 5, 6)), random.normal(size=(4, 6))
    seen = activation[:, 1, 2] if where == "centre" else activation.mean((1, 2))
    wanted = np.array(_cosines(seen, vectors))
    arguments = (give(vectors), give(np.zeros(4)))

    def value(measure: str, scale: float = 1.0) -> np.ndarray:
        return owner.to_numpy(DirectionForm("a", where, measure)(owner.xp, {"a": give(scale * activation)}, arguments))

    np.testing.assert_allclose(value("cosine"), wanted, atol=1e-5)
    np.testing.assert_allclose(value("cosine", 100.0), wanted, atol=1e-5)  # whatever the length
    np.testing.assert_allclose(value("log distance"), -np.log(1 - wanted + NEAREST), atol=1e-4)
    np.testing.assert_allclose(value("dot"), np.einsum("nc,nc->n", seen, vectors), atol=1e-4)


def test_the_log_distance_asks_as_much_for_the_last_percent(arrays: Any) -> None:
    """In the plane the cosine of an angle a falls by sin(a); its log distance by sin(a) / (1 - cos(a) + 1e-3)."""
    owner, give = arrays
    angles = np.array([0.0, 0.05, 0.3, 1.5])
    vectors = give(np.tile([1.0, 0.0], (4, 1)))

    def slope(measure: str) -> np.ndarray:
        form = DirectionForm("a", "mean", measure)

        def total(a: Any) -> Any:
            seen = owner.xp.stack([owner.xp.cos(a), owner.xp.sin(a)], axis=-1)
            return owner.xp.sum(form(owner.xp, {"a": seen}, (vectors, give(np.zeros(4))))), ()

        return owner.to_numpy(owner.grad(total)(give(angles))[0])

    np.testing.assert_allclose(slope("cosine"), -np.sin(angles), atol=1e-5)
    wanted = -np.sin(angles) / (1 - np.cos(angles) + NEAREST)
    np.testing.assert_allclose(slope("log distance"), wanted, rtol=2e-3, atol=1e-2)


@pytest.mark.parametrize("measure", ["cosine", "log distance"])
def test_nothing_seen_and_all_reached_have_finite_values_and_gradients(arrays: Any, measure: str) -> None:
    owner, give = arrays
    form, vectors = DirectionForm("a", "mean", measure), np.array([[3.0, 4.0], [3.0, 4.0]])

    def total(seen: Any) -> Any:
        values = form(owner.xp, {"a": seen}, (give(vectors), give(np.zeros(2))))
        return owner.xp.sum(values), values

    gradient, values = owner.grad(total)(give(np.array([[0.0, 0.0], [6.0, 8.0]])))
    assert np.isfinite(owner.to_numpy(gradient)).all()
    # Without a length there is no direction; one that is met is worth 1, or the logarithm's limit.
    wanted = [0.0, 1.0] if measure == "cosine" else [-np.log(1 + NEAREST), -np.log(NEAREST)]
    np.testing.assert_allclose(owner.to_numpy(values), wanted, atol=2e-3)


def test_measures_that_cannot_be() -> None:
    with pytest.raises(errors.InvalidParameter, match="measure: expected 'dot', 'cosine' or 'log distance', got 'cos'"):
        ph.direction("a", [1.0], measure="cos")
    for measure in ("cosine", "log distance"):
        with pytest.raises(errors.InvalidParameter, match=rf"cosine_power: expected 0 with measure='{measure}', got 2"):
            ph.direction("a", [1.0], measure=measure, cosine_power=2)
    for wrong in ({"steps": 0}, {"tries": 0}, {"steps_from_parent": 0}, {"retry_below": 1.5}, {"seed": -1}):
        with pytest.raises(errors.InvalidParameter, match=next(iter(wrong))):
            IconSettings(**wrong)  # type: ignore[arg-type]


def _cells(points: np.ndarray, side: int) -> int:
    """How many cells of the square around the points are not empty."""
    low, high = points.min(axis=0), points.max(axis=0)
    place = np.minimum((points - low) / (high - low) * side, side - 1).astype(int)
    return len(np.unique(place, axis=0))


def test_evened_leaves_them_or_fills_the_square() -> None:
    random = np.random.default_rng(0)
    blobs = np.concatenate([random.normal(centre, 0.05, (500, 2)) for centre in ([0, 0], [4, 0], [0, 3], [9, 9])])
    np.testing.assert_array_equal(evened(blobs, 0.0), blobs.astype(np.float32))
    even = evened(blobs, 1.0)
    assert even.dtype == np.float32 and _cells(blobs, 10) < 20
    assert _cells(even, 10) == 100
    # Around where they were, and about as wide; halfway is half the way.
    np.testing.assert_allclose(even.mean(axis=0), blobs.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(even.std(axis=0), blobs.std(axis=0), rtol=0.05)
    np.testing.assert_allclose(evened(blobs, 0.5), (blobs + even) / 2, atol=1e-4)
    np.testing.assert_array_equal(evened(blobs, 1.0), even)
    assert not np.array_equal(evened(blobs, 1.0, seed=1), even)


def test_what_is_near_stays_near_when_points_are_spread() -> None:
    random = np.random.default_rng(1)
    centres = np.array([[0, 0], [4, 0], [0, 3], [9, 9]])
    blobs = np.concatenate([random.normal(centre, 0.05, (100, 2)) for centre in centres])
    owner = np.repeat(np.arange(4), 100)
    even = evened(blobs, 1.0).astype(np.float64)
    distance = np.linalg.norm(even[:, None] - even[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert (owner[distance.argmin(axis=1)] == owner).mean() > 0.9


@pytest.mark.parametrize("axis", [(1.0, 0.0), (0.0, 1.0), (2.0, 1.0), (1.0, -1.0)])
def test_points_on_a_line_stay_on_it_in_their_order_at_equal_distances(axis: tuple[float, float]) -> None:
    along = np.sort(np.random.default_rng(2).normal(size=101) ** 3)
    even = evened(along[:, None] * axis + [5.0, -7.0], 1.0).astype(np.float64)
    moved = (even - even.mean(axis=0)) @ axis / np.dot(axis, axis)
    steps = np.diff(moved)
    assert (steps > 0).all()
    np.testing.assert_allclose(steps, steps.mean(), rtol=1e-3)
    across = (even - even.mean(axis=0)) @ [-axis[1], axis[0]]
    assert np.abs(across).max() < 1e-4 * np.abs(moved).max()


def test_few_points_and_equal_ones() -> None:
    for points in (np.zeros((0, 2)), np.array([[3.0, 4.0]]), np.full((5, 2), 2.0)):
        np.testing.assert_array_equal(evened(points, 1.0), points.astype(np.float32))
    twice = np.repeat(np.random.default_rng(3).normal(size=(50, 2)), 4, axis=0)
    even = evened(twice, 1.0)
    assert np.isfinite(even).all() and _cells(even, 5) == 25


def test_points_that_cannot_be_spread() -> None:
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(errors.InvalidParameter, match="evenness: expected a number of at least 0 and at most 1"):
            evened(np.zeros((3, 2)), strength)
    with pytest.raises(errors.InvalidParameter, match="points: expected finite numbers, got infinity or NaN"):
        evened(np.array([[0.0, 1.0], [np.nan, 2.0], [3.0, 4.0]]), 0.5)


def _level(size: int, cells: Any, owners: Any, means: Any, kept: Any = None) -> Level:
    """A level of which only the groups matter."""
    cells, means = np.asarray(cells, np.int32), np.asarray(means, np.float32)
    kept = np.ones(len(cells), np.bool_) if kept is None else np.asarray(kept)
    counts, nothing = np.ones(len(cells), np.int64), np.zeros(0, np.int64)
    return Level(
        size,
        cells,
        counts,
        kept,
        np.zeros((len(cells), means.shape[1]), np.float32),
        np.ones(len(cells)),
        nothing.astype(np.int32),
        nothing,
        np.zeros(len(means) + 1, np.int64),
        np.asarray(owners, np.int32),
        means,
        np.ones(len(means)),
    )


def _part(groups: np.ndarray, seen: np.ndarray) -> dict[str, np.ndarray]:
    count = np.arange(len(groups), dtype=np.int32)
    images = np.zeros((len(groups), 2, 2, 3), np.uint8)
    return {"groups": groups, "images": images, "activations": seen, "evaluations": count, "tries": count}


@pytest.mark.parametrize("block", [3, 2048])
def test_rank_and_fidelity_against_a_loop(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(icon_set, "BLOCK", block)
    random = np.random.default_rng(0)
    means = random.normal(size=(12, 4))
    means[5] = 0  # nothing to show
    level = _level(4, [[0, each] for each in range(12)], np.arange(12), means, kept=np.arange(12) != 9)
    groups = groups_of(level)
    assert groups.tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 10, 11]
    seen = (means[groups] + random.normal(size=(10, 4))).astype(np.float32)
    seen[3] = 0
    seen[4] = np.nan
    found = icons_of(level, [_part(groups[:6], seen[:6]), _part(groups[6:], seen[6:])])
    for row, group in enumerate(groups):
        if row == 4:
            assert np.isnan(found.fidelity[row]) and found.rank[row] == 0
            continue
        cosines = {}
        for other in groups:
            length = np.linalg.norm(seen[row]) * np.linalg.norm(means[other])
            cosines[other] = float(seen[row] @ means[other] / length) if length else 0.0
        assert found.fidelity[row] == pytest.approx(cosines[group], abs=1e-6)
        if row != 3:
            assert found.rank[row] == 1 + sum(cosine > cosines[group] for cosine in cosines.values())
        assert found.length[row] == pytest.approx(np.linalg.norm(seen[row]) / np.linalg.norm(means[group]), abs=1e-6)
    assert len(found) == 10 and "10 of 2x2" in repr(found)
    nothing = icons_of(level, [])
    assert len(nothing) == 0 and repr(nothing) == "Icons(level 4, none)"


def test_a_group_starts_from_the_group_above_that_is_most_like_it() -> None:
    """The cell (0, 0) above has two groups at right angles, (0, 1) has one, (1, 1) has none with an icon."""
    above = _level(2, [[0, 0], [0, 1], [1, 1]], [0, 0, 1, 2], [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    groups = np.array([0, 1, 2])
    images = np.stack([np.full((1, 1, 3), 10 * each, np.uint8) for each in (1, 2, 3)])
    few = np.zeros(3, np.int32)
    icons = Icons(2, groups, images, few * 1.0, few * 1.0, few.astype(np.int64), few, few)
    below = _level(
        4,
        [[0, 0], [1, 1], [1, 2], [3, 3]],
        [0, 1, 1, 2, 3],
        [[9, 1, 0], [0, 0.1, 0.2], [3, 2, 0], [7, 0, 0], [1, 1, 1]],
    )
    found, known = Parents(above, icons, ["x"]).images(below, np.arange(5))
    # By direction, not length; of the cell above alone, even where one next to it is more alike; and none of none.
    assert found[:, 0, 0, 0].tolist() == [10, 20, 10, 30, 0] and known.tolist() == [True] * 4 + [False]
    some, known = Parents(above, icons, ["x"]).images(below, np.array([3, 1]))
    assert some[:, 0, 0, 0].tolist() == [30, 20] and known.all()


@pytest.fixture
def atlas(tmp_path: Path) -> Atlas:
    pytest.importorskip("zarr")
    pytest.importorskip("sklearn")
    random = np.random.default_rng(0)
    rows = np.abs(random.normal(size=(400, 6))).astype(np.float32)
    made = Atlas.from_activations({"a": rows, "a.4": rows[:, ::-1]}, tmp_path / "atlas")
    settings = ChartSettings(
        graph=GraphSettings(15), layout=LayoutSettings("pca"), grid=GridSettings((2, 4)), measures=MeasureSettings(10)
    )
    return chart(made, settings=settings)


def test_icons_by_a_function_of_ones_own(atlas: Atlas) -> None:
    calls: list[int] = []

    def draw(means: np.ndarray, members: list[np.ndarray]) -> np.ndarray:
        """The six numbers of a mean as the grey of six pixels; in the corner how many points there are."""
        calls.append(len(means))
        assert len(means) == len(members) and all(len(each) >= 5 for each in members)
        pictures = np.repeat(means.reshape(-1, 2, 3, 1) / 4, 3, axis=-1)
        pictures[:, 0, 0, 0] = [len(each) / 1000 for each in members]
        return pictures

    own_icons(atlas, "a", draw, name="pixels", read=lambda images: images[..., 1].reshape(len(images), 6) / 255)
    for size in (2, 4):
        icons, level = atlas.icons("a", size), atlas.grid("a").level(size)
        assert icons.images.dtype == np.uint8 and icons.images.shape[1:] == (2, 3, 3)
        np.testing.assert_array_equal(icons.groups, groups_of(level))
        wanted = np.round(255 * level.group_means[icons.groups] / 4).reshape(-1, 2, 3)
        np.testing.assert_array_equal(icons.images[..., 1], wanted)
        counts = np.diff(level.group_starts)[icons.groups]
        np.testing.assert_array_equal(icons.images[:, 0, 0, 0], np.round(255 * counts / 1000))
        assert icons.fidelity.min() > 0.999 and (icons.rank == 1).all()
        np.testing.assert_allclose(icons.length, 0.25, rtol=0.02)
    assert len(calls) == 2
    own_icons(atlas, "a", lambda means, members: pytest.fail("they are there"), name="pixels")
    with pytest.raises(errors.OtherStore, match="its function is 'pixels', this run has 'circles'"):
        own_icons(atlas, "a", draw, name="circles")


def test_a_layer_whose_name_ends_in_a_number_keeps_its_icons_to_itself(atlas: Atlas) -> None:
    """`a.4` at level 4 is kept as "icons.a.4.4.0000", which begins as the icons of `a` at level 4 do."""

    def grey(value: int) -> Any:
        return lambda means, members: np.full((len(means), 2, 2, 1), value, np.uint8)

    own_icons(atlas, "a", grey(10), name="dark")
    own_icons(atlas, "a.4", grey(200), name="light")
    for layer, value in (("a", 10), ("a.4", 200)):
        icons = atlas.icons(layer, 4)
        np.testing.assert_array_equal(icons.groups, groups_of(atlas.grid(layer).level(4)))
        assert (icons.images == value).all()


def test_bytes_stay_as_they_are_and_without_a_reader_nothing_is_known(atlas: Atlas) -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (400, 3, 2, 1), np.uint8)
    own_icons(atlas, "a", lambda means, members: pictures[: len(means)], name="noise")
    icons = atlas.icons("a", 4)
    np.testing.assert_array_equal(icons.images, pictures[: len(icons)])
    assert np.isnan(icons.fidelity).all() and (icons.rank == 0).all() and (icons.tries == 1).all()


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda means, members: np.zeros((len(means), 4, 4)),
            r"draw: expected images of shape \(\d+, H, W, C\) with 1, 3 or 4 channels",
        ),
        (lambda means, members: np.zeros((len(means) + 1, 4, 4, 3)), r"got shape \(\d+, 4, 4, 3\)"),
        (lambda means, members: np.zeros((len(means), 4, 4, 2)), r"got shape \(\d+, 4, 4, 2\)"),
        (lambda means, members: np.zeros((len(means), 0, 4, 3)), r"got shape \(\d+, 0, 4, 3\)"),
        (lambda means, members: np.full((len(means), 4, 4, 3), 2.0), r"floats in \[0, 1\], got values from 2 to 2"),
        (
            lambda means, members: np.full((len(means), 4, 4, 3), np.nan),
            r"floats in \[0, 1\], got values from nan to nan",
        ),
    ],
)
def test_drawings_that_cannot_be(atlas: Atlas, draw: Any, message: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=message):
        own_icons(atlas, "a", draw, name="wrong")
    assert not [name for name in atlas.steps.names if name.startswith("icons")]


def test_readings_of_another_shape_and_layers_that_were_not_charted(atlas: Atlas) -> None:
    def draw(means: np.ndarray, members: list[np.ndarray]) -> np.ndarray:
        return np.zeros((len(means), 2, 2, 1))

    with pytest.raises(
        errors.InvalidParameter, match=r"read: expected activations of shape \(\d+, 6\), got shape \(3,\)"
    ):
        own_icons(atlas, "a", draw, name="wrong", read=lambda images: np.zeros(3))
    with pytest.raises(errors.InvalidParameter, match=r"grid\.b"):
        own_icons(atlas, "b", draw, name="wrong")
    with pytest.raises(errors.InvalidParameter, match=r"icons\.a\.4\.0000"):
        atlas.icons("a", 4)
