"""Equinox models: one image at a time, channel-first and frozen, read like any other and left as they were."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
eqx = pytest.importorskip("equinox")

import jax.numpy as jnp  # noqa: E402
from jax.ad_checkpoint import checkpoint_name  # noqa: E402

import phosphene as ph  # noqa: E402
from phosphene.errors import CoverageWarning, InvalidParameter, ModelFailed, ModelWarning, UnknownLayer  # noqa: E402
from phosphene_jax import backend  # noqa: E402

IMAGES = np.random.default_rng(0).random((2, 16, 16, 3)).astype(np.float32)
KEYS = jax.random.split(jax.random.key(0), 8)
nn = eqx.nn


class Many(eqx.Module):
    """Most of what Equinox has: channels first, then last, then in the middle."""

    stem: Any
    up: Any
    norm: Any
    point: Any
    mix: Any
    head: Any

    def __init__(self) -> None:
        self.stem = nn.Sequential(
            [
                nn.Conv2d(3, 8, 3, padding=1, key=KEYS[0]),
                nn.GroupNorm(2, 8),
                nn.Lambda(jax.nn.relu),
                nn.MaxPool2d(2, 2),
                nn.Dropout(0.3),
                nn.Conv2d(8, 8, 3, groups=8, padding=1, key=KEYS[1]),
                nn.AvgPool2d(2, 2),
            ]
        )
        self.up = nn.ConvTranspose2d(8, 6, 2, 2, key=KEYS[2])
        self.norm, self.point = nn.LayerNorm(6), nn.Linear(6, 12, key=KEYS[3])
        self.mix, self.head = nn.Linear(64, 10, key=KEYS[4]), nn.MLP(12, 5, 16, 1, key=KEYS[5])

    def __call__(self, x: Any, *, key: Any) -> Any:
        x = jnp.transpose(self.up(self.stem(x, key=key)), (1, 2, 0))
        x = jax.vmap(jax.vmap(self.point))(jax.vmap(jax.vmap(self.norm))(x))
        x = jax.vmap(self.mix)(jnp.transpose(x, (2, 0, 1)).reshape(12, 64))
        return self.head(x.mean(1))


def quiet(model: Any, **given: Any) -> ph.Network:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        return ph.wrap(model, size=given.pop("size", 16), **given)


def forward(network: ph.Network, layers: list[str], edit: Any = None, images: Any = IMAGES) -> Any:
    return jax.jit(lambda x: network.forward(x, layers, edit=edit))(jnp.asarray(images))


def each(function: Any) -> Any:
    """What a function of one image, channel-first, returns for all."""
    return jax.jit(jax.vmap(function))(channel_first())


def channel_first(images: Any = IMAGES) -> Any:
    return jnp.asarray(images).transpose(0, 3, 1, 2)


def test_every_layer_is_found_channel_last_wherever_its_channels_are() -> None:
    model = Many()
    with pytest.warns(ModelWarning, match="Many is in training mode") as caught:
        network = ph.wrap(model, size=16)
    assert len(caught) == 1
    shapes = {path: layer.shape for path, layer in network.layers.items()}
    assert shapes == {
        **{f"stem.layers.{index}": (16, 16, 8) for index in range(3)},
        **{f"stem.layers.{index}": (8, 8, 8) for index in (3, 4, 5)},
        **dict.fromkeys(("stem.layers.6", "stem"), (4, 4, 8)),
        "up": (8, 8, 6),
        "norm": (8, 8, 6),
        "point": (8, 8, 12),
        "mix": (10, 12),
        "head.layers.0": (16,),
        "head.layers.1": (5,),
        "head": (5,),
        "output": (5,),
    }
    axes = {path: network.layers[path].channel_axis for path in ("stem", "norm", "mix", "head")}
    assert axes == {"stem": 1, "norm": -1, "mix": 1, "head": -1}
    assert network.layers["stem.layers.0"].kind == "Conv2d"
    assert network.layers["stem"].parameters == 3 * 8 * 9 + 8 + 16 + 8 * 9 + 8
    read = ph.activations(network, IMAGES, ["stem", "mix", "output"])
    still = eqx.nn.inference_mode(model)
    stem = each(lambda x: still.stem(x, key=KEYS[6]))
    np.testing.assert_allclose(read["stem"], stem.transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-6)
    wanted = each(lambda x: still(x, key=KEYS[6]))
    np.testing.assert_allclose(read["output"], wanted, rtol=1e-4, atol=1e-6)
    assert model.stem.layers[4].inference is False
    assert type(model.head) is nn.MLP


def test_an_edit_sees_the_batch_and_acts_on_each_image_by_itself() -> None:
    network = quiet(Many())
    added = np.linspace(-1, 1, 2 * 10 * 12).reshape(2, 10, 12).astype(np.float32)

    def edit(xp: Any, a: Any) -> Any:
        assert a.shape == (2, 10, 12)
        return a + added

    plain = ph.activations(network, IMAGES, ["mix"])["mix"]
    both = forward(network, ["mix", "output"], {"mix": edit})
    np.testing.assert_allclose(both["mix"], plain + added, rtol=1e-5, atol=1e-5)
    for row in range(2):
        alone = forward(network, ["output"], {"mix": lambda xp, a, row=row: a + added[row]}, IMAGES[row : row + 1])
        np.testing.assert_allclose(both["output"][row], alone["output"][0], rtol=1e-4, atol=1e-5)


class Stateful(eqx.Module):
    norm: Any
    head: Any

    def __init__(self) -> None:
        self.norm, self.head = nn.BatchNorm(3, "batch", mode="batch"), nn.Linear(3, 5, key=KEYS[0])

    def __call__(self, x: Any, state: Any) -> Any:
        x, state = self.norm(x, state)
        return self.head(x.mean((1, 2))), state


def test_a_model_comes_with_its_state_which_may_be_used_up_afterwards() -> None:
    model, state = nn.make_with_state(Stateful)()
    network = quiet((model, state))
    before = ph.activations(network, IMAGES, "output")["output"]
    _, after = jax.vmap(model, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(channel_first(), state)
    np.testing.assert_array_equal(ph.activations(network, IMAGES[:1], "output")["output"], before[:1])
    trained = quiet((model, after))
    assert np.abs(ph.activations(trained, IMAGES, "output")["output"] - before).max() > 1e-3
    assert network.fingerprint() != trained.fingerprint()
    assert "norm.weight" in network.weight_shapes()
    assert "state.1" in network.weight_shapes()


class Residual(eqx.Module):
    conv: Any

    def __call__(self, x: Any) -> Any:
        return x + jax.nn.relu(self.conv(x))


class Stack(eqx.Module):
    """Equal layers in one stacked module, scanned and rematerialised."""

    stem: Any
    blocks: Any

    def __init__(self) -> None:
        self.stem = nn.Conv2d(3, 4, 1, key=KEYS[0])
        self.blocks = eqx.filter_vmap(lambda key: Residual(nn.Conv2d(4, 4, 3, padding=1, key=key)))(KEYS[:3])

    def __call__(self, x: Any) -> Any:
        arrays, rest = eqx.partition(self.blocks, eqx.is_array)

        def step(x: Any, layer: Any) -> Any:
            return eqx.filter_checkpoint(eqx.combine(layer, rest))(x), None

        return jax.lax.scan(step, self.stem(x), arrays)[0].mean((1, 2))


def test_each_iteration_of_a_scan_over_stacked_modules_is_a_call(caplog: pytest.LogCaptureFixture) -> None:
    model = Stack()
    with caplog.at_level(logging.INFO, "phosphene"):
        network = ph.wrap(model, size=16)
    assert "'blocks.conv', 'blocks' are in a scan" in caplog.text
    calls = [path + call for call in ("", "#1", "#2") for path in ("blocks.conv", "blocks")]
    assert list(network.layers) == ["stem", *calls, "output"]

    def unrolled(x: Any, edit: Any = lambda x: x) -> dict[str, Any]:
        seen = {"stem": model.stem(x)}
        x = seen["stem"]
        for index, call in enumerate(("", "#1", "#2")):
            block = jax.tree.map(lambda leaf, index=index: leaf[index] if eqx.is_array(leaf) else leaf, model.blocks)
            seen[f"blocks.conv{call}"] = block.conv(x)
            x = block(x)
            x = seen[f"blocks{call}"] = edit(x) if index == 1 else x
        return {**seen, "output": x.mean((1, 2))}

    for edited in (False, True):
        edit = {"blocks#1": lambda xp, a: a * 2} if edited else {}
        read = forward(network, list(network.layers), edit)
        wanted = each(lambda x, edited=edited: unrolled(x, lambda x: x * 2 if edited else x))
        for path, value in wanted.items():
            value = value.transpose(0, 2, 3, 1) if value.ndim == 4 else value
            np.testing.assert_allclose(read[path], value, rtol=1e-4, atol=1e-5, err_msg=path)


class Lambda(eqx.Module):
    """A trained module, and a function that calls it."""

    part: Any
    function: Any = eqx.field(static=True)

    def __call__(self, x: Any) -> Any:
        return self.function(self.part, x)


LINEAR = nn.Linear(3, 4, key=KEYS[0])


@pytest.mark.parametrize(
    "function",
    [
        lambda part, x: eqx.filter_jit(part)(x.mean((1, 2))),
        lambda part, x: eqx.filter_checkpoint(eqx.filter_jit(part))(x.mean((1, 2))),
        lambda part, x: eqx.filter_jit(lambda part, x: part(x))(part, x.mean((1, 2))),
        lambda part, x: jax.grad(lambda x: (part(x) ** 2).sum() / 2)(x.mean((1, 2))) * 0 + part(x.mean((1, 2)))[:3],
    ],
)
def test_modules_are_seen_through_jit_remat_and_a_gradient(function: Any) -> None:
    network = ph.wrap(Lambda(LINEAR, function), size=16)
    last = [path for path in network.layers if path.startswith("part")][-1]
    wanted = each(lambda x: LINEAR(x.mean((1, 2))))
    np.testing.assert_allclose(ph.activations(network, IMAGES, last)[last], wanted, rtol=1e-5, atol=1e-6)


def test_the_mapped_axis_comes_first_and_the_batch_before_it() -> None:
    def over_columns(part: Any, x: Any) -> Any:
        return jax.vmap(part, in_axes=1, out_axes=1)(x.mean(1)).mean(1)

    network = ph.wrap(Lambda(LINEAR, over_columns), size=16)
    assert network.layers["part"].shape == (16, 4)
    wanted = each(lambda x: jax.vmap(LINEAR)(x.mean(1).T))
    np.testing.assert_allclose(ph.activations(network, IMAGES, "part")["part"], wanted, rtol=1e-5, atol=1e-6)


def test_a_channel_axis_that_does_not_show_is_said_and_can_be_stated() -> None:
    def tears(part: Any, x: Any) -> Any:
        torn = checkpoint_name(x.reshape(16, 3, 16), "torn")
        return part(torn.reshape(3, 16, 16).mean((1, 2)))

    model = Lambda(LINEAR, tears)
    with pytest.warns(ModelWarning, match=r"the channel axis of 'torn': axis 1 .* guess.*channel_axis=\{'torn'"):
        ph.wrap(model, size=16)
    network = ph.wrap(model, size=16, channel_axis={"to*": 3})
    assert (network.layers["torn"].shape, network.layers["torn"].channel_axis) == ((16, 3, 16), -1)
    network = ph.wrap(model, size=16, channel_axis={"torn": 2})
    read = ph.activations(network, IMAGES, "torn")["torn"]
    np.testing.assert_array_equal(read, channel_first().reshape(2, 16, 3, 16).transpose(0, 1, 3, 2))
    assert network.layers["torn"].axes == ("row", "column", "channel")
    with pytest.raises(InvalidParameter, match=r"channel_axis\['torn'\]: expected an axis from 1 to 3, or -1, got 4"):
        ph.wrap(model, size=16, channel_axis={"torn": 4})
    with pytest.raises(UnknownLayer, match="Did you mean 'torn'"):
        ph.wrap(model, size=16, channel_axis={"tor": 1})


def test_what_is_not_reached_or_does_not_depend_on_the_image_is_said() -> None:
    def repeats(part: Any, x: Any) -> Any:
        return jax.lax.while_loop(lambda x: x.sum() < 1, lambda x: x + part(x)[:3] ** 2, x.mean((1, 2)))

    with (
        pytest.warns(CoverageWarning, match="layers inside while cannot be read: part"),
        pytest.warns(ModelWarning, match="no inner layer that could be read, because layers inside while"),
    ):
        ph.wrap(Lambda(LINEAR, repeats), size=16)
    with (
        pytest.warns(ModelWarning, match="has no row for each image in 'part'"),
        pytest.warns(ModelWarning, match="no inner layer"),
    ):
        network = ph.wrap(Lambda(LINEAR, lambda part, x: x.mean((1, 2)) + part(jnp.ones(3))[:3]), size=16)
    with pytest.raises(UnknownLayer, match="has a module of that name"):
        network.layers["part"]


def test_errors_speak_of_one_image() -> None:
    with pytest.raises(ModelFailed, match=r"on an image of shape \(4, 16, 16\) \(C, H, W\).*Check size and channels"):
        quiet(Many(), channels=4)
    with pytest.raises(ModelFailed, match=r"Sum needs y in addition to the images.*inputs=\{'y': \.\.\.\}"):
        ph.wrap(Needs(), size=16, name="Sum")
    assert not backend.owns(eqx.nn.StateIndex(jnp.ones(1)))


class Needs(eqx.Module):
    def __call__(self, x: Any, y: Any) -> Any:
        return x.mean((1, 2)) + y


@pytest.mark.filterwarnings("ignore:.*no inner layer:phosphene.errors.ModelWarning")
def test_constants_have_no_batch_axis_here_either() -> None:
    network = ph.wrap(Needs(), size=16, inputs={"y": np.arange(3.0)})
    np.testing.assert_allclose(
        ph.activations(network, IMAGES, "output")["output"], IMAGES.mean((1, 2)) + np.arange(3.0), rtol=1e-5
    )
    network = ph.wrap(Needs(), size=16, inputs=lambda x: {"x": x, "y": x[:, 0, 0]})
    np.testing.assert_allclose(
        ph.activations(network, IMAGES, "output")["output"], IMAGES.mean((1, 2)) + IMAGES[:, 0, 0], rtol=1e-5
    )
