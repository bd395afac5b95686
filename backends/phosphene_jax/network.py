"""Any JAX model as a `phosphene.backend.Network`: a marked pure function, traced once a shape, read by the interpreter."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Backend, InputSpec, Interface
from phosphene.errors import CoverageWarning, InvalidParameter, ModelFailed, ModelWarning, PhospheneError
from phosphene.layers import OUTPUT, Layer, Layers
from phosphene.types import Array, Edit, Size, Tree
from phosphene_jax.adapters import Adapted, adapt
from phosphene_jax.adapters.adapted import is_floating
from phosphene_jax.interpreter import Taps, interpret

__all__ = ["JaxNetwork", "device_named", "dtype_named", "name_of"]

DTYPES = ("float32", "float64", "bfloat16", "float16")


class JaxNetwork:
    """See `phosphene.backend.Network`. Weights are arguments of everything that is compiled, so none is ever stale."""

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
        self._adapted: Adapted = adapt(model, home)
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
        self._traces: dict[Any, Any] = {}
        self._shapes: dict[Size, Layers] = {}
        if self._adapted.training:
            warnings.warn(
                f"{self.name} was in training mode: it is read in evaluation mode, and left as it was.",
                ModelWarning,
                stacklevel=4,
            )
        missed: dict[str, None] = {}
        self.layers: Layers = self._at(input.size, missed)
        for sentence in missed:
            warnings.warn(f"{self.name}: {sentence}.", CoverageWarning, stacklevel=4)
        if OUTPUT not in self.layers:
            warnings.warn(
                f"{self.name} does not return one array: which of its outputs is the logit is not known, so it has no layer "
                f"{OUTPUT!r}. Its other layers can be read.",
                ModelWarning,
                stacklevel=4,
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
    ) -> dict[str, Array]:
        for path in (*layers, *(edit or ())):
            self.layers[path]
        given = self.weights() if weights is None else weights
        taps = Taps(frozenset(layers), {path: _edit(path, change) for path, change in (edit or {}).items()})
        traced = self._trace(tuple(images.shape), given)
        interpret(traced, [*given, self._normalised(images)], taps)
        missed = [path for path in layers if path not in taps.values]
        if missed:
            raise ModelFailed(f"{self.name} does not compute {' or '.join(missed)} for images of shape {images.shape}.")
        return {path: taps.values[path] for path in layers}

    def shapes(self, size: Size) -> Mapping[str, tuple[int, ...]]:
        return {path: layer.shape for path, layer in self._at(size).items()}

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        if self.dtype == "float64" and not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
            with jax.enable_x64(True):
                yield
        else:
            yield

    def fingerprint(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        leaves = self._adapted.read()
        values = [leaf for _, leaf in leaves] if self._edits is None else list(self.weights())
        for path, leaf in sorted(zip([path for path, _ in leaves], values, strict=True), key=lambda pair: pair[0]):
            if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                array = np.ascontiguousarray(leaf)
                digest.update(f"{path}|{array.shape}|{array.dtype}".encode())
                digest.update(array.tobytes())
        return digest.hexdigest()

    def with_weights(self, f: Callable[[str, NDArray[Any]], NDArray[Any]]) -> JaxNetwork:
        before = self._edits

        def both(path: str, array: NDArray[Any]) -> NDArray[Any]:
            return f(path, array if before is None else before(path, array))

        # The layers are those of this network: no second pass, and no second warning.
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
        # Images come in float32 or better, also for a model in half precision: they are rounded once, as it takes them.
        wide = jnp.promote_types(jnp.promote_types(images.dtype, self.dtype), jnp.float32)
        scale, offset = self.input.affine()
        if not (np.all(scale == 1) and np.all(offset == 0)):
            images = images.astype(wide) * jnp.asarray(scale, wide) + jnp.asarray(offset, wide)
        return images.astype(self.dtype)

    @contextlib.contextmanager
    def _failing(self, shape: Sequence[int]) -> Iterator[None]:
        """What the model raises inside becomes `ModelFailed`."""
        try:
            yield
        except PhospheneError:
            raise
        except Exception as error:
            raise ModelFailed(
                f"{self.name} raised {type(error).__name__} on images of shape {tuple(shape)} (N, H, W, C): {error}. "
                "Check size and channels; a network with a fixed input size takes only that one."
            ) from error

    def _trace(self, shape: tuple[int, ...], weights: Sequence[Array]) -> Any:
        """The marked function at a shape, traced anew when the weights have other shapes than before."""
        key = (shape, tuple((leaf.shape, leaf.dtype) for leaf in weights))
        if key not in self._traces:
            abstract = [_abstract(*leaf) for leaf in key[1]]
            images = _abstract(shape, self.dtype)
            with self.scope(), self._failing(shape):
                self._traces[key] = jax.make_jaxpr(self._adapted.call)(abstract, images)
        return self._traces[key]

    def _at(self, size: Size, missed: dict[str, None] | None = None) -> Layers:
        """Layers at an input size, from an abstract pass; what cannot be reached is added to `missed`."""
        if size not in self._shapes:
            shape = (1, *size, self.input.channels)
            given = self.weights()
            traced = self._trace(shape, given)
            order: list[str] = []

            def read(weights: Sequence[Array], images: Array) -> dict[str, Array]:
                taps = Taps(None)
                interpret(traced, [*weights, images], taps)
                order.extend(taps.values)
                (missed if missed is not None else {}).update(taps.missed)
                return taps.values

            with self.scope():
                weights = [_abstract(leaf.shape, leaf.dtype) for leaf in given]
                shapes = jax.eval_shape(read, weights, _abstract(shape, self.dtype))
            if OUTPUT in order:
                order.remove(OUTPUT)
                order.append(OUTPUT)
            self._shapes[size] = Layers([self._layer(path, shapes[path].shape[1:]) for path in order], self.name)
        return self._shapes[size]

    def _layer(self, path: str, shape: tuple[int, ...]) -> Layer:
        module = path.partition("#")[0]
        if path == OUTPUT:
            return Layer(path, "Output", tuple(shape), self._adapted.parameters.get("", 0))
        return Layer(
            path, self._adapted.kinds.get(module, "Mark"), tuple(shape), self._adapted.parameters.get(module, 0)
        )

    def __repr__(self) -> str:
        height, width = self.input.size
        return f"{self.name} (jax, {self.device}, {self.dtype}), {height} x {width}, {len(self.layers)} layers"


def device_named(name: str) -> Any:
    """A device of this machine, or `InvalidParameter`."""
    platform, _, index = name.partition(":")
    try:
        return {device.id: device for device in jax.local_devices(backend=platform)}[int(index or 0)]
    except (RuntimeError, KeyError, ValueError) as error:
        devices = [*jax.local_devices(), *jax.local_devices(backend="cpu")]
        allowed = " or ".join(dict.fromkeys(repr(name_of(device)) for device in devices))
        raise InvalidParameter("device", allowed=allowed, received=name, fix="This machine has no other.") from error


def name_of(device: Any) -> str:
    """``"cpu"``, ``"gpu:0"``: a name that `device_named` takes."""
    return "cpu" if device.platform == "cpu" and device.id == 0 else f"{device.platform}:{device.id}"


def dtype_named(name: str) -> str:
    """A floating dtype, or `InvalidParameter`."""
    if name not in DTYPES:
        raise InvalidParameter("dtype", allowed=" or ".join(map(repr, DTYPES)), received=name, fix="float32 is usual.")
    return name


def _abstract(shape: tuple[int, ...], dtype: Any) -> Any:
    return jax.ShapeDtypeStruct(shape, dtype)  # type: ignore[no-untyped-call]


def _edit(path: str, change: Edit) -> Callable[[Array], Array]:
    def edit(value: Array) -> Array:
        changed = change(jnp, value)
        if jnp.shape(changed) != value.shape:
            raise InvalidParameter(
                f"edit[{path!r}]", allowed=f"an activation of shape {value.shape}", received=jnp.shape(changed),
                fix="An edit keeps the shape of the activation that it is given.",
            )  # fmt: skip
        return jnp.asarray(changed, value.dtype)

    return edit
