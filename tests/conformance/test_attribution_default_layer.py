"""The layer of a class activation map when none is named, on small networks that are written as people write them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from columns import chosen
from phosphene.attribution.call import attribute
from phosphene.backend import Network
from phosphene.errors import InvalidObjective, InvalidParameter, ModelWarning

SIDE = 32
IMAGES = np.random.default_rng(3).random((2, SIDE, SIDE, 3)).astype(np.float32)
MADE: dict[tuple[str, str], Network] = {}


def torch_models() -> dict[str, Callable[[], Any]]:
    """Models of PyTorch by name."""
    torch = pytest.importorskip("torch")
    from torch import nn
    from torch.nn import functional as F

    def conv(a: int, b: int, stride: int = 1) -> Any:
        return nn.Sequential(nn.Conv2d(a, b, 3, stride, 1), nn.BatchNorm2d(b), nn.ReLU(inplace=True))

    class Residual(nn.Module):
        def __init__(self, a: int, b: int) -> None:
            super().__init__()
            self.conv1, self.conv2 = conv(a, b, 2), nn.Conv2d(b, b, 3, padding=1)
            self.short, self.relu = nn.Conv2d(a, b, 1, 2), nn.ReLU(inplace=True)

        def forward(self, x: Any) -> Any:
            return self.relu(self.conv2(self.conv1(x)) + self.short(x))

    class Pooled(nn.Module):
        """A pooler whose result the head reads, and a hidden state that is returned beside it."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(Residual(3, 8), Residual(8, 12))
            self.pooler = nn.AdaptiveAvgPool2d((1, 1))

        def forward(self, x: Any) -> Any:
            x = self.encoder(x)
            return {"last_hidden_state": x, "pooler_output": self.pooler(x)}

    class Branched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = Pooled(), nn.Linear(12, 5)
            self.auxiliary = nn.Conv2d(12, 7, 1)

        def forward(self, x: Any) -> Any:
            found = self.body(x)
            self.auxiliary(found["last_hidden_state"])
            return self.head(found["pooler_output"].flatten(1))

    class UNet(nn.Module):
        def __init__(self, end: str) -> None:
            super().__init__()
            self.down, self.bottom, self.up = conv(3, 8), conv(8, 16, 2), conv(24, 8)
            self.out, self.end = nn.Conv2d(8, 4, 1), end

        def forward(self, x: Any) -> Any:
            first = self.down(x)
            low = self.bottom(first)
            if self.end == "enlarged":
                scores = F.interpolate(self.out(low[:, :8]), x.shape[2:], mode="bilinear")
                return scores.softmax(1)
            scores = self.out(self.up(torch.cat([first, F.interpolate(low, scale_factor=2)], 1)))
            return {"plain": scores, "squashed": scores.sigmoid(), "softmax": scores.log_softmax(1)}[self.end]

    class Attention(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))

        def forward(self, x: Any) -> Any:
            n, t, c = x.shape
            q, k, v = (part(x).view(n, t, 2, c // 2).transpose(1, 2) for part in (self.q, self.k, self.v))
            return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, c))

    class Block(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.norm1, self.norm2, self.attn = nn.LayerNorm(width), nn.LayerNorm(width), Attention(width)
            self.mlp = nn.Sequential(nn.Linear(width, 24), nn.GELU(), nn.Linear(24, width))

        def forward(self, x: Any) -> Any:
            x = x + self.attn(self.norm1(x))
            return x + self.mlp(self.norm2(x))

    class ViT(nn.Module):
        def __init__(self, head: str) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 12, 8, 8)
            self.cls_token = nn.Parameter(torch.randn(1, 1, 12))
            self.detection = nn.Parameter(torch.randn(1, 6, 12))
            self.position = nn.Parameter(torch.randn(1, 23, 12))
            self.blocks = nn.Sequential(*(Block(12) for _ in range(3)))
            self.norm, self.fc, self.kind = nn.LayerNorm(12), nn.Linear(12, 5), head

        def forward(self, x: Any) -> Any:
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1)
            if self.kind == "detection":
                x = torch.cat([x, self.detection.expand(len(x), -1, -1)], 1)
            x = self.norm(self.blocks(x + self.position[:, : x.shape[1]]))
            return {"class": self.fc(x[:, 0]), "mean": self.fc(x.mean(1)), "detection": self.fc(x[:, -6:])}[self.kind]

    class Swin(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches, self.mix = nn.Conv2d(3, 12, 4, 4), nn.Linear(12, 12)
            self.bias = nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 12))
            self.norm, self.pool, self.head = nn.LayerNorm(12), nn.AdaptiveAvgPool1d(1), nn.Linear(12, 5)

        def forward(self, x: Any) -> Any:
            x = self.patches(x).permute(0, 2, 3, 1)
            places = torch.linspace(0, 1, x.shape[2])[None, None, :, None].expand(len(x), x.shape[1], -1, 1)
            x = self.norm(x + self.mix(x) + 0.1 * self.bias(places))
            return self.head(self.pool(x.flatten(1, 2).transpose(1, 2)).flatten(1))

    class Mobile(nn.Module):
        """A fully convolutional classifier with squeeze and excitation."""

        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(conv(3, 8, 4), conv(8, 12, 2))
            self.squeeze, self.excite = nn.Conv2d(12, 3, 1), nn.Conv2d(3, 12, 1)
            self.drop, self.pool = nn.Dropout(0.2), nn.AdaptiveAvgPool2d(1)
            self.classifier = nn.Sequential(nn.Conv2d(12, 20, 1), nn.Hardswish(), nn.Conv2d(20, 5, 1))

        def forward(self, x: Any) -> Any:
            x = self.features(x)
            x = x * self.excite(F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))).sigmoid()
            return self.classifier(self.pool(self.drop(x))).flatten(1)

    class VGG(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(conv(3, 8, 4), nn.MaxPool2d(2))
            self.avgpool, self.classifier = nn.AdaptiveAvgPool2d(4), nn.Sequential(nn.Linear(128, 5))

        def forward(self, x: Any) -> Any:
            return self.classifier(self.avgpool(self.features(x)).flatten(1))

    class Volume(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv3d(1, 6, 3, (1, 4, 4), 1)
            self.head = nn.Linear(6, 5)

        def forward(self, x: Any) -> Any:
            return self.head(F.relu(self.conv(x.unsqueeze(1))).mean((2, 3, 4)))

    class Rows(nn.Module):
        """Rows of the image are time steps."""

        def __init__(self) -> None:
            super().__init__()
            self.embed, self.gru, self.head = nn.Linear(96, 16), nn.GRU(16, 8, batch_first=True), nn.Linear(8, 5)

        def forward(self, x: Any) -> Any:
            x = self.embed(x.permute(0, 2, 3, 1).flatten(2))
            return self.head(self.gru(x)[0].mean(1))

    return {
        "branched": Branched,
        **{f"u-net, {end}": lambda end=end: UNet(end) for end in ("plain", "squashed", "softmax", "enlarged")},
        **{f"transformer, {head}": lambda head=head: ViT(head) for head in ("class", "mean", "detection")},
        "channel-last stages": Swin,
        "fully convolutional": Mobile,
        "same pool": VGG,
        "volume": Volume,
        "rows": Rows,
    }


TORCH = {
    "branched": "body.encoder",
    "u-net, plain": "up",
    "u-net, squashed": "up",
    "u-net, softmax": "up",
    "u-net, enlarged": "bottom",
    "transformer, class": "blocks.2.norm1",
    "transformer, mean": "norm",
    "transformer, detection": ("blocks.2.norm1", "patches"),
    "channel-last stages": "norm",
    # Dropout in evaluation mode passes on what is scaled by squeeze and excitation, which no other module returns.
    "fully convolutional": "drop",
    "same pool": "features",
    "volume": "conv",
    "rows": "gru",
}
"""The layer that is expected of each model, or several that are right."""


def jax_models() -> dict[str, Callable[[], Any]]:
    """Models of flax.nnx by name."""
    pytest.importorskip("flax")
    import jax
    import jax.numpy as jnp
    from flax import nnx

    rngs = nnx.Rngs(0)

    class Residual(nnx.Module):
        def __init__(self, a: int, b: int) -> None:
            self.conv1, self.conv2 = nnx.Conv(a, b, (3, 3), 2, rngs=rngs), nnx.Conv(b, b, (3, 3), rngs=rngs)
            self.short = nnx.Conv(a, b, (1, 1), 2, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            return nnx.relu(self.conv2(nnx.relu(self.conv1(x))) + self.short(x))

    class Branched(nnx.Module):
        def __init__(self) -> None:
            self.stage1, self.stage2 = Residual(3, 8), Residual(8, 12)
            self.auxiliary, self.head = nnx.Conv(12, 7, (1, 1), rngs=rngs), nnx.Linear(12, 5, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            x = self.stage2(self.stage1(x))
            self.auxiliary(x)
            return self.head(x.mean((1, 2)))

    class UNet(nnx.Module):
        def __init__(self, end: str) -> None:
            self.down, self.bottom = nnx.Conv(3, 8, (3, 3), rngs=rngs), nnx.Conv(8, 16, (3, 3), 2, rngs=rngs)
            self.up, self.out, self.end = Residual(24, 8), nnx.Conv(8, 4, (1, 1), rngs=rngs), end

        def __call__(self, x: Any) -> Any:
            first = nnx.relu(self.down(x))
            low = jax.image.resize(nnx.relu(self.bottom(first)), (*first.shape[:3], 16), "nearest")
            scores = self.out(self.up(jnp.concatenate([first, low], -1)))
            large = jax.image.resize(scores, (*x.shape[:3], 4), "bilinear")
            return {"squashed": nnx.sigmoid(scores), "enlarged": nnx.softmax(large)}[self.end]

    class Mobile(nnx.Module):
        def __init__(self) -> None:
            self.stage = Residual(3, 12)
            self.conv, self.head = nnx.Conv(12, 20, (1, 1), rngs=rngs), nnx.Conv(20, 5, (1, 1), rngs=rngs)

        def __call__(self, x: Any) -> Any:
            x = self.stage(x).mean((1, 2), keepdims=True)
            return self.head(nnx.relu(self.conv(x)))[:, 0, 0]

    class Volume(nnx.Module):
        def __init__(self) -> None:
            self.conv = nnx.Conv(1, 6, (3, 3, 3), (1, 4, 4), rngs=rngs)
            self.head = nnx.Linear(6, 5, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            return self.head(nnx.relu(self.conv(jnp.moveaxis(x, -1, 1)[..., None])).mean((1, 2, 3)))

    class Rows(nnx.Module):
        def __init__(self) -> None:
            self.embed, self.mix = nnx.Linear(96, 16, rngs=rngs), nnx.Conv(16, 8, (3,), rngs=rngs)
            self.head = nnx.Linear(8, 5, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            return self.head(nnx.relu(self.mix(self.embed(x.reshape(*x.shape[:2], -1)))).mean(1))

    return {
        "branched": Branched,
        **{f"u-net, {end}": lambda end=end: UNet(end) for end in ("squashed", "enlarged")},
        "fully convolutional": Mobile,
        "volume": Volume,
        "rows": Rows,
    }


JAX = {
    "branched": "stage2",
    "u-net, squashed": "up",
    "u-net, enlarged": "up",
    "fully convolutional": "stage",
    "volume": "conv",
    "rows": "mix",
}


def network_of(backend: str, name: str) -> Network:
    key = (backend, name)
    if key not in MADE:
        models = chosen({"torch": torch_models, "jax": jax_models}, backend)()
        if backend == "torch":
            import torch

            torch.manual_seed(0)
            MADE[key] = ph.wrap(models[name]().eval(), size=SIDE)
        else:
            MADE[key] = ph.wrap(models[name](), size=SIDE)
    return MADE[key]


CASES = [("torch", name, layer) for name, layer in TORCH.items()] + [
    ("jax", name, layer) for name, layer in JAX.items()
]


@pytest.mark.parametrize(("backend", "name", "layer"), CASES)
def test_the_default_layer_is_the_one_that_is_expected(backend: str, name: str, layer: str | tuple[str, ...]) -> None:
    network = network_of(backend, name)
    found = attribute(network, IMAGES, 3)
    assert found.layer in ((layer,) if isinstance(layer, str) else layer)
    # It is what is computed when the layer is named, and says something.
    named = attribute(network, IMAGES, 3, layer=found.layer)
    np.testing.assert_array_equal(found.raw, named.raw)
    assert found.maps.shape == IMAGES.shape[:3] and np.ptp(found.raw) > 0
    assert found.layer in found.plot().axes[1].get_title()


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "hirescam", "layercam", "guided_gradcam"])
@pytest.mark.parametrize("name", ["volume", "rows"])
@pytest.mark.parametrize("backend", ["torch", pytest.param("jax", marks=pytest.mark.slow)])
def test_positions_on_one_axis_and_in_a_volume_have_maps(backend: str, name: str, method: str, tmp_path: Any) -> None:
    network = network_of(backend, name)
    if method == "guided_gradcam" and name == "rows" and backend == "torch":
        pytest.skip("it has no rectifier")
    layer = (TORCH if backend == "torch" else JAX)[name]
    found = attribute(network, IMAGES, 3, method=method, layer=str(layer))
    shape = network.layers[str(layer)].shape
    if method != "guided_gradcam":
        assert found.raw.shape == (2, *shape[:-1])
    assert found.maps.shape == (2, SIDE, SIDE) and found.maps.max() <= 1
    assert ph.Attribution.load(found.save(tmp_path / "a.npz")).raw.shape == found.raw.shape
    found.save(tmp_path / "a.png")


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_a_volume_is_summed_over_its_depth(backend: str) -> None:
    network = network_of(backend, "volume")
    found = attribute(network, IMAGES, 3, method="hirescam")
    activation = ph.activations(network, IMAGES, "conv")["conv"]
    assert found.raw.shape == activation.shape[:-1] and found.raw.ndim == 4
    coarse = np.maximum(found.raw.sum(1), 0)
    row, column = np.unravel_index(coarse[0].argmax(), coarse[0].shape)
    height = SIDE // coarse.shape[1]
    brightest = np.unravel_index(found.maps[0].argmax(), (SIDE, SIDE))
    assert (brightest[0] // height, brightest[1] // height) == (row, column)


def test_time_steps_that_are_rows_light_up_rows() -> None:
    network = network_of("jax", "rows")
    found = attribute(network, IMAGES, ph.neuron("mix", 2, (20,)), layer="embed", method="hirescam")
    wanted = np.zeros(SIDE, bool)
    wanted[19:22] = True  # a convolution over three steps
    assert not found.raw[:, ~wanted].any() and found.raw[:, wanted].any()
    for one in found.maps:
        np.testing.assert_allclose(one, np.repeat(one[:, :1], SIDE, 1), atol=1e-5)
        assert np.abs(one[~wanted]).max() <= 1e-5


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_a_layer_without_differences_is_said(backend: str) -> None:
    network = network_of(backend, "same pool" if backend == "torch" else "volume")
    if backend == "torch":
        with pytest.warns(ModelWarning, match=r"the map of 'features' is the same at all positions.*image 0 "):
            attribute(network, np.full((1, SIDE, SIDE, 3), 0.5, np.float32), ph.channel("avgpool", 3), layer="features")
        mobile = network_of(backend, "fully convolutional")
        with pytest.warns(
            ModelWarning, match=r"the map of 'pool' has one position on images 0 \(class 3\), 1 \(class 3\)"
        ):
            assert attribute(mobile, IMAGES, 3, layer="pool").raw.shape == (2, 1, 1)
    else:
        mobile = network_of(backend, "fully convolutional")
        with pytest.warns(ModelWarning, match=r"the map of 'conv' has one position"):
            attribute(mobile, IMAGES, 3, layer="conv")


def test_targets_that_lead_to_two_layers_are_refused() -> None:
    network = network_of("torch", "branched")
    with pytest.raises(InvalidParameter, match=r"layer: expected one layer.*name one that comes before all of them"):
        attribute(network, IMAGES, [3, ph.channel("body.encoder.0.conv2", 2)])


def stepped(backend: str, kind: str) -> Network:
    """A classifier through which no gradient passes, or none on images without light; or with a weight that is no number."""
    if backend == "torch":
        torch = pytest.importorskip("torch")
        from torch import nn

        class Model(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv, self.head = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 5)

            def forward(self, x: Any) -> Any:
                if kind == "rounded":
                    x = (self.conv(x) * 4).round()
                elif kind == "no_grad":
                    with torch.no_grad():
                        x = self.conv(x)
                elif kind == "dark":
                    x = torch.relu(x - 0.5)
                    x = x.repeat(1, 2, 1, 1)
                else:
                    x = self.conv(x)
                return self.head(x.mean((2, 3)))

        torch.manual_seed(0)
        model = Model().eval()
        if kind == "not a number":
            with torch.no_grad():
                model.conv.weight[0, 0, 0, 0] = float("nan")
        return ph.wrap(model, size=SIDE)
    pytest.importorskip("flax")
    import jax
    import jax.numpy as jnp
    from flax import nnx

    class Flax(nnx.Module):
        def __init__(self) -> None:
            rngs = nnx.Rngs(0)
            self.conv, self.head = nnx.Conv(3, 6, (3, 3), rngs=rngs), nnx.Linear(6, 5, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            if kind == "rounded":
                x = jnp.round(self.conv(x) * 4)
            elif kind == "no_grad":
                x = jax.lax.stop_gradient(self.conv(x))
            elif kind == "dark":
                x = jnp.tile(nnx.relu(x - 0.5), (1, 1, 1, 2))
            else:
                x = self.conv(x)
            return self.head(x.mean((1, 2)))

    model = Flax()
    if kind == "not a number":
        model.conv.kernel[...] = model.conv.kernel[...].at[0, 0, 0, 0].set(jnp.nan)
    return ph.wrap(model, size=SIDE)


GRADIENTS: dict[str, dict[str, Any]] = {
    "gradient": {},
    "gradient_x_input": {},
    "integrated_gradients": {"steps": 2},
    "smoothgrad": {"samples": 2},
    "gradcam": {},
    "guided_backprop": {},
}


@pytest.mark.parametrize("backend", ["torch", "jax"])
@pytest.mark.parametrize("kind", ["rounded", "no_grad"])
def test_a_model_without_a_gradient_is_refused(backend: str, kind: str) -> None:
    network = stepped(backend, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        for method, options in GRADIENTS.items():
            with pytest.raises(
                InvalidObjective, match=r"target: .*No gradient reaches the image from output: is the layer computed"
            ):
                attribute(network, IMAGES, 2, method=method, **options)
        # Pixels can be covered all the same.
        assert attribute(network, IMAGES, 2, method="occlusion", window=16).raw.any()


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_images_without_a_gradient_are_named(backend: str) -> None:
    network = stepped(backend, "dark")
    mixed = np.stack([IMAGES[0], 0.3 * IMAGES[1]])
    for method in ("gradient", "smoothgrad"):
        options = {"samples": 2, "deviation": 0.0} if method == "smoothgrad" else {}
        with pytest.warns(ModelWarning, match=r"exactly zero on image 1 \(class 2\), so that its map is empty"):
            found = attribute(network, mixed, 2, method=method, **options)
        assert found.maps[0].any() and not found.maps[1].any()
    # One image alone is no sign that the model cannot be differentiated.
    with pytest.warns(ModelWarning, match=r"exactly zero on image 0 \(class 2\)"):
        assert not attribute(network, mixed[1:], 2, method="gradient").maps.any()


@pytest.mark.parametrize("backend", ["torch", "jax"])
@pytest.mark.parametrize("method", ["gradient", "gradcam", "integrated_gradients", "occlusion"])
def test_values_that_are_not_finite_are_said_and_can_be_drawn(backend: str, method: str, tmp_path: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        network = stepped(backend, "not a number")
    options: dict[str, Any] = {"integrated_gradients": {"steps": 2}, "occlusion": {"window": 16}}.get(method, {})
    layer = "conv" if method == "gradcam" else None
    with pytest.warns(ModelWarning, match=r"2 of 2 values of 'output'.* are NaN or infinite") as caught:
        found = attribute(network, IMAGES, 2, method=method, layer=layer, **options)
    assert len(caught) == 1
    for name in ("a.png", "a.svg", "a.npz"):
        assert found.save(tmp_path / name).stat().st_size > 0
    assert "not finite" in found.plot().axes[1].get_title() or np.isfinite(found.maps).all()


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_progress_counts_every_image_that_is_run(backend: str) -> None:
    network = stepped(backend, "plain")
    for method, options, count in (
        ("gradient", {}, 2),
        ("gradcam", {"layer": "conv"}, 2),
        ("smoothgrad", {"samples": 3}, 8),
        ("integrated_gradients", {"steps": 4}, 12),
        ("occlusion", {"window": 16}, 10),
    ):
        states: list[ph.Progress] = []
        attribute(network, IMAGES, 2, method=method, batch=2, progress=states.append, **options)  # type: ignore[arg-type]
        assert [state.done for state in states] == list(range(2, count + 1, 2)), method
        assert states[0].total == states[-1].total == count and states[0].unit == "images", method
    with pytest.raises(InvalidParameter, match="progress: expected a function, True, False or None"):
        attribute(network, IMAGES, 2, method="gradient", progress="yes")  # type: ignore[arg-type]
