"""The contract between core and a framework: two protocols, and a registry of the backends.

A `Backend` supplies what no array standard covers: differentiation, a compiled loop, resampling, backward rules. A `Network`
is a user's model whose layers can be read, edited and differentiated; the model itself is not changed. Everything else in
phosphene is written once, in terms of these two and an array-API namespace ``xp``.

A third party adds a framework by naming an instance of `Backend` in the entry-point group ``phosphene.backends``;
``docs/backends.md`` is the guide.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import operator
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from phosphene.arrays import tree_leaves, tree_map
from phosphene.errors import InvalidParameter, MissingBackend, UnknownModel
from phosphene.findings import Findings, Report
from phosphene.interface import InputSpec, Interface
from phosphene.layers import OUTPUT, Layers
from phosphene.rules import Rectifier
from phosphene.types import Array, Edit, Namespace, Size, Tree
from phosphene.warps import warp

__all__ = [
    "Backend",
    "InputSpec",
    "Interface",
    "Network",
    "Rule",
    "backend_for",
    "backend_named",
    "backend_names",
    "native",
]

GROUP = "phosphene.backends"
"""The entry-point group in which backends are registered."""

_BUILT_IN = {"torch": "phosphene_torch:backend", "jax": "phosphene_jax:backend"}


class Rule(Protocol):
    """A backward rule for rectified linear units, written once over `xp`; hashable and compared by value.

    ``rule(xp, x, g, gate, rectifier) -> (gradient, used)`` with `x` the pre-activation and `g` the incoming gradient, both
    channel-last ``(N, ..., C)``, `gate` ``(N,)``, 1 for images to which the rule may be applied, and `rectifier` the
    `phosphene.rules.Rectifier`, which tells its ceiling and its own gradient. `used` ``(N,)`` is 1 for images to which the rule was
    applied and 0 for the others.

    A rule may leave out the last argument: a unit with a ceiling then has its own gradient at the ceiling. A rule with the
    attribute ``by_row = False`` looks at each value alone, and is also given arrays whose axes are in another order or whose first
    axis does not consist of images.
    """

    def __call__(
        self, xp: Namespace, x: Array, g: Array, gate: Array, rectifier: Rectifier = ...
    ) -> tuple[Array, Array]: ...


@runtime_checkable
class Network(Protocol):
    """A user's model whose layers can be read, edited and differentiated; the model itself is not changed.

    Attributes
    ----------
    name : str
        For messages and titles.
    backend : Backend
        The backend that runs the model.
    input : InputSpec
        Size, channels and normalisation of its images.
    classes : tuple of str, or None
        Names of its outputs, if known.
    device, dtype : str
        Device and precision of the computation: ``"cpu"``, ``"cuda:0"``; ``"float32"``, ``"float64"``, ``"bfloat16"``.
    layers : Layers
        All layers that can be read, in forward order; the last is `phosphene.layers.OUTPUT`, the return value of the model. The
        attribute must be assignable: `phosphene.wrap` adds the meaning of the tokens to the layers.
    findings : Findings
        What was found about the model when it was wrapped. Default: nothing of note.
    """

    name: str
    backend: Backend
    input: InputSpec
    classes: tuple[str, ...] | None
    device: str
    dtype: str
    layers: Layers
    findings: Findings = Findings()

    def weights(self) -> Tree:
        """Return the current weights, in `dtype` and on `device`, for `forward`; they may share memory with the model."""
        ...

    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return the paths and shapes of all weights, in the order of the model."""
        ...

    def forward(
        self,
        images: Array,
        layers: Sequence[str],
        *,
        weights: Tree = None,
        edit: Mapping[str, Edit] | None = None,
        draw: Array | None = None,
    ) -> dict[str, Array]:
        """Compute the activations of layers; traceable and differentiable. Nothing after the last layer is computed.

        Parameters
        ----------
        images : Array (N, H, W, C)
            In [0, 1]; mean, std and range are applied here.
        layers : sequence of str
            Paths of the layers.
        weights : Tree, optional
            Weights as returned by `weights` (default: the current ones).
        edit : mapping of str to Edit, optional
            ``{path: f}``: replace the activation at `path` by ``f(xp, activation)`` (channel-last) during the forward pass.
        draw : Array (), optional
            Integer that seeds the random numbers of a model that draws them in evaluation mode (`Findings.random`); equal ones
            give equal activations (default: 0). It has no effect on other models.

        Returns
        -------
        dict of str to Array
            Channel-last: ``(N, H, W, C)``, ``(N, T, C)`` or ``(N, C)``; in the order of `layers`.
        """
        ...

    def shapes(self, size: Size) -> Mapping[str, tuple[int, ...]]:
        """Return the channel-last shapes of all layers, without the batch axis, for images of `size`.

        Raises
        ------
        ModelFailed
            When the model fails on images of that size.
        """
        ...

    def scope(self) -> AbstractContextManager[None]:
        """Return a context in which the model is in evaluation mode and arrays of `dtype` can be made; it may be nested.

        On leaving, the mode of every submodule is restored, also after an exception. Default: nothing to do.
        """
        return nullcontext()

    def fingerprint(self) -> str:
        """Return a hexadecimal hash of the names, shapes and values of the current weights."""
        ...

    def with_weights(self, f: Callable[[str, NDArray[Any]], NDArray[Any]]) -> Network:
        """Return a network with the weights ``f(path, array)``; the user's model is not changed."""
        ...

    def report(self) -> Report:
        """Return what was found about the model: mode, layout, guesses, what cannot be read, what backward rules reach."""
        return _reported(self)


