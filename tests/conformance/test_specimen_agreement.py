"""The embedded networks are one network on both frameworks: equal at every layer, on photographs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from phosphene.data import Crops
from phosphene.specimen import ARCHITECTURES, Architecture, load

torch = pytest.importorskip("torch")
nnx = pytest.importorskip("flax.nnx")
pytest.importorskip("skimage")
pytest.importorskip("sklearn")

TOLERANCE = 1e-5
"""Relative: largest difference over largest value of the layer."""


def torch_layers(architecture: Architecture, weights: Mapping[str, NDArray[Any]], images: Any) -> dict[str, Any]:
    from phosphene_torch.specimen import build

    model = build(architecture, weights)
    seen: dict[str, Any] = {}

    def keep(path: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            seen[path] = output.detach().numpy()

        return hook

    for path, module in model.named_modules():
        if path:
            module.register_forward_hook(keep(path))
    with torch.no_grad():
        seen["output"] = model(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    return {path: value.transpose(0, 2, 3, 1) if value.ndim == 4 else value for path, value in seen.items()}


def nnx_layers(architecture: Architecture, weights: Mapping[str, NDArray[Any]], images: Any) -> dict[str, Any]:
    from phosphene_jax.specimen import build

    model = build(architecture, weights)
    seen: dict[str, Any] = {}
    paths = {
        id(module): ".".join(map(str, path)) for path, module in nnx.iter_graph(model) if isinstance(module, nnx.Module)
    }

    def watched(call: Any) -> Any:
        def called(self: Any, *arguments: Any, **options: Any) -> Any:
            output = call(self, *arguments, **options)
            if paths.get(id(self)):
                seen[paths[id(self)]] = np.asarray(output)
            return output

        return called

    kinds = {type(module) for _, module in nnx.iter_graph(model) if isinstance(module, nnx.Module)}
    with pytest.MonkeyPatch.context() as patch:
        for kind in kinds:
            patch.setattr(kind, "__call__", watched(kind.__call__))
        seen["output"] = np.asarray(model(images))
    return seen


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_layers_agree_on_64_photographs(name: str) -> None:
    architecture, weights = load(name)
    crops = Crops(64, seed=11, shortcut=architecture.shortcut)
    images = (crops.images() - np.float32(architecture.mean)) / np.float32(architecture.std)
    ours, theirs = torch_layers(architecture, weights, images), nnx_layers(architecture, weights, images)
    assert set(ours) == set(theirs)
    assert {"stem", "stem.conv", "stage1", "stage2.project_norm", "stage3.conv2", "head"} <= set(ours)
    for path, value in ours.items():
        assert value.shape == theirs[path].shape, path
        assert np.abs(value - theirs[path]).max() <= TOLERANCE * np.abs(value).max(), path


@pytest.mark.parametrize("size", [(96, 96), (33, 80)])
def test_other_sizes_agree(size: tuple[int, int]) -> None:
    architecture, weights = load("specimen")
    images = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    ours, theirs = torch_layers(architecture, weights, images), nnx_layers(architecture, weights, images)
    assert ours["stage3"].shape == theirs["stage3"].shape
    assert np.abs(ours["output"] - theirs["output"]).max() <= TOLERANCE * np.abs(ours["output"]).max()
