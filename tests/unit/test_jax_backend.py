"""JAX's transformations: gradients, programs, loops, resampling and optimizers, each against an oracle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")

import jax.numpy as jnp  # noqa: E402

from phosphene import warps  # noqa: E402
from phosphene.backend import Backend, InputSpec  # noqa: E402
from phosphene.errors import InvalidParameter  # noqa: E402
from phosphene_jax import backend  # noqa: E402
from phosphene_jax.backend import PROGRAMS, JaxBackend  # noqa: E402

traced = {"count": 0}


@dataclass(frozen=True)
class Scale:
    """A program compared by value, which counts how often it is traced."""

    factor: float

    def __call__(self, x: Any) -> Any:
        traced["count"] += 1
        return x * self.factor


@dataclass(frozen=True)
class Step:
    """A step compared by value."""

    rate: float

    def __call__(self, constants: Any, carry: Any, x: Any) -> Any:
        traced["count"] += 1
        moved = {"p": carry["p"] + self.rate * constants * x["a"], "clock": carry["clock"] + 1}
        return moved, {"value": moved["p"].sum() + x["b"], "clock": moved["clock"]}


def test_it_is_a_backend_that_owns_functions() -> None:
    assert isinstance(backend, Backend)
    assert (backend.name, backend.compiled, backend.xp) == ("jax", True, jnp)
    assert backend.owns(lambda x: x)
    assert backend.owns((lambda p, x: x, {}))
    assert not backend.owns(3)
    assert not backend.owns(Scale)
    assert not backend.owns((1, 2))


def test_it_leaves_torch_modules_to_torch() -> None:
    torch = pytest.importorskip("torch")
    assert not backend.owns(torch.nn.Linear(1, 1))
    assert not backend.owns((torch.nn.Linear(1, 1), {}))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_arrays_go_over_and_back_as_copies(dtype: str) -> None:
    array = np.array([[0.5, 1.25], [2.0, -1.0]])
    over = backend.from_numpy(array, device="cpu", dtype=dtype)
    assert str(over.dtype) == dtype
    array[:] = 0
    back = backend.to_numpy(over)
    assert back.dtype == np.float32
    back[0, 0] = 9
    np.testing.assert_array_equal(backend.to_numpy(over), [[0.5, 1.25], [2.0, -1.0]])
    assert backend.from_numpy(np.arange(3), device="cpu", dtype=dtype).dtype == jnp.int32
    assert backend.from_numpy(np.array([True]), device="cpu", dtype=dtype).dtype == jnp.bool_


def test_an_unknown_device_is_an_error_that_names_the_known() -> None:
    for name in ("mars", "cpu:99", "cpu:-1", "cpu:x"):
        with pytest.raises(InvalidParameter, match=rf"device: expected .*'cpu'.*, got '{name}'"):
            backend.from_numpy(np.ones(1), device=name, dtype="float32")


def test_grad_and_jvp() -> None:
    tree = {"a": jnp.asarray([1.0, 2.0]), "b": (jnp.asarray(3.0), None)}
    gradient, aux = backend.grad(lambda t: ((t["a"] ** 2).sum() * t["b"][0], {"seen": t["a"] * 2}))(tree)
    np.testing.assert_allclose(gradient["a"], [6.0, 12.0])
    assert (float(gradient["b"][0]), gradient["b"][1]) == (5.0, None)
    np.testing.assert_allclose(aux["seen"], [2.0, 4.0])
    value, change = backend.jvp(lambda x: {"square": x**2})(jnp.asarray([3.0]), jnp.asarray([2.0]))
    assert (float(value["square"][0]), float(change["square"][0])) == (9.0, 12.0)


def test_equal_programs_are_compiled_once() -> None:
    traced["count"] = 0
    for _ in range(3):
        np.testing.assert_array_equal(backend.run(Scale(2.0), jnp.ones(3)), np.full(3, 2.0))
    assert traced["count"] == 1
    np.testing.assert_array_equal(backend.run(Scale(3.0), jnp.ones(3)), np.full(3, 3.0))
    assert traced["count"] == 2
    assert float(backend.run(lambda x, y: x + y, jnp.asarray(1.0), jnp.asarray(2.0))) == 3.0


def test_the_least_recently_used_program_is_dropped() -> None:
    own = JaxBackend()
    for factor in (*range(PROGRAMS), 0, PROGRAMS):
        own.run(Scale(float(factor)), jnp.ones(1))
    kept = [program.factor for _, program in own._programs]
    assert kept == [*map(float, range(2, PROGRAMS)), 0.0, float(PROGRAMS)]


def test_precisions_do_not_mix_in_one_program() -> None:
    single = backend.run(Scale(1 / 3), jnp.ones(1))
    with jax.enable_x64(True):
        double = backend.run(Scale(1 / 3), backend.from_numpy(np.ones(1), device="cpu", dtype="float64"))
        assert double.dtype == jnp.float64
        assert float(double[0]) == 1 / 3
    assert single.dtype == backend.run(Scale(1 / 3), jnp.ones(1)).dtype == jnp.float32


def _start() -> dict[str, Any]:
    return {"p": jnp.asarray([1.0, -2.0]), "clock": jnp.asarray([0, 5], jnp.int32)}


def test_loop_is_a_python_loop() -> None:
    constants = jnp.asarray([0.5, 2.0])
    xs = {"a": jnp.arange(5.0), "b": jnp.asarray([3.0, 1.0, 4.0, 1.0, 5.0])}
    carry, seen, step = _start(), [], Step(0.1)
    for index in range(5):
        carry, y = step(constants, carry, {"a": xs["a"][index], "b": xs["b"][index]})
        seen.append(y)
    last, ys = backend.loop(step, constants, _start(), xs)
    np.testing.assert_allclose(last["p"], carry["p"], rtol=1e-6)
    np.testing.assert_array_equal(last["clock"], carry["clock"])
    assert isinstance(ys["value"], jax.Array)
    np.testing.assert_allclose(ys["value"], [y["value"] for y in seen], rtol=1e-6)
    np.testing.assert_array_equal(ys["clock"], np.stack([y["clock"] for y in seen]))


def test_loop_compiles_once_for_equal_steps_and_any_length_of_a_chunk() -> None:
    traced["count"] = 0
    for length in (4, 4, 1, 15, 16):
        xs = {"a": jnp.arange(float(length)), "b": jnp.zeros(length)}
        last, ys = backend.loop(Step(0.7), jnp.ones(2), _start(), xs)
        np.testing.assert_array_equal(last["clock"], [length, 5 + length])
        assert len(ys["value"]) == len(ys["clock"]) == length
    assert traced["count"] == 1


def test_loop_donates_the_carry_and_nothing_else() -> None:
    constants, carry = jnp.asarray([0.5, 2.0]), _start()
    xs = {"a": jnp.arange(3.0), "b": jnp.zeros(3)}
    backend.loop(Step(0.1), constants, carry, xs)
    assert carry["p"].is_deleted()
    assert not constants.is_deleted()
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(xs))


def test_loop_takes_a_carry_that_shares_memory_with_constants_xs_or_itself() -> None:
    shared, along = jnp.ones(3), jnp.arange(3.0)

    def step(constants: Any, carry: Any, x: Any) -> Any:
        return (carry[0] + constants, carry[1] + x, carry[2] * 2), carry[0]

    (first, second, third), seen = backend.loop(step, shared, (shared, shared, along), along)
    np.testing.assert_array_equal(first, np.full(3, 4.0))
    np.testing.assert_array_equal(second, np.full(3, 4.0))
    np.testing.assert_array_equal(third, [0.0, 8.0, 16.0])
    np.testing.assert_array_equal(seen[:, 0], [1, 2, 3])
    np.testing.assert_array_equal(shared, np.ones(3))
    np.testing.assert_array_equal(along, [0, 1, 2])


def test_loop_of_no_steps_and_of_host_arrays() -> None:
    host = {"p": np.array([1.0, -2.0], np.float32), "clock": np.zeros(2, np.int32)}
    last, ys = backend.loop(Step(0.1), np.ones(2, np.float32), host, {"a": np.zeros(0), "b": np.zeros(0)})
    np.testing.assert_array_equal(last["p"], [1.0, -2.0])
    assert (ys["value"].shape, ys["clock"].shape) == ((0,), (0, 2))
    last, _ = backend.loop(Step(1.0), np.ones(2, np.float32), host, {"a": np.ones(2), "b": np.zeros(2)})
    np.testing.assert_array_equal(last["p"], [3.0, 0.0])
    np.testing.assert_array_equal(host["p"], [1.0, -2.0])


def matrices(kind: str, count: int) -> Any:
    random = np.random.default_rng(1)
    given = np.zeros((count, 2, 3))
    angle = random.uniform(-0.4, 0.4, count) if kind == "general" else np.zeros(count)
    scale = np.ones(count) if kind == "shift" else random.uniform(0.7, 1.4, count)
    given[:, 0, 0] = given[:, 1, 1] = scale * np.cos(angle)
    given[:, 0, 1], given[:, 1, 0] = -scale * np.sin(angle), scale * np.sin(angle)
    offset = random.uniform(-6, 6, (count, 2))
    offset[0] = (40, -40)  # out of the image altogether
    given[:, :, 2] = np.round(offset) if kind == "shift" else offset
    exact = warps.exact(given)
    assert warps.kind_of(exact) == kind
    return jnp.asarray(exact, jnp.float32)


@pytest.mark.parametrize("kind", warps.KINDS)
@pytest.mark.parametrize("size", [(12, 15), (20, 9)])
def test_warp_and_its_gradient_are_those_of_core(kind: str, size: tuple[int, int]) -> None:
    images = jnp.asarray(np.random.default_rng(2).uniform(size=(6, 12, 15, 3)), jnp.float32)
    given = matrices(kind, 6)

    def value(resample: Any) -> Any:
        return lambda images: (resample(images) ** 2).sum()

    def ours(images: Any) -> Any:
        return backend.warp(images, given, size, fill=0.25, kind=kind)

    def core(images: Any) -> Any:
        return warps.warp(jnp, images, given, size, fill=0.25, kind="general")

    np.testing.assert_allclose(ours(images), core(images), atol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.grad(value(ours)))(images), jax.grad(value(core))(images), atol=1e-5)
    np.testing.assert_allclose(ours(images)[0], 0.25, atol=1e-6)


@pytest.mark.parametrize(
    "make", [lambda: optax.adam(0.05), lambda: optax.sgd(0.1, momentum=0.9), lambda: optax.lion(0.01)]
)
def test_an_optax_transformation_ascends_row_by_row(make: Any) -> None:
    transformation = make()
    ours = backend.optimizer(transformation)
    start = jnp.asarray(np.random.default_rng(3).standard_normal((3, 4)), jnp.float32)
    gradient = jax.grad(lambda p: -((p - 1) ** 2).sum())
    parameters, state = start, ours.init(jnp, start)
    for step in range(6):
        if step == 3:  # the middle row begins anew
            state = ours.restart(jnp, state, parameters, [False, True, False])
            parameters = parameters.at[1].set(start[1])
        parameters, state = ours.update(jnp, gradient(parameters), state, parameters, jnp.zeros(3, jnp.int32))
    for row, steps in ((0, 6), (1, 3), (2, 6)):
        wanted = start[row]
        own = transformation.init(wanted)
        for _ in range(steps):
            change, own = transformation.update(-gradient(wanted), own, wanted)
            wanted = optax.apply_updates(wanted, change)
        np.testing.assert_allclose(parameters[row], wanted, rtol=1e-5, atol=1e-6)
    assert jax.tree.leaves(ours.take(jnp, state, [2]))[-1].shape[0] == 1


def test_optimizers_are_equal_when_their_transformation_is_the_same() -> None:
    transformation = optax.adam(0.1)
    assert backend.optimizer(transformation) == backend.optimizer(transformation)
    assert hash(backend.optimizer(transformation)) == hash(backend.optimizer(transformation))
    assert backend.optimizer(transformation) != backend.optimizer(optax.adam(0.1))
    for foreign in (optax.adam, "adam", None):
        with pytest.raises(InvalidParameter, match=r"optimizer: expected .*optax"):
            backend.optimizer(foreign)


def test_wrapping_with_an_unknown_dtype_is_an_error() -> None:
    with pytest.raises(InvalidParameter, match=r"dtype: expected 'float32' or .*, got 'int8'"):
        backend.wrap(lambda x: x, input=InputSpec((4, 4)), classes=None, device=None, dtype="int8", name=None)
