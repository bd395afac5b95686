"""The contract between core and a framework: two protocols, and the registry that finds who fulfils them.

A `Backend` supplies what no array standard covers: differentiation, a compiled loop, resampling, backward rules. A `Network`
is a user's model that can be read, edited and differentiated at any layer, and is left exactly as it was found. Everything
else in phosphene is written once over these two and an array-API namespace ``xp``.

A third party adds a framework by naming an instance of `Backend` in the entry-point group ``phosphene.backends``.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import entry_points
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from phosphene.errors import InvalidParameter, MissingBackend, UnknownModel
from phosphene.interface import InputSpec, Interface
from phosphene.layers import Layers
from phosphene.types import Array, Edit, Namespace, Size, Tree

__all__ = ["Backend", "InputSpec", "Interface", "Network", "Rule", "backend_for", "backend_named", "backend_names"]

_BUILT_IN = {"torch": "phosphene_torch:backend", "jax": "phosphene_jax:backend"}
_FRAMEWORK = {"torch": "torch", "jax": "jax"}


class Rule(Protocol):
    """A backward rule for rectified linear units, written once over `xp`; hashable and compared by value.

    ``rule(xp, x, g, gate) -> (gradient, used)`` with `x` the pre-activation and `g` the incoming gradient, both channel-last
    ``(N, ..., C)``, and `gate` ``(N,)``, 1 where the rule may act. `used` ``(N,)`` is 1 where it did act and 0 elsewhere.
    """

    def __call__(self, xp: Namespace, x: Array, g: Array, gate: Array) -> tuple[Array, Array]: ...


@runtime_checkable
class Network(Protocol):
    """The user's model, readable anywhere and left exactly as it was found.

    Attributes
    ----------
    name : str
        For messages and titles.
    backend : Backend
        Who runs it.
    input : InputSpec
        What it takes.
    classes : tuple of str, or None
        Names of its outputs, where they are known.
    device, dtype : str
        Where and in which precision it is computed: ``"cpu"``, ``"cuda:0"``; ``"float32"``, ``"float64"``, ``"bfloat16"``.
    layers : Layers
        All that can be read, in forward order; the last is `phosphene.layers.OUTPUT`, the model's return value.
    """

    name: str
    backend: Backend
    input: InputSpec
    classes: tuple[str, ...] | None
    device: str
    dtype: str
    layers: Layers

    def weights(self) -> Tree:
        """The weights as they are now, in `dtype` and on `device`, for `forward`; may share memory with the model's."""
        ...

    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Paths and shapes of all weights, in the order in which the model has them."""
        ...

    def forward(
        self, images: Array, layers: Sequence[str], *, weights: Tree = None, edit: Mapping[str, Edit] | None = None
    ) -> dict[str, Array]:
        """Activations of `layers` for `images`; traceable and differentiable; nothing after the last layer is computed.

        Parameters
        ----------
        images : Array (N, H, W, C)
            In [0, 1]; mean, std and range are applied here.
        layers : sequence of str
            Paths.
        weights : Tree, optional
            What `weights()` returned; taken anew when absent.
        edit : mapping of str to Edit, optional
            ``{path: f}``: the activation at `path` is replaced by ``f(xp, activation)`` (channel-last) on its way.

        Returns
        -------
        dict of str to Array
            Channel-last: ``(N, H, W, C)``, ``(N, T, C)`` or ``(N, C)``; in the order of `layers`.
        """
        ...

    def shapes(self, size: Size) -> Mapping[str, tuple[int, ...]]:
        """Channel-last shapes without the batch axis of all layers, for images of `size`.

        Raises
        ------
        ModelFailed
            When the model does not take images of that size.
        """
        ...

    def scope(self) -> AbstractContextManager[None]:
        """A context in which the model is in evaluation mode and arrays of `dtype` can be made; may be nested.

        Training mode of every submodule is put back on leaving, also after an exception.
        """
        ...

    def fingerprint(self) -> str:
        """A hexadecimal hash of names, shapes and values of the weights as they are now."""
        ...

    def with_weights(self, f: Callable[[str, NDArray[Any]], NDArray[Any]]) -> Network:
        """A network whose weights are ``f(path, array)`` of this one's; the user's model is not touched."""
        ...


@runtime_checkable
class Backend(Protocol):
    """A framework behind the contract.

    Attributes
    ----------
    name : str
        ``"torch"``, ``"jax"``.
    xp : module
        Its array-API namespace.
    compiled : bool
        Whether `run` and `loop` compile for each new shape (and a new batch size therefore costs seconds).
    """

    name: str
    xp: Namespace
    compiled: bool

    def owns(self, model: object) -> bool:
        """Whether `model` is of this framework."""
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
        """A `Network` around `model`; runs it once on a grey image to find its layers."""
        ...

    def build(self, architecture: Any, weights: Mapping[str, NDArray[Any]]) -> Any:
        """A specimen (`phosphene.specimen.Architecture`) as a model of this framework."""
        ...

    def from_numpy(self, array: NDArray[Any], *, device: str, dtype: str) -> Array:
        """A copy on `device`: floats in `dtype`, integers and booleans as they are."""
        ...

    def to_numpy(self, array: Array, *, copy: bool = True) -> NDArray[Any]:
        """On the host (bfloat16 as float32); waits until it is computed. Without `copy` it may be the array's own memory."""
        ...

    def grad(self, f: Callable[[Tree], tuple[Array, Tree]]) -> Callable[[Tree], tuple[Tree, Tree]]:
        """``f(tree) -> (scalar, aux)`` becomes ``tree -> (gradient of the same structure, aux)``."""
        ...

    def jvp(self, f: Callable[[Array], Tree]) -> Callable[[Array, Array], tuple[Tree, Tree]]:
        """``f(x) -> tree`` becomes ``(x, tangent) -> (f(x), directional derivative)``, in forward mode."""
        ...

    def run(self, f: Callable[..., Tree], *arguments: Tree) -> Tree:
        """``f(*arguments)`` without a gradient graph, compiled where that pays; `f` hashable, compared by value."""
        ...

    def loop(
        self, step: Callable[[Tree, Tree, Tree], tuple[Tree, Tree]], constants: Tree, carry: Tree, xs: Tree
    ) -> tuple[Tree, Tree]:
        """``carry, y = step(constants, carry, x)`` along the leading axis of `xs`; returns the last carry and the stacked y.

        `step` is hashable and compared by value; equal steps share a compiled program. `carry` may be donated: do not use it
        again. `constants` and `xs` are kept.
        """
        ...

    def warp(self, images: Array, matrices: Array, size: Size, *, fill: float, kind: str = "general") -> Array:
        """Resample each image bilinearly by its own affine map; see `phosphene.warps.warp`, the default and the oracle."""
        ...

    def with_rule(self, rule: Rule, f: Callable[[Array], Tree]) -> Callable[[Array, Array], Tree]:
        """`f` with another backward rule for its rectified linear units: ``(x, gate) -> f(x)``.

        The forward values are those of `f`. The gradient with respect to `gate` ``(N,)`` is the count of units' layers at which
        the rule acted, row by row (it is no derivative, but the cheapest way out of a backward pass).
        """
        ...

    def nonlinearities(self, f: Callable[[Array], Tree], x: Array) -> Mapping[str, int]:
        """How often each nonlinearity is applied in ``f(x)``: ``{"relu": 49, "gelu": 4}``; `with_rule` reaches "relu"."""
        ...

    def optimizer(self, foreign: Any) -> Any:
        """The framework's own optimizer (optax, ``torch.optim`` factory) as a `phosphene.optimizers.Optimizer`.

        Raises
        ------
        InvalidParameter
            When it is not one.
        """
        ...


