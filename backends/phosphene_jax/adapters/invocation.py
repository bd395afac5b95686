"""Call a model, and find the output in its return value, as stated by the user or if it is unambiguous."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from phosphene.errors import InvalidParameter, ModelFailed, said
from phosphene.interface import Interface
from phosphene.layers import OUTPUT
from phosphene.types import Array
from phosphene_jax.adapters.adapted import floating_in, is_floating, logits_of, main_array, named

__all__ = ["EVALUATION", "Calling"]

EVALUATION = {
    "train": False,
    "training": False,
    "is_training": False,
    "deterministic": True,
    "use_running_average": True,
    "inference": True,
}
"""Arguments that switch modules to evaluation mode, passed to modules that take them."""

NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
PLACED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass
class Calling:
    """The user's statements about a model's arguments and its return value.

    Attributes
    ----------
    interface : Interface
    name : str, optional
        The user's name of the model, for error messages.
    returns : str
        Description of the return value if the output in it is ambiguous; set by `output_of`.
    """

    interface: Interface
    name: str | None = None
    returns: str = ""

    def call(
        self,
        function: Callable[..., Any],
        images: Array,
        *,
        signature: Callable[..., Any] | None = None,
        name: str,
        settings: Mapping[str, Any] | None = None,
        first: Sequence[Any] = (),
        batched: bool = True,
    ) -> Any:
        """Return ``function(images)`` with all further arguments.

        Parameters
        ----------
        function : callable
        images : Array
            Normalised images in the model's layout.
        signature : callable, optional
            Function that has the signature of `function` (default: `function`).
        name : str
            Name for error messages, if the user has not given one.
        settings : mapping of str to Any, optional
            Arguments that are passed if the function takes them and the user has not stated them.
        first : sequence, optional
            Arguments before the images.
        batched : bool, default True
            Whether `images` has a batch axis, along which constants are repeated.
        """
        name = self.name or name
        parameters = _parameters(signature or function)
        taken = None if parameters is None else parameters[len(first) :]
        given = {
            p.name: (settings or {})[p.name] for p in taken or () if p.name in (settings or {}) and p.kind in NAMED
        }
        inputs = self.interface.inputs
        if callable(inputs):
            made = inputs(images)
            placed = () if isinstance(made, Mapping) else made if isinstance(made, tuple) else (made,)
            given |= dict(made) if isinstance(made, Mapping) else {}
        else:
            stated = {key: _constant(value, images, batched) for key, value in (inputs or {}).items()}
            _check_names(stated, taken, name)
            given |= stated
            placed = (images,)
            free = [p.name for p in taken or () if p.kind in PLACED and p.name not in given]
            if taken and taken[0].kind in NAMED and taken[0].name in given and free:
                placed, given = (), {free[0]: images, **given}
        if taken is not None:
            _check_complete(taken, placed, given, name)
        return function(*first, *placed, **given)

    def output_of(self, value: Any) -> Array | None:
        """Return the layer `OUTPUT` of a model's return value, marked; None if it is ambiguous."""
        wanted = self.interface.output
        if wanted is not None:
            array = main_array(_part(value, wanted))
            if array is None:
                _refuse(wanted, "which contains no floating array", value)
        else:
            floating = floating_in(value)
            array = logits_of(value)
            if array is None and len(floating) == 1:
                array = floating[0]
            self.returns = "" if array is not None else _described(value)
        return None if array is None else named(array, OUTPUT)


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None


def _constant(value: Any, images: Array, batched: bool) -> Any:
    """Return a constant for one image repeated over the batch; numbers and flags unchanged."""
    if not hasattr(value, "shape"):
        return value
    array = jnp.asarray(value, images.dtype if is_floating(value) else None)
    return jnp.broadcast_to(array, (images.shape[0], *array.shape)) if batched and array.ndim else array


def _check_names(stated: Mapping[str, Any], taken: Sequence[inspect.Parameter] | None, name: str) -> None:
    if taken is None or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in taken):
        return
    known = [p.name for p in taken if p.kind in NAMED]
    for key in stated:
        if key not in known:
            raise InvalidParameter(
                "inputs",
                allowed=" or ".join(map(repr, known)),
                received=key,
                fix=f"Use the names of the arguments of {name}.",
            )


def _check_complete(
    taken: Sequence[inspect.Parameter], placed: Sequence[Any], given: Mapping[str, Any], name: str
) -> None:
    """Raise for missing arguments, with a clearer message than that of Python."""
    rest = [p for p in taken if p.kind in PLACED][len(placed) :] + [
        p for p in taken if p.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    missing = [p.name for p in rest if p.default is inspect.Parameter.empty and p.name not in given]
    if missing:
        shown = ", ".join(f"{key!r}: ..." for key in missing)
        raise ModelFailed(
            f"{name} needs {' and '.join(missing)} in addition to the images. Pass {'it' if len(missing) == 1 else 'them'} with "
            f"ph.wrap(..., inputs={{{shown}}}), as arrays for one image, without a batch axis, or as numbers or flags for all."
        )


def _part(value: Any, wanted: Any) -> Any:
    if callable(wanted):
        return wanted(value)
    if isinstance(wanted, str):
        if isinstance(value, Mapping) and wanted in value:
            return value[wanted]
        if not isinstance(value, Mapping) and hasattr(value, wanted):
            return getattr(value, wanted)
    elif isinstance(value, (tuple, list)) and -len(value) <= wanted < len(value):
        return value[wanted]
    return _refuse(wanted, "which the return value does not have", value)


def _refuse(wanted: Any, why: str, value: Any) -> None:
    shown = f"a function ({getattr(wanted, '__name__', wanted)})" if callable(wanted) else repr(wanted)
    raise InvalidParameter(
        "output",
        allowed="a part of the model's return value",
        received=said(f"{shown}, {why}"),
        fix=f"The model returns {_described(value)}.",
    )


def _described(value: Any) -> str:
    """Describe a return value and its floating arrays."""
    kind = type(value).__name__
    kind = f"{'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}"
    if isinstance(value, Mapping):
        parts = dict(value)
    elif isinstance(value, (tuple, list)):
        parts = dict(zip(getattr(value, "_fields", range(len(value))), value, strict=True))
    elif hasattr(value, "shape"):
        return f"an array of {value.dtype} and shape {tuple(value.shape)}"
    else:
        parts = {key: part for key, part in getattr(value, "__dict__", {}).items() if not key.startswith("_")}
    known = [f"{key!r} {tuple(array.shape)}" for key, part in parts.items() if (array := main_array(part)) is not None]
    if not known and jax.tree.leaves(value):
        return f"{kind} without floating arrays"
    return f"{kind} with {', '.join(known)}" if known else kind
