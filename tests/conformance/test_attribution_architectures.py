"""Attribution of models that are hard to read, on both frameworks: held to differences of the model's own call in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from phosphene.attribution import attribute
from phosphene.backend import Network
from phosphene.errors import InvalidObjective, InvalidParameter

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
    "torch": _torch, "nnx": _nnx, "equinox": _equinox, "function": _function
}  # fmt: skip
CASES = [
    ("in place", 3, (37, 53), 1),
    pytest.param("functional", 1, (16, 24), 2, marks=pytest.mark.slow),
    ("module", 7, (15, 9), 3),
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


@pytest.fixture(params=MAKERS)
def maker(request: pytest.FixtureRequest) -> str:
    """Each way to write the model in turn."""
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
        found = attribute(network, images, 1, method="guided_backprop")
        assert found.coverage == "guided: 3 of 3 nonlinearities"
        raw[style] = found.raw
    np.testing.assert_allclose(raw["in place"], raw["functional"], atol=1e-9)
    plain = attribute(network, images, 1, method="gradient").raw
    assert np.abs(plain - raw["functional"]).max() > 1e-3 * np.abs(plain).max()


def test_an_image_has_the_same_map_in_any_company(maker: str) -> None:
    network, images = wrapped(maker, "module", 7, (15, 9)), pictures(3, (15, 9), 7)
    for method in ("gradcam", "integrated_gradients"):
        options = {"integrated_gradients": {"steps": 4}}.get(method, {})
        together = attribute(network, images, [0, 1, 2], method=method, batch=2, **options)
        for index in range(3):
            alone = attribute(network, images[index], index, method=method, **options)
            assert alone.maps.shape == (1, 15, 9)
            np.testing.assert_allclose(alone.raw[0], together.raw[index], atol=1e-9 * np.abs(together.raw).max())


def _vit(backend: str) -> tuple[Network, int]:
    pytest.importorskip("torch"), pytest.importorskip("flax")
    import ports

    key = ("vit", backend)
    if key not in MADE:
        MADE[key] = ph.wrap(ports.vits()[backend == "jax"], size=ports.VIT_SIZE, dtype="float64")
    return MADE[key], ports.VIT_SIZE


@pytest.mark.parametrize(
    "method",
    ["gradcam", "layercam", *(pytest.param(name, marks=pytest.mark.slow) for name in ("gradcam++", "hirescam"))],
)
def test_a_transformer_has_maps_on_its_patches(backend: str, method: str) -> None:
    network, side = _vit(backend)
    images = pictures(2, (side, side), 3)
    for layer in ("blocks.1", None):
        found = attribute(network, images, 4, method=method, layer=layer)
        assert found.raw.shape == (2, 4, 4) and found.maps.shape == (2, side, side)
        path = found.layer or ""
        # The oracle: all tokens flat, the class token in front dropped by hand.
        tokens = ph.activations(network, images, path)[path]
        assert tokens.shape == (2, 17, 32)
        slopes = _layer_slopes(network, images, path, 4)[:, 1:].reshape(2, 4, 4, 32)
        grid = tokens[:, 1:].reshape(2, 4, 4, 32)
        if method == "gradcam":
            wanted = (slopes.mean((1, 2), keepdims=True) * grid).sum(-1)
        elif method == "gradcam++":
            share = slopes**2 / (2 * slopes**2 + grid.sum((1, 2), keepdims=True) * slopes**3 + 1e-6)
            wanted = ((share * np.maximum(slopes, 0)).sum((1, 2), keepdims=True) * grid).sum(-1)
        else:
            wanted = ((np.maximum(slopes, 0) if method == "layercam" else slopes) * grid).sum(-1)
        np.testing.assert_allclose(found.raw, wanted, atol=1e-6 * np.abs(wanted).max())


def _layer_slopes(network: Network, images: np.ndarray, layer: str, logit: int) -> np.ndarray:
    backend, shape = network.backend, network.layers[layer].shape
    with network.scope():

        def f(extra: Any) -> Any:
            read = network.forward(native(network, images), ["output"], edit={layer: lambda xp, x: x + extra})
            return backend.xp.sum(read["output"][:, logit]), ()

        return backend.to_numpy(backend.grad(f)(native(network, np.zeros((len(images), *shape))))[0])  # type: ignore[no-any-return]


def test_the_layer_of_a_transformer_is_the_last_whose_patches_count(backend: str) -> None:
    network, side = _vit(backend)
    images = pictures(1, (side, side), 3)
    # Of the last block's output and what follows, the head reads the class token alone.
    assert attribute(network, images, 4).layer == "blocks.2.norm1"
    for layer in ("blocks.2", "norm"):
        with pytest.raises(
            InvalidObjective, match=f"layer: expected a layer that has a part in 'output', got '{layer}'"
        ):
            attribute(network, images, 4, layer=layer)
    assert attribute(network, images, ph.channel("blocks.1", 3)).layer.startswith("blocks.1.")  # type: ignore[union-attr]


def test_tokens_in_heads_are_no_rows_and_columns() -> None:
    network, side = _vit("jax")
    assert network.layers["blocks.1.attn.value"].shape == (17, 4, 8)
    with pytest.raises(InvalidParameter, match=r"layer: expected a layer with positions.* of tokens in heads"):
        attribute(network, pictures(1, (side, side), 3), 4, layer="blocks.1.attn.value")


def test_a_patch_that_is_changed_is_the_patch_that_lights_up(backend: str) -> None:
    network, side = _vit(backend)
    images = np.repeat(pictures(1, (side, side), 3), 2, axis=0)
    images[1, 8:16, 16:24] = 1 - images[1, 8:16, 16:24]  # row 1, column 2 of the grid
    layer = next(
        path for path, it in network.layers.items() if it.axes == ("token", "channel") and it.tokens is not None
    )
    raw = attribute(network, images, ph.channel(layer, 3), method="hirescam", layer=layer).raw
    moved = np.abs(raw[1] - raw[0])
    assert moved.argmax() == 6 and np.delete(moved.ravel(), 6).max() <= 1e-9 * moved.max()


@pytest.mark.parametrize(("size", "grid"), [(64, (4, 4)), ((64, 96), (4, 6))])
def test_a_vit_of_timm_needs_no_reshape(size: Any, grid: tuple[int, int]) -> None:
    pytest.importorskip("torch")
    import torch

    from pretend_operators import usable

    timm = usable("timm")
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=3, dynamic_img_size=True, num_classes=7)
    network = ph.wrap(model.eval(), size=size)
    sides = network.input.size
    images = pictures(2, sides, 3)
    for method in ("gradcam", "layercam"):
        found = attribute(network, images, 5, method=method)
        assert found.layer == "blocks.2.norm1" and found.raw.shape == (2, *grid)
        assert found.maps.shape == (2, *sides) and np.isfinite(found.maps).all()
    wanted = _layer_slopes_float32(network, images, "blocks.1")
    found = attribute(network, images, 5, method="hirescam", layer="blocks.1")
    np.testing.assert_allclose(found.raw, wanted.reshape(2, *grid), atol=1e-4 * np.abs(wanted).max())


def _layer_slopes_float32(network: Network, images: np.ndarray, layer: str) -> np.ndarray:
    """HiResCAM of logit 5 by PyTorch's own hooks: patches alone, ``(N, patches)``."""
    import torch

    kept: list[Any] = []
    model = network.model  # type: ignore[attr-defined]
    handle = model.get_submodule(layer).register_forward_hook(lambda module, given, output: kept.append(output))
    model(torch.from_numpy(images.transpose(0, 3, 1, 2)))[:, 5].sum().backward(
        inputs=[kept[0].retain_grad() or kept[0]]
    )
    handle.remove()
    return (kept[0].grad * kept[0]).sum(-1)[:, 1:].detach().numpy()  # type: ignore[no-any-return]
