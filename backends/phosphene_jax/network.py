"""Any JAX model as a `phosphene.backend.Network`: a marked pure function, traced once per shape and run by the interpreter.

Wrapping traces the model for one image and for two, without numbers. Whether it draws random numbers, and whether it mixes the
images of a batch, is read from the traces (`phosphene_jax.influence`); numbers are computed only where those leave a doubt.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import logging
import traceback
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Backend, InputSpec, Interface, Network
from phosphene.errors import CoverageWarning, InvalidParameter, ModelFailed, ModelWarning, PhospheneError
from phosphene.failures import concerns_shapes, model_failed
from phosphene.findings import Findings
from phosphene.interface import pair_of
from phosphene.layers import OUTPUT, Layers
from phosphene.types import Array, Edit, Size, Tree
from phosphene_jax.adapters import Adapted, Calling, adapt
from phosphene_jax.adapters.adapted import is_floating
from phosphene_jax.attention import with_attention
from phosphene_jax.batch_axis import batched
from phosphene_jax.discovery import Found, Storage, discover, stacks_in
from phosphene_jax.influence import draws_numbers, reached_by
from phosphene_jax.interpreter import Taps, interpret
from phosphene_jax.paths import is_part, module_of

__all__ = ["JaxNetwork", "device_named", "dtype_named", "name_of"]

DTYPES = ("float32", "float64", "bfloat16", "float16")

_log = logging.getLogger("phosphene")


class JaxNetwork(Network):
    """See `phosphene.backend.Network`. Weights are arguments of all compiled functions, so they are never stale."""

    def __init__(
        self,
        backend: Backend,
        model: Any,
        *,
        input: InputSpec,
        interface: Interface,
        classes: Sequence[str] | None = None,
        device: str | None = None,
        dtype: str | None = None,
        name: str | None = None,
    ) -> None:
        self.backend: Backend = backend
        self.input, self.model, self._interface = input, model, interface
        wanted = None if dtype is None else dtype_named(dtype)
        home = _abstract((1, *input.size, input.channels), "float32")
        self._calling, self._keyed = Calling(interface, name), False
        self._adapted: Adapted = adapt(model, home, self._calling)
        self.name = name or self._adapted.name
        self.classes = None if classes is None else tuple(classes)
        with self._failing(home.shape):
            leaves = [leaf for _, leaf in self._adapted.read()]
            if self._called_in_vain():
                leaves = [leaf for _, leaf in self._adapted.read()]
        if self._calling.failure is not None:
            raise self._failed(self._calling.failure, home.shape)
        floating = [leaf for leaf in leaves if is_floating(leaf)]
        own = {str(leaf.dtype) for leaf in floating}
        self.dtype = wanted or dtype_named(own.pop() if len(own) == 1 else "float32")
        own_devices = [next(iter(leaf.devices())) for leaf in floating if isinstance(leaf, jax.Array)]
        at = own_devices[0] if own_devices else jax.devices()[0]
        self._device = at if device is None else device_named(device)
        self._moves = device is not None and any(own_device != self._device for own_device in own_devices or [at])
        self.device = name_of(self._device)
        self._edits: tuple[Callable[[str, NDArray[Any]], NDArray[Any]], ...] = ()
        self._edited: tuple[Array, ...] | None = None
        self._fingerprint: tuple[list[weakref.ref[Any]], str] = ([], "")
        self._traces: dict[Any, Any] = {}
        self._failures: dict[Any, ModelFailed] = {}
        self._found: dict[Size, Found] = {}
        self._random = self._draws(home.shape)
        found = self._at(input.size, probe=True)
        self.layers: Layers = found.layers
        for path in interface.channel_axis:
            if not any(fnmatch.fnmatchcase(module_of(known), path) for known in found.storage):
                self.layers[path]  # raises with similar names if it is not a layer either
        for sentence in found.missed:
            warnings.warn(f"{self.name}: {sentence}.", CoverageWarning, stacklevel=4)
        for sentence in self._said_of(found):
            warnings.warn(f"{self.name} {sentence}", ModelWarning, stacklevel=4)
        notes = [f"{sentence}." for sentence in found.missed]
        stacks = stacks_in(self._trace(home.shape, self.weights()).jaxpr)
        if stacks:
            notes.append(f"{_listed(stacks)} are in a scan over stacked layers, which always runs to its end.")
            _log.info("%s: %s", self.name, notes[-1])
        self.findings = Findings(
            training=self._adapted.training,
            mixes_images=bool(found.mixed),
            random=self._random,
            guessed=found.unsure,
            unread=found.unread,
            notes=tuple(notes),
        )

    def _draws(self, shape: tuple[int, ...]) -> bool:
        """Whether a layer depends on random numbers that the model draws."""
        given = self.weights()
        self._random = False
        # Functions that generate none need no second trace.
        if not draws_numbers(self._trace(shape, given).jaxpr):
            return False
        self._traces.clear()
        self._random = True
        drawn = bool(reached_by(self._trace(shape, given), len(given)))
        if not drawn:
            self._traces.clear()
        return drawn

    def _called_in_vain(self) -> bool:
        """Whether the model failed, and may not if it is given a key of random numbers, as it is from then on."""
        if self._calling.failure is None or self._keyed or not self._calling.optional:
            return False
        self._calling.failure, self._calling.keyed, self._keyed = None, True, True
        return True

    def _said_of(self, found: Found) -> Iterator[str]:
        """Yield what the user should know about the model, as sentences that begin with its name."""
        if self._adapted.training and not (found.mixed or self._random):
            yield "is in training mode: it is read in evaluation mode, and its mode is not changed."
        if found.mixed:
            yield (
                f"mixes the images of a batch: {_listed(found.mixed)} of one image changes with the others, as in training mode, "
                f"so results depend on which images are computed together.{'' if self._random else f' {self._calling.switch}'}"
            )
        if self._random:
            yield (
                "draws random numbers, also in evaluation mode: equal seeds give equal results, and each step of a rendering draws "
                f"anew. If it should not, it is in training mode. {self._calling.switch}"
            )
        unsure = [path for path in found.unsure if not is_part(path)]
        if unsure:
            first = unsure[0]
            yield (
                f"does not determine the channel axis of {_listed(unsure)}: axis "
                f"{found.layers[first].channel_axis} of {first!r} is a guess. State it with "
                f"ph.wrap(..., channel_axis={{{first!r}: ...}}), by path or glob, counting the batch axis."
            )
        if found.loose:
            yield (
                f"has no row for each image in {_listed(found.loose)}, which cannot be read as layers. The model may mix images, "
                "or compute something that does not depend on them."
            )
        if OUTPUT not in found.layers and OUTPUT not in found.loose:
            returns = self._calling.returns or "no array of floats"
            yield (
                f"returns {returns}: the part that is the output is ambiguous, so there is no layer {OUTPUT!r}. Name it with "
                "ph.wrap(..., output=...), as a key, an index, or a function of the return value. All other layers can be read."
            )
        if not any(module_of(path) != OUTPUT for path in found.layers):
            reason = "; ".join(found.missed) or self._adapted.opaque
            yield f"has no inner layer that could be read, because {reason}. Only what it returns can be read."

    def weights(self) -> Tree:
        if self._edited is not None:
            return self._edited
        with self.scope():
            ready = tuple(self._ready(path, leaf) for path, leaf in self._adapted.read())
        if self._edits:
            self._edited = ready
        return ready

    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {path: tuple(leaf.shape) for path, leaf in self._adapted.read()}

    def forward(
        self,
        images: Array,
        layers: Sequence[str],
        *,
        weights: Tree = None,
        edit: Mapping[str, Edit] | None = None,
        draw: Array | None = None,
    ) -> dict[str, Array]:
        asked = {path: self.layers[path].path for path in layers}
        layers = list(dict.fromkeys(asked.values()))
        edit = {self.layers[path].path: change for path, change in (edit or {}).items()}
        given = self.weights() if weights is None else weights
        storage = self._at((int(images.shape[1]), int(images.shape[2]))).storage
        arguments = [*self._seeded(given, draw), self._normalised(images)]
        edits = {path: _edit(path, change, storage[path]) for path, change in edit.items() if path in storage}
        taps = Taps(frozenset(layers), edits)
        traced = self._trace(tuple(images.shape), given)
        interpret(traced, arguments, taps)
        missed = [path for path in layers if path not in taps.values or path not in storage]
        if missed:
            raise self._beyond(tuple(images.shape), missed)
        return {path: storage[known].read(taps.values[known]) for path, known in asked.items()}

    def shapes(self, size: Size) -> Mapping[str, tuple[int, ...]]:
        height, width = pair_of("size", size)
        layers = self._at((height, width)).layers
        return _Reached(
            {path: layer.shape for path, layer in layers.items()},
            lambda path: self._beyond((1, height, width, self.input.channels), [self.layers[path].path]),
        )

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        if self.dtype == "float64" and not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
            with jax.enable_x64(True):
                yield
        else:
            yield

    def fingerprint(self) -> str:
        leaves = self._adapted.read()
        values = list(self.weights()) if self._edits else [leaf for _, leaf in leaves]
        # JAX arrays never change, so the same arrays have the same digest; NumPy arrays may change.
        fixed = all(isinstance(leaf, jax.Array) for leaf in values)
        known, text = self._fingerprint
        if not (fixed and len(known) == len(values) and all(a() is b for a, b in zip(known, values, strict=True))):
            text = _digest(zip((path for path, _ in leaves), values, strict=True))
            self._fingerprint = ([weakref.ref(leaf) for leaf in values] if fixed else [], text)
        return text

    def with_weights(self, f: Callable[[str, NDArray[Any]], NDArray[Any]]) -> JaxNetwork:
        # The layers are those of this network, so no second pass and no second warning.
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._edits, other._edited = (*self._edits, f), None
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Everything but what can be made again: traces, functions of the model, and devices."""
        made = ("_adapted", "_calling", "_device", "_traces", "_failures", "_fingerprint", "_edited")
        return {key: value for key, value in self.__dict__.items() if key not in made} | {
            "_stated_name": self._calling.name
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._calling = Calling(state["_interface"], state.pop("_stated_name"))
        self.__dict__.update(state)
        self._calling.keyed = self._keyed
        self._adapted = adapt(
            self.model, _abstract((1, *self.input.size, self.input.channels), "float32"), self._calling
        )
        self._device, self._fingerprint, self._edited = device_named(self.device), ([], ""), None
        self._traces, self._failures = {}, {}

    def _ready(self, path: str, leaf: Any) -> Array:
        if is_floating(leaf):
            for edit in self._edits:
                leaf = np.asarray(edit(path, np.asarray(leaf)))
            if str(leaf.dtype) != self.dtype or not isinstance(leaf, jax.Array):
                leaf = jnp.asarray(leaf, self.dtype)
        return jax.device_put(leaf, self._device) if self._moves or self._edits else leaf

    def _seeded(self, weights: Sequence[Any], draw: Array | None) -> list[Any]:
        """The arguments of a trace in front of the images: weights, and for a model that draws random numbers their seed."""
        if not self._random:
            return list(weights)
        return [*weights, jnp.uint32(0) if draw is None else jnp.asarray(draw).astype(jnp.uint32)]

    def _normalised(self, images: Array) -> Array:
        # Images are in float32 or float64, also for a model in half precision, and are rounded only once.
        wide = jnp.promote_types(jnp.promote_types(images.dtype, self.dtype), jnp.float32)
        scale, offset = self.input.affine()
        if not (np.all(scale == 1) and np.all(offset == 0)):
            images = images.astype(wide) * jnp.asarray(scale, wide) + jnp.asarray(offset, wide)
        return images.astype(self.dtype)

    @contextlib.contextmanager
    def _failing(self, shape: Sequence[int]) -> Iterator[None]:
        """A context in which exceptions of the model become `ModelFailed`."""
        try:
            yield
        except PhospheneError:
            raise
        except Exception as error:
            raise self._failed(error, shape) from error

    def _failed(self, error: Exception, shape: Sequence[int]) -> ModelFailed:
        """The error for an exception that the model raised on images of a shape, of which no values are kept alive."""
        given = f"images of shape {tuple(shape)} (N, H, W, C)"
        if self._adapted.per_example:
            given = f"an image of shape {(shape[3], *shape[1:3])} (C, H, W)"
        failed = model_failed(self.name, error, doing=f"on {given}", advice=self._advice(error))
        traceback.clear_frames(error.__traceback__)
        failed.__cause__ = error
        return failed

    def _advice(self, error: Exception) -> str:
        known = self._adapted.advice(error)
        if known:
            return known
        if any(word in str(error) for word in ("unbound axis name", "is immutable")):
            return f"It updates statistics of a batch, as in training mode. {self._calling.switch}"
        if type(error).__name__ in (
            "TracerBoolConversionError",
            "ConcretizationTypeError",
            "TracerArrayConversionError",
        ):
            return "The model is traced without numbers, so its course may not depend on values: use jnp.where or jax.lax.cond."
        if concerns_shapes(error) or "Shape" in type(error).__name__:
            return "Check size and channels; a network with a fixed input size takes only that size."
        return ""

    def _beyond(self, shape: tuple[int, ...], paths: Sequence[str]) -> ModelFailed:
        """The error for layers that are not computed for images of a shape: what the model raised before them, if it failed."""
        sizes = {key[0] for key in self._failures}
        failed = next((error for key, error in self._failures.items() if key[0] == shape), None)
        failed = failed or next((self._failures[key] for key in self._failures if key[0][1:3] == shape[1:3]), None)
        which = " or ".join(paths)
        if failed is None or not sizes:
            return ModelFailed(f"{self.name} does not compute {which} for images of shape {shape}.")
        error = ModelFailed(f"{failed} This is before {which}; layers in front of it can be read at this size.")
        error.__cause__ = failed.__cause__
        return error

    def _trace(self, shape: tuple[int, ...], weights: Sequence[Array]) -> Any:
        """Return the marked function for a shape, traced again if the shapes of the weights have changed.

        If the model raises an exception, the function ends there. At the native size it is an error.
        """
        key = (shape, tuple((leaf.shape, leaf.dtype) for leaf in weights))
        if key not in self._traces:
            abstract = [_abstract(leaf.shape, leaf.dtype) for leaf in self._seeded(weights, None)]
            images = _abstract(shape, self.dtype)
            with self.scope(), self._failing(shape):
                if self._adapted.per_example:
                    one = self._trace_one((shape[3], *shape[1:3]), abstract, key[1])
                    self._traces[key] = batched(one, abstract, images)
                else:
                    self._traces[key] = with_attention(self._marked(abstract, images, shape, key[1]), count=shape[0])
        return self._traces[key]

    def _trace_one(self, shape: tuple[int, ...], arguments: Sequence[Any], key: Any) -> Any:
        """Return the marked function of one image."""
        if (shape, key) not in self._traces:
            image = _abstract(shape, self.dtype)
            closed = self._marked(arguments, image, (1, *shape[1:], shape[0]), key)
            self._traces[shape, key] = with_attention(closed, count=None)
        return self._traces[shape, key]

    def _marked(self, arguments: Sequence[Any], images: Any, shape: tuple[int, ...], key: Any) -> Any:
        """Trace the model; if it fails at a size other than its own, the exception is kept."""

        def called(leaves: Sequence[Array], images: Array) -> Array | None:
            weights, draw = (leaves[:-1], leaves[-1]) if self._random else (leaves, None)
            return self._adapted.call(weights, images, draw)

        self._calling.failure = None
        closed = jax.make_jaxpr(called)(list(arguments), images)
        if self._called_in_vain():
            return self._marked(arguments, images, shape, key)
        if self._calling.failure is not None:
            failed = self._failed(self._calling.failure, shape)
            self._calling.failure = None
            if shape[1:3] == self.input.size:
                raise failed
            self._failures[shape, key] = failed
        return closed

    def _at(self, size: Size, *, probe: bool = False) -> Found:
        """Return the layers at an input size, found by abstract passes."""
        if size not in self._found:
            given = self.weights()
            shapes = [(count, *size, self.input.channels) for count in (1, 2)]
            arguments = self._seeded(given, None)
            weights = [_abstract(leaf.shape, leaf.dtype) for leaf in arguments]

            def evaluate(batches: Sequence[Array], paths: Sequence[str]) -> list[dict[str, Array]]:
                traced = self._trace(tuple(batches[0].shape), given)

                def read(weights: Sequence[Array], images: Array) -> dict[str, Array]:
                    taps = Taps(frozenset(paths))
                    interpret(traced, [*weights, images], taps)
                    return taps.values

                program = jax.jit(read)
                return [dict(program(arguments, images)) for images in batches]

            with self.scope():
                found = discover(
                    self._adapted,
                    self._interface,
                    [self._trace(shape, given) for shape in shapes],
                    [[*weights, _abstract(shape, self.dtype)] for shape in shapes],
                    evaluate,
                    name=self.name,
                    probe=(lambda: self._trace((4, *shapes[0][1:]), given)) if probe else None,
                )
            if not found.layers:
                failed = [error for key, error in self._failures.items() if key[0][1:3] == size]
                if failed:
                    raise self._beyond(shapes[0], ["all layers"])
            self._found[size] = found
        return self._found[size]

    def __repr__(self) -> str:
        height, width = self.input.size
        return f"{self.name} (jax, {self.device}, {self.dtype}), {height} x {width}, {len(self.layers)} layers"


class _Reached(dict[str, tuple[int, ...]]):
    """Shapes of the layers that are computed at a size; any other is an error that says why it is not."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], beyond: Callable[[str], Exception]) -> None:
        super().__init__(shapes)
        self._beyond = beyond

    def __missing__(self, path: str) -> tuple[int, ...]:
        raise self._beyond(path)


def device_named(name: str) -> Any:
    """Return a device of this machine; raise `InvalidParameter` if there is none of that name."""
    platform, _, index = name.partition(":")
    try:
        return {device.id: device for device in jax.local_devices(backend=platform)}[int(index or 0)]
    except (RuntimeError, KeyError, ValueError) as error:
        devices = [*jax.local_devices(), *jax.local_devices(backend="cpu")]
        allowed = " or ".join(dict.fromkeys(repr(name_of(device)) for device in devices))
        raise InvalidParameter(
            "device", allowed=allowed, received=name, fix="These are the devices of this machine."
        ) from error


def name_of(device: Any) -> str:
    """Return the name of a device as `device_named` takes it: ``"cpu"``, ``"gpu:0"``."""
    return "cpu" if device.platform == "cpu" and device.id == 0 else f"{device.platform}:{device.id}"


def dtype_named(name: str) -> str:
    """Return a floating dtype; raise `InvalidParameter` for another name."""
    if name not in DTYPES:
        raise InvalidParameter(
            "dtype", allowed=" or ".join(map(repr, DTYPES)), received=name, fix="For example dtype='float32'."
        )
    return name


def _digest(leaves: Iterable[tuple[str, Any]]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path, leaf in sorted(leaves, key=lambda pair: pair[0]):
        if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            array = np.ascontiguousarray(leaf)
            digest.update(f"{path}|{array.shape}|{array.dtype}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def _abstract(shape: tuple[int, ...], dtype: Any) -> Any:
    return jax.ShapeDtypeStruct(shape, dtype)  # type: ignore[no-untyped-call]


def _listed(paths: Sequence[str], most: int = 5) -> str:
    rest = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(map(repr, paths[:most])) + rest


def _edit(path: str, change: Edit, storage: Storage) -> Callable[[Array], Array]:
    def edit(native: Array) -> Array:
        value = storage.read(native)
        changed = change(jnp, value)
        if jnp.shape(changed) != value.shape:
            raise InvalidParameter(
                f"edit[{path!r}]",
                allowed=f"an activation of shape {value.shape}",
                received=jnp.shape(changed),
                fix="An edit must keep the shape of the activation.",
            )
        return storage.native(jnp.asarray(changed, value.dtype))

    return edit
