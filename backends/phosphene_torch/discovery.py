"""Find the layers of a module by running it, with the channel axis of each."""

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
from phosphene_torch.attention_search import AttentionSearch
from phosphene_torch.axes import Axes, tensors
from phosphene_torch.batch_axis import Candidate, Run, in_batches
from phosphene_torch.hooks import returning, running
from phosphene_torch.outputs import choices, main_tensor

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
    """The layers found at one input size.

    Attributes
    ----------
    layers : Layers
        The layers at that size.
    modules : mapping of str to str
        Layer path to module path, without the number of the call.
    attention : mapping of str to Key
        Path of an attention map to the call that computes it.
    returns : str
        Description of the model's return value if no single tensor of it is the output; empty otherwise.
    guessed : tuple of str
        Paths of layers whose channel axis is a guess.
    steady : frozenset of str
        Paths of layers that no later operation changes in place.
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
    """Run a model, and record which modules return activations, in forward order, and which compute attention.

    Activations are floating tensors with a batch axis and at least one more axis. A second pass over two images distinguishes
    the batch axis from others, and finds windows of an image that are folded into it: then all values of the second image are
    contiguous, behind those of the first, and equal to those of the first pass.

    Parameters
    ----------
    model : nn.Module
    run : Run
        Runs the model.
    network : str
        Name of the network, for error messages.
    interface : Interface
        Holds the channel axes stated by the user.
    batched : mapping of str to bool, optional
        `Found.batched` at another size; if it has all layers, the second pass is skipped.

    Returns
    -------
    Found
    """
    known = dict(batched or {})
    first = _First(interface, known)
    with returning(model, first.module), running(model) as stack, first.axes, AttentionSearch(stack, first.attention):
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
        """Return the names of module outputs that have not changed since they were returned."""
        return frozenset(name for name, (tensor, version) in self._versions.items() if tensor._version == version)

    def module(self, name: str, path: str, module: nn.Module, inputs: Any, output: Any) -> None:
        tensor = main_tensor(output)
        if name != OUTPUT and tensor is not None:
            self.note(name, path, module, inputs, tensor)
            if not tensor.is_inference():  # inference tensors do not count changes
                self._versions[name] = tensor, tensor._version

    def note(self, name: str, path: str, module: nn.Module | None, inputs: Any, tensor: torch.Tensor) -> None:
        layout = self.axes.of(tensor)
        if not tensor.is_floating_point() or tensor.ndim < 2:
            return
        if layout is not None and layout.holds(0) and tensor.shape[0] > 1:
            return  # heads, not windows, are folded into the batch
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
        """Return the candidates with attention maps named by module; maps that are not multiplied with values are dropped."""
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
        """Return the channel axis and whether it is a guess: as tracked, or by the module's class, or of an input, or guessed."""
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
            f"channel_axis[{name!r}]",
            allowed=f"an axis from 1 to {tensor.ndim - 1}, or -1",
            received=axis,
            fix=f"The activation has shape {tuple(tensor.shape)}, with the batch axis first.",
        )
    return axis
