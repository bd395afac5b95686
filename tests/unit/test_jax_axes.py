"""Where the channels are, read from the equations; windows that share the batch axis; and what has no row for each image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
nnx = pytest.importorskip("flax.nnx")

import jax.numpy as jnp  # noqa: E402
from jax.ad_checkpoint import checkpoint_name  # noqa: E402

import phosphene as ph  # noqa: E402
from phosphene.errors import ModelFailed, ModelWarning  # noqa: E402
from phosphene.layouts import Layout  # noqa: E402
from phosphene_jax.axes import axes_of_marks  # noqa: E402

IMAGES = np.random.default_rng(0).random((2, 8, 8, 3)).astype(np.float32)
W = jnp.asarray(np.random.default_rng(1).standard_normal((64, 64)), jnp.float32)
FILTERS = W[:3, :54].reshape(6, 3, 3, 3)


def first(x: Any) -> Any:
    """Six channels, channel-first: (N, 6, 8, 8)."""
    return jax.lax.conv_general_dilated(x, FILTERS, (1, 1), "SAME", dimension_numbers=("NHWC", "OIHW", "NCHW"))


def tokens(x: Any) -> Any:
    """(N, 64, 6)."""
    return first(x).reshape(x.shape[0], 6, 64).swapaxes(1, 2)


def attended(x: Any, product: Callable[..., Any] = jnp.einsum) -> Any:
    heads = tokens(x).reshape(x.shape[0], 64, 2, 3).transpose(0, 2, 1, 3)
    weights = jax.nn.softmax(product("nhqd,nhkd->nhqk", heads, heads))
    return product("nhqk,nhkd->nhqd", weights, heads)


def scanned(x: Any) -> Any:
    def step(carry: Any, matrix: Any) -> Any:
        return jnp.tanh(carry @ matrix), carry

    last, before = jax.lax.scan(step, tokens(x), jnp.stack([W[:6, :6]] * 2))
    return last + before[0]


FUNCTIONS: dict[str, tuple[Callable[[Any], Any], int | None]] = {
    "images": (lambda x: x * 2, 3),
    "a convolution": (first, 1),
    "transposed": (lambda x: first(x).transpose(0, 2, 1, 3), 2),
    "normalised in the middle": (lambda x: jax.nn.standardize(first(x), axis=1) * W[0, :6, None, None], 1),
    "flattened positions": (lambda x: first(x).reshape(x.shape[0], 6, 64), 1),
    "split and merged": (lambda x: first(x).reshape(x.shape[0], 2, 3, 8, 8).reshape(x.shape[0], 6, 8, 8), 1),
    "an axis of one": (lambda x: first(x)[:, None], 2),
    "tokens": (tokens, 2),
    "a linear layer": (lambda x: tokens(x) @ W[:6], 2),
    "a linear layer from the left": (lambda x: jnp.einsum("oc,ntc->not", W[:10, :6], tokens(x)), 1),
    "mixed tokens": (lambda x: tokens(x).swapaxes(1, 2) @ W[:, :10], 1),
    "resized": (lambda x: jax.image.resize(first(x), (x.shape[0], 6, 4, 5), "linear"), 1),
    "pooled": (lambda x: jax.lax.reduce_window(first(x), 0.0, jax.lax.add, (1, 1, 2, 2), (1, 1, 2, 2), "VALID"), 1),
    "summed": (lambda x: first(x).sum(2), 1),
    "padded and sliced": (lambda x: jnp.pad(first(x), ((0, 0), (0, 0), (1, 1), (1, 1)))[:, 1:, ::2], 1),
    "joined with itself": (lambda x: jnp.concatenate([first(x), first(x)], 1), 1),
    "a token of its own": (
        lambda x: jnp.concatenate([jnp.broadcast_to(W[0, :6], (x.shape[0], 1, 6)), tokens(x)], 1),
        2,
    ),
    "some positions": (lambda x: tokens(x)[:, jnp.asarray([1, 5, 7])], 2),
    "attention": (attended, 3),
    "attention with the heads merged": (lambda x: attended(x).transpose(0, 2, 1, 3).reshape(x.shape[0], 64, 6), 2),
    "a scan": (scanned, 2),
    "inside jit and remat": (lambda x: jax.jit(jax.checkpoint(lambda x: jnp.tanh(first(x))))(x), 1),
    "a choice": (lambda x: jax.lax.cond(x.sum() > 0, first, lambda x: first(x) + 1, x), 1),
    "a loop": (lambda x: jax.lax.fori_loop(0, 3, lambda _, y: y * 2, first(x)), 1),
    "a custom derivative": (lambda x: jax.nn.silu(jax.nn.relu(first(x))), 1),
    "torn": (lambda x: first(x).reshape(x.shape[0], 4, 12, 8), None),
    "a product of images": (lambda x: jnp.einsum("ntc,nsc->nts", tokens(x), tokens(x)), None),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("count", [1, 2])
def test_the_channel_axis_is_followed(name: str, count: int) -> None:
    function, wanted = FUNCTIONS[name]
    closed = jax.make_jaxpr(lambda x: checkpoint_name(function(x), "here"))(jnp.asarray(IMAGES[:count]))
    assert axes_of_marks(closed, lambda path: None) == {"here": wanted}


def test_what_is_stated_is_followed_from_there_on() -> None:
    def function(x: Any) -> Any:
        torn = checkpoint_name(first(x).reshape(x.shape[0], 4, 12, 8), "torn")
        return checkpoint_name(torn.swapaxes(1, 2), "next")

    closed = jax.make_jaxpr(function)(jnp.asarray(IMAGES))
    assert axes_of_marks(closed, {"torn": -2}.get) == {"torn": 2, "next": 1}


def test_layers_are_read_channel_last_and_flax_s_convention_holds_where_nothing_tells() -> None:
    class Model(nnx.Module):
        def __init__(self) -> None:
            self.torn, self.first = Torn(), First()

        def __call__(self, x: Any) -> Any:
            return self.first(x).mean((2, 3)) + self.torn(x).mean((1, 2, 3))[:, None]

    class Torn(nnx.Module):
        def __call__(self, x: Any) -> Any:
            return x.reshape(x.shape[0], 4, 12, 4)

    class First(nnx.Module):
        def __call__(self, x: Any) -> Any:
            return first(x)

    network = ph.wrap(Model(), size=8)
    assert (network.layers["torn"].shape, network.layers["torn"].channel_axis) == ((4, 12, 4), -1)
    assert (network.layers["first"].shape, network.layers["first"].channel_axis) == ((8, 8, 6), 1)
    read = ph.activations(network, IMAGES, "first")["first"]
    np.testing.assert_allclose(read, first(jnp.asarray(IMAGES)).transpose(0, 2, 3, 1), rtol=1e-5, atol=1e-6)


def in_windows(x: Any) -> Any:
    """(N, 8, 8, C) as (N * 4, 16, C)."""
    count, size, _, channels = x.shape
    cut = x.reshape(count, size // 4, 4, size // 4, 4, channels).transpose(0, 1, 3, 2, 4, 5)
    return cut.reshape(-1, 16, channels)


def test_windows_that_share_the_batch_axis_come_behind_it() -> None:
    def function(x: Any) -> Any:
        windows = checkpoint_name(jnp.tanh(in_windows(x) @ W[:3, :6]), "windows")
        return windows.reshape(x.shape[0], -1, 6).mean(1)

    network = ph.wrap(function, size=8)
    layer = network.layers["windows"]
    assert (layer.shape, layer.windows, layer.axes) == ((4, 16, 6), 4, ("window", "token", "channel"))
    assert network.shapes((12, 12))["windows"] == (9, 16, 6)
    read = ph.activations(network, IMAGES, ["windows", "output"])
    wanted = np.tanh(np.asarray(in_windows(jnp.asarray(IMAGES)) @ W[:3, :6])).reshape(2, 4, 16, 6)
    np.testing.assert_allclose(read["windows"], wanted, rtol=1e-5)

    def second_only(xp: Any, a: Any) -> Any:
        assert a.shape == (2, 4, 16, 6)
        return a * jnp.asarray([1.0, 0.0])[:, None, None, None]

    edited = network.forward(jnp.asarray(IMAGES), ["output"], edit={"windows": second_only})["output"]
    np.testing.assert_allclose(edited[0], read["output"][0], rtol=1e-5)
    assert not edited[1].any()


@pytest.mark.parametrize(
    "mixed",
    [
        lambda x: in_windows(x).reshape(x.shape[0], 4, 16, 3).swapaxes(0, 1).reshape(-1, 16, 3),  # windows first
        lambda x: in_windows(x) - in_windows(x).mean(0),  # images see one another
        lambda x: jnp.ones((1, 8, 3)) * 2,  # nothing of an image
    ],
)
def test_what_has_no_row_for_each_image_is_left_out_and_said(mixed: Callable[[Any], Any]) -> None:
    def function(x: Any) -> Any:
        marked = checkpoint_name(mixed(x), "mixed")
        return x.mean((1, 2)) + 0 * marked.mean()

    with (
        pytest.warns(ModelWarning, match="has no row for each image in 'mixed', which cannot be read"),
        pytest.warns(ModelWarning, match="no inner layer"),
    ):
        network = ph.wrap(function, size=8)
    assert list(network.layers) == ["output"]
    assert network.findings.unread == {"mixed": "it has no row for each image"}
    assert not network.findings.mixes_images


def test_a_layer_that_is_mixed_only_at_another_size_is_an_error_there() -> None:
    def function(x: Any) -> Any:
        folded = in_windows(x) if x.shape[1] == 8 else in_windows(x) - in_windows(x).mean(0)
        return checkpoint_name(folded, "windows").mean() * 0 + x.mean((1, 2))

    network = ph.wrap(function, size=8)
    assert "windows" not in network.shapes((16, 16))
    with pytest.raises(ModelFailed, match="does not compute windows for images of shape"):
        network.forward(jnp.ones((1, 16, 16, 3)), ["windows"])


def test_the_layout_of_an_array_without_values_is_unknown_once_it_is_reshaped() -> None:
    empty = Layout.of((2, 0, 3, 8), -1)
    assert empty.reshaped((2, 0)) is None and empty.reshaped((0, 24)) is None
    assert empty.resized((2, 5, 3, 8)) == Layout.of((2, 5, 3, 8), -1)
