"""The contract of `phosphene.backend`, fulfilled with NumPy's arrays and autograd's transformations."""

from __future__ import annotations

import copy
import hashlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import autograd.numpy as xp
import numpy as np
from autograd import builtins
from autograd.core import make_jvp, make_vjp
from autograd.extend import Box, defjvp, defvjp, primitive
from autograd.tracer import getval

from phosphene.arrays import tree_leaves, tree_map
from phosphene.backend import Backend, InputSpec, Interface, Network, Rule
from phosphene.errors import InvalidParameter, ModelFailed
from phosphene.interface import pair_of
from phosphene.layers import OUTPUT, Layer, Layers
from phosphene.types import Array, Edit, Floats, Namespace, Size, Tree

defjvp(xp.astype, lambda g, ans, x, dtype: xp.astype(g, dtype))  # the one that autograd lacks

_rectifiers: list[Callable[[Array], Array]] = [lambda x: x * (x > 0)]


def relu(x: Array) -> Array:
    """``max(x, 0)``, or what a backward rule has put in its place."""
    return _rectifiers[-1](x)


def convolution(x: Array, kernel: Array, *, stride: int = 1, pad: int = 0) -> Array:
    """Of images ``(N, H, W, I)`` with a kernel ``(h, w, I, O)``: a sum of shifted images, each times a matrix."""
    x = xp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), "constant")
    down, right = x.shape[1] - kernel.shape[0] + 1, x.shape[2] - kernel.shape[1] + 1
    places = np.ndindex(kernel.shape[:2])
    return sum(x[:, i : i + down : stride, j : j + right : stride] @ kernel[i, j] for i, j in places)


@dataclass(eq=False)
class Model:
    """A network written as a generator: ``x = yield "conv", convolution(x, weights["conv.kernel"])``.

    Each ``yield`` hands out the path and the activation of a layer, and the network goes on with what it is sent. So a layer can
    be read, be edited, or be the last that is computed, without the network's knowing. What it returns is its output.
    """

    function: Callable[[Mapping[str, Array], Array], Generator[tuple[str, Array], Array, Array]]
    weights: dict[str, Floats]


class ReferenceNetwork(Network):
    """See `phosphene.backend.Network`."""

    def __init__(self, backend: Backend, model: Model, input: InputSpec, classes: Any, dtype: str, name: Any) -> None:
        self.backend, self.model, self.input, self.device, self.dtype = backend, model, input, "cpu", dtype
        self.name = name or model.function.__name__
        self.classes = None if classes is None else tuple(classes)
        self.layers = Layers((self._layer(*found) for found in self.shapes(input.size).items()), self.name)

    def _layer(self, path: str, shape: tuple[int, ...]) -> Layer:
        own = (v.size for key, v in self.model.weights.items() if key.startswith(f"{path}.") or path == OUTPUT)
        return Layer(path, "Mark", shape, sum(own))

    def weights(self) -> dict[str, Floats]:
        return {path: value.astype(self.dtype) for path, value in self.model.weights.items()}

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        return {path: value.shape for path, value in self.model.weights.items()}

    def forward(self, images: Array, layers: Sequence[str], *, weights: Tree = None, edit: Any = None, **_: Any) -> Any:
        edit, seen = {self.layers[path].path: f for path, f in (edit or {}).items()}, {}
        wanted = {self.layers[path].path for path in layers}  # an error, for a path that is unknown
        for path, value in self._activations(images, weights or self.weights(), edit):
            seen[path] = value
            if seen.keys() >= wanted:  # nothing that comes after is computed
                break
        return {path: seen[path] for path in layers}

    def _activations(self, images: Array, weights: Tree, edit: Mapping[str, Edit]) -> Iterator[tuple[str, Array]]:
        scale, offset = self.input.affine()
        running, path, value = self.model.function(weights, xp.astype(images * scale + offset, self.dtype)), "", None
        while path != OUTPUT:
            try:
                path, value = running.send(value)
            except StopIteration as end:
                path, value = OUTPUT, end.value
            value = edit[path](xp, value) if path in edit else value
            yield path, value

    def shapes(self, size: Size) -> dict[str, tuple[int, ...]]:
        grey = np.full((1, *pair_of("size", size), self.input.channels), 0.5)
        try:
            return {path: value.shape[1:] for path, value in self._activations(grey, self.weights(), {})}
        except Exception as error:
            raise ModelFailed(f"{self.name} failed on images of {size}: {error}. Check size and channels.") from error

    def fingerprint(self) -> str:
        parts = [f"{path}{value.shape}".encode() + value.tobytes() for path, value in self.model.weights.items()]
        return hashlib.blake2b(b"".join(parts), digest_size=16).hexdigest()

    def with_weights(self, f: Callable[[str, Floats], Floats]) -> ReferenceNetwork:
        other = copy.copy(self)
        other.model = Model(self.model.function, {path: f(path, value) for path, value in self.model.weights.items()})
        return other