def backend_names() -> tuple[str, ...]:
    """Names of the backends that are built in or installed by others."""
    return tuple(dict.fromkeys([*_BUILT_IN, *(point.name for point in entry_points(group="phosphene.backends"))]))


@functools.cache
def backend_named(name: str) -> Backend:
    """The backend of that name; imports its framework.

    Raises
    ------
    InvalidParameter
        When there is no such backend.
    MissingBackend
        When its framework is not installed.
    """
    found = {point.name: point.value for point in entry_points(group="phosphene.backends")}
    target = found.get(name, _BUILT_IN.get(name))
    if target is None:
        names = " or ".join(repr(known) for known in backend_names())
        raise InvalidParameter("backend", allowed=names, received=name, fix="Choose one of them.")
    framework = _FRAMEWORK.get(name)
    if framework is not None and importlib.util.find_spec(framework) is None:
        raise MissingBackend(framework, name)
    module, _, attribute = target.partition(":")
    backend: Backend = getattr(importlib.import_module(module), attribute)
    return backend


def backend_for(model: object) -> Backend:
    """The backend that owns `model`.

    Only frameworks that are already imported are asked: a model of a framework cannot exist without it. A bare callable is
    JAX's, since a PyTorch model is a module.

    Raises
    ------
    UnknownModel
        When none does.
    """
    for name in backend_names():
        framework = _FRAMEWORK.get(name, name)
        if framework in sys.modules and backend_named(name).owns(model):
            return backend_named(name)
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    raise UnknownModel(
        "model: expected a torch.nn.Module, a flax.nnx.Module, (flax.linen.Module, variables), an equinox.Module (optionally "
        f"as (module, state)), or a JAX function (optionally as (function, parameters)), got {kind}. For JAX, import jax "
        "before wrapping; for files and names use ph.load."
    )
