"""What wrapping a JAX model finds out about it: random draws, mixed images, training mode, what cannot be read, and why."""

from __future__ import annotations

import copy
import pickle
from collections import namedtuple
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("flax")
eqx = pytest.importorskip("equinox")

import jax.numpy as jnp  # noqa: E402
from flax import linen, nnx  # noqa: E402
from jax.ad_checkpoint import checkpoint_name  # noqa: E402

import phosphene as ph  # noqa: E402
from phosphene.errors import ModelFailed, ModelWarning, UnknownModel  # noqa: E402
from phosphene_jax.influence import in_doubt  # noqa: E402

IMAGES = np.random.default_rng(0).random((4, 8, 8, 3)).astype(np.float32)
KEY = jax.random.key(0)
QUIET = pytest.mark.filterwarnings("ignore::phosphene.errors.ModelWarning")


class Nnx(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(3, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x: Any, learning: bool = True) -> Any:
        x = self.norm(self.conv(x), use_running_average=not learning)
        return self.drop(x, deterministic=not learning).mean((1, 2))


class Linen(linen.Module):
    normed: bool = True
    dropped: bool = True

    @linen.compact
    def __call__(self, x: Any, learning: bool = True) -> Any:
        x = linen.Conv(4, (3, 3))(x)
        if self.normed:
            x = linen.BatchNorm(use_running_average=not learning)(x)
        if self.dropped:
            x = linen.Dropout(0.5, deterministic=not learning)(x)
        return x.mean((1, 2))


class Equinox(eqx.Module):
    conv: Any
    drop: Any

    def __init__(self) -> None:
        self.conv, self.drop = eqx.nn.Conv2d(3, 4, 3, key=KEY), eqx.nn.Dropout(0.5)

    def __call__(self, x: Any, *, key: Any = None) -> Any:
        return self.drop(self.conv(x), key=key, inference=False).mean((1, 2))


def nnx_model() -> Any:
    module = Nnx(nnx.Rngs(0))
    module.eval()
    return module


def linen_model(**parts: bool) -> Any:
    module = Linen(**parts)
    return module, module.init(KEY, jnp.asarray(IMAGES), learning=False)


def sampled(x: Any, rng: Any) -> Any:
    x = checkpoint_name(jnp.tanh(x), "tanh")
    return x.mean((1, 2)) * jax.random.bernoulli(rng, 0.5, (3,))


def applied(parameters: Any, rng: Any, *arguments: Any) -> Any:
    """The order in which functions that were transformed take their arguments."""
    return sampled(arguments[0] * parameters["w"], rng)


DRAWING: dict[str, Any] = {
    "nnx": nnx_model,
    "linen": lambda: linen_model(normed=False),
    "equinox": Equinox,
    "a function": lambda: sampled,
    "a transformed function": lambda: (applied, {"w": jnp.ones(3)}),
}


@QUIET
@pytest.mark.parametrize("name", DRAWING)
def test_a_draw_reaches_a_model_that_draws_in_evaluation_mode(name: str) -> None:
    network = ph.wrap(DRAWING[name](), size=8)
    assert network.findings.random
    images = jnp.asarray(IMAGES)

    @jax.jit
    def read(draw: Any) -> Any:
        return network.forward(images, ["output"], draw=draw)["output"]

    first, again, other = read(0), read(0), read(1)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_allclose(network.forward(images, ["output"])["output"], first, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["nnx", "linen"])
def test_a_flag_that_keeps_training_mode_is_found_and_how_to_state_it(name: str) -> None:
    model = {"nnx": nnx_model, "linen": linen_model}[name]()
    with pytest.warns(ModelWarning) as caught:
        network = ph.wrap(model, size=8)
    texts = "\n".join(str(warning.message) for warning in caught)
    assert "mixes the images of a batch" in texts
    assert "draws random numbers" in texts
    assert texts.count('inputs={"learning": False}') == 1
    assert (network.findings.mixes_images, network.findings.random) == (True, True)
    stated = ph.wrap(model, size=8, inputs={"learning": False})
    assert (stated.findings.mixes_images, stated.findings.random) == (False, False)
    # The advice is true: an image is read alike in whatever company.
    alone, beside = (np.asarray(stated.forward(jnp.asarray(IMAGES[:n]), ["output"])["output"])[0] for n in (1, 3))
    np.testing.assert_allclose(alone, beside, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("error")
def test_a_model_that_holds_random_streams_and_does_not_draw_is_not_random() -> None:
    network = ph.wrap(nnx_model(), size=8, inputs={"learning": False})
    assert not network.findings.random
    x = jnp.asarray(IMAGES)
    weights = network.weights()
    text = str(jax.make_jaxpr(lambda x: network.forward(x, ["output"], weights=weights, draw=jnp.int32(3)))(x))
    assert "random" not in text

    def projected(x: Any) -> Any:  # a random matrix, but always the same
        return checkpoint_name(x.mean((1, 2)) @ jax.random.normal(KEY, (3, 2)), "projected")

    assert not ph.wrap(projected, size=8).findings.random


def attention(x: Any) -> Any:
    tokens = x.reshape(x.shape[0], 64, 3)
    return jax.nn.softmax(tokens @ tokens.swapaxes(1, 2)) @ tokens


def windows(x: Any) -> Any:
    cut = x.reshape(-1, 2, 4, 2, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 16, 3)
    return attention_of(cut).reshape(x.shape[0], 2, 2, 4, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(x.shape)


def attention_of(tokens: Any) -> Any:
    return jax.nn.softmax(tokens @ tokens.swapaxes(1, 2)) @ tokens


APART: dict[str, Any] = {
    "attention": attention,
    "windows": windows,
    "a normalisation of positions": lambda x: (x - x.mean((1, 2), keepdims=True)) / x.std((1, 2), keepdims=True),
    "sorted positions": lambda x: jnp.sort(x.reshape(x.shape[0], -1), 1),
    "shifted positions": lambda x: jnp.roll(x, 1, 1)[:, ::2],
    "pooled": lambda x: nnx.max_pool(x, (2, 2), (2, 2)),
    "the batch behind the tokens": lambda x: x.reshape(x.shape[0], 64, 3).swapaxes(0, 1).mean(0),
    "resized": lambda x: jax.image.resize(x, (x.shape[0], 4, 4, 3), "linear"),
    "a loop over stacked layers": lambda x: jax.lax.scan(lambda c, w: (c * w, None), x, jnp.arange(3.0))[0],
    "mapped": lambda x: jax.vmap(lambda one: jnp.tanh(one).mean((0, 1)) @ jnp.ones((3, 2)))(x),
}
MIXED: dict[str, Any] = {
    "a mean over the batch": lambda x: x - x.mean(0),
    "the image before": lambda x: x + jnp.roll(x, 1, 0),
    "reversed": lambda x: x[::-1] - x,
    "attention to other images": lambda x: jax.nn.softmax(x[:, 0, 0] @ x[:, 0, 0].T) @ x.reshape(-1, 192),
    "a running sum": lambda x: jnp.cumsum(x, 0),
    "sorted images": lambda x: jnp.sort(x, 0),
    "another order of values": lambda x: x.reshape(64, x.shape[0], 3).swapaxes(0, 1),
    "carried from image to image": lambda x: jax.lax.scan(lambda c, one: (c + one, c), x[0] * 0, x)[1],
    "a choice by all images": lambda x: jnp.where(x.mean() > 0.5, x, -x) * x.mean(),
}


@pytest.mark.parametrize("name", APART)
def test_images_that_are_kept_apart_leave_no_doubt(name: str) -> None:
    traces = [
        jax.make_jaxpr(lambda x: checkpoint_name(APART[name](x), "here"))(jnp.asarray(IMAGES[:n])) for n in (2, 4)
    ]
    assert in_doubt(*traces) == []


@pytest.mark.parametrize("name", MIXED)
def test_images_that_are_mixed_are_found(name: str) -> None:
    function = MIXED[name]
    traces = [jax.make_jaxpr(lambda x: checkpoint_name(function(x), "here"))(jnp.asarray(IMAGES[:n])) for n in (2, 4)]
    assert in_doubt(*traces) == ["here"]
    with pytest.warns(ModelWarning, match="mixes the images of a batch: 'here'"):
        network = ph.wrap(lambda x: checkpoint_name(function(x), "here").reshape(x.shape[0], -1), size=8)
    assert network.findings.mixes_images


def test_a_doubt_that_numbers_settle_is_none() -> None:
    def function(x: Any) -> Any:
        taken = x.reshape(x.shape[0], 64, 3)[jnp.arange(x.shape[0]), x.argmax((1, 2))[:, 0] if x.ndim == 2 else 5]
        return checkpoint_name(taken, "taken") * 2

    assert not ph.wrap(function, size=8).findings.mixes_images


def test_a_model_in_training_mode_is_said_to_be_read_in_evaluation_mode_only_if_it_is() -> None:
    module = Nnx(nnx.Rngs(0))
    module.train()
    with pytest.warns(ModelWarning) as caught:
        ph.wrap(module, size=8)
    assert not any("read in evaluation mode" in str(warning.message) for warning in caught)
    with pytest.warns(ModelWarning, match="is in training mode: it is read in evaluation mode"):
        network = ph.wrap(module, size=8, inputs={"learning": False})
    assert network.findings.training


def test_why_only_the_output_can_be_read_is_said() -> None:
    with pytest.warns(
        ModelWarning, match=r"no inner layer that could be read, because halved is called as a plain function"
    ):
        network = ph.wrap(halved, size=8)
    assert list(network.layers) == ["output"]


def halved(x: Any) -> Any:
    return x.mean((1, 2)) / 2


def test_modules_that_are_not_called_are_listed() -> None:
    class Model(nnx.Module):
        def __init__(self) -> None:
            self.used, self.idle = nnx.Linear(3, 2, rngs=nnx.Rngs(0)), nnx.Linear(3, 2, rngs=nnx.Rngs(0))

        def __call__(self, x: Any) -> Any:
            return self.used(x.mean((1, 2)))

    assert ph.wrap(Model(), size=8).findings.unread == {"idle": "it is not called, or returns no array of floats"}


class Normed(eqx.Module):
    norm: Any

    def __init__(self) -> None:
        self.norm = eqx.nn.BatchNorm(3, "batch", mode="ema")

    def __call__(self, x: Any, state: Any, frozen: bool = False) -> Any:
        x, state = self.norm(x, state, inference=frozen)
        return x.mean((1, 2)), state


def refusals() -> dict[str, tuple[Any, Any, str]]:
    module, variables = linen_model()
    state = SimpleNamespace(params=variables["params"], batch_stats=variables["batch_stats"])
    normed, running = eqx.nn.make_with_state(Normed)()
    transformed = namedtuple("Transformed", "init apply")(lambda key, x: {"w": x}, applied)
    return {
        "a train state": (
            (module, state),
            UnknownModel,
            r"\{'params': state.params, 'batch_stats': state.batch_stats\}",
        ),
        "parameters alone": (
            (module, variables["params"]),
            ModelFailed,
            r"no 'params'.*\(linen, \{'params': params\}\)",
        ),
        "no variables": ((module, None), UnknownModel, r"module.init\("),
        "a graph and its state": (nnx.split(nnx_model()), UnknownModel, r"nnx.merge\(graphdef, state\)"),
        "a pair of functions": (transformed, UnknownModel, r"Hand over \(apply, parameters\)"),
        "a pair of functions with parameters": ((transformed, {}), UnknownModel, r"Hand over \(apply, parameters\)"),
        "without its state": (normed, UnknownModel, r"Hand over \(model, state\)"),
        "with nothing as state": ((normed, None), UnknownModel, "Hand over the module"),
        "partitioned": (eqx.partition(Equinox(), eqx.is_array), UnknownModel, "eqx.combine"),
        "statistics of a batch": ((normed, running), ModelFailed, r'as in training mode.*inputs=\{"frozen": True\}'),
        "an nnx module without a call": (nnx.Dict(a=nnx.Param(jnp.ones(3))), UnknownModel, "has no __call__"),
    }


@pytest.mark.parametrize("name", refusals())
def test_what_to_hand_over_is_said(name: str) -> None:
    model, kind, text = refusals()[name]
    with pytest.raises(kind, match=text):
        ph.wrap(model, size=8)


def test_errors_tell_the_line_of_the_model_and_speak_of_size_only_where_shapes_are_the_matter() -> None:
    def raises(x: Any) -> Any:
        raise KeyError("no such table")

    def branches(x: Any) -> Any:
        return x if x.mean() > 0 else -x

    def folds(x: Any) -> Any:
        return x.reshape(x.shape[0], 7)

    with pytest.raises(ModelFailed, match=r"raised KeyError.*test_jax_findings.py, line \d+, in raises") as caught:
        ph.wrap(raises, size=8)
    assert "Check size" not in str(caught.value)
    with pytest.raises(ModelFailed, match=r"in branches: return x if.*its course may not depend on values") as caught:
        ph.wrap(branches, size=8)
    assert "Check size" not in str(caught.value)
    with pytest.raises(ModelFailed, match=r"in folds: return x.reshape.*Check size and channels"):
        ph.wrap(folds, size=8)


class Fixed(nnx.Module):
    """A head that fits one size only."""

    def __init__(self) -> None:
        self.conv, self.head = nnx.Conv(3, 4, (3, 3), rngs=nnx.Rngs(0)), nnx.Linear(256, 2, rngs=nnx.Rngs(0))

    def __call__(self, x: Any) -> Any:
        return self.head(self.conv(x).reshape(x.shape[0], -1))


class FixedEquinox(eqx.Module):
    conv: Any
    head: Any

    def __init__(self) -> None:
        self.conv, self.head = eqx.nn.Conv2d(3, 4, 3, padding=1, key=KEY), eqx.nn.Linear(256, 2, key=KEY)

    def __call__(self, x: Any) -> Any:
        return self.head(self.conv(x).ravel())


def fixed_function(x: Any) -> Any:
    x = checkpoint_name(jnp.tanh(x), "conv")
    return checkpoint_name(x.reshape(x.shape[0], 192) @ jnp.ones((192, 2)), "head")


@pytest.mark.parametrize("make", [Fixed, FixedEquinox, lambda: fixed_function])
def test_another_size_needs_only_what_lies_below_the_layer(make: Any) -> None:
    network = ph.wrap(make(), size=8)
    larger = jnp.asarray(np.random.default_rng(1).random((3, 12, 10, 3)), jnp.float32)
    read = network.forward(larger, ["conv"])["conv"]
    assert read.shape[:3] == (3, 12, 10)
    shapes = network.shapes((12, 10))
    assert (shapes["conv"][:2], "head" in shapes) == ((12, 10), False)
    for ask in (lambda: shapes["head"], lambda: network.forward(larger, ["output"])):
        with pytest.raises(
            ModelFailed, match=r"raised TypeError.*This is before (head|output).*in front of it can be read"
        ):
            ask()
    np.testing.assert_array_equal(read, network.forward(larger, ["conv"])["conv"])
    renders = ph.render(network, ph.channel("conv", 1), size=12, steps=2, transforms=[])
    assert renders.images.shape == (1, 12, 12, 3)


@pytest.mark.parametrize("make", [Fixed, FixedEquinox, lambda: fixed_function])
def test_strict_promotion_of_dtypes_makes_no_difference(make: Any) -> None:
    given = {"size": 8, "mean": (0.5, 0.4, 0.3), "std": 0.2}
    wanted = ph.activations(ph.wrap(make(), **given), IMAGES, "conv")["conv"]
    with jax.numpy_dtype_promotion("strict"):
        network = ph.wrap(make(), **given)
        np.testing.assert_array_equal(ph.activations(network, IMAGES, "conv")["conv"], wanted)
        ph.attribute(network, IMAGES[:1], 0)
        ph.render(network, ph.channel("conv", 0), steps=2)


def test_a_search_for_nans_is_not_disturbed() -> None:
    def function(x: Any) -> Any:
        spoilt = jnp.zeros(3).at[0].set(jnp.log(x.mean() - 2))
        return checkpoint_name(x - x.mean(0) + spoilt, "here") * 2

    with jax.debug_nans(True), pytest.warns(ModelWarning, match="mixes the images of a batch: 'here'"):
        network = ph.wrap(function, size=8)
    assert list(network.layers) == ["here", "output"]


def half(path: str, array: Any) -> Any:
    return array / 2


@pytest.mark.parametrize("make", [Fixed, lambda: fixed_function, lambda: linen_model(dropped=False), FixedEquinox])
@pytest.mark.parametrize("again", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_networks_are_pickled_and_copied(make: Any, again: Any) -> None:
    model = make()
    inputs = {"learning": False} if isinstance(model, tuple) else None
    network = ph.wrap(model, size=8, inputs=inputs, classes=None, name="net")
    wanted = network.forward(jnp.asarray(IMAGES), ["output"])["output"]
    other = again(network)
    assert (other.name, other.layers.keys(), other.findings) == ("net", network.layers.keys(), network.findings)
    assert other.backend is network.backend
    np.testing.assert_allclose(other.forward(jnp.asarray(IMAGES), ["output"])["output"], wanted, rtol=1e-5, atol=1e-6)
    assert other.fingerprint() == network.fingerprint()
    changed = network.with_weights(half)
    np.testing.assert_allclose(
        again(changed).forward(jnp.asarray(IMAGES), ["output"])["output"],
        changed.forward(jnp.asarray(IMAGES), ["output"])["output"],
        rtol=1e-5,
        atol=1e-6,
    )


def test_arrays_among_the_inputs_are_pickled() -> None:
    network = ph.wrap(weighed, size=8, inputs={"table": np.arange(3.0)})
    other = pickle.loads(pickle.dumps(network))
    np.testing.assert_allclose(
        ph.activations(other, IMAGES, "mean")["mean"], ph.activations(network, IMAGES, "mean")["mean"]
    )


def weighed(x: Any, table: Any) -> Any:
    return checkpoint_name(x.mean((1, 2)) + table, "mean") * 2


def test_each_step_of_a_rendering_draws_anew_and_equal_seeds_agree() -> None:
    with pytest.warns(ModelWarning, match="draws random numbers"):
        network = ph.wrap(Equinox(), size=8)
    first, again, other = (ph.render(network, ph.channel("drop", 0), steps=3, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.images, again.images)
    assert not np.array_equal(first.images, other.images)
