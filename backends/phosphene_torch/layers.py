"""Which layers a module has: found by running it once, with the channel axis of each."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from phosphene.errors import InvalidParameter, ModelWarning
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

MAKES_SECOND = frozenset(
    {f"conv{n}d" for n in (1, 2, 3)}
    | {f"conv_transpose{n}d" for n in (1, 2, 3)}
    | {"conv_tbc", "batch_norm", "instance_norm", "group_norm", "local_response_norm", "pixel_shuffle"}
)
MAKES_LAST = frozenset(
    {"linear", "bilinear", "embedding", "scaled_dot_product_attention", "multi_head_attention_forward"}
)
RESHAPES = frozenset({"reshape", "view", "flatten", "unflatten", "squeeze", "unsqueeze", "reshape_as", "view_as"})
FORGETS = frozenset({"matmul", "__matmul__", "bmm", "baddbmm", "einsum", "tensordot", "mm"})


@dataclass(frozen=True)
class Found:
    """What one pass found.

    Attributes
    ----------
    layers : Layers
        At the size of that pass.
    modules : mapping of str to str
        Layer path to module path, without the number of the call.
    returns : str
        What the model returned, in words, where no one tensor of it is the output; empty otherwise.
    """

    layers: Layers
    modules: Mapping[str, str]
    returns: str


class Axes(TorchFunctionMode):
    """Follows the channel axis from operation to operation, while it is entered.

    The kind of a module is not enough: a block that permutes between channel-first and channel-last (ConvNeXt), or a layer
    normalisation that does so inside, looks like its last leaf and is not. Operations that say where their channels are set
    the axis, those that move axes move it, all others keep that of their first input with as many axes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._axis: dict[int, int] = {}
        self._alive: list[torch.Tensor] = []  # an id is unique only among living tensors

    def of(self, tensor: torch.Tensor) -> int | None:
        """The channel axis of a tensor, from the left, or None where it is not known."""
        return self._axis.get(id(tensor))

    def set(self, tensor: torch.Tensor, axis: int) -> None:
        """Note the channel axis of a tensor."""
        self._axis[id(tensor)] = axis % tensor.ndim
        self._alive.append(tensor)

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name == "__set__" or name == "__get__":
            return result
        source = next((x for x in _tensors((*args, *kwargs.values())) if self.of(x) is not None), None)
        known = None if source is None else self.of(source)
        for out in _tensors(result):
            axis = _follow(name, args, kwargs, source, known, out)
            if axis is not None:
                self.set(out, axis)
            elif out is not source:
                self._axis.pop(id(out), None)
        return result


def _follow(
    name: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    source: torch.Tensor | None,
    known: int | None,
    out: torch.Tensor,
) -> int | None:
    if out.ndim < 2 or name in FORGETS:
        return None
    if name in MAKES_SECOND:
        return 1
    if name in MAKES_LAST:
        return -1
    if name == "layer_norm":
        shape = args[1] if len(args) > 1 else kwargs.get("normalized_shape", ())
        if len(shape) == 1:
            return -1
    if source is None or known is None:
        return None
    if name in ("permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "mT"):
        return _moved(name, args, kwargs, source, known)
    if name in RESHAPES:
        return _reshaped(tuple(source.shape), known, tuple(out.shape))
    return known if out.ndim == source.ndim else None


def _moved(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], source: torch.Tensor, known: int) -> int | None:
    # The same rearrangement of a tensor whose sides are the numbers of its axes tells where each went, whatever the
    # spelling. It has no data; sides are one larger than the numbers, so that none is empty.
    numbered = torch.empty([axis + 1 for axis in range(source.ndim)], device="meta")
    moved = getattr(torch.Tensor, name)
    result = moved(numbered, *args[1:], **{key: value for key, value in kwargs.items() if key not in ("input", "self")})
    return [int(side) for side in result.shape].index(known + 1)


def _reshaped(before: tuple[int, ...], axis: int, after: tuple[int, ...]) -> int | None:
    for place, side in enumerate(after):
        if side == before[axis] and math.prod(after[:place]) == math.prod(before[:axis]):
            # An axis of 1 in front of the channels fits as well as they do; the channels are what comes last.
            while side == 1 and place + 1 < len(after) and after[place + 1] == before[axis]:
                place += 1
            return place or None
    return None


