"""Find the layers of a module by running it, with the channel axis of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from phosphene.errors import InvalidParameter, PhospheneError
from phosphene.interface import Interface
from phosphene.layers import ATTENTION, OUTPUT, Layer, Layers
from phosphene_torch.attention import Key
from phosphene_torch.attention_search import AttentionSearch
from phosphene_torch.axes import Axes, tensors
from phosphene_torch.batch_axis import NO_ROWS, Batches, Candidate, Pass, Run, Verdict, in_batches
from phosphene_torch.dependence import Dependence, dependence
from phosphene_torch.hooks import aliases, named_modules, returning, running
from phosphene_torch.outputs import Keys, choices, index_of, main_tensor, several, suffix
from phosphene_torch.samples import sample

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
CHANNEL_LAST = (
    nn.Linear,
    nn.LayerNorm,
    nn.Embedding,
    nn.MultiheadAttention,
    nn.TransformerEncoder,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoder,
    nn.TransformerDecoderLayer,
    nn.RNNBase,
    nn.RNNCellBase,
)
CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)

NO_TENSOR = "returns no floating tensor"
ONE_NUMBER = "returns one number, whatever the number of images"
FOLDED = "holds channels or heads in its first axis"


@dataclass(frozen=True)
class Found:
    """The layers found at one input size.

    Attributes
    ----------
    layers : Layers
        The layers at that size.
    modules : mapping of str to str
        Layer path to module path, without the number of the call and the part of the return value.
    parts : mapping of str to (str, Keys)
        Layer path to the call and the place in its return value, for layers that are not its main tensor.
    attention : mapping of str to Key
        Path of an attention map to the call that computes it.
    returns : str
        Description of the model's return value if no single tensor of it is the output; empty otherwise.
    guessed : tuple of str
        Paths of layers whose channel axis is a guess.
    steady : frozenset of str
        Paths of layers that no later operation changes in place.
    batched : mapping of str to Verdict
        Batch axis of each activation, or the reason for which it cannot be read.
    unread : mapping of str to str
        Paths of modules that are no layers, and the reason for each.
    depends : Dependence
        What the layers depend on beside the image.
    alone : Exception, optional
        What the model raised on two images.
    failure : Exception, optional
        What the model raised after the last of the layers.
    memory : str, default "channels last"
        The memory layout of the images.
    """

    layers: Layers
    modules: Mapping[str, str]
    parts: Mapping[str, tuple[str, Keys]]
    attention: Mapping[str, Key]
    returns: str
    guessed: tuple[str, ...]
    steady: frozenset[str]
    batched: Mapping[str, Verdict]
    unread: Mapping[str, str]
    depends: Dependence
    alone: Exception | None = None
    failure: Exception | None = None
    memory: str = "channels last"


def discover(
    model: nn.Module,
    run: Run,
    *,
    network: str,
    interface: Interface,
    drawn: Callable[[], bool] = lambda: False,
    batched: Mapping[str, Verdict] | None = None,
) -> Found:
    """Run a model, and record which modules return activations, in forward order, and which compute attention.

    Activations are floating tensors with a batch axis. A second pass over two images tells the batch axis, and finds windows of
    an image that are folded into it: then all values of the second image are contiguous, behind those of the first, and equal
    to those of the first pass. It also tells whether an image depends on others, and on random numbers; see `dependence`.

    Parameters
    ----------
    model : nn.Module
    run : Run
        Runs the model.
    network : str
        Name of the network, for error messages.
    interface : Interface
        Holds the channel axes stated by the user.
    drawn : callable, optional
        Returns whether random numbers were drawn in the pass that has just ended (default: none were).
    batched : mapping of str to Verdict, optional
        `Found.batched` at another size; if it has all layers, the second pass is skipped. If the model raises, the layers up to
        that point are returned.

    Returns
    -------
    Found
    """
    known = dict(batched or {})
    first = _First(interface, known)
    returned, failure = None, None
    try:
        with returning(model, first.module), running(model) as stack, first.axes:
            with AttentionSearch(stack, first.attention) as first.search:
                returned, output = run(Pass(), lambda images: first.axes.set(images, 1))
            first.returned(returned, output)
    except PhospheneError:
        raise
    except Exception as error:
        if batched is None:
            raise
        failure = error
    candidates = first.named()
    batches, depends = Batches(known), Dependence()
    if failure is None and any(candidate.name not in known for candidate in candidates):
        drew = drawn()
        batches = in_batches(model, run, candidates)
        if batched is None:
            depends = dependence(model, run, candidates, batches, drawn=drew)
        known.update(batches.verdicts)
    parameters = {path: sum(p.numel() for p in module.parameters()) for path, module in named_modules(model)}
    kept = {item.name: item for item in candidates if _is_read(item, known)}
    layers = [_layer(candidate, parameters[candidate.path], int(known[name])) for name, candidate in kept.items()]
    return Found(
        layers=Layers(layers, network, filter(None, parameters), aliases(model)),
        modules={name: item.path for name, item in kept.items() if item.key is None and item.call != OUTPUT},
        parts={name: (item.call, item.keys) for name, item in kept.items() if item.keys},
        attention={name: item.key for name, item in kept.items() if item.key is not None},
        returns=choices(returned) if OUTPUT not in kept else "",
        guessed=tuple(name for name, item in kept.items() if item.guessed),
        steady=first.steady(),
        batched=known,
        unread=_unread(model, first.reasons, candidates, known),
        depends=depends,
        alone=batches.alone,
        failure=failure,
    )


def _is_read(candidate: Candidate, known: Mapping[str, Verdict]) -> bool:
    axis = known.get(candidate.name)
    if candidate.key is not None:
        return axis == 0
    return isinstance(axis, int)


def _layer(candidate: Candidate, parameters: int, batch: int) -> Layer:
    shape = list(candidate.shape)
    if len(shape) == 1:  # one number per image is one channel
        shape.append(1)
    axis = candidate.axis
    if axis == batch:  # channels that were taken to be in the batch axis
        candidate.guessed, axis = len(shape) > 2, max(set(range(len(shape))) - {batch})
    windows = shape[batch]
    channels = shape[axis]
    sides = [side for index, side in enumerate(shape) if index not in (axis, batch)]
    return Layer(
        candidate.name,
        candidate.kind,
        (*((windows,) if windows > 1 else ()), *sides, channels),
        parameters,
        -1 if axis == len(shape) - 1 else axis,
        windows,
        batch_axis=batch,
        part=candidate.part,
    )


def _unread(
    model: nn.Module, reasons: Mapping[str, str], candidates: Sequence[Candidate], known: Mapping[str, Verdict]
) -> dict[str, str]:
    """Return the reason for each module that is no layer, except mere containers, which are never called."""
    verdicts = [(item.path, known.get(item.name, NO_ROWS)) for item in candidates if item.key is None]
    read = {path for path, verdict in verdicts if isinstance(verdict, int)}
    why = {**reasons, **{path: verdict for path, verdict in verdicts if isinstance(verdict, str)}}
    return {
        path: why.get(path, "did not run")
        for path, module in named_modules(model)
        if path and path not in read and not isinstance(module, CONTAINERS)
    }


class _First:
    """Collects candidates in the pass over one image."""

    def __init__(self, interface: Interface, known: Mapping[str, Verdict]) -> None:
        self.axes = Axes()
        self.search: AttentionSearch | None = None
        self.reasons: dict[str, str] = {}
        self._interface, self._known = interface, known
        self._found: list[Candidate] = []
        self._versions: dict[str, tuple[torch.Tensor, int]] = {}

    def steady(self) -> frozenset[str]:
        """Return the names of module outputs that have not changed since they were returned."""
        return frozenset(name for name, (tensor, version) in self._versions.items() if tensor._version == version)

    def module(self, name: str, path: str, module: nn.Module, inputs: Any, output: Any) -> None:
        """Note what a module returned."""
        if name != OUTPUT:
            # What is looked up here is none of the model's operations, each of which takes a while to follow.
            with torch._C.DisableTorchFunction():
                self._module(name, path, module, inputs, output)

    def _module(self, name: str, path: str, module: nn.Module, inputs: Any, output: Any) -> None:
        main = main_tensor(output)
        found = dict[Keys, torch.Tensor]() if main is None else {(): main}
        found |= {
            keys: tensor for keys, tensor in several(output).items() if tensor is not main and not self._weights(tensor)
        }
        self.reasons[path] = NO_TENSOR
        for keys, tensor in found.items():
            layer = name + suffix(keys)
            part = "" if keys else index_of(main, output)
            self.note(layer, path, module, inputs, tensor, call=name, keys=keys, part=part)
            if not tensor.is_inference():  # inference tensors do not count changes
                self._versions[layer] = tensor, tensor._version

    def returned(self, returned: Any, output: torch.Tensor | None) -> None:
        """Note the model's return value: its parts, and behind them the one that is the output."""
        for keys, tensor in several(returned).items():
            if tensor is not output and not self._weights(tensor):
                self.note(OUTPUT + suffix(keys), "", None, (), tensor, call=OUTPUT, keys=keys)
        if output is not None:
            self.note(OUTPUT, "", None, (), output, call=OUTPUT, part=index_of(output, returned))

    def note(
        self,
        name: str,
        path: str,
        module: nn.Module | None,
        inputs: Any,
        tensor: torch.Tensor,
        *,
        call: str,
        keys: Keys = (),
        part: str = "",
    ) -> None:
        if not tensor.is_floating_point() or tensor.is_nested or tensor.layout is not torch.strided:
            return
        if tensor.ndim == 0:
            self.reasons[path] = ONE_NUMBER
            return
        layout = self.axes.of(tensor)
        if layout is not None and layout.holds(0) and tensor.shape[0] > 1:
            self.reasons[path] = FOLDED  # heads, not windows, are folded into the batch
            return
        axis = _stated(self._interface, name, path, tensor)
        guessed = False
        if axis is None:
            axis, guessed = self._axis(module, inputs, tensor)
        if tensor.ndim > 1 and (layout is None or axis != layout.channel):
            self.axes.set(tensor, axis)
        kind = "Output" if module is None else type(module).__name__
        axis = axis % max(tensor.ndim, 2)
        self._add(
            Candidate(name, path, kind, tuple(tensor.shape), axis, guessed, call=call, keys=keys, part=part), tensor
        )

    def _weights(self, tensor: torch.Tensor) -> bool:
        return self.search is not None and self.search.holds(tensor)

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
                candidate.call = candidate.name
        return kept

    def _add(self, candidate: Candidate, tensor: torch.Tensor) -> None:
        if candidate.name not in self._known:
            candidate.sample = sample(tensor)
            if candidate.shape[0] != 1:
                candidate.value = tensor.clone()
        self._found.append(candidate)

    def _axis(self, module: nn.Module | None, inputs: Any, tensor: torch.Tensor) -> tuple[int, bool]:
        """Return the channel axis and whether it is a guess: as tracked, or by the module's class, or of an input, or guessed."""
        if tensor.ndim <= 2:
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
    if axis is not None and tensor.ndim == 1:
        axis = 1
    elif axis is not None and not (1 <= axis < tensor.ndim or 1 - tensor.ndim <= axis <= -1):
        raise InvalidParameter(
            f"channel_axis[{name!r}]",
            allowed=f"an axis from 1 to {tensor.ndim - 1}, or -1",
            received=axis,
            fix=f"The activation has shape {tuple(tensor.shape)}, with the batch axis first.",
        )
    return axis
