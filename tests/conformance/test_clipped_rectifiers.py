"""ReLU6 and other clipped rectifiers under backward rules, held to a backward pass that is written out by hand."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import phosphene as ph
from columns import chosen
from phosphene.attribution.call import attribute
from phosphene.backend import Network, native
from phosphene.errors import CoverageWarning
from phosphene.rules import Redirected

pytestmark = [pytest.mark.needs("clipped rectifiers"), pytest.mark.filterwarnings("ignore:.*no inner layer")]

Weights = Mapping[str, NDArray[np.float64]]

SIZE = (7, 6)
IMAGES = np.random.default_rng(3).random((3, *SIZE, 3)).astype(np.float32)
CEILINGS = {"stem": 6.0, "wide": 6.0, "deep": 6.0, "last": 2.5}
"""The units of the network in forward order: two ways to write a ReLU6, and a clamp."""


def weights() -> dict[str, NDArray[np.float64]]:
    """An inverted bottleneck: 3 -> 8, widened to 12, depth by depth, a linear bottleneck with a shortcut, and a head."""
    random = np.random.default_rng(11)
    shapes = {"stem": (3, 8), "wide": (8, 12), "deep": (3, 3, 12), "narrow": (12, 8), "last": (8, 10), "head": (10, 4)}
    scale = {"stem": 6.0, "wide": 1.0, "deep": 0.8, "narrow": 0.3, "last": 0.7, "head": 1.0}
    return {name: scale[name] * random.standard_normal(shape) for name, shape in shapes.items()}


def _torch(w: Weights) -> Any:
    torch = pytest.importorskip("torch")
    nn = torch.nn

    def tensor(name: str) -> Any:
        return nn.Parameter(torch.tensor(w[name].T.copy() if w[name].ndim == 2 else np.moveaxis(w[name], -1, 0).copy()))

    class Model(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            for name in w:
                setattr(self, name, tensor(name))
            self.act = nn.ReLU6(inplace=True)

        def forward(self, x: Any) -> Any:
            functional = nn.functional
            x = self.act(functional.conv2d(x, self.stem[:, :, None, None]))
            y = functional.relu6(functional.conv2d(x, self.wide[:, :, None, None]))
            y = functional.hardtanh(functional.conv2d(y, self.deep[:, None], padding=1, groups=12), 0.0, 6.0)
            x = x + functional.conv2d(y, self.narrow[:, :, None, None])
            x = functional.conv2d(x, self.last[:, :, None, None]).clamp_(0, 2.5)
            return x.mean((2, 3)) @ self.head.T

    return Model().eval()


def _jax(w: Weights) -> Any:
    jax = pytest.importorskip("jax")
    import jax.numpy as jnp

    def model(w: Any, x: Any) -> Any:
        x = jax.nn.relu6(x @ w["stem"])
        y = jax.lax.clamp(jnp.zeros((), x.dtype), x @ w["wide"], jnp.asarray(6, x.dtype))
        y = jax.lax.conv_general_dilated(
            y,
            w["deep"][:, :, None],
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=12,
        )
        y = jax.jit(lambda y: jnp.minimum(jnp.maximum(y, 0), 6.0))(y)
        x = x + y @ w["narrow"]
        return jnp.clip(x @ w["last"], 0, 2.5).mean((1, 2)) @ w["head"]

    return model, {name: value.astype(np.float32) for name, value in w.items()}


MAKERS = {"torch": _torch, "jax": _jax}


def wrapped(backend: str, w: Weights | None = None, **given: Any) -> Network:
    model = chosen(MAKERS, backend)(weights() if w is None else w)
    return ph.wrap(model, size=SIZE, dtype="float32", **given)


def by_hand(
    w: Weights, images: NDArray[Any], target: int, method: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The map of a method and the value of the target, operation by operation, forwards and backwards."""

    def clipped(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return np.minimum(np.maximum(x, 0), CEILINGS[name])

    def back(g: NDArray[np.float64], x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        inside = (x > 0) & (x < CEILINGS[name])
        passes = {"gradient": inside, "guided_backprop": inside & (g > 0), "deconvnet": g > 0}[method]
        return np.where(passes, g, 0.0)

    def shifted(x: NDArray[np.float64], i: int, j: int) -> NDArray[np.float64]:
        return np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))[:, i : i + x.shape[1], j : j + x.shape[2]]

    places = [(i, j) for i in range(3) for j in range(3)]
    a = images.astype(np.float64) @ w["stem"]
    b = clipped(a, "stem") @ w["wide"]
    c = sum(shifted(clipped(b, "wide"), i, j) * w["deep"][i, j] for i, j in places)
    d = (clipped(a, "stem") + clipped(c, "deep") @ w["narrow"]) @ w["last"]
    value = clipped(d, "last").mean((1, 2)) @ w["head"][:, target]
    g = np.broadcast_to(w["head"][:, target] / (SIZE[0] * SIZE[1]), d.shape)
    g = back(g, d, "last") @ w["last"].T
    inner = back(g @ w["narrow"].T, c, "deep")
    inner = back(sum(shifted(inner * w["deep"][i, j], 2 - i, 2 - j) for i, j in places), b, "wide")
    return back(g + inner @ w["wide"].T, a, "stem") @ w["stem"].T, value


