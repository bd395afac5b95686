"""Attention maps are layers of the modules that compute them: read, counted and edited, in every kind with modules of JAX."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import phosphene as ph
from phosphene.backend import Network

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

IMAGES = np.random.default_rng(0).random((2, 12, 16, 3)).astype(np.float32)
HEADS, TOKENS, SIZE = 2, 12, 8


def nnx_model() -> Any:
    nnx = pytest.importorskip("flax.nnx")

    class Model(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.patches = nnx.Conv(3, SIZE, (4, 4), strides=4, rngs=rngs)
            self.attend = nnx.MultiHeadAttention(num_heads=HEADS, in_features=SIZE, decode=False, rngs=rngs)
            self.head = nnx.Linear(SIZE, 5, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            x = self.patches(x).reshape(x.shape[0], -1, SIZE)
            for _ in range(2):
                x = self.attend(x)
            return nnx.softmax(self.head(x.mean(1)))

    return Model(nnx.Rngs(0))


def linen_model() -> Any:
    linen = pytest.importorskip("flax.linen")

    class Model(linen.Module):
        @linen.compact
        def __call__(self, x: Any) -> Any:
            x = linen.Conv(SIZE, (4, 4), strides=4, name="patches")(x).reshape(x.shape[0], -1, SIZE)
            attend = linen.MultiHeadDotProductAttention(num_heads=HEADS, name="attend")
            for _ in range(2):
                x = attend(x)
            return linen.softmax(linen.Dense(5, name="head")(x.mean(1)))

    model = Model()
    return model, model.init(jax.random.key(0), jnp.asarray(IMAGES))


def equinox_model() -> Any:
    eqx = pytest.importorskip("equinox")

    class Model(eqx.Module):
        patches: Any
        attend: Any
        head: Any

        def __call__(self, x: Any) -> Any:
            x = self.patches(x).reshape(SIZE, -1).T
            for _ in range(2):
                x = self.attend(x, x, x)
            return jax.nn.softmax(self.head(x.mean(0)))

    first, second, third = jax.random.split(jax.random.key(0), 3)
    return Model(
        eqx.nn.Conv2d(3, SIZE, 4, stride=4, key=first),
        eqx.nn.MultiheadAttention(HEADS, SIZE, inference=True, key=second),
        eqx.nn.Linear(SIZE, 5, key=third),
    )


MODELS = {"nnx": nnx_model, "linen": linen_model, "equinox": equinox_model}
PARTS = {"equinox": ("query_proj", "key_proj", "value_proj", "output_proj")}


@pytest.fixture(params=sorted(MODELS))
def attending(request: pytest.FixtureRequest) -> tuple[Network, tuple[str, ...]]:
    """A network, and what its query, key, value and output projections are called."""
    parts = PARTS.get(request.param, ("query", "key", "value", "out"))
    return ph.wrap(MODELS[request.param](), size=(12, 16)), tuple(f"attend.{part}" for part in parts)


def by_head(value: Any) -> Any:
    return np.asarray(value, np.float64).reshape(*np.shape(value)[:2], HEADS, -1)


def softmax(scores: Any) -> Any:
    raised = np.exp(scores - scores.max(2, keepdims=True))
    return raised / raised.sum(2, keepdims=True)


def map_of(query: Any, key: Any) -> Any:
    """The oracle: ``(N, queries, keys, heads)``."""
    query, key = by_head(query), by_head(key)
    return softmax(np.einsum("nqhd,nkhd->nqkh", query, key) / np.sqrt(query.shape[-1]))


def test_maps_are_layers_and_class_probabilities_are_none(attending: tuple[Network, tuple[str, ...]]) -> None:
    network, _ = attending
    maps = network.layers.select(kind="Attention")
    assert list(maps) == ["attend@attention", "attend@attention#1"]
    for layer in maps.values():
        assert (layer.shape, layer.axes) == ((TOKENS, TOKENS, HEADS), ("query", "key", "head"))
    order = list(network.layers)
    assert order.index("attend@attention") < order.index("attend") < order.index("attend@attention#1")
    assert network.layers["patches"].axes == ("row", "column", "channel")
    assert network.layers["attend"].shape == (TOKENS, SIZE)


def test_maps_are_the_softmax_of_queries_and_keys(attending: tuple[Network, tuple[str, ...]]) -> None:
    network, (query, key, _, _) = attending
    for call in ("", "#1"):
        read = ph.activations(network, IMAGES, [query + call, key + call, f"attend@attention{call}"])
        got = read[f"attend@attention{call}"]
        assert got.shape == (2, TOKENS, TOKENS, HEADS)
        np.testing.assert_allclose(got, map_of(read[query + call], read[key + call]), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(got.sum(2), 1, rtol=1e-5)


def test_an_edited_map_weighs_the_values(attending: tuple[Network, tuple[str, ...]]) -> None:
    network, (_, _, value, out) = attending
    given = np.random.default_rng(1).random((2, TOKENS, TOKENS, HEADS)).astype(np.float32)

    def replace(xp: Any, weights: Any) -> Any:
        return xp.asarray(given)

    edit = {"attend@attention#1": replace}
    read = network.forward(jnp.asarray(IMAGES), [f"{value}#1", f"{out}#1", "attend@attention#1"], edit=edit)
    np.testing.assert_allclose(read["attend@attention#1"], given)
    weighed = np.einsum("nqkh,nkhd->nqhd", given, by_head(read[f"{value}#1"])).reshape(2, TOKENS, SIZE)
    shapes = network.weight_shapes()
    weights = dict(zip(shapes, network.weights(), strict=True))
    kernel, bias = (
        next((weights[f"{out}.{name}"] for name in names if f"{out}.{name}" in weights), None)
        for names in (("kernel", "weight"), ("bias",))
    )
    if kernel is None:  # linen's weights are called after their collection
        kernel, bias = weights[f"params.{out}.kernel"], weights[f"params.{out}.bias"]
    matrix = np.asarray(kernel).T if out.endswith("_proj") else np.asarray(kernel).reshape(SIZE, SIZE)
    wanted = weighed @ matrix + (0 if bias is None else np.asarray(bias))
    np.testing.assert_allclose(read[f"{out}#1"], wanted, rtol=1e-4, atol=1e-5)


def test_a_map_is_an_objective(attending: tuple[Network, tuple[str, ...]]) -> None:
    network, _ = attending

    def looks_at_the_first(xp: Any, activations: Any) -> Any:
        return xp.mean(activations["attend@attention"][:, :, 0, 0], axis=1)

    plain = {"steps": 8, "parameterization": ph.parameterizations.pixel(), "transforms": [], "progress": False}
    renders = ph.render(network, looks_at_the_first, **plain)
    assert renders.values[0] > renders.history[0, 0]
