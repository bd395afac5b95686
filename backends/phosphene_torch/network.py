"""Any ``nn.Module`` as a `phosphene.backend.Network`, without changing the module."""

from __future__ import annotations

import contextlib
import copy
import fnmatch
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import array_api_compat.torch as xp
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from phosphene.backend import Backend, InputSpec, Interface, Network
from phosphene.errors import InvalidParameter, ModelFailed, ModelWarning, PhospheneError, PhospheneWarning, said
from phosphene.layers import OUTPUT, Layers
from phosphene.types import Edit, Size, Tree
from phosphene_torch.capture import tapped, to_contract, to_native
from phosphene_torch.discovery import Found, discover
from phosphene_torch.failures import failed
from phosphene_torch.fingerprints import Fingerprint
from phosphene_torch.inputs import arguments_of
from phosphene_torch.normalization import FrozenNormalization
from phosphene_torch.outputs import stated_output, the_output
from phosphene_torch.placement import (
    alone,
    constant,
    device_named,
    dtype_named,
    in_training,
    own_dtype,
    random_state,
)
from phosphene_torch.rules import paused

__all__ = ["TorchNetwork"]


class TorchNetwork(Network):
    """See `phosphene.backend.Network`.

    The module is used in place, so that weights that change after wrapping have an effect. For another precision or device, or
    edited weights, it is called with other tensors (`torch.func.functional_call`).
    """

    backend: Backend
    name: str
    input: InputSpec
    classes: tuple[str, ...] | None
    device: str
    dtype: str
    layers: Layers

    def __init__(
        self,
        backend: Backend,
        model: nn.Module,
        *,
        input: InputSpec,
        interface: Interface,
        classes: Sequence[str] | None = None,
        device: str | None = None,
        dtype: str | None = None,
        name: str | None = None,
    ) -> None:
        # Hooks added to a compiled module never run (pytorch issue 117758): use the module inside.
        self.model: nn.Module = getattr(model, "_orig_mod", model)
        self.backend, self.input = backend, input
        self.name = name or type(self.model).__name__
        self.classes = None if classes is None else tuple(classes)
        floating = [tensor for tensor in self.model.parameters() if tensor.is_floating_point()]
        dtypes = {tensor.dtype for tensor in floating}
        self._dtype = own_dtype(dtypes) if dtype is None else dtype_named(dtype)
        everything = [tensor for _, tensor in self._named()]
        self._device = (
            next((tensor.device for tensor in [*floating, *everything]), torch.device("cpu"))
            if device is None
            else device_named(device)
        )
        self.dtype, self.device = str(self._dtype).removeprefix("torch."), str(self._device)
        # A model of mixed precision, or on several devices, is used as it is unless the user requests one of them.
        self._in_place = (dtype is None or dtypes <= {self._dtype}) and (
            device is None or all(tensor.device == self._device for tensor in everything)
        )
        self._edits: Callable[[str, NDArray[Any]], NDArray[Any]] | None = None
        self._edited: dict[str, torch.Tensor] | None = None
        self._fingerprint = Fingerprint()
        self._interface = interface
        scale, offset = input.affine()
        # Images are in float32 or float64, also for a model in half precision, and are rounded only once.
        wide = torch.promote_types(self._dtype, torch.float32)
        with torch.inference_mode(False):  # inference tensors cannot take part in a gradient
            self._scale, self._offset = (
                torch.as_tensor(values, dtype=wide, device=self._device) for values in (scale, offset)
            )
        self._trivial = bool(np.all(scale == 1) and np.all(offset == 0))
        self._arguments = arguments_of(self.model, interface.inputs, device=self._device, dtype=self._dtype)
        self._found: dict[Size, Found] = {}
        found = self._at(input.size)
        self.layers = found.layers
        if interface.output is not None and found.returns:
            raise InvalidParameter(
                "output",
                allowed="a part of the model's output with one row per image, for one image and for two",
                received=interface.output,
                fix=f"{self.name} returns {found.returns}.",
            )
        for path in interface.channel_axis:
            if not fnmatch.filter([*self.layers, *found.modules.values()], path):
                self.layers[path]  # raises, with the nearest names
        for warning in _warnings(self.name, self.model, found):
            warnings.warn(warning, ModelWarning, stacklevel=4)

    def weights(self) -> Tree:
        """See `phosphene.backend.Network.weights`; None if the module is used in place."""
        if self._in_place:
            return None
        if self._edits is None:
            return self._cast(None)
        if self._edited is None:
            self._edited = self._cast(self._edits)
        return self._edited

    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """See `phosphene.backend.Network.weight_shapes`."""
        return {path: tuple(tensor.shape) for path, tensor in self._named()}

    def forward(
        self,
        images: torch.Tensor,
        layers: Sequence[str],
        *,
        weights: Tree = None,
        edit: Mapping[str, Edit] | None = None,
        draw: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """See `phosphene.backend.Network.forward`."""
        found = self._at((int(images.shape[1]), int(images.shape[2])))
        changes = edit or {}
        if OUTPUT not in found.layers and (OUTPUT in layers or OUTPUT in changes):
            raise InvalidParameter(
                "layers",
                allowed=f"a layer of {self.name}, which has no {OUTPUT!r}",
                received=OUTPUT,
                fix=f"The model returns {found.returns}: name the part that is the output with ph.wrap(..., output=...).",
            )
        chosen = {path: found.layers[path] for path in (*layers, *changes)}

        def native_edit(path: str) -> Callable[[torch.Tensor], torch.Tensor]:
            return lambda value: to_native(changes[path](xp, to_contract(value, chosen[path])), chosen[path])

        edits = {path: native_edit(path) for path in changes}
        last = found.layers.last(layers) if layers else OUTPUT
        with (
            alone(self.model),
            self.scope(),
            self._unmoved(),
            random_state(self._device),
            tapped(self.model, found, layers, edits, stop=last) as taps,
        ):
            taps.run(lambda: self._output(self._call(images, weights), len(images)))
        missed = [path for path in layers if path not in taps.values]
        if missed:
            raise ModelFailed(
                f"{self.name} ran without reaching {missed[0]!r}, which it reached on a grey image of that size: which modules it "
                "runs depends on the images. Read fewer layers in one call."
            )
        return {path: to_contract(taps.values[path], chosen[path]) for path in layers}

    def shapes(self, size: Size) -> Mapping[str, tuple[int, ...]]:
        """See `phosphene.backend.Network.shapes`."""
        return {path: layer.shape for path, layer in self._at((int(size[0]), int(size[1]))).layers.items()}

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """See `phosphene.backend.Network.scope`; only modules in training mode are changed."""
        with alone(self.model):
            training = in_training(self.model)
            for module in training:
                module.training = False
        try:
            yield
        finally:
            with alone(self.model):
                for module in training:
                    module.training = True

    def fingerprint(self) -> str:
        """See `phosphene.backend.Network.fingerprint`; of the model's own values, independent of the precision in use."""
        return self._fingerprint.of(dict(self._named()) if self._edits is None else self.weights())

    def with_weights(self, f: Callable[[str, NDArray[Any]], NDArray[Any]]) -> TorchNetwork:
        """See `phosphene.backend.Network.with_weights`; `f` is applied once, when the weights are first needed."""
        before = self._edits

        def both(path: str, array: NDArray[Any]) -> NDArray[Any]:
            return f(path, array if before is None else before(path, array))

        # The layers are those of this network, so no second pass and no second warning.
        other = copy.copy(self)
        other._edits, other._edited, other._in_place, other._fingerprint = both, None, False, Fingerprint()
        return other

    @contextlib.contextmanager
    def _unmoved(self) -> Iterator[None]:
        """A context in which neither weights nor statistics need gradients, which makes backward passes cheaper."""
        if not torch.is_grad_enabled():
            yield
            return
        with constant(self.model), FrozenNormalization():
            yield

    def _named(self) -> Iterator[tuple[str, torch.Tensor]]:
        yield from self.model.named_parameters()
        yield from self.model.named_buffers()

    def _cast(self, edits: Callable[[str, NDArray[Any]], NDArray[Any]] | None) -> dict[str, torch.Tensor]:
        """Return all tensors of the model, edited if requested, in this network's precision and on its device."""
        result = {}
        with torch.inference_mode(False), torch.no_grad():
            for path, tensor in self._named():
                value = tensor.detach()
                if not value.is_floating_point():
                    result[path] = value.to(device=self._device)
                    continue
                if edits is not None:
                    value = _edited(path, value, edits(path, self.backend.to_numpy(value)))
                result[path] = value.to(dtype=self._dtype).to(device=self._device)
        return result

    def _call(self, images: torch.Tensor, weights: Tree, seen: Callable[[torch.Tensor], None] | None = None) -> Any:
        inputs = images if self._trivial else images * self._scale + self._offset
        # A permuted view of an NHWC image has the channels_last layout, in which convolutions are fastest, at no cost. The
        # result of a resampling has another layout, which would carry over to the whole network.
        inputs = inputs.to(self._dtype).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        if seen is not None:
            seen(inputs)
        arguments, named = self._arguments(inputs)
        given = self.weights() if weights is None else weights
        if given is None:
            return self.model(*arguments, **named)
        return torch.func.functional_call(self.model, given, arguments, named)

    def _output(self, returned: Any, count: int) -> torch.Tensor | None:
        """Return the tensor that is the layer `OUTPUT`, with `count` rows; one number per image becomes one channel."""
        stated = self._interface.output
        found = the_output(returned) if stated is None else stated_output(stated, returned, self.name)
        if stated is not None and found is not None and (found.ndim == 0 or found.shape[0] != count):
            raise InvalidParameter(
                "output",
                allowed=f"a tensor with {count} row{'s' * (count != 1)} (one per image)",
                received=said(f"a tensor of shape {tuple(found.shape)}"),
                fix="Name a part of the output that keeps the batch axis first.",
            )
        return found[:, None] if found is not None and found.ndim == 1 else found

    def _at(self, size: Size) -> Found:
        """Return the layers at an input size, found by running the model; the random state is restored."""
        if size not in self._found:
            known = self._found[self.input.size].batched if self.input.size in self._found else None
            try:
                with alone(self.model), paused(), torch.no_grad(), random_state(self._device), self.scope():
                    self._found[size] = discover(
                        self.model,
                        lambda count, seen: self._tried(size, count, seen),
                        network=self.name,
                        interface=self._interface,
                        batched=known,
                    )
            except (PhospheneError, PhospheneWarning):
                raise
            except Exception as error:
                raise failed(
                    self.name,
                    self.model,
                    error,
                    size=size,
                    input=self.input,
                    interface=self._interface,
                    device=self._device,
                    dtype=self._dtype,
                ) from error
        return self._found[size]

    def _tried(self, size: Size, count: int, seen: Callable[[torch.Tensor], None]) -> tuple[Any, torch.Tensor | None]:
        """Return the model's return value and its output for a grey image, preceded by noise images if `count` > 1."""
        shape = (count, *size, self.input.channels)
        images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        images[-1] = 0.5
        returned = self._call(images.to(self._dtype).to(self._device), None, seen)
        return returned, self._output(returned, count)

    def __repr__(self) -> str:
        height, width = self.input.size
        return f"{self.name} (torch, {self.device}, {self.dtype}), {height} x {width}, {len(self.layers)} layers"


def _edited(path: str, value: torch.Tensor, given: NDArray[Any]) -> torch.Tensor:
    array = np.array(given)
    if array.shape != tuple(value.shape):
        raise InvalidParameter(
            "f",
            allowed=f"an array of shape {tuple(value.shape)} for {path!r}",
            received=said(f"an array of shape {array.shape}"),
            fix="An edit must keep the shape of the weights.",
        )
    return torch.from_numpy(array)


def _warnings(name: str, model: nn.Module, found: Found) -> Iterator[str]:
    """Yield what the user should know about a model."""
    if any(module.training for module in model.modules()):
        yield f"{name} is in training mode: it is read in evaluation mode, and its mode is not changed."
    if found.returns:
        yield (
            f"{name} returns {found.returns}: the part that is the output is ambiguous, so there is no layer {OUTPUT!r}. "
            "Name it with ph.wrap(..., output=...), as a key, an index, or a function of the return value. "
            "All other layers can be read."
        )
    if found.guessed:
        names = ", ".join(found.guessed[:5]) + (", ..." if len(found.guessed) > 5 else "")
        yield (
            f"{name}: the channel axis was guessed for {len(found.guessed)} of its {len(found.layers)} layers ({names}), "
            "and for layers that depend on them. State it by path or pattern, for example ph.wrap(..., "
            f'channel_axis={{"{found.guessed[0]}": -1}}): -1 for channel-last, 1 for channel-first.'
        )