@runtime_checkable
class Backend(Protocol):
    """What a framework supplies.

    `name`, `xp` and the methods up to `grad` are required. The others have defaults that a subclass inherits: a correct but slow
    implementation, or an error that says what the backend does not offer.

    Attributes
    ----------
    name : str
        The name of its entry point: ``"torch"``, ``"jax"``.
    xp : module
        The array-API namespace of the framework.
    compiled : bool, default False
        Whether `run` and `loop` compile for each new shape, so that a new batch size costs seconds.
    """

    name: str
    xp: Namespace
    compiled: bool = False

    def owns(self, model: object) -> bool:
        """Whether `model` belongs to this framework."""
        ...

    def wrap(
        self,
        model: Any,
        *,
        input: InputSpec,
        interface: Interface | None = None,
        classes: Sequence[str] | None,
        device: str | None,
        dtype: str | None,
        name: str | None,
    ) -> Network:
        """Wrap a model as a `Network`; the model is run once on a grey image to find its layers."""
        ...

    def is_array(self, value: object) -> bool:
        """Whether `value` is an array of this framework, or a tracer of one."""
        ...

    def from_numpy(self, array: NDArray[Any], *, device: str, dtype: str) -> Array:
        """Copy an array to `device`: floats in `dtype`, integers and booleans in their own dtype."""
        ...

    def to_numpy(self, array: Array, *, copy: bool = True) -> NDArray[Any]:
        """Copy an array to the host (bfloat16 as float32), once it is computed. Without `copy`, memory may be shared."""
        ...

    def grad(self, f: Callable[[Tree], tuple[Array, Tree]]) -> Callable[[Tree], tuple[Tree, Tree]]:
        """Differentiate ``f(tree) -> (scalar, aux)``: return ``tree -> (gradient of the same structure, aux)``."""
        ...

    def run(self, f: Callable[..., Tree], *arguments: Tree) -> Tree:
        """Compute ``f(*arguments)`` without a gradient graph, compiled if faster; `f` is hashable. Default: a plain call."""
        return f(*arguments)

    def loop(
        self, step: Callable[[Tree, Tree, Tree], tuple[Tree, Tree]], constants: Tree, carry: Tree, xs: Tree
    ) -> tuple[Tree, Tree]:
        """Repeat ``carry, y = step(constants, carry, x)`` along the leading axis of `xs`; return the last carry and the stacked y.

        `step` is hashable and compared by value; equal steps share a compiled program. The memory of `carry` may be reused: do not
        use it afterwards. Default: a loop in Python.
        """
        seen = []
        for index in range(tree_leaves(xs)[0].shape[0]):
            carry, y = step(constants, carry, tree_map(operator.itemgetter(index), xs))
            seen.append(y)
        return carry, tree_map(lambda *rows: self.xp.stack(rows), *seen)

    def warp(self, images: Array, matrices: Array, size: Size, *, fill: float, kind: str = "general") -> Array:
        """Resample each image bilinearly by its own affine map. Default: `phosphene.warps.warp`, which is also the oracle."""
        return warp(self.xp, images, matrices, size, fill=fill, kind=kind)

    def jvp(self, f: Callable[[Array], Tree]) -> Callable[[Array, Array], tuple[Tree, Tree]]:
        """Differentiate ``f(x) -> tree`` in forward mode: return ``(x, tangent) -> (f(x), derivative)``. Default: an error."""
        raise _not_offered(self, "jvp", "forward-mode derivatives", "An atlas is collected without attributions.")

    def with_rule(self, rule: Rule, f: Callable[[Array], Tree]) -> Callable[[Array, Array], Tree]:
        """Replace the backward rule of the rectified linear units in `f`: return ``(x, gate) -> f(x)``.

        Rectified linear units are ReLU, ReLU6 and all that equals ``min(max(x, 0), ceiling)``, however it is written, if it
        depends on `x`. The forward values are those of `f`. The gradient with respect to `gate` ``(N,)`` is the number of layers
        at which the rule was applied to each image: not a derivative, but the cheapest way out of a backward pass. Default: an
        error.
        """
        raise _not_offered(self, "with_rule", "backward rules", "Render with warm_up=0 and without rule=.")

    def nonlinearities(self, f: Callable[[Array], Tree], x: Array) -> Mapping[str, int]:
        """Count the nonlinearities between `x` and ``f(x)``: ``{"relu": 49, "gelu": 4}``.

        Only those count that depend on `x` and on which ``f(x)`` depends. Those that `with_rule` reaches have a name from
        `phosphene.findings.RECTIFIERS`; rectified linear units that it does not reach have another one. Default: an error, as for
        `with_rule`.
        """
        raise _not_offered(self, "nonlinearities", "backward rules", "Use a method without one, such as 'gradient'.")

    def optimizer(self, foreign: Any) -> Any:
        """Adapt an optimizer of the framework (optax, a ``torch.optim`` factory) to `phosphene.optimizers.Optimizer`.

        Default: an error, for a framework without optimizers.

        Raises
        ------
        InvalidParameter
            When `foreign` is no optimizer.
        """
        raise InvalidParameter(
            "optimizer",
            allowed=f"ph.optimizers.adam or another of ph.optimizers with backend {self.name!r}",
            received=foreign,
            fix="For example optimizer=ph.optimizers.adam(0.05).",
        )

    def build(self, architecture: Any, weights: Mapping[str, NDArray[Any]]) -> Any:
        """Build an embedded network (`phosphene.specimen.Architecture`) as a model of this framework. Default: an error."""
        raise _not_offered(self, "build", "the embedded networks", "Wrap a model of your own, with ph.wrap.")

    def devices(self) -> Sequence[str]:
        """Return the CPU and the first device of every other kind. Default: none, so that the device of the model is used."""
        return ()

    def memory(self, device: str, *, reset: bool = False) -> tuple[int, int] | None:
        """Return the bytes in use on `device` and their peak since the start or the last `reset`. Default: None, for unknown."""
        return None


