"""Any JAX model as a `phosphene.backend.Network`: a marked pure function, traced once per shape and run by the interpreter."""

from __future__ import annotations

import contextlib
import copy
import fnmatch
import hashlib
import logging
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
from phosphene.layers import OUTPUT, Layers
from phosphene.types import Array, Edit, Size, Tree
from phosphene_jax.adapters import Adapted, Calling, adapt
from phosphene_jax.adapters.adapted import is_floating
from phosphene_jax.attention import with_attention
from phosphene_jax.batch_axis import batched
from phosphene_jax.discovery import Found, Storage, discover, stacks_in
from phosphene_jax.interpreter import Taps, interpret

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
        self._calling = Calling(interface, name)
        self._adapted: Adapted = adapt(model, home, self._calling)
        self.name = name or self._adapted.name
        self.classes = None if classes is None else tuple(classes)
        with self._failing(home.shape):
            floating = [leaf for _, leaf in self._adapted.read() if is_floating(leaf)]
        own = {str(leaf.dtype) for leaf in floating}
        self.dtype = wanted or dtype_named(own.pop() if len(own) == 1 else "float32")
        own_devices = [next(iter(leaf.devices())) for leaf in floating if isinstance(leaf, jax.Array)]
        at = own_devices[0] if own_devices else jax.devices()[0]
        self._device = at if device is None else device_named(device)
        self._moves = device is not None and any(own_device != self._device for own_device in own_devices or [at])
        self.device = name_of(self._device)
        self._edits: Callable[[str, NDArray[Any]], NDArray[Any]] | None = None
        self._edited: tuple[Array, ...] | None = None
        self._fingerprint: tuple[list[weakref.ref[Any]], str] = ([], "")
        self._traces: dict[Any, Any] = {}
        self._found: dict[Size, Found] = {}
        found = self._at(input.size)
        self.layers: Layers = found.layers
        for path in interface.channel_axis:
            if not any(fnmatch.fnmatchcase(known.partition("#")[0], path) for known in found.storage):
                self.layers[path]  # raises with similar names if it is not a layer either
        for sentence in found.missed:
            warnings.warn(f"{self.name}: {sentence}.", CoverageWarning, stacklevel=4)
        for sentence in self._said_of(found):
            warnings.warn(f"{self.name} {sentence}", ModelWarning, stacklevel=4)
        stacks = stacks_in(self._trace(home.shape, self.weights()).jaxpr)
        if stacks:
            _log.info(
                "%s: %s are in a scan over stacked layers, which always runs to its end.",
                self.name,
                _listed(stacks),
            )

    def _said_of(self, found: Found) -> Iterator[str]:
        """Yield what the user should know about the model, as sentences that begin with its name."""
        if self._adapted.training:
            yield "is in training mode: it is read in evaluation mode, and its mode is not changed."
        if found.unsure:
            first = found.unsure[0]
            yield (
                f"does not determine the channel axis of {_listed(found.unsure)}: axis "
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

    def weights(self) -> Tree:
        if self._edits is not None:
            if self._edited is None:
                with self.scope():
                    self._edited = tuple(self._ready(path, leaf, self._edits) for path, leaf in self._adapted.read())
            return self._edited
        with self.scope():
            return tuple(self._ready(path, leaf, None) for path, leaf in self._adapted.read())

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
        for path in (*layers, *(edit or ())):
            self.layers[path]
        given = self.weights() if weights is None else weights
        storage = self._at((int(images.shape[1]), int(images.shape[2]))).storage
        edits = {path: _edit(path, change, storage[path]) for path, change in (edit or {}).items() if path in storage}
        taps = Taps(frozenset(layers), edits)
        traced = self._trace(tuple(images.shape), given)
        interpret(traced, [*given, self._normalised(images)], taps)
        missed = [path for path in layers if path not in taps.values or path not in storage]
        if missed:
            raise ModelFailed(f"{self.name} does not compute {' or '.join(missed)} for images of shape {images.shape}.")
        return {path: storage[path].read(taps.values[path]) for path in layers}

    def shapes(self, size: Size) -> Mapping[str, tuple[int, ...]]:
        return {path: layer.shape for path, layer in self._at((int(size[0]), int(size[1]))).layers.items()}

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        if self.dtype == "float64" and not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
            with jax.enable_x64(True):
                yield
        else:
            yield

    def fingerprint(self) -> str:
        leaves = self._adapted.read()
        values = [leaf for _, leaf in leaves] if self._edits is None else list(self.weights())
        # JAX arrays never change, so the same arrays have the same digest; NumPy arrays may change.
        fixed = all(isinstance(leaf, jax.Array) for leaf in values)
        known, text = self._fingerprint
        if not (fixed and len(known) == len(values) and all(a() is b for a, b in zip(known, values, strict=True))):
            text = _digest(zip((path for path, _ in leaves), values, strict=True))
            self._fingerprint = ([weakref.ref(leaf) for leaf in values] if fixed else [], text)
        return text

    def with_weights(self, f: Callable[[str, NDArray[Any]], NDArray[Any]]) -> JaxNetwork:
        before = self._edits

        def both(path: str, array: NDArray[Any]) -> NDArray[Any]:
            return f(path, array if before is None else before(path, array))

        # The layers are those of this network, so no second pass and no second warning.
        other = copy.copy(self)
        other._edits, other._edited = both, None
        return other

    def _ready(self, path: str, leaf: Any, edits: Callable[[str, NDArray[Any]], NDArray[Any]] | None) -> Array:
        if is_floating(leaf):
            if edits is not None:
                leaf = np.asarray(edits(path, np.asarray(leaf)))
            if str(leaf.dtype) != self.dtype or not isinstance(leaf, jax.Array):
                leaf = jnp.asarray(leaf, self.dtype)
        return jax.device_put(leaf, self._device) if self._moves or edits is not None else leaf

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
        adapted = getattr(self, "_adapted", None)
        given = f"images of shape {tuple(shape)} (N, H, W, C)"
        if adapted is not None and adapted.per_example:
            given = f"an image of shape {(shape[3], *shape[1:3])} (C, H, W)"
        try:
            yield
        except PhospheneError:
            raise
        except Exception as error:
            raise ModelFailed(
                f"{self.name} raised {type(error).__name__} on {given}: {error}. "
                "Check size and channels; a network with a fixed input size takes only that size."
            ) from error

    def _trace(self, shape: tuple[int, ...], weights: Sequence[Array]) -> Any:
        """Return the marked function for a shape, traced again if the shapes of the weights have changed."""
        key = (shape, tuple((leaf.shape, leaf.dtype) for leaf in weights))
        if key not in self._traces:
            abstract = [_abstract(*leaf) for leaf in key[1]]
            images = _abstract(shape, self.dtype)
            with self.scope(), self._failing(shape):
                if self._adapted.per_example:
                    one = self._trace_one((shape[3], *shape[1:3]), abstract, key[1])
                    self._traces[key] = batched(one, abstract, images)
                else:
                    closed = jax.make_jaxpr(self._adapted.call)(abstract, images)
                    self._traces[key] = with_attention(closed, count=shape[0])
        return self._traces[key]

    def _trace_one(self, shape: tuple[int, ...], weights: Sequence[Any], key: Any) -> Any:
        """Return the marked function of one image."""
        if (shape, key) not in self._traces:
            closed = jax.make_jaxpr(self._adapted.call)(list(weights), _abstract(shape, self.dtype))
            self._traces[shape, key] = with_attention(closed, count=None)
        return self._traces[shape, key]

    def _at(self, size: Size) -> Found:
        """Return the layers at an input size, found by abstract passes."""
        if size not in self._found:
            given = self.weights()
            shapes = [(count, *size, self.input.channels) for count in (1, 2)]
            weights = [_abstract(leaf.shape, leaf.dtype) for leaf in given]

            def evaluate(images: Array, paths: Sequence[str]) -> dict[str, Array]:
                traced = self._trace(tuple(images.shape), given)

                def read(weights: Sequence[Array], images: Array) -> dict[str, Array]:
                    taps = Taps(frozenset(paths))
                    interpret(traced, [*weights, images], taps)
                    return taps.values

                return dict(jax.jit(read)(given, images))

            with self.scope():
                self._found[size] = discover(
                    self._adapted,
                    self._interface,
                    [self._trace(shape, given) for shape in shapes],
                    [[*weights, _abstract(shape, self.dtype)] for shape in shapes],
                    evaluate,
                    name=self.name,
                )
        return self._found[size]

    def __repr__(self) -> str:
        height, width = self.input.size
        return f"{self.name} (jax, {self.device}, {self.dtype}), {height} x {width}, {len(self.layers)} layers"


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
