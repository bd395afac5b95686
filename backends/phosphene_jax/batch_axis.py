"""Turn functions of one example into functions of a batch, with the batch axis first in every layer.

`jax.vmap` places the mapped axis where it suits an operation: a vector times a matrix becomes ``(C, N)``. Layers, and rectified
linear units under a backward rule, need it first; a primitive defined here moves it there and does nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core as jex
from jax.interpreters import ad, batching, mlir

from phosphene.types import Array
from phosphene_jax.equations import producers_of, rectified
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


def _fronted(closed: Any) -> Any:
    producers = producers_of(closed.jaxpr)
    equations: list[Any] = []
    for equation in closed.jaxpr.eqns:
        place = 0 if equation.primitive.name == "name" else rectified(equation, producers)
        if place is not None:
            equations += spliced_before(equation, place, front)
        elif equation.primitive.name.startswith("custom_"):
            equations.append(equation)  # its derivative would not include a change inside
        else:
            equations.append(with_bodies(equation, _fronted))
    return with_equations(closed, equations)
