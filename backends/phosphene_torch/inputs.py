"""The arguments of a model: its images, and further arguments stated by the user."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
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
        return lambda images: ((images,), {})
    if not isinstance(inputs, Mapping):
        return lambda images: _made(inputs(images))
    parameters = inspect.signature(model.forward).parameters
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

    def call(images: torch.Tensor) -> Call:
        others = {name: _for_all(value, len(images)) for name, value in constants.items()}
        return ((images,), others) if place is None or place == named[0] else ((), {place: images, **others})

    return call


def missing(model: nn.Module, inputs: Mapping[str, Any] | Callable[[Any], Any] | None) -> list[str]:
    """Return the required arguments of `model` that are neither the images nor in `inputs`."""
    given = inputs if isinstance(inputs, Mapping) else {}
    wanted = [
        name
        for name, parameter in inspect.signature(model.forward).parameters.items()
        if parameter.kind not in VARIADIC and parameter.default is parameter.empty and name not in given
    ]
    return [] if callable(inputs) else wanted[1:]


def takes(model: nn.Module) -> str:
    """Return the names of a model's arguments."""
    return ", ".join(inspect.signature(model.forward).parameters)


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
