"""``package.module:factory``: models returned by a user's own function."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
from collections.abc import Iterable
from typing import Any

from phosphene.backend import Network
from phosphene.errors import InvalidParameter, ModelFailed, PhospheneError, nearest
from phosphene.loaders.assignment import fill_module
from phosphene.loaders.request import RANDOM, Loaded, Request
from phosphene.loaders.weight_files import read_torch
from phosphene.wrapping import carried_name

__all__ = ["load"]

FIX = "Check that it is a file of the model that the factory builds; `arguments` are passed to the factory."


def load(request: Request, schemes: Iterable[str] = ()) -> Loaded:
    """Return the model of a factory; modules in the current directory can be imported, as with ``python -m``.

    Parameters
    ----------
    request : Request
        With a name ``package.module:factory``.
    schemes : iterable of str
        Prefixes that may have been meant, for the error message.

    Returns
    -------
    Loaded

    Raises
    ------
    InvalidParameter
        If there is no such module or function, or `weights` cannot be used with the factory.
    ModelFailed
        If the module or the factory raises; the exception is chained.
    CorruptWeights
        If a weights file cannot be read or does not fit.
    """
    if request.weights == RANDOM:
        raise InvalidParameter(
            "weights",
            allowed="None or a file for a factory",
            received=request.weights,
            fix="Leave it out: the factory initialises its own weights.",
        )
    here = os.getcwd()
    added = here not in sys.path and "" not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        importlib.invalidate_caches()  # the module may have been written a moment ago
        model = _made(request, _found(request.name, schemes))
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
    # Many factories build one class: their names say which model it is. Some models carry a name of their own.
    settings = {} if carried_name(model) else {"name": request.name.rpartition(":")[2].rpartition(".")[2]}
    if request.file is None:
        return Loaded(model, settings)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        arrays, notes = read_torch(request.file, model.state_dict())
        fill_module(model, arrays, str(request.file), FIX)
        return Loaded(model, settings, notes)
    if isinstance(model, Network) or "jax" not in sys.modules:
        raise InvalidParameter(
            "weights",
            allowed="None for the model that this factory returns",
            received=str(request.file),
            fix="Load the weights in the factory.",
        )
    from phosphene.loaders.jax_weights import fill_jax

    return Loaded(fill_jax(model, request.file), settings)


def _found(name: str, schemes: Iterable[str]) -> Any:
    """Return the object of that name."""
    module_name, _, attribute = name.partition(":")
    target: Any = _module(name, module_name, schemes)
    for part in attribute.split("."):
        if not hasattr(target, part):
            near = nearest(part, [known for known in dir(target) if not known.startswith("_")])
            raise InvalidParameter(
                "name",
                allowed=f"a factory in {module_name}",
                received=name,
                fix=f"The module has no {part!r}."
                + (f" Did you mean {near}?" if near else f" Define it in {module_name}."),
            )
        target = getattr(target, part)
    return target


def _module(name: str, module_name: str, schemes: Iterable[str]) -> Any:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise _failed(name, module_name, error) from error
        near = nearest(module_name, schemes)
        raise InvalidParameter(
            "name",
            allowed="PACKAGE.MODULE:FACTORY with a module that can be imported",
            received=name,
            fix=(f"Did you mean {near}? " if near else "")
            + f"There is no module {error.name!r} in {os.getcwd()} or among the installed packages.",
        ) from error
    except Exception as error:
        raise _failed(name, module_name, error) from error


def _failed(name: str, module_name: str, error: Exception) -> ModelFailed:
    return ModelFailed(f"{name}: importing {module_name} raised {type(error).__name__}: {error}")


def _made(request: Request, target: Any) -> Any:
    """Call the factory; an object that is not callable as one is itself the model."""
    if not (inspect.isroutine(target) or inspect.isclass(target) or isinstance(target, functools.partial)):
        if request.arguments:
            raise InvalidParameter(
                "arguments",
                allowed=f"None, since {request.name} is not a function",
                received=dict(request.arguments),
                fix="Leave `arguments` out.",
            )
        return target
    try:
        model = target(**request.arguments)
    except PhospheneError:
        raise
    except Exception as error:
        raise ModelFailed(
            f"the factory {request.name} raised {type(error).__name__}: {error}. It was called with `arguments` "
            f"({', '.join(request.arguments) or 'none were given'}) and must return a model."
        ) from error
    if model is None:
        raise ModelFailed(
            f"the factory {request.name} returned None instead of a model. Is a return statement missing?"
        )
    return model
