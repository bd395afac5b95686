"""JAX models as networks: every layer found and read, today's weights used, the user's model left as it was."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("flax")

import jax.numpy as jnp  # noqa: E402
from flax import linen, nnx  # noqa: E402
from jax.ad_checkpoint import checkpoint_name  # noqa: E402

from phosphene.backend import InputSpec, Network  # noqa: E402
from phosphene.errors import CoverageWarning, InvalidParameter, ModelFailed, ModelWarning, UnknownLayer, UnknownModel  # noqa: E402
from phosphene_jax import backend  # noqa: E402

IMAGES = jnp.asarray(np.random.default_rng(0).uniform(size=(2, 8, 8, 3)), jnp.float32)


def wrap(model: Any, size: int = 8, **given: Any) -> Network:
    spec = InputSpec((size, size), **{key: given.pop(key) for key in ("mean", "std", "range") if key in given})
    arguments = {"classes": None, "device": None, "dtype": None, "name": None, **given}
    return backend.wrap(model, input=spec, **arguments)


class Block(nnx.Module):
    def __init__(self, channels: int, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(channels, channels, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(channels, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return x + nnx.relu(self.norm(self.conv(x)))


class Wider(Block):
    """Inherits its ``__call__``."""


class Pair(nnx.Module):
    def __call__(self, x: Any) -> Any:
        return jnp.argmax(x, -1), x * 2, {"rest": x}


class Model(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.stem = nnx.Conv(3, 4, (3, 3), strides=2, rngs=rngs)
        self.blocks = nnx.List([Block(4, rngs), Wider(4, rngs)])
        self.pair = Pair()
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(4, 5, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = self.blocks[0](x)
        x = self.pair(x)[1]
        return self.head(self.drop(x.mean((1, 2))))


def model(train: bool = False) -> Model:
    made = Model(nnx.Rngs(0))
    made.train() if train else made.eval()
    return made


def snapshot(module: nnx.Module) -> tuple[Any, ...]:
    """All that a user could notice: classes, flags, arrays."""
    parts = [
        (path, type(part), {k: v for k, v in vars(part).items() if isinstance(v, bool)})
        for path, part in nnx.iter_graph(module)
        if isinstance(part, nnx.Module)
    ]
    leaves = jax.tree.leaves(nnx.state(module))
    arrays = [
        np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)
        for leaf in leaves
    ]
    return parts, [array.tobytes() for array in arrays]


def closure() -> tuple[Any, dict[str, Any]]:
    held = {"w": jnp.asarray(np.random.default_rng(1).standard_normal((3, 4)), jnp.float32)}

    def function(x: Any) -> Any:
        features = checkpoint_name(x.mean((1, 2)) @ held["w"], "features")
        return features * 2

    return function, held


def test_layers_are_in_forward_order_with_calls_kinds_shapes_and_parameters() -> None:
    layers = wrap(model()).layers
    block = [f"blocks.0.{name}" for name in ("conv", "norm")] + ["blocks.0"]
    other = [path.replace("0", "1") for path in block]
    again = [f"{path}#1" for path in block]
    assert list(layers) == ["stem", *block, *other, *again, "pair", 'pair[2]["rest"]', "drop", "head", "output"]
    rows = [(layers[path].kind, layers[path].shape, layers[path].parameters) for path in ("stem", "blocks.1", "drop")]
    assert rows == [("Conv", (4, 4, 4), 112), ("Wider", (4, 4, 4), 148 + 8), ("Dropout", (4,), 0)]
    assert layers["blocks.0#1"].kind == "Block"
    assert (layers["output"].shape, layers["output"].parameters) == ((5,), 112 + 2 * 156 + 25)


def test_activations_are_those_of_the_module() -> None:
    module = model()
    read = wrap(module).forward(IMAGES, ["output", "blocks.0#1", "pair", "stem"])
    assert list(read) == ["output", "blocks.0#1", "pair", "stem"]
    x = stem = module.stem(IMAGES)
    for block in (*module.blocks, module.blocks[0]):
        x = block(x)
    wanted = {"stem": stem, "blocks.0#1": x, "pair": x * 2, "output": module(IMAGES)}
    for path, value in wanted.items():
        np.testing.assert_allclose(read[path], value, rtol=1e-5, atol=1e-6, err_msg=path)


def test_the_users_model_is_equal_before_and_after_also_when_it_raises() -> None:
    module = model(train=True)
    before = snapshot(module)
    with pytest.warns(ModelWarning, match="is in training mode"):
        network = wrap(module)
    network.forward(IMAGES, ["head"])
    with pytest.raises(ModelFailed, match=r"on images of shape \(1, 8, 8, 5\) \(N, H, W, C\).*Check size and channels"):
        network.forward(jnp.zeros((1, 8, 8, 5)), ["head"])
    with pytest.raises(ZeroDivisionError):
        network.forward(IMAGES, ["head"], edit={"stem": lambda xp, a: a / (1 // 0)})
    assert repr(snapshot(module)) == repr(before)
    quiet = model()
    np.testing.assert_allclose(network.forward(IMAGES, ["output"])["output"], quiet(IMAGES), rtol=1e-5, atol=1e-6)


def test_weights_that_change_after_wrapping_are_seen() -> None:
    module = model()
    network = wrap(module)
    before, mark = network.forward(IMAGES, ["output"])["output"], network.fingerprint()
    module.head.bias[...] = module.head.bias[...] + 1
    np.testing.assert_allclose(network.forward(IMAGES, ["output"])["output"], before + 1, rtol=1e-5)
    assert network.fingerprint() != mark
    module.head.bias[...] = module.head.bias[...] - 1
    module.blocks[1].norm.mean[...] = module.blocks[1].norm.mean[...] + 1
    assert np.abs(network.forward(IMAGES, ["output"])["output"] - before).max() > 1e-4


def test_parts_that_change_after_wrapping_are_an_error() -> None:
    module = model()
    network = wrap(module)
    module.head = nnx.Linear(4, 5, use_bias=False, rngs=nnx.Rngs(1))
    with pytest.raises(ModelFailed, match="Wrap it again"):
        network.forward(IMAGES, ["output"])


def test_what_a_function_closes_over_is_read_anew() -> None:
    function, held = closure()
    network = wrap(function)
    assert list(network.layers) == ["features", "output"]
    assert network.layers["features"].kind == "Mark"
    assert network.layers["output"].parameters == 12
    mark = network.fingerprint()
    held["w"] = held["w"] * 3
    np.testing.assert_allclose(network.forward(IMAGES, ["output"])["output"], function(IMAGES), rtol=1e-5)
    assert network.fingerprint() != mark
    zero = network.with_weights(lambda path, array: array * 0)
    assert not zero.forward(IMAGES, ["output"])["output"].any()


def test_a_function_may_hold_a_table_for_each_image_size() -> None:
    tables = {4: jnp.ones(4), 8: jnp.arange(8.0)}
    held = {"w": jnp.ones((3, 2))}
    network = wrap(lambda x: checkpoint_name(x * tables[x.shape[1]][:, None, None], "weighed").mean((1, 2)) @ held["w"])
    small = IMAGES[:, :4, :4]
    for _ in range(2):  # the second time with the trace of the first
        held["w"] = held["w"] * 5
        read = network.forward(small, ["output"])["output"]
        np.testing.assert_allclose(read, small.mean((1, 2)) @ held["w"], rtol=1e-5)


def test_a_function_with_parameters() -> None:
    parameters = {"w": np.ones((3, 4), np.float32), "scale": 2.0, "repeat": 2}

    def function(p: Any, x: Any) -> Any:
        x = x.mean((1, 2)) @ p["w"]
        for _ in range(p["repeat"]):
            x = checkpoint_name(x * p["scale"], "twice")
        return {"logits": x, "other": x.sum(-1)}

    network = wrap((function, parameters))
    assert list(network.layers) == ["twice", "twice#1", 'output["other"]', "output"]
    parameters["w"] = parameters["w"] * 2
    read = network.forward(IMAGES, ["output"])["output"]
    np.testing.assert_allclose(read, function(parameters, IMAGES)["logits"], rtol=1e-6)


def test_linen_modules_come_with_their_variables() -> None:
    class Net(linen.Module):
        @linen.compact
        def __call__(self, x: Any, train: bool = True) -> Any:
            x = linen.Conv(4, (3, 3), name="conv")(x)
            x = linen.BatchNorm(use_running_average=not train, name="norm")(x)
            shared = linen.Dense(4, name="shared")
            x = shared(linen.relu(shared(x)))
            return linen.Dense(5, name="head")(x.mean((1, 2)))

    module = Net()
    variables = module.init(jax.random.key(0), IMAGES)
    network = wrap((module, variables))
    assert list(network.layers) == ["conv", "norm", "shared", "shared#1", "head", "output"]
    assert [layer.kind for layer in network.layers.values()] == [
        "Conv",
        "BatchNorm",
        "Dense",
        "Dense",
        "Dense",
        "Output",
    ]
    assert [layer.parameters for layer in network.layers.values()] == [112, 8, 20, 20, 25, 165]
    wanted = module.apply(variables, IMAGES, train=False)
    np.testing.assert_allclose(network.forward(IMAGES, ["output"])["output"], wanted, rtol=1e-5, atol=1e-6)
    with pytest.warns(ModelWarning, match="no inner layer that could be read, because it calls no inner module"):
        assert list(wrap(linen.Dense(4).bind({"params": {"kernel": jnp.ones((3, 4)), "bias": jnp.ones(4)}})).layers)
    with pytest.raises(UnknownModel, match=r"Write \(net, variables\)"):
        wrap(module)


def test_nothing_after_the_last_layer_is_computed() -> None:
    network = wrap(model())
    weights = network.weights()

    def flops(layer: str) -> float:
        def program(weights: Any, images: Any) -> Any:
            return network.forward(images, [layer], weights=weights)

        return float(jax.jit(program).lower(weights, IMAGES).compile().cost_analysis()["flops"])

    assert flops("stem") < flops("blocks.0") < flops("output")
    text = str(jax.make_jaxpr(lambda x: network.forward(x, ["stem"], weights=weights))(IMAGES))
    assert text.count("conv_general_dilated[") == 1


def test_forward_is_traced_and_differentiated() -> None:
    module = model()
    network = wrap(module, mean=(0.5,), std=(0.25,))

    def value(weights: Any, images: Any) -> Any:
        return network.forward(images, ["output"], weights=weights)["output"][:, 1].sum()

    got = jax.jit(jax.grad(value, argnums=1))(network.weights(), IMAGES)
    wanted = jax.grad(lambda images: module((images - 0.5) / 0.25)[:, 1].sum())(IMAGES)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6)


def test_an_edit_acts_on_its_way_to_what_follows() -> None:
    network = wrap(model())
    delta = {"blocks.0#1": lambda xp, a: xp.zeros_like(a)}
    read = network.forward(IMAGES, ["blocks.0", "blocks.0#1", "output"], edit=delta)
    assert np.abs(read["blocks.0"]).max() > 0
    assert not read["blocks.0#1"].any()
    np.testing.assert_allclose(read["output"], np.zeros((2, 5)), atol=1e-6)
    with pytest.raises(InvalidParameter, match=r"edit\['stem'\]: expected an activation of shape \(2, 4, 4, 4\)"):
        network.forward(IMAGES, ["output"], edit={"stem": lambda xp, a: a[:1]})
    with pytest.raises(UnknownLayer):
        network.forward(IMAGES, ["output"], edit={"stem9": lambda xp, a: a})


@pytest.mark.parametrize("make", [model, lambda: closure()[0]])
def test_float64(make: Any) -> None:
    network, single = wrap(make(), dtype="float64"), wrap(make())
    assert (network.dtype, network.device, single.dtype) == ("float64", "cpu", "float32")
    with network.scope(), network.scope():
        images = backend.from_numpy(np.asarray(IMAGES), device=network.device, dtype=network.dtype)
        weights = network.weights()
        read = backend.run(lambda w, x: network.forward(x, ["output"], weights=w), weights, images)["output"]
        assert read.dtype == jnp.float64
        last, _ = backend.loop(lambda c, carry, x: (carry + c.sum(), x), images, images[0], jnp.arange(2))
        assert last.dtype == jnp.float64
    assert not jax.config.jax_enable_x64
    plain = single.forward(IMAGES, ["output"])["output"]
    assert plain.dtype == jnp.float32
    np.testing.assert_allclose(read, plain, rtol=1e-4, atol=1e-6)


def test_half_precision_rounds_the_images_once() -> None:
    read = wrap(model(), dtype="bfloat16").forward(IMAGES, ["stem"])["stem"]
    assert read.dtype == jnp.bfloat16
    wanted = wrap(model()).forward(IMAGES, ["stem"])["stem"]
    np.testing.assert_allclose(read.astype(np.float32), wanted, rtol=0.05, atol=0.02)


def test_with_weights_is_another_network() -> None:
    module = model()
    network = wrap(module)
    seen: list[str] = []

    def change(path: str, array: Any) -> Any:
        seen.append(path)
        return array + 1 if path == "head.bias" else array

    other = network.with_weights(change)
    before = network.forward(IMAGES, ["output"])["output"]
    np.testing.assert_allclose(other.forward(IMAGES, ["output"])["output"], before + 1, rtol=1e-5)
    twice = other.with_weights(change)
    np.testing.assert_allclose(twice.forward(IMAGES, ["output"])["output"], before + 2, rtol=1e-5)
    np.testing.assert_allclose(network.forward(IMAGES, ["output"])["output"], before)
    assert len({network.fingerprint(), other.fingerprint(), twice.fingerprint()}) == 3
    assert network.fingerprint() == wrap(model()).fingerprint()
    assert "blocks.0.norm.var" in seen
    assert not any("rngs" in path for path in seen)


@pytest.mark.parametrize(
    ("returned", "known"),
    [
        (lambda y: (y, jnp.argmax(y, -1)), True),
        (lambda y: {"logits": y, "features": y}, True),
        (lambda y: (y, y * 2), False),
    ],
)
def test_the_output_is_the_logit_where_it_is_known(returned: Any, known: bool) -> None:
    def function(x: Any) -> Any:
        return returned(checkpoint_name(x.mean((1, 2)), "mean"))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        network = wrap(function)
    assert [path for path in network.layers if "[" not in path] == ["mean", *(["output"] if known else [])]
    assert known or list(network.layers)[1:] == ["output[0]", "output[1]"]
    assert [warning.category for warning in caught] == ([] if known else [ModelWarning])


def test_a_layer_that_cannot_be_reached_is_said_once() -> None:
    def function(x: Any) -> Any:
        x = x.mean((1, 2))
        return jax.lax.cond(x.sum() > 0, lambda x: checkpoint_name(x, "hidden"), lambda x: x, x)

    with (
        pytest.warns(CoverageWarning, match="layers inside cond cannot be read: hidden"),
        pytest.warns(ModelWarning, match="no inner layer that could be read, because layers inside cond"),
    ):
        network = wrap(function)
    assert network.findings.unread == {"hidden": "it is inside cond, which runs as a whole"}
    network.forward(IMAGES, ["output"])


def test_shapes_at_another_size_and_what_does_not_fit() -> None:
    network = wrap(model())
    shapes = network.shapes((16, 12))
    assert (shapes["stem"], shapes["output"]) == ((8, 6, 4), (5,))
    with pytest.warns(ModelWarning, match="no inner layer"):
        fixed = wrap(lambda x: x.reshape(x.shape[0], 192) @ jnp.ones((192, 2)))
    with pytest.raises(ModelFailed, match=r"on images of shape \(1, 9, 9, 3\)"):
        fixed.shapes((9, 9))
    with pytest.raises(ModelFailed, match="Check size and channels"):
        wrap(lambda x: x @ jnp.ones((7, 2)))
    with pytest.raises(UnknownLayer, match="Did you mean"):
        network.forward(IMAGES, ["stemm"])