def _not_offered(backend: Backend, member: str, what: str, fix: str) -> InvalidParameter:
    allowed = f"a backend with {what} ({member!r} of phosphene.backend.Backend)"
    return InvalidParameter("backend", allowed=allowed, received=backend.name, fix=fix)


def _reported(network: Network) -> Report:
    counts = None
    if OUTPUT in network.layers:

        def forward(images: Array) -> Array:
            return network.forward(images, [OUTPUT])[OUTPUT]

        grey = np.full((1, *network.input.size, network.input.channels), 0.5)
        with network.scope(), suppress(InvalidParameter):
            counts = dict(network.backend.nonlinearities(forward, native(network, grey)))
    return Report(
        name=network.name,
        backend=network.backend.name,
        device=network.device,
        dtype=network.dtype,
        size=network.input.size,
        layers=len(network.layers),
        findings=network.findings,
        nonlinearities=counts,
    )


def _targets() -> dict[str, str]:
    """``package.module:attribute`` of each backend by name; installed backends take precedence over built-in ones."""
    return _BUILT_IN | {point.name: f"{point.module}:{point.attr}" for point in entry_points(group=GROUP)}


def backend_names() -> tuple[str, ...]:
    """Return the names of all backends, built in or installed."""
    return tuple(_targets())


@functools.cache
def backend_named(name: str) -> Backend:
    """Return a backend by name; its framework is imported.

    Raises
    ------
    InvalidParameter
        When there is no such backend.
    MissingBackend
        When its framework is not installed.
    """
    targets = _targets()
    if name not in targets:
        names = " or ".join(repr(known) for known in targets)
        raise InvalidParameter("backend", allowed=names, received=name, fix="Choose one of them.")
    if name in _BUILT_IN and importlib.util.find_spec(name) is None:
        raise MissingBackend(name, name)
    module, _, attribute = targets[name].partition(":")
    try:
        backend: Backend = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        if name in _BUILT_IN:
            raise
        raise MissingBackend(module, name, detail=str(error)) from error
    return backend


