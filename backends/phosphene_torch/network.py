"""Any ``nn.Module`` as a `phosphene.backend.Network`, left exactly as it was found."""

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

from phosphene.backend import Backend, InputSpec, Interface
from phosphene.errors import InvalidParameter, ModelFailed, ModelWarning, PhospheneError, PhospheneWarning, said
from phosphene.layers import OUTPUT, Layers
from phosphene.types import Edit, Size, Tree
from phosphene_torch.discovery import Found, discover
from phosphene_torch.failures import failed
from phosphene_torch.fingerprints import Fingerprint
from phosphene_torch.inputs import arguments_of
from phosphene_torch.normalization import FrozenNormalization
from phosphene_torch.outputs import stated_output, the_output
from phosphene_torch.placing import (
    alone,
    constant,
    device_named,
    dtype_named,
    in_training,
    own_dtype,
    random_state,
)
from phosphene_torch.rules import paused
from phosphene_torch.tapping import tapped, to_contract, to_native

__all__ = ["TorchNetwork"]


class TorchNetwork:
    """See `phosphene.backend.Network`.

    The module is used in place. Only where another precision or device is asked for, or weights are edited, is it called with
    other tensors (`torch.func.functional_call`), so that a model whose weights change after wrapping is read as it is now.
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
        # Hooks added to a compiled module never fire, and say nothing (pytorch issue 117758): read the module inside.
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
        # A model of mixed precision, or spread over devices, is left as it is unless the user asks for one of them.
        self._in_place = (dtype is None or dtypes <= {self._dtype}) and (
            device is None or all(tensor.device == self._device for tensor in everything)
        )
        self._edits: Callable[[str, NDArray[Any]], NDArray[Any]] | None = None
        self._edited: dict[str, torch.Tensor] | None = None
        self._fingerprint = Fingerprint()
        self._interface = interface
        scale, offset = input.affine()
        # Images come in float32 or better, also for a model in half precision: they are rounded once, as it takes them.
        wide = torch.promote_types(self._dtype, torch.float32)
        with torch.inference_mode(False):  # what is made inside it cannot take part in a gradient
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
                "output", allowed="a part of what the model returns with one row an image, as long for one image as for two",
                received=interface.output, fix=f"{self.name} returns {found.returns}.",
            )  # fmt: skip
        for path in interface.channel_axis:
            if not fnmatch.filter([*self.layers, *found.modules.values()], path):
                self.layers[path]  # raises, with the nearest names
        for warning in _warnings(self.name, self.model, found):
            warnings.warn(warning, ModelWarning, stacklevel=4)

    def weights(self) -> Tree:
        """See `phosphene.backend.Network.weights`; None where the module is used in place, as it is when it is called."""
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
    ) -> dict[str, torch.Tensor]:
        """See `phosphene.backend.Network.forward`."""
        found = self._at((int(images.shape[1]), int(images.shape[2])))
        changes = edit or {}
        if OUTPUT not in found.layers and (OUTPUT in layers or OUTPUT in changes):
            raise InvalidParameter(
                "layers", allowed=f"a layer of {self.name}, which has no {OUTPUT!r}", received=OUTPUT,
                fix=f"The model returns {found.returns}: say which of it is the output, with ph.wrap(..., output=...).",
            )  # fmt: skip
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
                f"{self.name} ran without reaching {missed[0]!r}, which it reached on a grey image of that size: its path "
                "through its modules depends on what it is shown. Read fewer layers in one call."
            )
        return {path: to_contract(taps.values[path], chosen[path]) for path in layers}

    def shapes(self, size: Size) -> Mapping[str, tuple[int, ...]]:
        """See `phosphene.backend.Network.shapes`."""
        return {path: layer.shape for path, layer in self._at((int(size[0]), int(size[1]))).layers.items()}

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """See `phosphene.backend.Network.scope`; only modules in training mode are touched."""
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
        """See `phosphene.backend.Network.fingerprint`; of the model's own values, whatever precision they are computed in."""
        return self._fingerprint.of(dict(self._named()) if self._edits is None else self.weights())

    def with_weights(self, f: Callable[[str, NDArray[Any]], NDArray[Any]]) -> TorchNetwork:
        """See `phosphene.backend.Network.with_weights`; `f` is applied once, when the weights are first needed."""
        before = self._edits

        def both(path: str, array: NDArray[Any]) -> NDArray[Any]:
            return f(path, array if before is None else before(path, array))

        # The layers are those of this network: no second pass, and no second warning.
        other = copy.copy(self)
        other._edits, other._edited, other._in_place, other._fingerprint = both, None, False, Fingerprint()
        return other

    @contextlib.contextmanager
    def _unmoved(self) -> Iterator[None]:
        """Weights take no gradient, where any is taken; nor do statistics, which lets their backward pass be a short one."""
        if not torch.is_grad_enabled():
            yield
            return
        with constant(self.model), FrozenNormalization():
            yield

    def _named(self) -> Iterator[tuple[str, torch.Tensor]]:
        yield from self.model.named_parameters()
        yield from self.model.named_buffers()

    def _cast(self, edits: Callable[[str, NDArray[Any]], NDArray[Any]] | None) -> dict[str, torch.Tensor]:
        """All tensors of the model in this network's precision and place, edited if asked; integers keep their type."""
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
        # A permuted view of an NHWC image is channels_last memory, the layout in which convolutions are fastest, and this
        # costs nothing. What a resampling returns is laid out otherwise, and would drag the whole network along.
        inputs = inputs.to(self._dtype).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        if seen is not None:
            seen(inputs)
        arguments, named = self._arguments(inputs)
        given = self.weights() if weights is None else weights
        if given is None:
            return self.model(*arguments, **named)
        return torch.func.functional_call(self.model, given, arguments, named)

    def _output(self, returned: Any, count: int) -> torch.Tensor | None:
        """The tensor that is the layer `OUTPUT`, with `count` rows; a number an image is a row of one."""
        stated = self._interface.output
        found = the_output(returned) if stated is None else stated_output(stated, returned, self.name)
        if stated is not None and found is not None and (found.ndim == 0 or found.shape[0] != count):
            raise InvalidParameter(
                "output", allowed=f"a tensor with the batch axis, one row an image ({count})",
                received=said(f"one of shape {tuple(found.shape)}"),
            )  # fmt: skip
        return found[:, None] if found is not None and found.ndim == 1 else found

    def _at(self, size: Size) -> Found:
        """Layers at an input size, found by running the model; the random state is put back."""
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
                    self.name, self.model, error, size=size, input=self.input, interface=self._interface,
                    device=self._device, dtype=self._dtype,
                ) from error  # fmt: skip
        return self._found[size]

    def _tried(self, size: Size, count: int, seen: Callable[[torch.Tensor], None]) -> tuple[Any, torch.Tensor | None]:
        """What the model returns for a grey image, behind noise where there are several; and its output."""
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
            "f", allowed=f"an array of shape {tuple(value.shape)} for {path!r}", received=array.shape,
            fix="Edits of weights keep their shape.",
        )  # fmt: skip
    return torch.from_numpy(array)


def _warnings(name: str, model: nn.Module, found: Found) -> Iterator[str]:
    """What the user should know about a model."""
    if any(module.training for module in model.modules()):
        yield f"{name} was in training mode: it is read in evaluation mode, and left as it was."
    if found.returns:
        yield (
            f"{name} returns {found.returns}: which of it is the output is not known, so it has no layer {OUTPUT!r}. "
            "Say which, with ph.wrap(..., output=...): a key, a place, or a function of what it returns. "
            "Its other layers can be read."
        )
    if found.guessed:
        names = ", ".join(found.guessed[:5]) + (", ..." if len(found.guessed) > 5 else "")
        yield (
            f"{name}: where the channels are was guessed for {len(found.guessed)} of its {len(found.layers)} layers "
            f"({names}), and what follows from them. State it by path or pattern, for example ph.wrap(..., "
            f'channel_axis={{"{found.guessed[0]}": -1}}): -1 for channel-last, 1 for channel-first.'
        )
