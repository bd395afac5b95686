"""Which layers a module has: found by running it, with the channel axis of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from phosphene.errors import InvalidParameter
from phosphene.interface import Interface
from phosphene.layers import ATTENTION, OUTPUT, Layer, Layers
from phosphene_torch.attention import Key
from phosphene_torch.axes import Axes, tensors
from phosphene_torch.batching import Candidate, Run, in_batches
from phosphene_torch.hooking import returning, running
from phosphene_torch.outputs import choices, main_tensor
from phosphene_torch.watching import Watching

__all__ = ["Found", "discover"]

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
    """What one pass found.

    Attributes
    ----------
    layers : Layers
        At the size of that pass.
    modules : mapping of str to str
        Layer path to module path, without the number of the call.
    attention : mapping of str to Key
        Attention map to the call that makes it.
    returns : str
        What the model returned, in words, where no one tensor of it is the output; empty otherwise.
    guessed : tuple of str
        Layers whose channel axis could not be told.
    steady : frozenset of str
        Layers that nothing after them changes in place.
    batched : mapping of str to bool
        Whether the leading axis of an activation is the batch, or the batch and windows of each image.
    """

    layers: Layers
    modules: Mapping[str, str]
    attention: Mapping[str, Key]
    returns: str
    guessed: tuple[str, ...]
    steady: frozenset[str]
    batched: Mapping[str, bool]


def discover(
    model: nn.Module, run: Run, *, network: str, interface: Interface, batched: Mapping[str, bool] | None = None
) -> Found:
    """Run a model, and see which modules return activations, in the order in which they return, and which attend.

    Only tensors with floats, a batch axis and at least one more axis are activations. A second pass, over two images, tells the
    batch axis from others, and windows of an image that are folded into it: all values of the second image are then together
    behind those of the first, and are the same as in the first pass.

    Parameters
    ----------
    model : nn.Module
    run : Run
    network : str
        Name, for messages.
    interface : Interface
        With the channel axes that the user stated.
    batched : mapping of str to bool, optional
        What a pass at another size found; where it has all layers, there is no second pass.

    Returns
    -------
    Found
    """
    known = dict(batched or {})
    first = _First(interface, known)
    with returning(model, first.module), running(model) as stack, first.axes, Watching(stack, first.attention):
        returned, output = run(1, lambda images: first.axes.set(images, 1))
        if output is not None:
            first.note(OUTPUT, "", None, (), output)
    candidates = first.named()
    if any(candidate.name not in known for candidate in candidates):
        known.update(in_batches(model, run, candidates))
    kept = [candidate for candidate in candidates if known[candidate.name]]
    parameters = {path: sum(p.numel() for p in module.parameters()) for path, module in model.named_modules()}
    layers = [_layer(candidate, parameters[candidate.path]) for candidate in kept]
    idle = [path for path, _ in model.named_modules() if path]
    missing = OUTPUT not in [layer.path for layer in layers]
    return Found(
        layers=Layers(layers, network, idle),
        modules={item.name: item.path for item in kept if item.key is None and item.name != OUTPUT},
        attention={item.name: item.key for item in kept if item.key is not None},
        returns=choices(returned) if missing else "",
        guessed=tuple(item.name for item in kept if item.guessed),
        steady=first.steady(),
        batched=known,
    )


def _layer(candidate: Candidate, parameters: int) -> Layer:
    windows, *sides = candidate.shape
    channels = sides.pop(candidate.axis - 1)
    shape = (*((windows,) if windows > 1 else ()), *sides, channels)
    axis = -1 if candidate.axis == len(candidate.shape) - 1 else candidate.axis
    return Layer(candidate.name, candidate.kind, shape, parameters, axis, windows)


class _First:
    """Collects candidates in the pass over one image."""

    def __init__(self, interface: Interface, known: Mapping[str, bool]) -> None:
        self.axes = Axes()
        self._interface, self._known = interface, known
        self._found: list[Candidate] = []
        self._versions: dict[str, tuple[torch.Tensor, int]] = {}

    def steady(self) -> frozenset[str]:
        """Names of module outputs that are still what they were when they were returned."""
        return frozenset(name for name, (tensor, version) in self._versions.items() if tensor._version == version)

    def module(self, name: str, path: str, module: nn.Module, inputs: Any, output: Any) -> None:
        tensor = main_tensor(output)
        if name != OUTPUT and tensor is not None:
            self.note(name, path, module, inputs, tensor)
            if not tensor.is_inference():  # these do not count their changes
                self._versions[name] = tensor, tensor._version

    def note(self, name: str, path: str, module: nn.Module | None, inputs: Any, tensor: torch.Tensor) -> None:
        layout = self.axes.of(tensor)
        if not tensor.is_floating_point() or tensor.ndim < 2:
            return
        if layout is not None and layout.holds(0) and tensor.shape[0] > 1:
            return  # heads folded into the batch: its rows are no windows
        axis = _stated(self._interface, name, path, tensor)
        guessed = False
        if axis is None:
            axis, guessed = self._axis(module, inputs, tensor)
        if layout is None or axis != layout.channel:
            self.axes.set(tensor, axis)
        kind = "Output" if module is None else type(module).__name__
        self._add(Candidate(name, path, kind, tuple(tensor.shape), axis % tensor.ndim, guessed), tensor)

    def attention(self, key: Key, stack: tuple[str, ...], weights: torch.Tensor) -> Candidate | None:
        layout = self.axes.of(weights)
        if layout is not None and (layout.holds(2) or layout.holds(3)):
            return None  # attention of channels to channels
        candidate = Candidate(
            "", stack[-1] if stack else "", "Attention", tuple(weights.shape), 1, key=key, stack=stack
        )
        self._add(candidate, weights)
        return candidate

    def named(self) -> list[Candidate]:
        """All candidates; attention maps by the module that weighs by them, those that nothing is weighed by left out."""
        calls: Counter[str] = Counter()
        kept = [candidate for candidate in self._found if candidate.weighs]
        for candidate in kept:
            if candidate.key is not None:
                call = calls[candidate.path]
                calls[candidate.path] += 1
                candidate.name = f"{candidate.path}{ATTENTION}" + (f"#{call}" if call else "")
        return kept

    def _add(self, candidate: Candidate, tensor: torch.Tensor) -> None:
        if candidate.shape[0] != 1 and not self._known.get(candidate.name, False):
            candidate.value = tensor.clone()
        self._found.append(candidate)

    def _axis(self, module: nn.Module | None, inputs: Any, tensor: torch.Tensor) -> tuple[int, bool]:
        """As followed; else that of the module's kind; else that of what has the same shape and goes in; else a guess."""
        if tensor.ndim == 2:
            return 1, False
        layout = self.axes.of(tensor)
        if layout is not None and layout.channel is not None:
            return layout.channel, False
        if isinstance(module, CHANNEL_SECOND):
            return 1, False
        if isinstance(module, CHANNEL_LAST):
            return tensor.ndim - 1, False
        if module is not None and next(module.children(), None) is None:
            for item in tensors(inputs):
                before = self.axes.of(item) if item.shape == tensor.shape else None
                if before is not None and before.channel is not None:
                    return before.channel, False
        last = next((c for c in reversed(self._found) if len(c.shape) == tensor.ndim and c.key is None), None)
        if tensor.ndim == 3:
            return 2, True
        return (1 if last is None else last.axis), True


def _stated(interface: Interface, name: str, path: str, tensor: torch.Tensor) -> int | None:
    axis = interface.axis_of(name, path)
    if axis is not None and not (1 <= axis < tensor.ndim or 1 - tensor.ndim <= axis <= -1):
        raise InvalidParameter(
            f"channel_axis[{name!r}]", allowed=f"1 to {tensor.ndim - 1}, or -1", received=axis,
            fix=f"The activation has the shape {tuple(tensor.shape)}, batch first.",
        )  # fmt: skip
    return axis
