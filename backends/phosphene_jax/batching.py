"""Functions of one example made functions of a batch, with the batch axis first wherever a layer is read.

`jax.vmap` puts the mapped axis where an operation likes it best: a vector times a matrix comes out as ``(C, N)``. Layers, and
rectified linear units under a backward rule, want it in front; a primitive of our own moves it there and does nothing else.
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
from phosphene_jax.rewriting import spliced_before, with_bodies, with_equations

__all__ = ["batched", "front"]

_front = jex.Primitive("phosphene_front")
_front.def_impl(lambda x: x)  # type: ignore[no-untyped-call]
_front.def_abstract_eval(lambda x: x)  # type: ignore[no-untyped-call]
ad.deflinear2(_front, lambda g, x: [g])  # type: ignore[no-untyped-call]
batching.primitive_batchers[_front] = lambda values, axes: (front(jnp.moveaxis(values[0], axes[0], 0)), 0)
mlir.register_lowering(_front, lambda context, x: [x])


def front(x: Array) -> Array:
    """`x` itself; inside a `jax.vmap`, with the mapped axis first."""
    return _front.bind(x)  # type: ignore[no-untyped-call]


def batched(closed: Any, weights: Sequence[Any], images: Any) -> Any:
    """A traced function of weights and one image ``(C, H, W)`` as one of weights and images ``(N, H, W, C)``.

    Parameters
    ----------
    closed : ClosedJaxpr
    weights, images : ShapeDtypeStruct
        Shapes to trace it at.

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
            equations.append(equation)  # its derivative knows nothing of a change inside
        else:
            equations.append(with_bodies(equation, _fronted))
    return with_equations(closed, equations)
