"""All that JAX modules return is read: further outputs by index, one number an image, and images along any axis."""

from __future__ import annotations

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
from phosphene.errors import ModelWarning  # noqa: E402

IMAGES = np.random.default_rng(0).random((2, 4, 4, 3)).astype(np.float32)
MEANS = IMAGES.mean((1, 2))
AMBIGUOUS = pytest.mark.filterwarnings("ignore:.*part that is the output is ambiguous")


def branches(x: Any) -> Any:
    return x * 2, {"low": x[:, ::2], "high": x - 1}, x.argmax(-1)


class Branches(nnx.Module):
    def __call__(self, x: Any) -> Any:
        return branches(x)


class OnNnx(nnx.Module):
    def __init__(self) -> None:
        self.fork = Branches()

    def __call__(self, x: Any) -> Any:
        first, rest, _ = self.fork(self.fork(x)[0] / 2)
        return first.mean((1, 2)), rest["low"].mean((1, 2))


class LinenBranches(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        return branches(x)


class OnLinen(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        fork = LinenBranches(name="fork")
        first, rest, _ = fork(fork(x)[0] / 2)
        return first.mean((1, 2)), rest["low"].mean((1, 2))


class OneBranches(eqx.Module):
    def __call__(self, x: Any) -> Any:
        return x * 2, {"low": x[:, ::2], "high": x - 1}, x.argmax(0)


class OnEquinox(eqx.Module):
    fork: Any

    def __init__(self) -> None:
        self.fork = OneBranches()

    def __call__(self, x: Any) -> Any:
        first, rest, _ = self.fork(self.fork(x)[0] / 2)
        return first.mean((1, 2)), rest["low"].mean((1, 2))


MODELS: dict[str, Any] = {"nnx": OnNnx, "linen": lambda: (OnLinen(), {}), "equinox": OnEquinox}


@AMBIGUOUS
@pytest.mark.parametrize("name", MODELS)
def test_each_output_of_a_module_is_a_layer(name: str) -> None:
    network = ph.wrap(MODELS[name](), size=4)
    once = ["fork", 'fork[1]["high"]', 'fork[1]["low"]']
    again = ["fork#1", 'fork#1[1]["high"]', 'fork#1[1]["low"]']
    assert list(network.layers) == [*once, *again, "output[0]", "output[1]"]
    assert network.layers["fork[0]"] is network.layers["fork"]
    read = ph.activations(network, IMAGES, ["fork", 'fork#1[1]["low"]', 'fork[1]["high"]', "output[1]"])
    wanted = branches(IMAGES)
    np.testing.assert_allclose(read["fork"], wanted[0], rtol=1e-6)
    np.testing.assert_allclose(read['fork[1]["high"]'], wanted[1]["high"], rtol=1e-6)
    low = read['fork#1[1]["low"]']
    assert low.shape in ((2, 2, 4, 3), (2, 4, 2, 3))
    np.testing.assert_allclose(read["output[1]"], low.mean((1, 2)), rtol=1e-5)
    assert network.layers['fork#1[1]["low"]'].kind == network.layers["fork"].kind


@AMBIGUOUS
@pytest.mark.parametrize("name", MODELS)
def test_a_further_output_is_edited_on_its_way(name: str) -> None:
    network = ph.wrap(MODELS[name](), size=4)
    read = network.forward(
        jnp.asarray(IMAGES), ["output[0]", "output[1]"], edit={'fork#1[1]["low"]': lambda xp, a: a * 0}
    )
    assert not np.any(read["output[1]"])
    assert np.any(read["output[0]"])


def test_a_stated_output_leaves_the_others_their_index() -> None:
    network = ph.wrap(lambda x: {"scores": checkpoint_name(x, "x").mean((1, 2)), "map": x * 3}, size=4, output="scores")
    assert list(network.layers) == ["x", 'output["map"]', "output"]
    assert network.layers['output["scores"]'] is network.layers["output"]
    np.testing.assert_allclose(ph.activations(network, IMAGES, 'output["map"]')['output["map"]'], IMAGES * 3, rtol=1e-6)


class Recurrent(nnx.Module):
    def __init__(self) -> None:
        self.cell = nnx.LSTMCell(3, 5, rngs=nnx.Rngs(0))

    def __call__(self, x: Any) -> Any:
        carry = self.cell.initialize_carry((x.shape[0], 3), nnx.Rngs(0))
        for row in range(2):
            carry, out = self.cell(carry, x[:, row].mean(1))
        return out


def test_the_carry_of_a_recurrent_cell_is_read_by_call() -> None:
    network = ph.wrap(Recurrent(), size=4)
    own = [path for path in network.layers if path.startswith("cell") and "." not in path]
    assert own[:2] == ["cell", "cell[0][1]"]
    assert "cell#1[0][1]" in own
    read = ph.activations(network, IMAGES, ["cell#1[0][1]", "output"])
    np.testing.assert_allclose(read["cell#1[0][1]"], read["output"], rtol=1e-6)


def score(x: Any) -> Any:
    x = checkpoint_name(jnp.tanh(x), "tanh")
    return checkpoint_name(x.sum((1, 2, 3)), "sum") * 2


class Score(nnx.Module):
    def __init__(self) -> None:
        self.sum = Summed()

    def __call__(self, x: Any) -> Any:
        return self.sum(jnp.tanh(x)) * 2


class Summed(nnx.Module):
    def __call__(self, x: Any) -> Any:
        return x.sum((1, 2, 3))


class One(eqx.Module):
    sum: Any

    def __init__(self) -> None:
        self.sum = OneSummed()

    def __call__(self, x: Any) -> Any:
        return self.sum(jnp.tanh(x)) * 2


class OneSummed(eqx.Module):
    def __call__(self, x: Any) -> Any:
        return x.sum()


@pytest.mark.parametrize("make", [lambda: score, Score, One])
def test_one_number_an_image_is_one_channel(make: Any) -> None:
    network = ph.wrap(make(), size=4)
    assert (network.layers["sum"].shape, network.layers["output"].shape) == ((1,), (1,))
    read = ph.activations(network, IMAGES, ["sum", "output"])
    assert read["sum"].shape == (2, 1)
    np.testing.assert_allclose(read["output"][:, 0], np.tanh(IMAGES).sum((1, 2, 3)) * 2, rtol=1e-5)
    edited = network.forward(jnp.asarray(IMAGES), ["output"], edit={"sum": lambda xp, a: a * 0 + 3})["output"]
    np.testing.assert_allclose(edited, [[6.0], [6.0]])
    assert ph.attribute(network, IMAGES, 0, method="gradient").maps.shape == (2, 4, 4)


def test_images_along_another_axis_come_first() -> None:
    def function(x: Any) -> Any:
        tokens = x.reshape(x.shape[0], 16, 3).swapaxes(0, 1)
        mixed = checkpoint_name(tokens @ jnp.arange(15.0).reshape(3, 5), "tokens")
        return checkpoint_name(mixed.T, "turned").sum(2).T

    network = ph.wrap(function, size=4, channel_axis={"turned": -3})
    layers = network.layers
    assert (layers["tokens"].shape, layers["tokens"].batch_axis, layers["tokens"].channel_axis) == ((16, 5), 1, -1)
    assert (layers["turned"].shape, layers["turned"].batch_axis, layers["turned"].channel_axis) == ((16, 5), 1, 0)
    read = ph.activations(network, IMAGES, ["tokens", "turned"])
    wanted = IMAGES.reshape(2, 16, 3) @ np.arange(15.0).reshape(3, 5)
    np.testing.assert_allclose(read["tokens"], wanted, rtol=1e-5)
    np.testing.assert_allclose(read["turned"], wanted, rtol=1e-5)
    second = jnp.asarray([1.0, 0.0])[:, None, None]
    edited = network.forward(jnp.asarray(IMAGES), ["output"], edit={"tokens": lambda xp, a: a * second})["output"]
    assert np.any(edited[0])
    assert not np.any(edited[1])
    alone = ph.activations(network, IMAGES[1:], "tokens")["tokens"]
    np.testing.assert_allclose(alone, wanted[1:], rtol=1e-5)
    assert not network.findings.mixes_images


def test_single_numbers_of_a_batch_are_no_layers_and_no_warning() -> None:
    def function(x: Any) -> Any:
        checkpoint_name(jnp.asarray(0.5) * 2, "rate")
        return checkpoint_name(x.mean((1, 2)), "mean") * 2, {"steps": jnp.asarray(3.0)}

    network = ph.wrap(function, size=4, output=0)
    assert list(network.layers) == ["mean", "output"]
    assert set(network.findings.unread) == {"rate", 'output[1]["steps"]'}


def test_what_a_warning_says_of_several_outputs_is_unchanged() -> None:
    with pytest.warns(ModelWarning, match=r"returns a tuple with 0 \(1, 3\), 1 \(1, 3\)"):
        network = ph.wrap(lambda x: (checkpoint_name(x, "x").mean((1, 2)), x.max((1, 2))), size=4)
    assert "output[1]" in network.layers
