"""Any ``nn.Module`` as a `phosphene.backend.Network`, left exactly as it was found."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import array_api_compat.torch as xp
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from phosphene.backend import Backend, InputSpec, Interface
from phosphene.errors import InvalidParameter, ModelFailed, ModelWarning, PhospheneError, PhospheneWarning
from phosphene.layers import OUTPUT, Layers
from phosphene.types import Edit, Size, Tree
from phosphene_torch.layers import Found, discover, to_channel_last, to_native
from phosphene_torch.rules import paused
from phosphene_torch.tapping import tapped

__all__ = ["TorchNetwork", "device_named", "dtype_named"]

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}


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
        self._dtype = _own_dtype(dtypes) if dtype is None else dtype_named(dtype)
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
        self._interface = interface
        scale, offset = input.affine()
        # Images come in float32 or better, also for a model in half precision: they are rounded once, as it takes them.
        wide = torch.promote_types(self._dtype, torch.float32)
        with torch.inference_mode(False):  # what is made inside it cannot take part in a gradient
            self._scale, self._offset = (
                torch.as_tensor(values, dtype=wide, device=self._device) for values in (scale, offset)
            )
        self._trivial = bool(np.all(scale == 1) and np.all(offset == 0))
        self._found: dict[Size, Found] = {}
        if any(module.training for module in self.model.modules()):
            warnings.warn(
                f"{self.name} was in training mode: it is read in evaluation mode, and left as it was.",
                ModelWarning,
                stacklevel=4,
            )
        found = self._at(input.size)
        self.layers = found.layers
        for path in interface.channel_axis:
            if path not in found.modules.values():
                self.layers[path]  # raises, with the nearest names, when it is no layer either

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
                fix=f"The model returns {found.returns}: read the module that makes the one you mean, or return that one alone.",
            )  # fmt: skip
        axes = {path: found.layers[path].channel_axis for path in (*layers, *changes)}

        def native_edit(path: str) -> Callable[[torch.Tensor], torch.Tensor]:
            return lambda value: to_native(changes[path](xp, to_channel_last(value, axes[path])), axes[path])

        edits = {path: native_edit(path) for path in changes}
        last = found.layers.last(layers) if layers else OUTPUT
        with (
            self.scope(),
            _random_state(self._device),
            tapped(self.model, found.modules, layers, edits, stop=last) as taps,
        ):
            taps.run(lambda: self._call(images, weights))
        missed = [path for path in layers if path not in taps.values]
        if missed:
            raise ModelFailed(
                f"{self.name} ran without reaching {missed[0]!r}, which it reached on a grey image of that size: its path "
                "through its modules depends on what it is shown. Read fewer layers in one call."
            )
        return {path: to_channel_last(taps.values[path], axes[path]) for path in layers}

    def shapes(self, size: Size) -> Mapping[str, tuple[int, ...]]:
        """See `phosphene.backend.Network.shapes`."""
        return {path: layer.shape for path, layer in self._at((int(size[0]), int(size[1]))).layers.items()}

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """See `phosphene.backend.Network.scope`; only modules in training mode are touched."""
        training = [module for module in self.model.modules() if module.training]
        try:
            for module in training:
                module.training = False
            yield
        finally:
            for module in training:
                module.training = True

    def fingerprint(self) -> str:
        """See `phosphene.backend.Network.fingerprint`; of the model's own values, whatever precision they are computed in."""
        digest = hashlib.blake2b(digest_size=16)
        tensors = dict(self._named()) if self._edits is None else self.weights()
        for path in sorted(tensors):
            tensor = tensors[path].detach().cpu().contiguous()
            digest.update(f"{path}|{tuple(tensor.shape)}|{tensor.dtype}".encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
        return digest.hexdigest()

    def with_weights(self, f: Callable[[str, NDArray[Any]], NDArray[Any]]) -> TorchNetwork:
        """See `phosphene.backend.Network.with_weights`; `f` is applied once, when the weights are first needed."""
        before = self._edits

        def both(path: str, array: NDArray[Any]) -> NDArray[Any]:
            return f(path, array if before is None else before(path, array))

        # The layers are those of this network: no second pass, and no second warning.
        other = copy.copy(self)
        other._edits, other._edited, other._in_place = both, None, False
        return other

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
        given = self.weights() if weights is None else weights
        if given is None:
            return self.model(inputs)
        return torch.func.functional_call(self.model, given, (inputs,))

    def _at(self, size: Size) -> Found:
        """Layers at an input size, from one pass over a grey image; the random state is put back."""
        if size not in self._found:
            shape = (1, *size, self.input.channels)
            native = (1, self.input.channels, *size)
            try:
                with paused(), torch.no_grad(), _random_state(self._device), self.scope():
                    grey = torch.full(shape, 0.5, dtype=self._dtype, device=self._device)
                    self._found[size] = discover(
                        self.model,
                        lambda seen: self._call(grey, None, seen),
                        network=self.name,
                        stated=self._interface.channel_axis,
                    )
            except (PhospheneError, PhospheneWarning):
                raise
            except Exception as error:
                raise ModelFailed(
                    f"{self.name} raised {type(error).__name__} on a grey image of shape {native} (N, C, H, W): {error}. "
                    f"Check size={size}, channels={self.input.channels} and range={self.input.range}; a network with a fixed input "
                    "size takes only that one."
                ) from error
        return self._found[size]

    def __repr__(self) -> str:
        height, width = self.input.size
        return f"{self.name} (torch, {self.device}, {self.dtype}), {height} x {width}, {len(self.layers)} layers"


def device_named(name: str) -> torch.device:
    """A device of this machine, or `InvalidParameter`."""
    choices = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    choices += ["mps"] if torch.backends.mps.is_available() else []
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError, ValueError):
        device = None
    if device is not None and device.type == "cuda" and device.index is None and "cuda:0" in choices:
        device = torch.device("cuda", torch.cuda.current_device())
    if device is None or str(device).removesuffix(":0" if device.type != "cuda" else "") not in choices:
        allowed = " or ".join(repr(choice) for choice in choices)
        raise InvalidParameter("device", allowed=allowed, received=name, fix="This machine has no other.")
    # Tensors of one device do not all say its index: "mps" and "mps:0" are one, but do not compare equal.
    return torch.empty(0, device=device).device


