"""Turn functions of one example into functions of a batch, with the batch axis first in every layer.

`jax.vmap` places the mapped axis where it suits an operation: a vector times a matrix becomes ``(C, N)``. Layers, and rectified
linear units under a backward rule, need it first; a primitive defined here moves it there and does nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core as jex
from jax.interpreters import ad, batching, mlir

from phosphene.types import Array
from phosphene_jax.equations import Producers, constants_inside, producers_of, rectified
from phosphene_jax.substitution import spliced_before, with_bodies, with_equations

__all__ = ["batched", "front"]

_front = jex.Primitive("phosphene_front")
_front.def_impl(lambda x: x)  # type: ignore[no-untyped-call]
_front.def_abstract_eval(lambda x: x)  # type: ignore[no-untyped-call]
ad.deflinear2(_front, lambda g, x: [g])  # type: ignore[no-untyped-call]
batching.primitive_batchers[_front] = lambda values, axes: (front(jnp.moveaxis(values[0], axes[0], 0)), 0)
mlir.register_lowering(_front, lambda context, x: [x])


def front(x: Array) -> Array:
    """Return `x`; inside a `jax.vmap`, with the mapped axis first."""
    return _front.bind(x)  # type: ignore[no-untyped-call]


def batched(closed: Any, weights: Sequence[Any], images: Any) -> Any:
    """Turn a traced function of weights and one image ``(C, H, W)`` into one of weights and images ``(N, H, W, C)``.

    Parameters
    ----------
    closed : ClosedJaxpr
    weights, images : ShapeDtypeStruct
        Shapes for which it is traced.

    Returns
    -------
    ClosedJaxpr
    """
    one = jex.jaxpr_as_fun(_fronted(closed))

    def of_batch(weights: Sequence[Array], images: Array) -> Any:
        return jax.vmap(lambda image: one(*weights, image))(jnp.moveaxis(images, -1, 1))

    return jax.make_jaxpr(of_batch)(list(weights), images)


def _fronted(closed: Any, constants: Mapping[Any, Any] | None = None) -> Any:
    producers = producers_of(closed.jaxpr, constants, closed.consts)
    equations: list[Any] = []
    for equation in closed.jaxpr.eqns:
        found = rectified(equation, producers)
        if equation.primitive.name == "name":
            equations += spliced_before(equation, 0, front)
        elif found is not None:
            # Of a unit in two equations, the first one has been given it.
            places = [place for place, variable in enumerate(equation.invars) if variable is found.variable]
            equations += spliced_before(equation, places[0], front) if places else [equation]
        elif equation.primitive.name.startswith("custom_"):
            equations.append(equation)  # its derivative would not include a change inside
        else:
            inside = partial(_inside, equation, producers)
            equations.append(with_bodies(equation, inside))
    return with_equations(closed, equations)


def _inside(equation: Any, producers: Producers, inner: Any) -> Any:
    return _fronted(inner, constants_inside(equation, inner, producers))