def backend_for(model: object) -> Backend:
    """Return the backend that owns a model.

    Backends are asked in this order; nothing is imported to find it:

    1. those whose name, or whose package, is the top-level package of a class that the model is an instance of;
    2. those whose name is a module that is already imported, since a model of a framework cannot exist without it. A bare
       callable is JAX's, since a PyTorch model is a module;
    3. the remaining ones of third parties, which are imported to be asked.

    Raises
    ------
    UnknownModel
        When no backend owns the model.
    MissingBackend
        When the class of the model names a backend that cannot be imported.
    """
    if isinstance(model, type):
        raise UnknownModel(
            f"model: expected a model, got the class {model.__qualname__} itself. Pass an instance of it, with its weights: "
            f"{model.__name__}(...)."
        )
    holder = getattr(model, "__self__", None)
    if "torch" in _packages(holder) and callable(model):
        raise UnknownModel(
            f"model: expected a model, got the method {getattr(model, '__name__', 'call')!r} of a {type(holder).__qualname__}. "
            "Pass the module itself, whose submodules are its layers."
        )
    targets = _targets()
    parts = (model, *model) if isinstance(model, tuple) else (model,)
    origins = {package for part in parts for package in _packages(part)}

    def turn(name: str) -> int:
        package = targets[name].partition(":")[0].partition(".")[0]
        return 1 if {name, package} & origins else 2 if name in sys.modules else 3

    unavailable = ""
    for name in sorted(targets, key=turn):
        if name in _BUILT_IN and name not in sys.modules:
            continue
        try:
            backend = backend_named(name)
        except MissingBackend as error:
            if turn(name) == 1:
                raise
            unavailable += f" Not asked: {error}"
            continue
        if backend.owns(model):
            return backend
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    advice = _advice(model)
    if advice:
        raise UnknownModel(f"model: expected a model, got {kind}. {advice}{unavailable}")
    raise UnknownModel(
        "model: expected a torch.nn.Module, a flax.nnx.Module, (flax.linen.Module, variables), an equinox.Module (optionally "
        f"as (module, state)), or a JAX function (optionally as (function, parameters)), got {kind}. For JAX, import jax "
        f"before wrapping; for files and names use ph.load.{unavailable}"
    )


def _packages(value: object) -> set[str]:
    """Return the top-level packages of the classes that an object is an instance of."""
    return {kind.__module__.partition(".")[0] for kind in type(value).__mro__}


def _advice(model: object) -> str:
    """Return what to hand over instead of an object that is often mistaken for a model; empty if it is no such object."""
    if isinstance(model, tuple) and model and "torch" in _packages(model[0]):
        return "A PyTorch module is passed alone, with its weights loaded into it."
    if isinstance(model, (str, Path)):
        return "For files and names use ph.load."
    if isinstance(model, Mapping):
        return (
            "These are weights, or what a file of weights holds, without the model that they belong to: build it, load them into "
            "it (load_state_dict in PyTorch; (module, variables) in Flax) and pass the model."
        )
    if hasattr(model, "graph_module") and callable(getattr(model, "module", None)):
        return "This is an exported program: pass its module, model.module(), of which only the output can be read."
    if callable(model):
        return (
            "A function is a JAX model, of JAX arrays: import jax before wrapping. A function of PyTorch tensors has no "
            "submodules to read: pass the torch.nn.Module that it calls, or call it in the forward method of a module of your own."
        )
    return ""


def native(network: Network, tree: Tree) -> Tree:
    """Move a NumPy tree to the device of a network, with floats in the dtype of its images (at least float32)."""
    dtype = "float64" if network.dtype == "float64" else "float32"

    def convert(leaf: NDArray[np.generic]) -> Array:
        return network.backend.from_numpy(np.asarray(leaf), device=network.device, dtype=dtype)

    return tree_map(convert, tree)