def discover(
    model: nn.Module,
    run: Callable[[Callable[[torch.Tensor], None]], Any],
    *,
    network: str,
    stated: Mapping[str, int] | None = None,
) -> Found:
    """Run a model once on one image, and see which modules return activations, in the order in which they return.

    Only tensors with floats, a batch axis (of length 1, in this pass) and at least one more axis are activations.

    Parameters
    ----------
    model : nn.Module
    run : callable
        Runs it; hands the tensor that goes in (N, C, H, W) to its argument, and returns what the model returned.
    network : str
        Name, for messages.
    stated : mapping of str to int, optional
        Channel axes that the user gave, by path.

    Returns
    -------
    Found
    """
    axes = Axes()
    found: list[Layer] = []
    modules: dict[str, str] = {}
    calls: Counter[str] = Counter()
    made: list[tuple[int, int]] = []
    parameters = {path: sum(p.numel() for p in module.parameters()) for path, module in model.named_modules()}

    def note(path: str, name: str, module: nn.Module | None, inputs: Any, output: Any) -> None:
        tensor = main_tensor(output)
        if tensor is None or not tensor.is_floating_point() or tensor.ndim < 2 or tensor.shape[0] != 1:
            return
        axis = _stated(stated, name, path, tensor)
        if axis is None:
            axis = _axis(module, inputs, tensor, axes, made)
        axis = -1 if axis % tensor.ndim == tensor.ndim - 1 else axis % tensor.ndim
        axes.set(tensor, axis)
        made.append((tensor.ndim, axis))
        kind = "Output" if module is None else type(module).__name__
        shape = tuple(int(side) for side in to_channel_last(tensor, axis).shape[1:])
        found.append(Layer(name, kind, shape, parameters["" if module is None else path], axis))
        if module is not None:
            modules[name] = path

    def hook_of(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            # Every call counts, as it does when layers are read, also one that returns nothing to read.
            call = calls[path]
            calls[path] += 1
            name = path if call == 0 else f"{path}#{call}"
            if name != OUTPUT:
                note(path, name, module, inputs, output)

        return hook

    handles = []
    try:
        for path, module in model.named_modules():
            if path:
                handles.append(module.register_forward_hook(hook_of(path)))
        with axes:
            output = run(lambda images: axes.set(images, 1))
    finally:
        for handle in handles:
            handle.remove()
    returns = _choices(output)
    if not returns:
        note(OUTPUT, OUTPUT, None, (), output)
    if OUTPUT not in (layer.path for layer in found):
        returns = returns or f"a tensor of shape {tuple(getattr(main_tensor(output), 'shape', ()))} for one image"
        warnings.warn(
            f"{network} returns {returns}: which of it is the output is not known, so it has no layer {OUTPUT!r}. "
            "Its other layers can be read.",
            ModelWarning,
            stacklevel=6,
        )
    return Found(Layers(found, network), modules, returns)


def to_channel_last(tensor: torch.Tensor, axis: int) -> torch.Tensor:
    """A view with the channel axis last."""
    return tensor if axis in (-1, tensor.ndim - 1) else tensor.movedim(axis, -1)


def to_native(tensor: torch.Tensor, axis: int) -> torch.Tensor:
    """The inverse of `to_channel_last`."""
    return tensor if axis in (-1, tensor.ndim - 1) else tensor.movedim(-1, axis)


def _axis(module: nn.Module | None, inputs: Any, tensor: torch.Tensor, axes: Axes, made: list[tuple[int, int]]) -> int:
    """As followed; else that of the module's kind; else its input's, or that of what was made last; else a guess."""
    if tensor.ndim == 2:
        return -1
    followed = axes.of(tensor)
    if followed is not None:
        return followed
    if isinstance(module, CHANNEL_SECOND):
        return 1
    if isinstance(module, CHANNEL_LAST):
        return -1
    if module is not None and next(module.children(), None) is None:
        for item in inputs:
            known = axes.of(item) if isinstance(item, torch.Tensor) and item.ndim == tensor.ndim else None
            if known is not None:
                return known
    if tensor.ndim == 3:
        return -1
    return next((axis for ndim, axis in reversed(made) if ndim == tensor.ndim), 1)


def _stated(stated: Mapping[str, int] | None, name: str, path: str, tensor: torch.Tensor) -> int | None:
    axis = None if not stated else stated.get(name, stated.get(path))
    if axis is not None and not (1 <= axis < tensor.ndim or 1 - tensor.ndim <= axis <= -1):
        raise InvalidParameter(
            f"channel_axis[{name!r}]", allowed=f"1 to {tensor.ndim - 1}, or -1", received=axis,
            fix=f"The activation has the shape {tuple(tensor.shape)}, batch first.",
        )  # fmt: skip
    return axis


def _choices(output: Any) -> str:
    """An empty string where it is plain which tensor is the output, else what there is to choose from."""
    if isinstance(output, torch.Tensor):
        return ""
    logits = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if isinstance(logits, torch.Tensor):
        return ""
    named = (
        dict(output)
        if isinstance(output, Mapping)
        else dict(enumerate(output if isinstance(output, (tuple, list)) else ()))
    )
    floating = [key for key, value in named.items() if isinstance(value, torch.Tensor) and value.is_floating_point()]
    if len(floating) == 1:
        return ""
    kind = f"a {type(output).__name__}"
    return f"{kind} with the tensors {', '.join(map(str, floating))}" if floating else kind


def _tensors(tree: Any) -> Iterator[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from _tensors(value)
    elif isinstance(tree, (tuple, list)):
        for value in tree:
            yield from _tensors(value)
