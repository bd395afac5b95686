"""The second moment as it streams by, and what whitening does with it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phosphene import errors
from phosphene.atlas.whitening import Moments, second_moment


def _vectors(count: int = 4000, channels: int = 6) -> np.ndarray:
    random = np.random.default_rng(1)
    mixed = random.normal(size=(channels, channels))
    return np.maximum(random.normal(size=(count, channels)) @ mixed + 0.5, 0).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 300), min_size=0, max_size=5), st.randoms())
def test_parts_in_any_order_add_up_to_the_whole(cuts: list[int], random: object) -> None:
    vectors = _vectors(300)
    parts = np.split(vectors, sorted(cuts))
    random.shuffle(parts)  # type: ignore[attr-defined]
    merged = Moments.none(6)
    for part in parts:
        merged = merged.merge(Moments.none(6).add(part))
    assert merged.count == 300
    wide = vectors.astype(np.float64)
    np.testing.assert_allclose(merged.products, sum(np.outer(row, row) for row in wide), rtol=1e-10)
    np.testing.assert_allclose(merged.total, wide.sum(axis=0), rtol=1e-10)
    np.testing.assert_allclose(second_moment(iter(parts)).products, merged.products, rtol=1e-10)


def test_whitened_vectors_have_the_identity_for_a_second_moment() -> None:
    vectors = _vectors()
    whitening = second_moment([vectors]).whitening(0.0)
    white = whitening.whiten(vectors).astype(np.float64)
    np.testing.assert_allclose(white.T @ white / len(white), np.eye(6), atol=1e-4)
    np.testing.assert_allclose(whitening.unwhiten(white), vectors, atol=1e-4)
    moment = vectors.astype(np.float64).T @ vectors / len(vectors)
    # The inner product is that of the inverse second moment, whichever root is taken.
    np.testing.assert_allclose(white[:5] @ white[:5].T, vectors[:5] @ np.linalg.inv(moment) @ vectors[:5].T, rtol=1e-3)
    assert whitening.condition == pytest.approx(np.linalg.cond(moment), rel=1e-6)


def test_a_ridge_bounds_the_condition_and_dead_channels_do_not_blow_up() -> None:
    vectors = _vectors()
    vectors[:, 2] = 0
    bare, lifted = (second_moment([vectors]).whitening(ridge) for ridge in (0.0, 0.01))
    assert bare.condition == np.inf and lifted.raw_condition == np.inf
    assert lifted.condition <= 6 / 0.01 + 1
    assert np.isfinite(bare.whiten(vectors)).all() and np.abs(lifted.whiten(vectors)[:, 2]).max() < 1e-4
    np.testing.assert_allclose(lifted.unwhiten(lifted.whiten(vectors)), vectors, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 3.7])
def test_a_constant_layer_is_named(value: float) -> None:
    moments = Moments.none(4).add(np.full((500, 4), value, np.float32))
    with pytest.raises(errors.InvalidParameter, match="got 'stage9' with the same activation at all 500 points"):
        moments.whitening(layer="stage9")


def test_what_cannot_be() -> None:
    with pytest.raises(errors.InvalidParameter, match=r"ridge: expected a number of at least 0, got -1"):
        second_moment([_vectors(10)]).whitening(-1)
    with pytest.raises(errors.InvalidParameter, match="at least 2 activations"):
        Moments.none(3).whitening()
    with pytest.raises(errors.InvalidParameter, match="at least one array"):
        second_moment([])
