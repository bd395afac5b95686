"""Class activation maps of vision transformers, on their patches, on both frameworks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import phosphene as ph
from columns import chosen
from phosphene.attribution.call import attribute
from phosphene.backend import Network
from phosphene.errors import InvalidObjective, InvalidParameter

MADE: dict[tuple[Any, ...], Network] = {}


def pictures(count: int, size: tuple[int, int], channels: int) -> np.ndarray:
    return np.random.default_rng(5).random((count, *size, channels)).astype(np.float32)


def native(network: Network, array: np.ndarray) -> Any:
    return network.backend.from_numpy(array, device=network.device, dtype="float64")


def _vit(backend: str) -> tuple[Network, int]:
    pytest.importorskip("torch"), pytest.importorskip("flax")
    import ports

    key = ("vit", backend)
    if key not in MADE:
        model = chosen(dict(zip(("torch", "jax"), ports.vits(), strict=True)), backend)
        MADE[key] = ph.wrap(model, size=ports.VIT_SIZE, dtype="float64")
    return MADE[key], ports.VIT_SIZE


QUICK = {("torch", "gradcam"), ("torch", "layercam")}


@pytest.mark.parametrize(
    ("backend", "method"),
    [
        pytest.param(backend, method, marks=() if (backend, method) in QUICK else pytest.mark.slow)
        for backend in ("torch", "jax")
        for method in ("gradcam", "layercam", "gradcam++", "hirescam")
    ],
    indirect=["backend"],
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


@pytest.mark.needs("attention")
def test_the_layer_of_a_transformer_is_the_last_whose_patches_count(costly_backend: str) -> None:
    network, side = _vit(costly_backend)
    images = pictures(1, (side, side), 3)
    # Of the last block's output and what follows, the head reads the class token alone.
    assert attribute(network, images, 4).layer == "blocks.2.norm1"
    for layer in ("blocks.2", "norm"):
        with pytest.raises(
            InvalidObjective, match=f"layer: expected a layer at which 'output' has a gradient, got '{layer}'"
        ):
            attribute(network, images, 4, layer=layer)
    assert attribute(network, images, ph.channel("blocks.1", 3)).layer.startswith("blocks.1.")  # type: ignore[union-attr]


def test_tokens_in_heads_are_no_rows_and_columns() -> None:
    network, side = _vit("jax")
    assert network.layers["blocks.1.attn.value"].shape == (17, 4, 8)
    with pytest.raises(
        InvalidParameter, match=r"layer: expected a layer with positions.*whose tokens are split into heads"
    ):
        attribute(network, pictures(1, (side, side), 3), 4, layer="blocks.1.attn.value")


@pytest.mark.needs("attention")
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