def test_the_network_uses_both_ends() -> None:
    w = weights()
    a = IMAGES.astype(np.float64) @ w["stem"]
    assert (a < 0).mean() > 0.1 and (a > 6).mean() > 0.1


@pytest.mark.parametrize("method", ["gradient", "guided_backprop", "deconvnet"])
def test_maps_are_those_of_a_backward_pass_by_hand(backend: str, method: str) -> None:
    found = attribute(wrapped(backend), IMAGES, 2, method=method)
    wanted, value = by_hand(weights(), IMAGES, 2, method)
    np.testing.assert_allclose(found.values, value, rtol=1e-4)
    np.testing.assert_allclose(found.raw, wanted, atol=1e-5 * np.abs(wanted).max())
    if method != "gradient":
        assert found.coverage.endswith(": 4 of 4 nonlinearities")
        plain, _ = by_hand(weights(), IMAGES, 2, "gradient")
        assert np.abs(found.raw - plain).max() > 0.1 * np.abs(plain).max()


def planted(below: float) -> dict[str, NDArray[np.float64]]:
    """The weights with a first channel of the last unit that is closed everywhere, far below zero or far above the ceiling."""
    w = weights()
    w["last"][:, 0] = below * np.abs(w["last"][:, 0])
    w["stem"] = np.abs(w["stem"])
    w["narrow"] = np.abs(w["narrow"])
    w["head"][:] = 0
    w["head"][0] = 1
    return w


@pytest.mark.parametrize(
    ("below", "sign", "wakes"),
    [(-50.0, 1.0, True), (-50.0, -1.0, False), (50.0, -1.0, True), (50.0, 1.0, False)],
    ids=["dead and raised", "dead and lowered", "full and lowered", "full and raised"],
)
def test_a_closed_unit_passes_only_the_gradient_that_opens_it(
    backend: str, below: float, sign: float, wakes: bool
) -> None:
    network = wrapped(backend, planted(below))
    tools = network.backend

    def f(tree: Any) -> Any:
        forward = lambda x: network.forward(x, ["output"])["output"]  # noqa: E731
        return sign * tools.with_rule(Redirected(), forward)(*tree)[:, 1].sum(), {}

    with network.scope():
        images, gate = native(network, IMAGES), native(network, np.asarray([1.0, 0.0, 1.0]))
        (gradient, used), _ = tools.grad(f)((images, gate))
    moved = np.abs(tools.to_numpy(gradient)).max(axis=(1, 2, 3)) > 0
    assert moved.tolist() == [wakes, False, wakes]
    assert (tools.to_numpy(used) > 0).tolist() == [True, False, True]


def test_a_live_unit_keeps_its_own_gradient(backend: str) -> None:
    network = wrapped(backend)
    tools = network.backend

    def gradient(rule: Redirected | None) -> Any:
        def forward(x: Any) -> Any:
            return network.forward(x, ["output"])["output"]

        def f(tree: Any) -> Any:
            y = forward(tree[0]) if rule is None else tools.with_rule(rule, forward)(*tree)
            return y[:, 1].sum(), {}

        with network.scope():
            (found, _), _ = tools.grad(f)((native(network, IMAGES), native(network, np.ones(3))))
        return tools.to_numpy(found)

    np.testing.assert_array_equal(gradient(Redirected()), gradient(None))


