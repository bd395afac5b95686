"""The jaxpr interpreter: what it reads, where it stops, and whose derivatives it keeps or replaces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
from jax.ad_checkpoint import checkpoint_name  # noqa: E402

from phosphene.errors import CoverageWarning  # noqa: E402
from phosphene.findings import RECTIFIERS  # noqa: E402
from phosphene.rules import Deconvolution, Guided, Redirected  # noqa: E402
from phosphene_jax import backend  # noqa: E402
from phosphene_jax.interpreter import Taps, interpret, marks_in  # noqa: E402

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 5)), jnp.float32)


def read(f: Callable[..., Any], wanted: list[str] | None = None, **taps: Any) -> dict[str, Any]:
    found = Taps(None if wanted is None else frozenset(wanted), **taps)
    interpret(jax.make_jaxpr(f)(X), [X], found)
    return found.values


def equations(f: Callable[..., Any], *arguments: Any) -> list[str]:
    """Names of all primitives that are computed."""

    def names(jaxpr: Any) -> list[str]:
        return [equation.primitive.name for equation in jaxpr.eqns]

    return names(jax.make_jaxpr(f)(*arguments).jaxpr)


def test_marks_are_read_in_order_and_calls_counted() -> None:
    def f(x: Any) -> Any:
        x = checkpoint_name(x + 1, "a")
        x = checkpoint_name(x * 2, "b")
        return checkpoint_name(x + 1, "a") * 3

    values = read(f)
    assert list(values) == ["a", "b", "a#1"]
    np.testing.assert_allclose(values["a#1"], (X + 1) * 2 + 1, rtol=1e-6)
    assert marks_in(jax.make_jaxpr(f)(X).jaxpr) == ["a", "b"]


def test_nothing_after_the_last_wanted_mark_is_computed() -> None:
    def f(x: Any) -> Any:
        x = checkpoint_name(jnp.sin(x), "first")
        return checkpoint_name(jnp.cos(x) @ jnp.ones((5, 3)), "second")

    assert "cos" in equations(lambda x: _interpreted(f, x, ["second"])["second"], X)
    assert "cos" not in equations(lambda x: _interpreted(f, x, ["first"])["first"], X)


def _interpreted(f: Callable[..., Any], x: Any, wanted: list[str]) -> dict[str, Any]:
    taps = Taps(frozenset(wanted))
    interpret(jax.make_jaxpr(f)(x), [x], taps)
    return taps.values


@pytest.mark.parametrize("wrap", [jax.jit, jax.checkpoint, lambda f: jax.jit(jax.checkpoint(jax.jit(f)))])
def test_marks_inside_jit_and_remat_are_read_and_edited(wrap: Any) -> None:
    inner = wrap(lambda x: checkpoint_name(x * 2, "inner") + 1)
    assert float(read(inner)["inner"][0, 0]) == pytest.approx(2 * float(X[0, 0]))
    taps = Taps(frozenset(["end"]), {"inner": lambda value: value * 0})
    interpret(jax.make_jaxpr(lambda x: checkpoint_name(inner(x), "end"))(X), [X], taps)
    np.testing.assert_array_equal(taps.values["end"], np.ones_like(X))


def test_an_unwanted_branch_of_the_primitives_is_executed_as_it_stands() -> None:
    def f(x: Any) -> Any:
        y = jax.lax.cond(x.sum() > 0, jnp.sin, jnp.cos, x)
        y = jax.lax.while_loop(lambda c: c.sum() < 100, lambda c: c + 10.0, y)
        values, indices = jax.lax.top_k(y, 2)
        return checkpoint_name(values + indices + jnp.sort(y)[:, :2], "end")

    np.testing.assert_allclose(read(f)["end"], f(X), rtol=1e-6)


def scanned(length: int, reverse: bool) -> Callable[[Any], Any]:
    """Two marks of one name in each iteration, and a scan inside the scan."""

    def body(carry: Any, x: Any) -> Any:
        carry = checkpoint_name(carry + x, "twice")
        carry, _ = jax.lax.scan(lambda c, _: (checkpoint_name(c * 0.5, "inner"), None), carry, None, length=2)
        carry = checkpoint_name(carry * 2, "twice")
        return carry, carry.sum()

    def f(x: Any) -> Any:
        carry, sums = jax.lax.scan(body, x, jnp.arange(1.0, length + 1), reverse=reverse)
        return checkpoint_name(carry + sums.sum(), "end")

    return f


def unrolled(x: Any, length: int, reverse: bool, edits: dict[str, Any]) -> dict[str, Any]:
    """The oracle of `scanned`: the same in plain Python."""
    values: dict[str, Any] = {}
    calls = {"twice": 0, "inner": 0, "end": 0}

    def take(name: str, value: Any) -> Any:
        path = name if calls[name] == 0 else f"{name}#{calls[name]}"
        calls[name] += 1
        values[path] = edits[path](value) if path in edits else value
        return values[path]

    sums = 0.0
    for step in reversed(range(length)) if reverse else range(length):
        x = take("twice", x + step + 1)
        for _ in range(2):
            x = take("inner", x * 0.5)
        x = take("twice", x * 2)
        sums = sums + x.sum()
    take("end", x + sums)
    return values


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("edited", [(), ("twice#3",), ("twice", "inner#4"), ("inner#5", "end")])
def test_each_iteration_of_a_scan_is_a_call(reverse: bool, edited: tuple[str, ...]) -> None:
    edits = {path: lambda value: value * 3 + 1 for path in edited}
    values = read(scanned(3, reverse), edits=edits)
    oracle = unrolled(X, 3, reverse, edits)
    assert list(values) == list(oracle)
    for path, value in oracle.items():
        np.testing.assert_allclose(values[path], value, rtol=1e-5, err_msg=path)


def test_a_scan_is_differentiated_at_any_of_its_iterations() -> None:
    def of(read_it: Callable[[Any], Any]) -> Any:
        return jax.grad(lambda x: (read_it(x) ** 2).sum())(X)

    got = of(lambda x: _interpreted(scanned(3, False), x, ["twice#2"])["twice#2"])
    np.testing.assert_allclose(got, of(lambda x: unrolled(x, 3, False, {})["twice#2"]), rtol=1e-5)


def test_what_cannot_be_reached_is_said() -> None:
    def f(x: Any) -> Any:
        return jax.lax.cond(x.sum() > 0, lambda x: checkpoint_name(x, "hidden"), lambda x: x, x)

    taps = Taps(None)
    interpret(jax.make_jaxpr(f)(X), [X], taps)
    assert list(taps.missed) == ["layers inside cond cannot be read: hidden"]
    assert taps.values == {}


def relus(x: Any) -> Any:
    """Three ways to write a rectified linear unit, and one that is something else."""
    x = jax.nn.relu(x * 2 - 0.1)
    x = jnp.maximum(x - 0.5, 0)
    x = jnp.maximum(jnp.zeros_like(x), 0.2 - x)
    return jnp.maximum(x, 0.1) * jnp.arange(1.0, 6.0)


def ruled_by_hand(rule: Any, x: Any, gate: Any) -> tuple[Any, Any]:
    """Gradient of ``relus(x).sum()`` under a rule, backwards by hand, and how often the rule acted."""
    a = x * 2 - 0.1
    b = jnp.maximum(a, 0) - 0.5
    c = 0.2 - jnp.maximum(b, 0)
    g = jnp.where(jnp.maximum(c, 0) > 0.1, 1.0, 0.0) * jnp.arange(1.0, 6.0)
    total = jnp.zeros_like(gate)
    for before, factor in ((c, -1.0), (b, 1.0), (a, 2.0)):
        g, used = rule(jnp, before, g, gate)
        g, total = g * factor, total + used
    return g, total


@pytest.mark.parametrize("rule", [Guided(), Deconvolution(), Redirected()])
@pytest.mark.parametrize("compiled", [False, True])
def test_rules_replace_the_gradient_of_every_relu(rule: Any, compiled: bool) -> None:
    gate = jnp.asarray([1.0, 0.0])
    ruled = backend.with_rule(rule, relus)
    np.testing.assert_array_equal(ruled(X, gate), relus(X))
    derivative = jax.grad(lambda x, gate: ruled(x, gate).sum(), argnums=(0, 1))
    got, used = (jax.jit(derivative) if compiled else derivative)(X, gate)
    wanted, count = ruled_by_hand(rule, X, gate)
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    np.testing.assert_array_equal(used, count)


def test_a_rule_sees_through_jit_remat_and_scan() -> None:
    def f(x: Any) -> Any:
        x = jax.jit(lambda x: jax.nn.relu(x - 0.1))(x)
        x = jax.checkpoint(lambda x: jax.nn.relu(x - 0.1))(x)
        return jax.lax.scan(lambda c, _: (jax.nn.relu(c - 0.1), None), x, None, length=3)[0]

    ruled = backend.with_rule(Deconvolution(), f)
    got, used = jax.grad(lambda x, gate: ruled(x, gate).sum(), argnums=(0, 1))(X, jnp.ones(2))
    np.testing.assert_array_equal(got, np.ones_like(X))  # every closed unit lets the positive gradient through
    np.testing.assert_array_equal(used, [5, 5])
    assert backend.nonlinearities(f, X) == {"relu": 5}


def test_a_rule_works_on_a_function_that_closes_over_tracers() -> None:
    def outer(weight: Any, x: Any, gate: Any) -> Any:
        ruled = backend.with_rule(Deconvolution(), lambda x: {"out": jax.nn.relu(x * weight)})
        return jnp.sum(ruled(x, gate)["out"])

    weight = jnp.asarray(2.0)
    by_weight, by_x = jax.jit(jax.grad(outer, argnums=(0, 1)))(weight, X, jnp.ones(2))
    np.testing.assert_allclose(by_weight, X.sum(), rtol=1e-5)
    np.testing.assert_array_equal(by_x, np.full_like(X, 2.0))


def test_a_rule_leaves_units_without_a_row_for_each_image_and_says_so() -> None:
    f = lambda x: jax.nn.relu(jnp.concatenate([x, x[:, ::-1]]) - 50)  # noqa: E731
    ruled = backend.with_rule(Redirected(), f)
    with pytest.warns(CoverageWarning, match=r"shape \(4, 5\) has no row for each image"):
        got = jax.grad(lambda x: ruled(x, jnp.ones(2)).sum())(X)
    assert not got.any()
    # A rule that looks at each value alone does not need to know.
    ruled = backend.with_rule(Deconvolution(), f)
    np.testing.assert_array_equal(jax.grad(lambda x: ruled(x, jnp.ones(2)).sum())(X), np.full_like(X, 2))


def test_a_derivative_of_the_users_own_is_kept_under_a_rule() -> None:
    @jax.custom_vjp
    def own(x: Any) -> Any:
        return jax.nn.relu(x)

    own.defvjp(lambda x: (own(x), None), lambda _, g: (g * 100,))
    ruled = backend.with_rule(Guided(), own)
    with pytest.warns(CoverageWarning, match="do not apply to rectified linear units inside custom_vjp_call"):
        got = jax.grad(lambda x: ruled(x, jnp.ones(2)).sum())(X)
    np.testing.assert_array_equal(got, np.full_like(X, 100.0))
    assert backend.nonlinearities(own, X) == {"relu in custom_vjp_call": 1}


@pytest.mark.parametrize(
    ("f", "name"),
    [
        (jax.nn.gelu, "gelu"),
        (lambda x: jax.nn.gelu(x, approximate=False), "gelu"),
        (jax.nn.silu, "silu"),
        (jax.nn.sigmoid, "sigmoid"),
        (jnp.tanh, "tanh"),
        (jax.nn.softmax, "softmax"),
        (jax.nn.elu, "elu"),
        (jax.nn.leaky_relu, "leaky_relu"),
        (jax.nn.relu6, "relu6"),
        (jax.nn.softplus, "softplus"),
        (lambda x: jnp.maximum(x, 0.0), "relu"),
    ],
)
def test_nonlinearities_are_counted_by_name(f: Any, name: str) -> None:
    assert backend.nonlinearities(f, X) == {name: 1}
    assert backend.nonlinearities(jax.jit(lambda x: f(f(x)) + 1), X) == {name: 2}


CLIPPED: dict[str, tuple[Any, float]] = {
    "relu6": (jax.nn.relu6, 6.0),
    "clip": (lambda x: jnp.clip(x, 0, 3), 3.0),
    "clip, no upper end": (lambda x: jnp.clip(x, 0), np.inf),
    "clip between arrays": (lambda x: jnp.clip(x, jnp.zeros(()), np.float32(3)), 3.0),
    "maximum and minimum": (lambda x: jnp.minimum(jnp.maximum(x, 0), 3), 3.0),
    "minimum and maximum": (lambda x: jnp.maximum(jnp.minimum(x, 3), 0), 3.0),
    "relu and minimum": (lambda x: jnp.minimum(jax.nn.relu(x), 3.0), 3.0),
    "clamp": (lambda x: jax.lax.clamp(0.0, x, 3.0), 3.0),
    "in jit": (jax.jit(lambda x: jnp.clip(x, 0.0, 3.0)), 3.0),
    "in a scan": (lambda x: jax.lax.scan(lambda c, _: (jnp.clip(c, 0, 3), None), x, None, length=1)[0], 3.0),
    "in remat": (jax.checkpoint(jax.nn.relu6), 6.0),
    "in vmap": (jax.vmap(lambda x: jnp.clip(x, 0, 3)), 3.0),
}


@pytest.mark.parametrize("spelling", CLIPPED)
def test_clipped_units_have_a_gate_at_both_ends(spelling: str) -> None:
    f, ceiling = CLIPPED[spelling]
    random = np.random.default_rng(0)
    x, g = (np.asarray(scale * random.standard_normal((3, 4, 4, 5)), np.float32) for scale in (5, 1))
    x.reshape(-1)[:3], x.reshape(-1)[3:6] = 0.0, min(ceiling, 3.0)
    values, back = jax.vjp(f, x)
    (plain,) = back(g)

    def ruled(rule: Any) -> tuple[Any, Any]:
        y, back = jax.vjp(backend.with_rule(rule, f), x, jnp.ones(3))
        np.testing.assert_array_equal(y, values)
        gradient, used = back(g)
        return gradient, used

    guided, used = ruled(Guided())
    np.testing.assert_array_equal(guided, np.where((x > 0) & (x < ceiling) & (g > 0), g, 0))
    np.testing.assert_array_equal(used, [1, 1, 1])
    np.testing.assert_array_equal(ruled(Deconvolution())[0], np.maximum(g, 0))
    # All rows are alive, so that the rule that wakes dead ones keeps the framework's own gradient, at the kinks too.
    np.testing.assert_array_equal(ruled(Redirected())[0], plain)
    counts = backend.nonlinearities(f, jnp.asarray(x))
    assert sum(counts.values()) == 1 and set(counts) <= RECTIFIERS


def _windows(x: Any) -> Any:
    return x.reshape(len(x), 2, 4, 2, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 16, 3)


@pytest.mark.parametrize(
    "arrange",
    [_windows, lambda x: x.reshape(-1, 3), lambda x: x.reshape(len(x), -1, 3).swapaxes(0, 1)],
    ids=["windows in the rows", "positions in the rows", "batch second"],
)
def test_dead_rows_are_woken_however_the_images_are_arranged(arrange: Any) -> None:
    weight = jax.random.normal(jax.random.key(0), (3, 4))
    ruled = backend.with_rule(Redirected(), lambda x: jax.nn.relu6(arrange(x) @ weight - 50).sum())
    x = jax.random.uniform(jax.random.key(1), (3, 8, 8, 3))
    gradient, used = jax.jit(jax.grad(ruled, argnums=(0, 1)))(x, jnp.asarray([1.0, 0.0, 1.0]))
    np.testing.assert_array_equal(used, [1, 0, 1])
    np.testing.assert_array_equal(np.abs(gradient).max((1, 2, 3)) > 0, [True, False, True])


def test_positions_and_channels_are_told_apart_in_any_layout() -> None:
    kernel = jax.random.normal(jax.random.key(0), (4, 3, 1, 1))
    seen = []

    def rule(xp: Any, x: Any, g: Any, gate: Any) -> tuple[Any, Any]:
        seen.append(x.shape)
        return g, gate

    def f(x: Any) -> Any:
        return jax.nn.relu(jax.lax.conv_general_dilated(x.transpose(0, 3, 1, 2), kernel, (1, 1), "SAME")).sum()

    jax.grad(backend.with_rule(rule, f))(jnp.ones((2, 6, 5, 3)), jnp.ones(2))
    assert seen == [(2, 6, 5, 4)]


def test_only_what_is_between_image_and_target_is_counted() -> None:
    table = jnp.arange(5.0)

    def f(x: Any) -> Any:
        jax.nn.gelu(x)  # on the way to nothing
        last, _ = jax.lax.scan(
            lambda c, _: ((c[0] + jnp.tanh(c[1]), jax.nn.sigmoid(c[1])), None), (x, table), None, length=2
        )
        return jax.nn.relu6(last[0] + jax.nn.relu(table)) + jax.nn.silu(jax.lax.stop_gradient(x))

    assert backend.nonlinearities(f, X) == {"relu6": 1}


def test_a_layer_named_like_a_nonlinearity_is_none() -> None:
    assert backend.nonlinearities(lambda x: checkpoint_name(x, "softmax") / jnp.exp(x).sum(), X) == {}


def test_a_rule_reaches_what_is_counted_as_relu_and_nothing_else() -> None:
    gate = jnp.ones(2)
    for f in (
        jax.nn.hard_swish,
        jax.nn.hard_sigmoid,
        lambda x: x * jnp.clip(x + 3, 0, 6) / 6,
        jax.nn.softplus,
        jax.nn.elu,
        jax.nn.silu,
    ):
        ruled = backend.with_rule(Deconvolution(), f)
        got, used = jax.grad(lambda x, gate, ruled=ruled: ruled(x, gate).sum(), argnums=(0, 1))(X, gate)
        np.testing.assert_allclose(got, jax.grad(lambda x, f=f: f(x).sum())(X), rtol=1e-6)
        assert not used.any()
