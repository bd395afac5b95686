"""Which layers a module has: found by running it once, with the channel axis of each."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from phosphene.errors import ModelWarning
from phosphene.layers import OUTPUT, Layer, Layers
from phosphene_torch.tapping import main_tensor

__all__ = ["Found", "discover", "to_channel_last", "to_native"]

CHANNEL_SECOND = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.Upsample,
    nn.PixelShuffle,
    nn.LocalResponseNorm,
)
CHANNEL_LAST = (nn.Linear, nn.LayerNorm, nn.Embedding, nn.MultiheadAttention, nn.TransformerEncoderLayer)


@dataclass(frozen=True)
class Found:
    """Layers at one input size, and the module path of each."""

    layers: Layers
    modules: Mapping[str, str]


def discover(
    model: nn.Module, run: Callable[[], Any], *, network: str, stated: Mapping[str, int] | None = None
) -> Found:
    """Run a model once and see which modules return activations, in the order in which they return.

    The channel axis is that of the module's kind; elementwise modules keep their input's, containers take that of the last
    tensor that one of their modules made, and what is then still unknown is 1 for four axes and the last otherwise.
    """
    found: list[Layer] = []
    modules: dict[str, str] = {}
    calls: Counter[str] = Counter()
    axis_of: dict[int, int] = {}
    keep: list[torch.Tensor] = []  # ids are only unique among living tensors
    last_axis: list[tuple[int, int]] = []
    parameters = {path: sum(p.numel() for p in module.parameters()) for path, module in model.named_modules()}

    def note(path: str, module: nn.Module | None, inputs: Any, output: Any) -> None:
        tensor = main_tensor(output)
        if tensor is None or tensor.ndim < 2:
            return
        call = calls[path]
        calls[path] += 1
        name = path if call == 0 else f"{path}#{call}"
        axis = (stated or {}).get(path, _axis(module, inputs, tensor, axis_of, last_axis))
        axis_of[id(tensor)] = axis
        keep.append(tensor)
        last_axis.append((tensor.ndim, axis))
        shape = tuple(to_channel_last(tensor, axis).shape[1:])
        kind = "Output" if module is None else type(module).__name__
        modules[name] = path
        count = parameters.get("" if module is None else path, 0)
        found.append(Layer(name, kind, tuple(int(side) for side in shape), count, axis))

    handles = []
    try:
        for path, module in model.named_modules():
            if path:
                hook = _hook(path, note)
                handles.append(module.register_forward_hook(hook))
        output = run()
    finally:
        for handle in handles:
            handle.remove()
    modules.pop(OUTPUT, None)
    found = [layer for layer in found if layer.path != OUTPUT]
    if _is_plain(output):
        calls.pop(OUTPUT, None)
        note(OUTPUT, None, (), output)
    else:
        warnings.warn(
            f"{network} returns {_describe(output)}: which of it is the logit is not known, so it has no layer {OUTPUT!r}. "
            "Its other layers can be read.",
            ModelWarning,
            stacklevel=6,
        )
    return Found(Layers(found, network), modules)


def to_channel_last(tensor: torch.Tensor, axis: int) -> torch.Tensor:
    """A view with the channel axis last."""
    return tensor if axis in (-1, tensor.ndim - 1) else tensor.movedim(axis, -1)


def to_native(tensor: torch.Tensor, axis: int) -> torch.Tensor:
    """The inverse of `to_channel_last`."""
    return tensor if axis in (-1, tensor.ndim - 1) else tensor.movedim(-1, axis)


def _hook(path: str, note: Callable[[str, nn.Module, Any, Any], None]) -> Callable[[nn.Module, Any, Any], None]:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        note(path, module, inputs, output)

    return hook


def _axis(
    module: nn.Module | None, inputs: Any, tensor: torch.Tensor, axis_of: Mapping[int, int], made: list[tuple[int, int]]
) -> int:
    if tensor.ndim == 2:
        return -1
    if isinstance(module, CHANNEL_SECOND):
        return 1
    if isinstance(module, CHANNEL_LAST):
        return -1
    if id(tensor) in axis_of:
        return axis_of[id(tensor)]
    if module is not None and next(module.children(), None) is None:
        for item in inputs:
            if isinstance(item, torch.Tensor) and item.ndim == tensor.ndim and id(item) in axis_of:
                return axis_of[id(item)]
    for ndim, axis in reversed(made):
        if ndim == tensor.ndim:
            return axis
    return 1 if tensor.ndim == 4 else -1


def _is_plain(output: Any) -> bool:
    if isinstance(output, torch.Tensor):
        return output.ndim >= 2
    if isinstance(output, Mapping) and isinstance(output.get("logits"), torch.Tensor):
        return True
    if isinstance(getattr(output, "logits", None), torch.Tensor):
        return True
    items = list(output.values()) if isinstance(output, Mapping) else output
    if not isinstance(items, (tuple, list)):
        return False
    return sum(isinstance(item, torch.Tensor) and item.is_floating_point() for item in items) == 1


def _describe(output: Any) -> str:
    if isinstance(output, Mapping):
        return f"a {type(output).__name__} of {', '.join(map(str, output))}"
    return f"a {type(output).__name__}" + (f" of {len(output)}" if isinstance(output, (tuple, list)) else "")
