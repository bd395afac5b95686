"""Call a model, and find the output in its return value, as stated by the user or if it is unambiguous."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from phosphene.errors import InvalidParameter, ModelFailed, PhospheneError, said
from phosphene.interface import Interface
from phosphene.layers import OUTPUT
from phosphene.types import Array
from phosphene_jax.adapters.adapted import floating_in, is_floating, logits_of, main_array, named, parts_of

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

KEYS = frozenset({"key", "keys", "rng", "rngs", "rng_key", "prng_key", "random_key"})
"""Names of arguments that take a key of random numbers, which is passed to functions that require it."""

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
    failure : Exception, optional
        The exception that the model raised, after which a trace holds the layers before it; set by `call`.
    switches : mapping of str to bool
        Flags that the model takes and the user has not stated, with the opposite of their defaults; set by `call`.
    keyed : bool
        Whether keys of random numbers are passed also to arguments that have a default.
    optional : bool
        Whether there are such arguments; set by `call`.
    mains : dict of str to str
        Layer path to the index of the main one of several outputs; `output_of` sets that of the model.
    """

    interface: Interface
    name: str | None = None
    returns: str = ""
    failure: Exception | None = None
    switches: Mapping[str, bool] = field(default_factory=dict)
    keyed: bool = False
    optional: bool = False
    mains: dict[str, str] = field(default_factory=dict)

    def call(
        self,
        function: Callable[..., Any],
        images: Array,
        *,
        signature: Callable[..., Any] | None = None,
        name: str,
        settings: Mapping[str, Any] | None = None,
        first: Sequence[Any] = (),
        key: Callable[[str], Any] | None = None,
        batched: bool = True,
    ) -> Any:
        """Return ``function(images)`` with all further arguments; None if it raised an exception, which is kept in `failure`.

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
        key : callable, optional
            ``name -> key``: the key of random numbers for an argument with a name in `KEYS`.
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
        stated_names = () if callable(inputs) else tuple(inputs or ())
        unstated = [p for p in taken or () if p.kind in NAMED and p.name not in (*given, *stated_names)]
        self.switches = {p.name: not p.default for p in unstated if isinstance(p.default, bool)}
        if key is not None and not callable(inputs):
            given |= {taking: key(taking) for taking in self._keys(taken or (), unstated)}
        if callable(inputs):
            made = inputs(images)
            placed = () if isinstance(made, Mapping) else made if isinstance(made, tuple) else (made,)
            given |= dict(made) if isinstance(made, Mapping) else {}
        else:
            stated = {stating: _constant(value, images, batched) for stating, value in (inputs or {}).items()}
            _check_names(stated, taken, name)
            given |= stated
            placed = (images,)
            free = [p.name for p in taken or () if p.kind in PLACED and p.name not in given]
            if taken and taken[0].kind in NAMED and taken[0].name in given:
                if free:
                    placed, given = (), {free[0]: images, **given}
                elif any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in taken):
                    front = [p.name for p in taken if p.kind in PLACED and p.name in given]
                    placed = (*(given.pop(before) for before in front), images)
        if taken is not None:
            _check_complete(taken, placed, given, name)
        try:
            return function(*first, *placed, **given)
        except PhospheneError:
            raise
        except Exception as error:  # noqa: BLE001  (the network raises it, where a layer behind it is asked for)
            self.failure = error
            return None

    def _keys(self, taken: Sequence[inspect.Parameter], unstated: Sequence[inspect.Parameter]) -> list[str]:
        """Names of the arguments to which a key of random numbers is passed."""
        places = [p.name for p in taken if p.kind in PLACED] + [
            p.name for p in taken if p.kind not in (*PLACED, *NAMED)
        ]
        if KEYS.issuperset(places):  # the images need a place
            return []
        keys = {p.name: p.default for p in unstated if p.name in KEYS}
        self.optional = any(default is None for default in keys.values())
        return [
            name
            for name, default in keys.items()
            if default is inspect.Parameter.empty or (self.keyed and default is None)
        ]

    @property
    def switch(self) -> str:
        """What to state for a model that is not in evaluation mode, as a sentence."""
        if not self.switches:
            return "Hand over a model that is in evaluation mode."
        flags = " and ".join(f"{flag!r} ({not value} by default)" for flag, value in self.switches.items())
        first, value = next(iter(self.switches.items()))
        one = len(self.switches) == 1
        return (
            f"It takes the {'flag' if one else 'flags'} {flags}: state {'it' if one else 'the one that selects evaluation mode'}, "
            f'as in ph.wrap(..., inputs={{"{first}": {value}}}).'
        )

    def output_of(self, value: Any) -> Array | None:
        """Return the layer `OUTPUT` of a model's return value, marked; None if it is ambiguous, or after a failure."""
        if self.failure is not None:
            return None
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
        for index, part in parts_of(value):
            if part is array:
                self.mains.setdefault(OUTPUT, index)
            else:
                named(part, OUTPUT + index)
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
