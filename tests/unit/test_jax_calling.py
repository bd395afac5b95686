"""How models are called: arguments besides the images, and which part of what they return is the output."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("flax")

import jax.numpy as jnp  # noqa: E402
from flax import linen, nnx  # noqa: E402

import phosphene as ph  # noqa: E402
from phosphene.errors import InvalidParameter, ModelFailed, ModelWarning  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*no inner layer:phosphene.errors.ModelWarning")

IMAGES = np.random.default_rng(0).random((2, 4, 4, 3)).astype(np.float32)
MEAN = IMAGES.mean((1, 2))
EXTRA = np.arange(3.0)


def plain(x: Any, extra: Any) -> Any:
    return x.mean((1, 2)) + extra


def late(extra: Any, x: Any, *, times: int = 1) -> Any:
    return x.mean((1, 2)) * times + extra


class Module(nnx.Module):
    def __call__(self, x: Any, extra: Any, *, deterministic: bool) -> Any:
        assert deterministic
        return plain(x, extra)


class Linen(linen.Module):
    @linen.compact
    def __call__(self, x: Any, extra: Any, train: bool) -> Any:
        assert not train
        return plain(x, extra)


@pytest.mark.parametrize(
    ("model", "inputs", "wanted"),
    [
        (plain, {"extra": EXTRA}, MEAN + EXTRA),
        (jax.jit(plain), {"extra": 2}, MEAN + 2),
        (late, {"extra": EXTRA, "times": 3}, MEAN * 3 + EXTRA),
        (lambda *given: plain(*given), lambda x: (x, x[:, 0, 0]), MEAN + IMAGES[:, 0, 0]),
        (lambda **given: plain(**given), lambda x: {"x": x, "extra": 1.0}, MEAN + 1),
        (lambda x: x.mean((1, 2)), lambda x: x * 2, MEAN * 2),
        ((lambda p, x, extra: p["w"] * plain(x, extra), {"w": jnp.asarray(2.0)}), {"extra": EXTRA}, 2 * (MEAN + EXTRA)),
        (Module(), {"extra": EXTRA}, MEAN + EXTRA),
        ((Linen(), {}), {"extra": EXTRA}, MEAN + EXTRA),
    ],
)
def test_what_a_model_needs_besides_the_images_is_stated(model: Any, inputs: Any, wanted: Any) -> None:
    network = ph.wrap(model, size=4, inputs=inputs)
    np.testing.assert_allclose(ph.activations(network, IMAGES, "output")["output"], wanted, rtol=1e-5)
    np.testing.assert_allclose(ph.activations(network, IMAGES[1:], "output")["output"], wanted[1:], rtol=1e-5)


def test_a_constant_for_one_image_is_repeated_for_each_and_numbers_are_not() -> None:
    seen: list[Any] = []

    def function(x: Any, table: Any, count: Any, flag: Any) -> Any:
        seen.append((table.shape, table.dtype, count, flag))
        return x.mean((1, 2)) + table[:, :, 0]

    network = ph.wrap(function, size=4, inputs={"table": np.ones((3, 7)), "count": 5, "flag": True}, dtype="bfloat16")
    network.forward(jnp.asarray(IMAGES), ["output"])
    assert seen[0][0] == (1, 3, 7)
    assert ((2, 3, 7), jnp.dtype("bfloat16"), 5, True) in seen


@pytest.mark.parametrize("model", [plain, jax.jit(plain), Module(), (Linen(), {}), (lambda p, x, extra: x, {})])
def test_a_missing_argument_is_named(model: Any) -> None:
    with pytest.raises(ModelFailed, match=r"needs extra in addition to the images.*inputs=\{'extra': \.\.\.\}"):
        ph.wrap(model, size=4)


def test_an_argument_that_the_model_does_not_take_is_an_error_that_names_those_it_does() -> None:
    with pytest.raises(InvalidParameter, match="inputs: expected 'x' or 'extra', got 'extr'"):
        ph.wrap(plain, size=4, inputs={"extr": 1})


Pair = namedtuple("Pair", "boxes scores")


class Answer:
    """A return value that JAX does not know as a tree."""

    def __init__(self, scores: Any) -> None:
        self.scores, self.boxes, self.note = scores, scores * 0, "text"


RETURNED: dict[str, tuple[Any, Any]] = {
    "a key": (lambda y: {"boxes": y * 0, "scores": y}, "scores"),
    "a place": (lambda y: (y * 0, y), 1),
    "a place from the end": (lambda y: [y * 0, y], -1),
    "a field": (lambda y: Pair(y * 0, y), "scores"),
    "an attribute": (Answer, "scores"),
    "a function": (lambda y: (y * 0, {"deep": (y,)}), lambda value: value[1]["deep"][0]),
    "a branch with one array": (lambda y: {"a": y * 0, "b": {"deep": y}}, "b"),
    "instead of logits": (lambda y: {"logits": y * 0, "other": y}, "other"),
}


@pytest.mark.parametrize("how", RETURNED)
def test_the_output_is_the_part_that_was_stated(how: str) -> None:
    returns, output = RETURNED[how]
    network = ph.wrap(lambda x: returns(x.mean((1, 2))), size=4, output=output)
    np.testing.assert_allclose(ph.activations(network, IMAGES, "output")["output"], MEAN, rtol=1e-5)


def test_where_it_is_not_plain_a_warning_names_what_there_is() -> None:
    for returns, names in (
        (lambda y: {"boxes": y * 0, "scores": y}, r"a dict with 'boxes' \(1, 3\), 'scores' \(1, 3\)"),
        (lambda y: (y * 0, y), r"a tuple with 0 \(1, 3\), 1 \(1, 3\)"),
        (Answer, r"an Answer with 'scores' \(1, 3\), 'boxes' \(1, 3\)"),
    ):
        with pytest.warns(
            ModelWarning, match=rf"returns {names}: the part that is the output is ambiguous.*output=\.\.\."
        ):
            network = ph.wrap(lambda x, returns=returns: returns(x.mean((1, 2))), size=4)
        assert "output" not in network.layers


@pytest.mark.parametrize("output", ["score", 2, lambda value: "text"])
def test_a_part_that_does_not_exist_is_an_error_that_names_what_there_is(output: Any) -> None:
    with pytest.raises(InvalidParameter, match=r"^output: expected a part.*'boxes' \(1, 3\), 'scores' \(1, 3\)\."):
        ph.wrap(lambda x: {"boxes": x.mean((1, 2)), "scores": x.mean((1, 2))}, size=4, output=output)
