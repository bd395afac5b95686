"""The arguments of a model: its images, and further arguments stated by the user."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

from phosphene.errors import InvalidParameter, said

__all__ = ["Arguments", "Call", "arguments_of", "missing", "takes"]

Call: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword arguments."""

Arguments: TypeAlias = Callable[[torch.Tensor], Call]
"""From normalised images (N, C, H, W) to the model's arguments."""

VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def arguments_of(
    model: nn.Module,
    inputs: Mapping[str, Any] | Callable[[Any], Any] | None,
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> Arguments:
    """Return the function from images to the arguments of `model`.

    Parameters
    ----------
    model : nn.Module
    inputs : mapping, callable, or None
        See `phosphene.interface.Interface`.
    device : torch.device
        Device of constants.
    dtype : torch.dtype
        Precision of floating constants.

    Returns
    -------
    callable

    Raises
    ------
    InvalidParameter
        If `inputs` names an argument that the model does not have, or a function does not return arguments.
    """
    if inputs is None:
        return _alone
    if not isinstance(inputs, Mapping):
        return _Computed(inputs)
    parameters = _parameters(model)
    named = [name for name, parameter in parameters.items() if parameter.kind not in VARIADIC]
    open_ended = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    unknown = [name for name in inputs if name not in named]
    if unknown and not open_ended:
        raise InvalidParameter(
            f"inputs[{unknown[0]!r}]",
            allowed=f"an argument of {type(model).__name__}, which takes {takes(model)}",
            received=said("an unknown name"),
            fix="Name its arguments, except the one for the images.",
        )
    constants = {name: _constant(value, device, dtype) for name, value in inputs.items()}
    place = next((name for name in named if name not in inputs), None)
    if place is None and not any(parameter.kind in VARIADIC for parameter in parameters.values()):
        raise InvalidParameter(
            "inputs",
            allowed="all arguments except the one for the images",
            received=list(inputs),
            fix=f"{type(model).__name__} takes {takes(model)}: leave the one for the images out.",
        )
    return _WithConstants(constants, None if place is None or place == named[0] else place)


# Classes, not closures, so that a network can be pickled.


def _alone(images: torch.Tensor) -> Call:
    return (images,), {}


@dataclass(frozen=True)
class _Computed:
    """All arguments from the images."""

    inputs: Callable[[Any], Any]

    def __call__(self, images: torch.Tensor) -> Call:
        return _made(self.inputs(images))


@dataclass(frozen=True)
class _WithConstants:
    """The images, by position or under the name `place`, and constants by name."""

    constants: Mapping[str, Any]
    place: str | None

    def __call__(self, images: torch.Tensor) -> Call:
        others = {name: _for_all(value, len(images)) for name, value in self.constants.items()}
        return ((images,), others) if self.place is None else ((), {self.place: images, **others})


def missing(model: nn.Module, inputs: Mapping[str, Any] | Callable[[Any], Any] | None) -> list[str]:
    """Return the required arguments of `model` that are neither the images nor in `inputs`."""
    given = inputs if isinstance(inputs, Mapping) else {}
    wanted = [
        name
        for name, parameter in _parameters(model).items()
        if parameter.kind not in VARIADIC and parameter.default is parameter.empty and name not in given
    ]
    return [] if callable(inputs) else wanted[1:]


def takes(model: nn.Module) -> str:
    """Return the names of a model's arguments."""
    return ", ".join(_parameters(model))


def _parameters(model: nn.Module) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a model's forward pass; of any kind if a compiled program does not tell them."""
    try:
        return inspect.signature(model.forward).parameters
    except (TypeError, ValueError):
        pass
    schema = getattr(getattr(model, "forward", None), "schema", None)  # of TorchScript
    if schema is None:
        unknown = (("args", inspect.Parameter.VAR_POSITIONAL), ("kwargs", inspect.Parameter.VAR_KEYWORD))
        return {name: inspect.Parameter(name, kind) for name, kind in unknown}
    kind, empty = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
    return {
        argument.name: inspect.Parameter(
            argument.name, kind, default=argument.default_value if argument.has_default_value() else empty
        )
        for argument in schema.arguments[1:]  # without the module itself
    }


def _made(made: Any) -> Call:
    if isinstance(made, torch.Tensor):
        return (made,), {}
    if isinstance(made, Mapping):
        return (), dict(made)
    if isinstance(made, (tuple, list)):
        return tuple(made), {}
    raise InvalidParameter(
        "inputs",
        allowed="a function that returns a tuple or a mapping of arguments",
        received=said(f"one that returned a {type(made).__name__}"),
        fix="For example lambda x: {'pixel_values': x}.",
    )


def _constant(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        value = torch.from_numpy(np.array(value))
    if not isinstance(value, torch.Tensor):
        return value
    with torch.inference_mode(False):
        kept = value.detach().clone()
        return (kept.to(dtype) if kept.is_floating_point() else kept).to(device)


def _for_all(value: Any, count: int) -> Any:
    # Contiguous, since a model may merge the batch with other axes by `view`.
    return value.expand(count, *value.shape).contiguous() if isinstance(value, torch.Tensor) and value.ndim else value
