"""Attention maps in traced functions: which softmax is one, and what its axes are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

from phosphene_jax.attention import SCOPE, with_attention  # noqa: E402
from phosphene_jax.interpreter import Taps, interpret  # noqa: E402

RANDOM = np.random.default_rng(0)
HEADS, QUERIES, KEYS, SIZE = 2, 4, 5, 3


def arrays(count: int) -> tuple[Any, Any, Any]:
    """Queries, keys and values: (N, H, T, D)."""
    shapes = ((QUERIES, SIZE), (KEYS, SIZE), (KEYS, 6))
    return tuple(jnp.asarray(RANDOM.standard_normal((2, HEADS, *shape))[:count], jnp.float32) for shape in shapes)  # type: ignore[return-value]


def oracle(q: Any, k: Any) -> Any:
    """(N, Q, K, H)."""
    scores = np.einsum("nhqd,nhkd->nqkh", q, k)
    raised = np.exp(scores - scores.max(2, keepdims=True))
    return raised / raised.sum(2, keepdims=True)


def read(f: Callable[..., Any], *given: Any, count: int | None, edit: Any = None) -> tuple[dict[str, Any], Any]:
    """Marks of a function that is a module called "m", and what it returns."""

    def scoped(*given: Any) -> Any:
        with jax.named_scope(f"{SCOPE}m"):
            return f(*given)

    closed = with_attention(jax.make_jaxpr(scoped)(*given), count=count)
    taps = Taps(None, {} if edit is None else {"m@attention": edit})
    outputs = interpret(closed, given, taps)
    return taps.values, outputs[0] if outputs else None


def by_matmul(q: Any, k: Any, v: Any) -> Any:
    return jax.nn.softmax(q @ k.swapaxes(-1, -2)) @ v


def by_hand(q: Any, k: Any, v: Any) -> Any:
    scores = jnp.einsum("nhqd,nhkd->nhqk", q, k)
    raised = jnp.exp(scores - jax.lax.stop_gradient(scores.max(-1, keepdims=True)))
    return jnp.einsum("nhqk,nhkd->nqhd", raised / raised.sum(-1, keepdims=True), v)


def keys_in_front(q: Any, k: Any, v: Any) -> Any:
    return jnp.einsum("nkhq,nhkd->nqhd", jax.nn.softmax(jnp.einsum("nhqd,nhkd->nkhq", q, k), axis=1), v)


def leaving_a_jit(q: Any, k: Any, v: Any) -> Any:
    weights = jax.jit(lambda q, k: jax.jit(jax.nn.softmax)(q @ k.swapaxes(-1, -2)))(q, k)
    return jax.jit(lambda w, v: w @ v)(weights.astype(jnp.float32) * 1.0, v)


def by_jax(q: Any, k: Any, v: Any) -> Any:
    q, k, v = (x.swapaxes(1, 2) for x in (q * SIZE**0.5, k, v[..., :SIZE]))
    return jax.nn.dot_product_attention(q, k, v)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    "f", [by_matmul, by_hand, keys_in_front, leaving_a_jit, by_jax, jax.checkpoint(by_matmul), jax.jit(by_hand)]
)
def test_a_softmax_that_weighs_values_is_a_map(f: Callable[..., Any], count: int) -> None:
    q, k, v = arrays(count)
    seen, output = read(f, q, k, v, count=count)
    assert list(seen) == ["m@attention"]
    np.testing.assert_allclose(seen["m@attention"], oracle(q, k), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(output, f(q, k, v), rtol=1e-4, atol=1e-5)
    _, halved = read(f, q, k, v, count=count, edit=lambda weights: weights / 2)
    np.testing.assert_allclose(halved, output / 2, rtol=1e-4, atol=1e-5)


def test_one_image_has_no_batch_axis_and_windows_it_is_mapped_over_come_first() -> None:
    q, k, v = arrays(2)
    seen, _ = read(lambda q, k, v: by_matmul(q[None], k[None], v[None])[0], q[0], k[0], v[0], count=None)
    np.testing.assert_allclose(seen["m@attention"], oracle(q, k)[0], rtol=1e-4, atol=1e-6)
    per_head = jax.vmap(lambda q, k, v: jax.nn.softmax(q @ k.T) @ v)
    seen, _ = read(jax.vmap(per_head), q, k, v, count=None)
    np.testing.assert_allclose(seen["m@attention"], oracle(q, k), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2])
def test_a_map_without_heads_has_one(count: int) -> None:
    q, k, v = (x[:, 0] for x in arrays(count))
    seen, _ = read(by_matmul, q, k, v, count=count)
    np.testing.assert_allclose(seen["m@attention"], oracle(q[:, None], k[:, None]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2])
def test_heads_that_share_their_keys_are_counted_as_jax_counts_them(count: int) -> None:
    q, k, v = (jnp.asarray(RANDOM.standard_normal((count, 5, heads, SIZE)), jnp.float32) for heads in (4, 2, 2))
    seen, _ = read(lambda q, k, v: jax.nn.dot_product_attention(q, k, v, scale=1.0), q, k, v, count=count)
    wanted = oracle(q.swapaxes(1, 2), np.repeat(k.swapaxes(1, 2), 2, axis=1))
    np.testing.assert_allclose(seen["m@attention"], wanted, rtol=1e-4, atol=1e-6)


def test_masks_and_biases_are_part_of_the_map() -> None:
    q, k, v = (x.swapaxes(1, 2) for x in arrays(2))
    mask = jnp.tril(jnp.ones((QUERIES, KEYS), bool))[None, None]
    seen, _ = read(lambda q, k, v: jax.nn.dot_product_attention(q, k, v[..., :SIZE], mask=mask), q, k, v, count=2)
    assert not np.asarray(seen["m@attention"])[:, 0, 1:].any()
    np.testing.assert_allclose(np.asarray(seen["m@attention"]).sum(2), 1, rtol=1e-5)


def test_each_iteration_of_a_scan_is_a_call() -> None:
    x = arrays(2)[0]

    def f(x: Any) -> Any:
        return jax.lax.scan(lambda x, _: (by_matmul(x, x, x), None), x, None, length=3)[0]

    seen, output = read(f, x, count=2)
    assert list(seen) == ["m@attention", "m@attention#1", "m@attention#2"]
    for call in seen.values():
        np.testing.assert_allclose(call, oracle(x, x), rtol=1e-4, atol=1e-6)
        x = by_matmul(x, x, x)
    np.testing.assert_allclose(output, x, rtol=1e-5)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: jax.nn.softmax(x),  # class probabilities
        lambda x: jax.nn.softmax(x) @ jnp.ones((3, 7)),  # ... and their mean over an embedding of classes
        lambda x: jax.nn.softmax(x, axis=(1, 2)) * x,  # a weight for each position
        lambda x: jax.nn.softmax(x, axis=1).sum(1),
        lambda x: jnp.einsum("nhqd,nhqe->nhde", jax.nn.softmax(x), x),  # along another axis than it was taken
        lambda x: jnp.einsum("nhqd,nhqd->nh", jax.nn.softmax(x, axis=2), x),
    ],
)
def test_any_other_softmax_is_none(f: Callable[..., Any]) -> None:
    q = arrays(2)[0]
    seen, output = read(f, q, count=2)
    assert seen == {}
    np.testing.assert_allclose(output, f(q), rtol=1e-6)


def test_a_mean_over_rows_of_weights_is_no_map() -> None:
    for count, x in ((2, arrays(2)[0]), (None, arrays(2)[0][0])):
        seen, _ = read(lambda table, x: jax.jit(jnp.matmul)(jax.nn.softmax(x), table), jnp.ones((3, 7)), x, count=count)
        assert seen == {}


def test_outside_of_modules_there_are_only_the_marks_of_its_author() -> None:
    q, k, v = arrays(2)
    closed = jax.make_jaxpr(by_matmul)(q, k, v)
    assert with_attention(closed, count=2) is closed
