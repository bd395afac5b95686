"""Plain functions, in which layers are marked by ``jax.ad_checkpoint.checkpoint_name``.

Either ``f(images)``, or ``(f, parameters)`` with ``f(parameters, images)``. The weights of a function alone are the arrays in
its closure, which are found by tracing it each time the weights are read.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core as jex

from phosphene.errors import UnknownModel
from phosphene.types import Array
from phosphene_jax.adapters.adapted import Adapted, count, drawn_key, path_text
from phosphene_jax.adapters.invocation import Calling

__all__ = ["adapt", "owns"]


def owns(model: object) -> bool:
    """Whether `model` is a function, or a pair of a function and its parameters; not a class or a PyTorch module."""
    if _is_transformed(model):
        return True
    function = model[0] if isinstance(model, tuple) and len(model) == 2 else model
    torch = sys.modules.get("torch")
    foreign = torch is not None and isinstance(function, torch.nn.Module)
    return callable(function) and not isinstance(function, type) and not foreign


def adapt(model: Any, images: jax.ShapeDtypeStruct, calling: Calling) -> Adapted:
    """See `phosphene_jax.adapters.Adapted`."""
    if _is_transformed(model):
        raise UnknownModel(
            "model: expected a function and its parameters, got a pair of functions. Hand over (apply, parameters), where apply "
            "is the second function of the pair and parameters are what the first one, init, returns."
        )
    if isinstance(model, tuple):
        return _with_parameters(model[0], model[1], calling)
    return _closure(model, images, calling)


def _is_transformed(model: object) -> bool:
    """Whether a model is a pair of functions, init and apply, alone or with parameters."""
    if not isinstance(model, tuple) or len(model) != 2:
        return False
    pair = model[0] if isinstance(model[0], tuple) else model
    return len(pair) == 2 and all(callable(part) and jax.tree_util.all_leaves([part]) for part in pair)


def _with_parameters(function: Callable[..., Any], parameters: Any, calling: Calling) -> Adapted:
    def leaves() -> list[tuple[Any, Any]]:
        return jax.tree_util.tree_leaves_with_path(parameters)

    def read() -> list[tuple[str, Array]]:
        return [(path_text(path), leaf) for path, leaf in leaves() if _is_array(leaf)]

    def call(weights: Sequence[Array], images: Array, draw: Array | None) -> Array | None:
        # Numbers and strings among the parameters, such as sizes, are needed while tracing and stay constants.
        given = iter(weights)
        filled = [next(given) if _is_array(leaf) else leaf for _, leaf in leaves()]
        tree = jax.tree.unflatten(jax.tree.structure(parameters), filled)
        value = calling.call(function, images, name=_name_of(function), first=(tree,), key=lambda _: drawn_key(draw))
        return calling.output_of(value)

    total = count(leaf for _, leaf in read())
    return _adapted(function, read, call, calling, {"": total})


def _closure(function: Callable[..., Any], home: jax.ShapeDtypeStruct, calling: Calling) -> Adapted:
    parameters: dict[str, int] = {}

    def traced(images: Any, draw: Any) -> Any:
        def marked(images: Array, draw: Array | None) -> Array | None:
            value = calling.call(function, images, name=_name_of(function), key=lambda _: drawn_key(draw))
            return calling.output_of(value)

        # A new function each time, so that JAX does not reuse an earlier trace.
        given = [None if x is None else jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (images, draw)]  # type: ignore[no-untyped-call]
        return jax.make_jaxpr(marked)(*given)

    def read() -> list[tuple[str, Array]]:
        return [(f"closure.{index}", leaf) for index, leaf in enumerate(traced(home, None).consts)]

    def call(weights: Sequence[Array], images: Array, draw: Array | None) -> Array | None:
        closed = traced(images, draw)
        at_home = [leaf for _, leaf in read()]
        parameters[""] = count(at_home)
        # Tables that the function computes for an image size differ from those of the native size, and are not weights.
        same = _alike(closed.consts, at_home)
        places = {id(leaf): index for index, leaf in enumerate(at_home)}
        constants = []
        for index, leaf in enumerate(closed.consts):
            place = index if same else places.get(id(leaf))
            # In the dtype in which they were traced: the function itself converts them if its images are wider.
            constants.append(leaf if place is None else jnp.asarray(weights[place], leaf.dtype))
        given = (images,) if draw is None else (images, draw)
        output = jex.jaxpr_as_fun(jex.ClosedJaxpr(closed.jaxpr, constants))(*given)
        return output[0] if output else None

    return _adapted(function, read, call, calling, parameters)


def _adapted(
    function: Callable[..., Any],
    read: Callable[[], list[tuple[str, Array]]],
    call: Callable[[Sequence[Array], Array, Array | None], Array | None],
    calling: Calling,
    parameters: Mapping[str, int],
) -> Adapted:
    name = _name_of(function)
    opaque = f"{name} is called as a plain function, in which no value is named with jax.ad_checkpoint.checkpoint_name"
    return Adapted(
        name,
        read,
        call,
        kinds={},
        mains=calling.mains,
        parameters=parameters,
        opaque=opaque,
        advice=_advice,
    )


def _advice(error: Exception) -> str:
    if type(error).__name__ == "TraceContextError" or "nnx.jit" in str(error):
        return "A function that changes an nnx module from outside cannot be traced: hand over the module itself."
    return ""


def _alike(some: Sequence[Array], others: Sequence[Array]) -> bool:
    return [(leaf.shape, leaf.dtype) for leaf in some] == [(leaf.shape, leaf.dtype) for leaf in others]


def _is_array(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and hasattr(leaf, "shape")


def _name_of(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))