@pytest.mark.filterwarnings("ignore::phosphene.errors.PhospheneWarning")
def test_a_dead_channel_of_a_clipped_network_is_woken(backend: str) -> None:
    # The first channel of the last unit is red less green less a share of the brightness: below zero on a picture that is almost
    # grey, and above zero on a red one.
    w = {name: np.zeros_like(value) for name, value in weights().items()}
    w["stem"][:, 0], w["stem"][:, 1] = (4, -4, 0), (4 / 3, 4 / 3, 4 / 3)
    w["last"][:2, 0] = 1.0, -0.2
    w["head"][0, 0] = 1.0
    network = wrapped(backend, w)
    target = ph.logit(0)
    grey = np.full((1, *SIZE, 3), (0.55, 0.5, 0.5), np.float32)
    pixels = ph.parameterizations.pixel()
    options: dict[str, Any] = {"parameterization": pixels, "transforms": [], "start": grey, "steps": 60}
    asleep = ph.render(network, target, warm_up=0, optimizer=ph.optimizers.adam(0.05), **options)
    woken = ph.render(network, target, warm_up=60, optimizer=ph.optimizers.adam(0.05), **options)
    assert asleep.status[0] == "dead" and asleep.values[0] == 0
    assert woken.awake_at[0] > 0 and woken.values[0] > 0


def smooth(backend: str) -> Network:
    """A network without any rectified linear unit on the way from the image; the one it has acts on weights alone."""

    def torch_model() -> Any:
        torch = pytest.importorskip("torch")

        class Model(torch.nn.Module):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                torch.manual_seed(0)
                self.conv, self.head = torch.nn.Conv2d(3, 8, 3), torch.nn.Linear(8, 4)
                self.table = torch.nn.Parameter(torch.randn(8))

            def forward(self, x: Any) -> Any:
                bias = torch.nn.functional.relu(self.table)
                return self.head(torch.nn.functional.silu(self.conv(x) + bias[:, None, None]).mean((2, 3)))

        return Model().eval()

    def jax_model() -> Any:
        jax = pytest.importorskip("jax")
        random = np.random.default_rng(0)
        shapes = {"conv": (3, 8), "table": (8,), "head": (8, 4)}
        values = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}

        def model(w: Any, x: Any) -> Any:
            return jax.nn.silu(x @ w["conv"] + jax.nn.relu(w["table"])).mean((1, 2)) @ w["head"]

        return model, values

    makers = {"torch": torch_model, "jax": jax_model}
    return ph.wrap(chosen(makers, backend)(), size=(9, 9))


@pytest.mark.parametrize("method", ["guided_backprop", "deconvnet"])
def test_a_rule_that_reaches_nothing_warns_and_changes_the_title(backend: str, method: str) -> None:
    network = smooth(backend)
    images = np.random.default_rng(0).random((2, 9, 9, 3)).astype(np.float32)
    with pytest.warns(CoverageWarning, match=rf"{method}.* reached no rectified .*1 silu.* plain gradient") as caught:
        found = attribute(network, images, 1, method=method)
    assert len([warning for warning in caught if warning.category is CoverageWarning]) == 1
    assert found.title == f"{method.replace('_', ' ')} = gradient (no ReLU reached)"
    assert found.title in repr(found)
    times_cam = replace(found, method="guided_gradcam", layer="conv")
    assert times_cam.title == "guided gradcam = gradcam x gradient (no ReLU reached)"
    assert any(found.title in axes.get_title() for axes in found.plot().axes)
    assert found.coverage.endswith("0 of 1 nonlinearities; untouched: 1 silu")
    np.testing.assert_array_equal(found.raw, attribute(network, images, 1, method="gradient").raw)


def test_a_recipe_whose_rule_reaches_nothing_warns(backend: str) -> None:
    options: dict[str, Any] = {"size": 9, "steps": 1, "transforms": []}
    with pytest.warns(CoverageWarning, match="rule='guided' reached no rectified .*1 silu.* own gradient"):
        ph.render(smooth(backend), ph.logit(1), rule="guided", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CoverageWarning)
        ph.render(wrapped(backend), ph.logit(1), rule="guided", **(options | {"size": SIZE}))
