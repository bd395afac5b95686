"""Error messages for an exception of a user's model: what was being done, the line of the model, and what to do.

And for a gradient that does not arrive, which raises no exception.
"""

from __future__ import annotations

import linecache
import re
import traceback
from collections.abc import Sequence
from pathlib import Path

from phosphene.errors import InvalidObjective, InvalidParameter, ModelFailed, PhospheneError, said

__all__ = ["concerns_shapes", "function_failed", "lacks_memory", "line_of", "model_failed", "no_gradient"]

LIBRARIES = frozenset(
    "torch jax jaxlib flax equinox numpy phosphene phosphene_torch phosphene_jax functools contextlib array_api_compat".split()
)
"""Packages whose lines are not the model's own."""

SHAPES = re.compile(
    r"shape|size|dimension|\bdims?\b|\baxis\b|\baxes\b|mat1|mat2|broadcast|channel|reshape|\bview\b|divisible|kernel|ndim|"
    r"too many values|not enough values|out of (range|bounds)",
    re.IGNORECASE,
)
"""Words of messages of frameworks about arrays that do not fit together."""


def line_of(error: BaseException) -> str:
    """Return the innermost line outside of libraries at which an exception was raised, or an empty string.

    Parameters
    ----------
    error : BaseException
        An exception that was caught.

    Returns
    -------
    str
        Such as ``"lenet.py, line 12, in forward: x = x.view(x.size(0), -1)"``.
    """
    found = ""
    for frame, number in traceback.walk_tb(error.__traceback__):
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in LIBRARIES:
            continue
        code = frame.f_code
        source = linecache.getline(code.co_filename, number).strip()
        found = f"{Path(code.co_filename).name}, line {number}, in {code.co_name}" + (f": {source}" if source else "")
    return found


def concerns_shapes(error: BaseException) -> bool:
    """Whether an exception is likely to be about arrays whose shapes do not fit together."""
    if isinstance(error, AssertionError):  # which often has no message: the line tells what it is about
        return bool(SHAPES.search(f"{error} {line_of(error)}"))
    # Not implemented, for an operation or a device, is a RuntimeError too.
    kinds = (ValueError, TypeError, RuntimeError, IndexError)
    return isinstance(error, kinds) and not isinstance(error, NotImplementedError) and bool(SHAPES.search(str(error)))


def model_failed(network: str, error: BaseException, *, doing: str, advice: str) -> ModelFailed:
    """Return the error for an exception that a model raised.

    Parameters
    ----------
    network : str
        Name of the network.
    error : BaseException
        The exception.
    doing : str
        What was being done and what was tried; it follows the type of the exception, as in ``"on a grey image"``.
    advice : str
        What the user can do, as one or more sentences; empty if nothing is known.
    """
    line = line_of(error)
    said = str(error).strip().rstrip(".")
    cause = f": {said}" if said else ""
    where = f" (at {line})" if line else ""
    return ModelFailed(
        f"{network} raised {type(error).__name__} {doing}{cause}{where}.{f' {advice}' if advice else ''}"
    )


def function_failed(parameter: str, function: object, error: Exception, fix: str) -> Exception:
    """Return the error for an exception that a user's function raised.

    Parameters
    ----------
    parameter : str
        The argument that named the function.
    function : object
        The function.
    error : Exception
        What it raised.
    fix : str
        What the function must take and return, as one or more sentences.

    Returns
    -------
    Exception
        `InvalidParameter`; errors of phosphene and a lack of memory as they are.
    """
    if isinstance(error, PhospheneError) or lacks_memory(error):
        return error
    name = getattr(function, "__name__", type(function).__name__)
    line = line_of(error)
    received = f"{type(error).__name__} from {name!r}: {str(error).strip()}"[:500] + f" (at {line})" * bool(line)
    return InvalidParameter(parameter, allowed="a function that does not raise", received=said(received), fix=fix)


def lacks_memory(error: BaseException) -> bool:
    """Whether an exception of any framework means that memory did not suffice."""
    text = f"{type(error).__name__} {error}".lower()
    return isinstance(error, MemoryError) or any(
        sign in text for sign in ("outofmemory", "out of memory", "resource_exhausted", "can't allocate memory")
    )


def no_gradient(parameter: str, allowed: str, received: object, layers: Sequence[str]) -> InvalidObjective:
    """Return the error for a target whose gradient is exactly zero at the image.

    Parameters
    ----------
    parameter : str
        The argument that named the target.
    allowed : str
        What is accepted, as a noun phrase.
    received : object
        The value received.
    layers : sequence of str
        Paths of the layers that the target reads.
    """
    return InvalidObjective(
        parameter,
        allowed=allowed,
        received=received,
        fix=f"No gradient reaches the image from {', '.join(layers)}: is the layer computed from the image, "
        "and by operations that can be differentiated? Or is the unit inactive on every image that was tried?",
    )
