"""Any ``nn.Module`` as a `phosphene.backend.Network`, without changing the module."""

from __future__ import annotations

import contextlib
import copy
import fnmatch
import functools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import array_api_compat.torch as xp
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from phosphene.backend import Backend, InputSpec, Interface, Network
from phosphene.errors import InvalidParameter, ModelFailed, ModelWarning, PhospheneError, PhospheneWarning, said
from phosphene.findings import Findings
from phosphene.interface import pair_of
from phosphene.layers import OUTPUT, Layer, Layers
from phosphene.types import Edit, Size, Tree
from phosphene_torch.batch_axis import Pass
from phosphene_torch.buffers import restored
from phosphene_torch.capture import Taps, tapped, to_contract, to_native
from phosphene_torch.discovery import Found, discover
from phosphene_torch.draws import seeded
from phosphene_torch.execution import (
    NormalTensors,
    WithoutCudnnRecurrence,
    as_written,
    concerns_inference,
    normal,
    normal_mode,
)
from phosphene_torch.failures import failed
from phosphene_torch.fingerprints import Fingerprint
from phosphene_torch.hooks import plain_path
from phosphene_torch.inputs import arguments_of
from phosphene_torch.normalization import FrozenNormalization
from phosphene_torch.notices import findings_of, notices
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

MEMORY = {"channels last": torch.channels_last, "contiguous": torch.contiguous_format}
"""Memory layouts in which images are handed to a model, in the order in which they are tried."""

