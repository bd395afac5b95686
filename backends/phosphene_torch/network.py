"""Any ``nn.Module`` as a `phosphene.backend.Network`, left exactly as it was found."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import array_api_compat.torch as xp
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from phosphene.backend import InputSpec
from phosphene.errors import InvalidParameter, ModelFailed, ModelWarning
from phosphene.layers import OUTPUT, Layers
from phosphene.types import Edit, Size, Tree
from phosphene_torch.layers import Found, discover, to_channel_last, to_native
from phosphene_torch.tapping import tapped

if TYPE_CHECKING:
    from phosphene_torch.backend import TorchBackend

__all__ = ["TorchNetwork", "device_named", "dtype_named"]

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}


class TorchNetwork:
    """See `phosphene.backend.Network`.

    The module is used in place. Only where another precision or device is asked for, or weights are edited, is it called with
    other tensors (`torch.func.functional_call`), so that a model whose weights change after wrapping is read as it is now.
    """

    def __init__(
        self,
        backend: TorchBackend,
        model: nn.Module,
        *,
        input: InputSpec,
        classes: Sequence[str] | None = None,
        device: str | None = None,
        dtype: str | None = None,
        name: str | None = None,
        channel_axis: Mapping[str, int] | None = None,
        edits: Callable[[str, NDArray[Any]], NDArray[Any]] | None = None,
    ) -> None:
        # Hooks added to a compiled module never fire, and say nothing (pytorch issue 117758): read the module inside.
        self.model: nn.Module = getattr(model, "_orig_mod", model)
        self.backend, self.input = backend, input
        self.name = name or type(self.model).__name__
        self.classes = None if classes is None else tuple(classes)
        tensors = [tensor for tensor in self.model.parameters() if tensor.is_floating_point()]
        own_dtype = tensors[0].dtype if len({tensor.dtype for tensor in tensors}) == 1 else torch.float32
        own_device = tensors[0].device if tensors else torch.device("cpu")
        wanted_dtype = own_dtype if dtype is None else dtype_named(dtype)
        wanted_device = own_device if device is None else device_named(device)
        self.dtype, self.device = str(wanted_dtype).removeprefix("torch."), str(wanted_device)
        self._dtype, self._device = wanted_dtype, wanted_device
        self._in_place = edits is None and (not tensors or (wanted_dtype == own_dtype and wanted_device == own_device))
        self._edits = edits
        self._edited: dict[str, torch.Tensor] | None = None
        self._channel_axis = dict(channel_axis or {})
        scale, offset = input.affine()
        self._affine = [
            torch.as_tensor(values, dtype=wanted_dtype, device=wanted_device) for values in (scale, offset)
        ]
        self._trivial = bool(np.all(scale == 1) and np.all(offset == 0))
        self._found: dict[Size, Found] = {}
        if any(module.training for module in self.model.modules()):
            import warnings

            warnings.warn(
                f"{self.name} was in training mode: it is read in evaluation mode, and left as it was.",
                ModelWarning,
                stacklevel=4,
            )
        self.layers: Layers = self._at(input.size).layers

    def weights(self) -> Tree:
        if self._in_place:
            return None
        if self._edits is not None:
            if self._edited is None:
                self._edited = self._cast(self._edits)
            return self._edited
        return self._cast(None)

    def forward(
        self,
        images: torch.Tensor,
        layers: Sequence[str],
        *,
        weights: Tree = None,
        edit: Mapping[str, Edit] | None = None,
    ) -> dict[str, torch.Tensor]:
        found = self._at((int(images.shape[1]), int(images.shape[2])))
        for path in (*layers, *(edit or ())):
            found.layers[path]
        axes = {path: found.layers[path].channel_axis for path in (*layers, *(edit or ()))}

        def native_edit(path: str) -> Callable[[torch.Tensor], torch.Tensor]:
            change = (edit or {})[path]
            return lambda value: to_native(change(xp, to_channel_last(value, axes[path])), axes[path])

        edits = {path: native_edit(path) for path in edit or ()}
        last = found.layers.last([*layers]) if layers else OUTPUT
        with self.scope(), tapped(self.model, found.modules, layers, edits, stop=last) as taps:
            taps.run(lambda: self._call(images, weights))
        return {path: to_channel_last(taps.values[path], axes[path]) for path in layers}

    def shapes(self, size: Size) -> Mapping[str, tuple[int, ...]]:
        return {path: layer.shape for path, layer in self._at(size).layers.items()}

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        training = [module for module in self.model.modules() if module.training]
        try:
            for module in training:
                module.training = False
            yield
        finally:
            for module in training:
                module.training = True

    def fingerprint(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        weights = self.weights()
        tensors = dict(self._named()) if weights is None else weights
        for path in sorted(tensors):
            tensor = tensors[path].detach().cpu().contiguous()
            digest.update(f"{path}|{tuple(tensor.shape)}|{tensor.dtype}".encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
        return digest.hexdigest()

    def with_weights(self, f: Callable[[str, NDArray[Any]], NDArray[Any]]) -> TorchNetwork:
        def both(path: str, array: NDArray[Any]) -> NDArray[Any]:
            return f(path, array if self._edits is None else self._edits(path, array))

        return TorchNetwork(
            self.backend, self.model, input=self.input, classes=self.classes, device=self.device, dtype=self.dtype,
            name=self.name, channel_axis=self._channel_axis, edits=both,
        )  # fmt: skip

    def _named(self) -> Iterator[tuple[str, torch.Tensor]]:
        yield from self.model.named_parameters()
        yield from self.model.named_buffers()

    def _cast(self, edits: Callable[[str, NDArray[Any]], NDArray[Any]] | None) -> dict[str, torch.Tensor]:
        result = {}
        for path, tensor in self._named():
            value = tensor.detach()
            if value.is_floating_point():
                if edits is not None:
                    edited = np.asarray(edits(path, self.backend.to_numpy(value)))
                    value = torch.as_tensor(np.array(edited)).reshape(value.shape)
                value = value.to(device=self._device, dtype=self._dtype)
            else:
                value = value.to(device=self._device)
            result[path] = value
        return result

    def _call(self, images: torch.Tensor, weights: Tree) -> Any:
        # A permuted view of an NHWC image is channels_last memory, the layout in which convolutions are fastest.
        inputs = images if self._trivial else images * self._affine[0] + self._affine[1]
        inputs = inputs.permute(0, 3, 1, 2)
        given = self.weights() if weights is None else weights
        if given is None:
            return self.model(inputs)
        return torch.func.functional_call(self.model, given, (inputs,))

    def _at(self, size: Size) -> Found:
        """Layers at an input size, from one pass over a grey image; the random state of the device is put back."""
        if size not in self._found:
            devices = [self._device] if self._device.type == "cuda" else []
            shape = (1, *size, self.input.channels)
            grey = torch.full(shape, 0.5, dtype=self._dtype, device=self._device)
            try:
                with torch.random.fork_rng(devices=devices), torch.no_grad(), self.scope():
                    self._found[size] = discover(
                        self.model, lambda: self._call(grey, None), network=self.name, stated=self._channel_axis
                    )
            except ModelFailed:
                raise
            except Exception as error:
                native = (1, self.input.channels, *size)
                raise ModelFailed(
                    f"{self.name} raised {type(error).__name__} on a grey image of shape {native} (N, C, H, W): {error}. "
                    "Check size and channels; a network with a fixed input size takes only that one."
                ) from error
        return self._found[size]

    def __repr__(self) -> str:
        height, width = self.input.size
        return f"{self.name} (torch, {self.device}, {self.dtype}), {height} x {width}, {len(self.layers)} layers"


def device_named(name: str) -> torch.device:
    """A device of this machine, or `InvalidParameter`."""
    try:
        device = torch.device(name)
        if device.type == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("CUDA is not available here")
        if device.type == "mps" and not torch.backends.mps.is_available():
            raise RuntimeError("MPS is not available here")
    except RuntimeError as error:
        choices = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        choices += ["mps"] if torch.backends.mps.is_available() else []
        allowed = " or ".join(repr(choice) for choice in choices)
        raise InvalidParameter("device", allowed=allowed, received=name, fix="This machine has no other.") from error
    return device


def dtype_named(name: str) -> torch.dtype:
    """A floating dtype, or `InvalidParameter`."""
    if name not in DTYPES:
        raise InvalidParameter("dtype", allowed=" or ".join(repr(known) for known in DTYPES), received=name, fix="float32 is usual.")
    return DTYPES[name]