def dtype_named(name: str) -> torch.dtype:
    """A floating dtype, or `InvalidParameter`."""
    if name not in DTYPES:
        allowed = " or ".join(repr(known) for known in DTYPES)
        raise InvalidParameter("dtype", allowed=allowed, received=name, fix="float32 is usual.")
    return DTYPES[name]


def _own_dtype(dtypes: set[torch.dtype]) -> torch.dtype:
    known = dtypes & set(DTYPES.values())
    return known.pop() if len(dtypes) == 1 and known else torch.float32


def _edited(path: str, value: torch.Tensor, given: NDArray[Any]) -> torch.Tensor:
    array = np.array(given)
    if array.shape != tuple(value.shape):
        raise InvalidParameter(
            "f", allowed=f"an array of shape {tuple(value.shape)} for {path!r}", received=array.shape,
            fix="Edits of weights keep their shape.",
        )  # fmt: skip
    return torch.from_numpy(array)


@contextlib.contextmanager
def _random_state(device: torch.device) -> Iterator[None]:
    """Put the random state of the host and of `device` back on leaving: a model may draw, and the user's draws are not ours."""
    host = torch.get_rng_state()
    state = None
    if device.type == "cuda":
        state = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state = torch.mps.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(host)
        if state is not None and device.type == "cuda":
            torch.cuda.set_rng_state(state, device)
        elif state is not None:
            torch.mps.set_rng_state(state)