Result = TypeVar("Result")


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
    findings: Findings

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
        if self._device.type == "meta":
            raise ModelFailed(
                f"{self.name} has weights on the device 'meta', which holds no values: load them first, with to_empty and "
                "load_state_dict."
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
        self._copies = False  # whether tensors made in inference mode need copies, found when an operation refuses one
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
        self.findings = findings_of(self.model, found)
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
        for warning in notices(self.name, self.model, found, self.findings):
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
        images = normal(images)
        size = (int(images.shape[1]), int(images.shape[2]))
        found = self._at(size)
        changes = edit or {}
        if OUTPUT not in found.layers and found.failure is None and (OUTPUT in layers or OUTPUT in changes):
            raise InvalidParameter(
                "layers",
                allowed=f"a layer of {self.name}, which has no {OUTPUT!r}",
                received=OUTPUT,
                fix=f"The model returns {found.returns}: name the part that is the output with ph.wrap(..., output=...).",
            )
        chosen = {path: self._layer(path, size) for path in (*layers, *changes)}

        foreign: list[Exception] = []

        def native_edit(path: str) -> Callable[[torch.Tensor], torch.Tensor]:
            def edited(value: torch.Tensor) -> torch.Tensor:
                try:
                    return to_native(changes[path](xp, to_contract(value, chosen[path])), chosen[path], value)
                except Exception as error:
                    foreign.append(error)  # raised by the edit, not by the model
                    raise

            return edited

        wanted = [chosen[path].path for path in layers]
        edits = {chosen[path].path: native_edit(path) for path in changes}
        last = found.layers.last(layers) if layers else OUTPUT

        def read() -> Taps:
            with (
                alone(self.model),
                self.scope(),
                as_written(),
                self._unmoved(),
                random_state(self._device),
                self._own_state(draw),
                tapped(self.model, found, wanted, edits, stop=last) as taps,
                self._told(images.shape, foreign),
            ):
                taps.run(
                    lambda: self._call(images, weights, memory=found.memory),
                    lambda returned: self._output(returned, len(images)),
                )
            return taps

        taps = self._with_copies(read)
        missed = [path for path in wanted if path not in taps.values]
        if missed:
            raise ModelFailed(
                f"{self.name} ran without reaching {missed[0]!r}, which it reached on a grey image of that size: which modules it "
                "runs depends on the images. Read fewer layers in one call."
            )
        return {path: to_contract(taps.values[chosen[path].path], chosen[path]) for path in layers}

    def shapes(self, size: Size) -> Mapping[str, tuple[int, ...]]:
        """See `phosphene.backend.Network.shapes`."""
        found = self._at(pair_of("size", size))
        return Shapes({path: layer.shape for path, layer in found.layers.items()}, self.layers, found)

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """See `phosphene.backend.Network.scope`; only modules in training mode are changed."""
        with alone(self.model):
            training = in_training(self.model)
            for module in training:
                module.training = False
        try:
            with normal_mode():
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
        both = f if self._edits is None else functools.partial(_both, self._edits, f)
        # The layers are those of this network, so no second pass and no second warning.
        other = copy.copy(self)
        other._edits, other._edited, other._in_place, other._fingerprint = both, None, False, Fingerprint()
        return other

    def _layer(self, path: str, size: Size) -> Layer:
        """Return a layer at an input size; raise `ModelFailed` if the model fails before it at that size."""
        found = self._at(size)
        if found.failure is not None and path not in found.layers and path in self.layers:
            raise _again(found.failure)
        return found.layers[path]

    @contextlib.contextmanager
    def _own_state(self, draw: Any) -> Iterator[None]:
        """A context with the random numbers of `draw`, after which the model's own statistics are as before."""
        with contextlib.ExitStack() as stack:
            if self.findings.mixes_images:
                stack.enter_context(restored(self.model))
            if self.findings.random:
                stack.enter_context(seeded(self._device, 0 if draw is None else int(draw)))
            yield

    @contextlib.contextmanager
    def _unmoved(self) -> Iterator[None]:
        """A context in which neither weights nor statistics need gradients, which makes backward passes cheaper."""
        if not torch.is_grad_enabled():
            yield
            return
        with contextlib.ExitStack() as stack:
            stack.enter_context(constant(self.model))
            stack.enter_context(FrozenNormalization())
            if self._device.type == "cuda":
                stack.enter_context(WithoutCudnnRecurrence())
            yield

    def _with_copies(self, run: Callable[[], Result]) -> Result:
        """Run a pass; once an operation refuses a tensor that was made in inference mode, with copies of all such tensors."""
        if not self._copies:
            try:
                return run()
            except RuntimeError as error:
                if not concerns_inference(error):
                    raise
                self._copies = True
        with NormalTensors():
            return run()

    def _named(self) -> Iterator[tuple[str, torch.Tensor]]:
        for path, tensor in (*self.model.named_parameters(), *self.model.named_buffers()):
            yield plain_path(path), tensor

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

    def _call(
        self,
        images: torch.Tensor,
        weights: Tree,
        seen: Callable[[torch.Tensor], None] | None = None,
        *,
        memory: str = "channels last",
    ) -> Any:
        inputs = images if self._trivial else images * self._scale + self._offset
        # A permuted view of an NHWC image has the channels_last layout, in which convolutions are fastest, at no cost. The
        # result of a resampling has another layout, which would carry over to the whole network. A model that merges axes by
        # `view` takes only contiguous memory.
        inputs = inputs.to(self._dtype).permute(0, 3, 1, 2)
        # One channel is contiguous in both layouts, but convolutions read the layout from the strides.
        copied = inputs.clone if memory == "contiguous" else inputs.contiguous
        inputs = copied(memory_format=MEMORY[memory])
        if seen is not None:
            seen(inputs)
        arguments, named = self._arguments(inputs)
        given = self.weights() if weights is None else weights
        if given is None:
            return self.model(*arguments, **named)
        return torch.func.functional_call(self.model, self._placed(given), arguments, named, tie_weights=False)

    def _placed(self, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return weights by every place that holds them, once for each.

        PyTorch finds the other places of a tensor by itself, but where one module has two names it fills one place twice, and
        puts the first filling back instead of the user's tensor. The names of compiled modules also have a part of their own.
        """
        same = {id(tensor): path for path, tensor in self._named()}
        placed = {}
        for path, module in self.model.named_modules():
            for name, tensor in (*module._parameters.items(), *module._buffers.items()):
                place = f"{path}.{name}" if path else name
                known = plain_path(place)
                known = known if known in weights else same.get(id(tensor), known)
                if known in weights:
                    placed[place] = weights[known]
        return placed

    def _output(self, returned: Any, count: int) -> torch.Tensor | None:
        """Return the tensor that is the layer `OUTPUT`; one that the user stated must have `count` rows."""
        stated = self._interface.output
        found = the_output(returned) if stated is None else stated_output(stated, returned, self.name)
        if stated is not None and found is not None and (found.ndim == 0 or found.shape[0] != count):
            raise InvalidParameter(
                "output",
                allowed=f"a tensor with {count} row{'s' * (count != 1)} (one per image)",
                received=said(f"a tensor of shape {tuple(found.shape)}"),
                fix="Name a part of the output that keeps the batch axis first.",
            )
        return found

    def _at(self, size: Size) -> Found:
        """Return the layers at an input size, found by running the model; the random state is restored."""
        if size not in self._found:
            self._found[size] = self._discovered(size)
        return self._found[size]

    def _discovered(self, size: Size) -> Found:
        """Find the layers at an input size, in the first memory layout that the model takes.

        At another size than its own, the model may fail behind the layers of interest, in a head of fixed size for instance.
        """
        native = self._found.get(self.input.size)
        shape = (1, self.input.channels, *size)
        order = list(MEMORY) if native is None else sorted(MEMORY, key=lambda memory: memory != native.memory)
        errors: list[Exception] = []
        partial: list[Found] = []
        for memory in order:
            try:
                found = replace(self._discovered_in(memory, size, native), memory=memory)
            except (PhospheneError, PhospheneWarning):
                raise
            except Exception as error:  # noqa: BLE001  (raised below, if no layout helps)
                errors.append(error)
                continue
            if found.failure is None and found.alone is None:
                return found
            if found.failure is not None and not found.layers:
                errors.append(found.failure)
                continue
            partial.append(found)
        if not partial:
            failure = self._failed(errors[0], "a grey image", shape)
            if not isinstance(errors[0], TypeError):  # a layout does not matter where an argument is missing
                failure.args = (f"{failure} Both memory layouts were tried, channels last and contiguous.",)
            raise failure from errors[0]
        found = max(partial, key=lambda found: len(found.layers))  # the one that got farthest
        if found.failure is None:
            return found
        failure = self._failed(found.failure, "a grey image", shape)
        failure.__cause__ = found.failure.with_traceback(None)  # whose frames would hold on to the activations
        return replace(found, failure=failure)

    def _discovered_in(self, memory: str, size: Size, native: Found | None) -> Found:
        def run(probe: Pass, seen: Callable[[torch.Tensor], None]) -> tuple[Any, torch.Tensor | None]:
            with seeded(self._device, probe.seed) as used:
                result = self._tried(size, probe, seen, memory)
                drawn.append(used())
            return result

        drawn: list[bool] = []

        def found() -> Found:
            with (
                alone(self.model),
                paused(),
                torch.no_grad(),
                random_state(self._device),
                restored(self.model),
                self.scope(),
                as_written(),
            ):
                return discover(
                    self.model,
                    run,
                    network=self.name,
                    interface=self._interface,
                    drawn=lambda: drawn[-1],
                    batched=None if native is None else native.batched,
                )

        return self._with_copies(found)

    @contextlib.contextmanager
    def _told(self, shape: Sequence[int], foreign: Sequence[Exception]) -> Iterator[None]:
        """A context in which exceptions of the model, which are all except those in `foreign`, become `ModelFailed`."""
        try:
            yield
        except (PhospheneError, PhospheneWarning):
            raise
        except Exception as error:
            if any(error is other for other in foreign) or (concerns_inference(error) and not self._copies):
                raise
            count, height, width, channels = map(int, shape)
            raise self._failed(error, "images", (count, channels, height, width)) from error

    def _failed(self, error: Exception, what: str, shape: tuple[int, ...]) -> ModelFailed:
        return failed(
            self.name,
            self.model,
            error,
            what=what,
            shape=shape,
            interface=self._interface,
            device=self._device,
            dtype=self._dtype,
        )

    def _tried(
        self, size: Size, probe: Pass, seen: Callable[[torch.Tensor], None], memory: str
    ) -> tuple[Any, torch.Tensor | None]:
        """Return the model's return value and its output for a grey image, preceded by noise images if `count` > 1."""
        shape = (probe.count, *size, self.input.channels)
        # On the host, whatever the default device is.
        images = torch.rand(shape, generator=torch.Generator("cpu").manual_seed(probe.noise), device="cpu")
        images[-1] = 0.5
        returned = self._call(images.to(self._dtype).to(self._device), None, seen, memory=memory)
        return returned, self._output(returned, probe.count)

    def __repr__(self) -> str:
        height, width = self.input.size
        return f"{self.name} (torch, {self.device}, {self.dtype}), {height} x {width}, {len(self.layers)} layers"


def _both(
    first: Callable[[str, NDArray[Any]], NDArray[Any]],
    then: Callable[[str, NDArray[Any]], NDArray[Any]],
    path: str,
    array: NDArray[Any],
) -> NDArray[Any]:
    return then(path, first(path, array))


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


class Shapes(dict[str, tuple[int, ...]]):
    """Shapes of layers by path; the error of the model for a layer behind the point at which it failed."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], native: Layers, found: Found) -> None:
        super().__init__(shapes)
        self._native, self._found = native, found

    def __missing__(self, path: str) -> tuple[int, ...]:
        if self._found.failure is not None and path in self._native and path not in self._found.layers:
            raise _again(self._found.failure)
        return self._found.layers[path].shape


def _again(failure: Exception) -> ModelFailed:
    """Return a copy of an error that was kept, which would hold on to all calls through which it is raised."""
    error = ModelFailed(*failure.args)
    error.__cause__ = failure.__cause__
    return error