class ReferenceBackend(Backend):
    """See `phosphene.backend.Backend`; what is not here is its default."""

    name = "numpy-reference"
    xp: Namespace = xp

    def owns(self, model: object) -> bool:
        return isinstance(model, Model)

    def wrap(self, model: Model, *, input: InputSpec, interface: Any = None, **given: Any) -> ReferenceNetwork:
        dtype = given["dtype"] or str(np.result_type(np.float32, *model.weights.values()))
        for parameter, value in vars(interface or Interface()).items():
            _only(parameter, value, None, {})
        _only("device", given["device"] or "cpu", "cpu")
        _only("dtype", dtype, "float32", "float64")
        return ReferenceNetwork(self, model, input, given["classes"], dtype, given["name"])

    def build(self, architecture: Any, weights: Mapping[str, Floats]) -> Model:
        from reference_backend.specimen import build

        return build(architecture, weights)

    def is_array(self, value: object) -> bool:
        return isinstance(value, np.ndarray | Box)

    def from_numpy(self, array: Floats, *, device: str, dtype: str) -> Floats:
        return np.array(array, dtype if np.issubdtype(np.asarray(array).dtype, np.floating) else None)

    def to_numpy(self, array: Array, *, copy: bool = True) -> Floats:
        return np.array(array, copy=copy or None)

    def grad(self, f: Callable[[Tree], tuple[Array, Tree]]) -> Callable[[Tree], tuple[Tree, Tree]]:
        def gradient(tree: Tree) -> tuple[Tree, Tree]:
            kept: list[Tree] = []

            def scalar(leaves: Sequence[Array]) -> Array:
                value, aux = f(_filled(tree, leaves))
                kept.append(tree_map(getval, aux))
                return value

            leaves = tuple(tree_leaves(tree))
            back, value = make_vjp(scalar, leaves)
            slopes = [slope.astype(leaf.dtype) for slope, leaf in zip(back(np.ones_like(value)), leaves, strict=True)]
            return _filled(tree, slopes), kept[0]

        return gradient

    def jvp(self, f: Callable[[Array], Tree]) -> Callable[[Array, Array], tuple[Tree, Tree]]:
        def derivative(x: Array, tangent: Array) -> tuple[Tree, Tree]:
            kept: list[Tree] = []

            def flat(x: Array) -> Any:
                kept.append(f(x))
                return builtins.tuple(tree_leaves(kept[0]))

            change = make_jvp(flat, x)(tangent)[1]
            return tree_map(getval, kept[0]), _filled(kept[0], change)

        return derivative

    def with_rule(self, rule: Rule, f: Callable[[Array], Tree]) -> Callable[[Array, Array], Tree]:
        ruled = primitive(lambda x, gate: _rectifiers[0](x))
        defvjp(ruled, *(lambda ans, x, gate, k=k: lambda g: rule(xp, x, g.astype(x.dtype), gate)[k] for k in (0, 1)))
        return lambda x, gate: _rectified(lambda y: ruled(y, gate), f, x)

    def nonlinearities(self, f: Callable[[Array], Tree], x: Array) -> dict[str, int]:
        seen: Counter[str] = Counter()
        _rectified(lambda y: seen.update(relu=1) or _rectifiers[0](y), f, x)
        return dict(seen)


def _rectified(rectifier: Callable[[Array], Array], f: Callable[[Array], Tree], x: Array) -> Tree:
    """``f(x)`` with another function in the place of `relu`."""
    _rectifiers.append(rectifier)
    try:
        return f(x)
    finally:
        _rectifiers.pop()


def _filled(tree: Tree, leaves: Any) -> Tree:
    """A tree of the same structure with other leaves."""
    rest = iter(leaves)
    return tree_map(lambda _: next(rest), tree)


def _only(parameter: str, value: object, *known: object) -> None:
    if value not in known:
        raise InvalidParameter(parameter, allowed=" or ".join(map(repr, known)), received=value, fix="Leave it out.")
