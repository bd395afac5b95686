"""Read and edit the outputs of modules, and stop after the last one that is needed."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from phosphene.layers import OUTPUT, Layer
from phosphene_torch.attention import AttentionMode
from phosphene_torch.discovery import Found
from phosphene_torch.hooks import running, submodule
from phosphene_torch.outputs import Keys, main_tensor, part_at, replace_main, replace_part

__all__ = ["Taps", "tapped", "to_contract", "to_native"]

NativeEdit = Callable[[torch.Tensor], torch.Tensor]


class Stop(BaseException):
    """Ends a forward pass early; not an `Exception`, so that a model that catches those does not catch it."""


@dataclass
class Taps:
    """The values read in one forward pass; `parts` are the layers in the return value of a call, beside its main tensor."""

    wanted: frozenset[str]
    edits: Mapping[str, NativeEdit]
    stop: str
    steady: frozenset[str] = frozenset()
    parts: Mapping[str, Sequence[tuple[str, Keys]]] = field(default_factory=dict)
    values: dict[str, torch.Tensor] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)

    def run(self, call: Callable[[], Any], output: Callable[[Any], torch.Tensor | None]) -> None:
        """Run the pass; `output` of the return value of `call` is the layer `OUTPUT`."""
        with contextlib.suppress(Stop):
            returned = call()
            self._take_parts(OUTPUT, returned)
            self._take_main(OUTPUT, output(returned))

    def take(self, path: str, output: Any) -> Any:
        """Edit and keep an output, and its parts, if wanted; stop if it is the last one."""
        return self._take_parts(path, self._take_main(path, output))

    def _take_main(self, path: str, output: Any) -> Any:
        tensor = main_tensor(output) if path in self.edits or path in self.wanted else None
        if tensor is not None and path in self.edits:
            tensor = self.edits[path](tensor)
            output = replace_main(output, tensor)
        return self._kept(path, tensor, output)

    def _take_parts(self, call: str, output: Any) -> Any:
        for path, keys in self.parts.get(call, ()):
            tensor = part_at(output, keys)
            if tensor is not None and path in self.edits:
                tensor = self.edits[path](tensor)
                output = replace_part(output, keys, tensor)
            output = self._kept(path, tensor, output)
        return output

    def _kept(self, path: str, tensor: torch.Tensor | None, output: Any) -> Any:
        if tensor is not None and path in self.wanted:
            # The next operation may change it in place: an in-place ReLU changed 45% of a batch normalisation's values.
            self.values[path] = tensor if path == self.stop or path in self.steady else tensor.clone()
        if path == self.stop:
            raise Stop
        return output


@contextlib.contextmanager
def tapped(
    model: nn.Module, found: Found, layers: Sequence[str], edits: Mapping[str, NativeEdit], *, stop: str
) -> Iterator[Taps]:
    """A context with hooks on the modules that are read or edited, for one forward pass.

    Operations are intercepted only if an attention map is read or edited.

    Parameters
    ----------
    model : nn.Module
    found : Found
        Where the layers are computed.
    layers : sequence of str
        Paths of the layers to read.
    edits : mapping of str to callable
        Changes of layers by path.
    stop : str
        Path of the last layer that is needed.
    """
    # After an edit, other operations may run than in discovery.
    taps = Taps(frozenset(layers), edits, stop, frozenset() if edits else found.steady, _parts(found, layers, edits))
    touched = dict.fromkeys(path for path in (*layers, *edits) if path != OUTPUT)

    def hook_of(path: str) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
            call = taps.calls[path]
            taps.calls[path] += 1
            return taps.take(path if call == 0 else f"{path}#{call}", output)

        return hook

    with contextlib.ExitStack() as stack:
        for module_path in dict.fromkeys(found.modules[path] for path in touched if path in found.modules):
            handle = nn.Module.register_forward_hook(submodule(model, module_path), hook_of(module_path))
            stack.callback(handle.remove)
        maps = {found.attention[path]: path for path in touched if path in found.attention}
        if maps:
            modules = stack.enter_context(running(model))
            stack.enter_context(
                AttentionMode(modules, maps.__contains__, lambda key, value: taps.take(maps[key], value))
            )
        yield taps


def _parts(found: Found, layers: Sequence[str], edits: Mapping[str, NativeEdit]) -> dict[str, list[tuple[str, Keys]]]:
    """Return the layers beside main tensors that are read or edited, by call and in forward order."""
    touched = {path for path in (*layers, *edits) if path in found.parts}
    by_call: dict[str, list[tuple[str, Keys]]] = {}
    for path in found.layers if touched else ():
        if path in touched:
            call, keys = found.parts[path]
            by_call.setdefault(call, []).append((path, keys))
    return by_call


def to_contract(tensor: torch.Tensor, layer: Layer) -> torch.Tensor:
    """Return a view with the batch axis first and the channel axis last, and windows of an image in an axis of their own.

    One number per image becomes one channel.
    """
    axis = _channel_axis(layer)
    tensor = tensor[:, None] if tensor.ndim == 1 else tensor
    tensor = tensor.movedim(layer.batch_axis, 0) if layer.batch_axis else tensor
    last = tensor if axis in (-1, tensor.ndim - 1) else tensor.movedim(axis, -1)
    return last.reshape(-1, layer.windows, *last.shape[1:]) if layer.windows > 1 else last


def to_native(tensor: torch.Tensor, layer: Layer, like: torch.Tensor) -> torch.Tensor:
    """The inverse of `to_contract`, of which `like` was the argument."""
    axis = _channel_axis(layer)
    whole = tensor.flatten(0, 1) if layer.windows > 1 else tensor
    moved = whole if axis in (-1, whole.ndim - 1) else whole.movedim(-1, axis)
    moved = moved.movedim(0, layer.batch_axis) if layer.batch_axis else moved
    moved = moved[:, 0] if like.ndim == 1 else moved
    # The model may merge axes by `view`, which depends on the memory layout.
    return moved.contiguous() if like.is_contiguous() else moved


def _channel_axis(layer: Layer) -> int:
    """The channel axis once the batch axis is in front."""
    axis = layer.channel_axis
    return axis + 1 if 0 <= axis < layer.batch_axis else axis
