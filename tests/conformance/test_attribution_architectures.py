"""Attribution of models that are hard to read, on both frameworks: held to differences of the model's own call in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from phosphene.attribution.call import attribute
from phosphene.backend import Network

LAYERS = ("stem.conv", "body.shared", "body.shared#1", "body.pair")
MADE: dict[tuple[Any, ...], Network] = {}


def _torch(channels: int, style: str) -> Any:
    torch = pytest.importorskip("torch")
    from torch import nn
    from torch.nn import functional as F

    class Stem(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(channels, 6, 3, 2, 1)
            self.act = nn.ReLU(inplace=style == "in place")

        def forward(self, x: Any) -> Any:
            x = self.conv(x)
            return F.relu(x) if style == "functional" else self.act(x)

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(6, 6, 1)

        def forward(self, x: Any) -> Any:
            return self.conv(x), {"mean": x.mean((1, 2, 3), keepdim=True)}

    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared = nn.Conv2d(6, 6, 3, padding=1)
            self.pair = Pair()

        def forward(self, x: Any) -> Any:
            for _ in range(2):
                x = F.relu(self.shared(x), inplace=style == "in place")
            found, more = self.pair(x)
            return found + more["mean"]

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.body = Stem(), nn.Sequential()
            self.body = Body()
            self.head = nn.ModuleList([nn.Sequential(nn.Linear(6, 5))])

        def forward(self, x: Any) -> Any:
            return self.head[0](self.body(self.stem(x)).mean((2, 3)))

    torch.manual_seed(0)
    return Model().eval()


def _nnx(channels: int, style: str) -> Any:
    pytest.importorskip("flax")
    import jax
    import jax.numpy as jnp
    from flax import nnx

    relu = {"functional": jax.nn.relu, "in place": lambda x: jnp.maximum(x, 0)}.get(style, nnx.relu)

    class Stem(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.conv = nnx.Conv(channels, 6, (3, 3), 2, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            return relu(self.conv(x))

    class Pair(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.conv = nnx.Conv(6, 6, (1, 1), rngs=rngs)

        def __call__(self, x: Any) -> Any:
            return self.conv(x), {"mean": x.mean((1, 2, 3), keepdims=True)}

    class Body(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.shared, self.pair = nnx.Conv(6, 6, (3, 3), rngs=rngs), Pair(rngs)

        def __call__(self, x: Any) -> Any:
            for _ in range(2):
                x = relu(self.shared(x))
            found, more = self.pair(x)
            return found + more["mean"]

    class Model(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.stem, self.body = Stem(rngs), Body(rngs)
            self.head = nnx.List([nnx.Sequential(nnx.Linear(6, 5, rngs=rngs))])

        def __call__(self, x: Any) -> Any:
            return self.head[0](self.body(self.stem(x)).mean((1, 2)))

    return Model(nnx.Rngs(0))


def _equinox(channels: int, style: str) -> Any:
    eqx = pytest.importorskip("equinox")
    import jax
    import jax.numpy as jnp

    relu = {"functional": jax.nn.relu, "in place": lambda x: jnp.maximum(x, 0)}.get(style, eqx.nn.Lambda(jax.nn.relu))
    keys = jax.random.split(jax.random.key(0), 4)

    class Stem(eqx.Module):
        conv: Any

        def __call__(self, x: Any) -> Any:
            return relu(self.conv(x))

    class Pair(eqx.Module):
        conv: Any

        def __call__(self, x: Any) -> Any:
            return self.conv(x), {"mean": x.mean()}

    class Body(eqx.Module):
        shared: Any
        pair: Any

        def __call__(self, x: Any) -> Any:
            for _ in range(2):
                x = relu(self.shared(x))
            found, more = self.pair(x)
            return found + more["mean"]

    class Model(eqx.Module):
        stem: Any
        body: Any
        head: Any

        def __call__(self, x: Any) -> Any:
            return self.head[0][0](self.body(self.stem(x)).mean((1, 2)))

    return Model(
        Stem(eqx.nn.Conv2d(channels, 6, 3, 2, 1, key=keys[0])),
        Body(eqx.nn.Conv2d(6, 6, 3, padding=1, key=keys[1]), Pair(eqx.nn.Conv2d(6, 6, 1, key=keys[2]))),
        [[eqx.nn.Linear(6, 5, key=keys[3])]],
    )


def _function(channels: int, style: str) -> Any:
    jax = pytest.importorskip("jax")
    import jax.numpy as jnp
    from jax.ad_checkpoint import checkpoint_name

    relu = jax.nn.relu if style == "functional" else lambda x: jnp.maximum(x, 0)
    random = np.random.default_rng(0)
    shapes = {"stem": (3, 3, channels, 6), "shared": (3, 3, 6, 6), "pair": (1, 1, 6, 6), "head": (6, 5)}
    parameters = {name: jnp.asarray(0.3 * random.standard_normal(shape), jnp.float32) for name, shape in shapes.items()}

    def convolved(x: Any, kernel: Any, stride: int = 1) -> Any:
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def pair(p: Any, x: Any) -> Any:
        return checkpoint_name(convolved(x, p["pair"]), "body.pair"), {"mean": x.mean((1, 2, 3), keepdims=True)}

    def model(p: Any, x: Any) -> Any:
        x = relu(checkpoint_name(convolved(x, p["stem"], 2), "stem.conv"))
        for _ in range(2):
            x = relu(checkpoint_name(convolved(x, p["shared"]), "body.shared"))
        found, more = pair(p, x)
        return (found + more["mean"]).mean((1, 2)) @ p["head"]

    return model, parameters


MAKERS: dict[str, Callable[[int, str], Any]] = {
    "torch": _torch,
    "nnx": _nnx,
    "equinox": _equinox,
    "function": _function,
}
CASES = [
    ("in place", 3, (37, 53), 1),
    pytest.param("functional", 1, (16, 24), 2, marks=pytest.mark.slow),
    pytest.param("module", 7, (15, 9), 3, marks=pytest.mark.slow),
]


def wrapped(kind: str, style: str, channels: int, size: tuple[int, int]) -> Network:
    key = (kind, style, channels, size)
    if key not in MADE:
        MADE[key] = ph.wrap(MAKERS[kind](channels, style), size=size, channels=channels, dtype="float64")
    return MADE[key]


def pictures(count: int, size: tuple[int, int], channels: int) -> np.ndarray:
    return np.random.default_rng(5).random((count, *size, channels)).astype(np.float32)


def outputs(network: Network, images: np.ndarray, edit: Any = None) -> np.ndarray:
    """Logits in float64, of images that need not be float32."""
    backend = network.backend
    with network.scope():
        given = backend.from_numpy(images, device=network.device, dtype="float64")
        return backend.to_numpy(network.forward(given, ["output"], edit=edit)["output"])  # type: ignore[no-any-return]


def native(network: Network, array: np.ndarray) -> Any:
    return network.backend.from_numpy(array, device=network.device, dtype="float64")


def differences(
    f: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...], places: list[tuple[int, ...]]
) -> np.ndarray:
    """Slopes of ``f(steps (n, *shape)) -> (n,)`` at zero, one a place."""
    steps = np.zeros((2, len(places), *shape))
    for index, place in enumerate(places):
        steps[(0, index, *place)], steps[(1, index, *place)] = 1e-4, -1e-4
    up, down = f(steps.reshape(-1, *shape)).reshape(2, -1)
    return (up - down) / 2e-4  # type: ignore[no-any-return]


@pytest.fixture(
    params=["torch", "nnx", *(pytest.param(name, marks=pytest.mark.slow) for name in ("equinox", "function"))]
)
def maker(request: pytest.FixtureRequest) -> str:
    """Each way to write the model in turn; what compiles the same operations once more is among the slow tests."""
    return str(request.param)


@pytest.mark.parametrize(("style", "channels", "size", "count"), CASES)
def test_gradients_are_differences(maker: str, style: str, channels: int, size: tuple[int, int], count: int) -> None:
    network, images = wrapped(maker, style, channels, size), pictures(count, size, channels)
    found = attribute(network, images, 3, method="gradient")
    assert found.raw.shape == images.shape and found.maps.shape == images.shape[:3]
    np.testing.assert_allclose(found.values, outputs(network, images)[:, 3], rtol=1e-6)
    random = np.random.default_rng(1)
    places = [tuple(int(random.integers(side)) for side in images.shape[1:]) for _ in range(8)]
    slopes = differences(lambda steps: outputs(network, images[-1] + steps)[:, 3], images.shape[1:], places)
    got = np.asarray([found.raw[(-1, *place)] for place in places])
    np.testing.assert_allclose(got, slopes, rtol=1e-5, atol=1e-6 * np.abs(found.raw).max())


@pytest.mark.parametrize(("style", "channels", "size", "count"), CASES[:2])
def test_layers_are_read_and_explained_where_they_are(
    maker: str, style: str, channels: int, size: tuple[int, int], count: int
) -> None:
    network, images = wrapped(maker, style, channels, size), pictures(count, size, channels)
    height, width = -(-size[0] // 2), -(-size[1] // 2)
    read = ph.activations(network, images, LAYERS)
    for layer in LAYERS:
        assert read[layer].shape == (count, height, width, 6)
        # A rectifier that writes in place must not be seen in what comes before it.
        assert read[layer].min() < 0
    for layer, method in zip(LAYERS, ("hirescam", "layercam", "hirescam", "layercam"), strict=True):
        found = attribute(network, images, 2, method=method, layer=layer)
        assert found.raw.shape == (count, height, width) and found.maps.shape == (count, *size)
        assert np.isfinite(found.maps).all()
        # The gradient of a position's channels, by differences of what is added to the layer.
        row, column = height // 2, width // 3

        def f(steps: np.ndarray, layer: str = layer) -> np.ndarray:
            added = native(network, steps)
            given = np.repeat(images[-1:], len(steps), axis=0)
            return outputs(network, given, {layer: lambda xp, x: x + added})[:, 2]

        slopes = differences(f, (height, width, 6), [(row, column, channel) for channel in range(6)])
        slopes = np.maximum(slopes, 0) if method == "layercam" else slopes
        wanted = float(slopes @ read[layer][-1, row, column])
        assert found.raw[-1, row, column] == pytest.approx(wanted, rel=1e-5, abs=1e-6 * np.abs(found.raw).max()), layer


@pytest.mark.slow
def test_rules_reach_rectifiers_however_they_are_written(maker: str) -> None:
    raw = {}
    for style in ("in place", "functional"):
        network, images = wrapped(maker, style, 1, (16, 24)), pictures(2, (16, 24), 1)
        found = attribute(network, images, 2, method="guided_backprop")
        assert found.coverage == "guided: 3 of 3 nonlinearities"
        raw[style] = found.raw
    np.testing.assert_allclose(raw["in place"], raw["functional"], atol=1e-9)
    plain = attribute(network, images, 2, method="gradient").raw
    assert np.abs(plain - raw["functional"]).max() > 1e-3 * np.abs(plain).max()


@pytest.mark.slow
def test_an_image_has_the_same_map_in_any_company(maker: str) -> None:
    network, images = wrapped(maker, "module", 7, (15, 9)), pictures(3, (15, 9), 7)
    for method in ("gradcam", "integrated_gradients"):
        options = {"integrated_gradients": {"steps": 4}}.get(method, {})
        together = attribute(network, images, [0, 1, 2], method=method, batch=2, **options)
        for index in range(3):
            alone = attribute(network, images[index], index, method=method, **options)
            assert alone.maps.shape == (1, 15, 9)
            np.testing.assert_allclose(alone.raw[0], together.raw[index], atol=1e-9 * np.abs(together.raw).max())
