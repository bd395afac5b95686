"""``package.module:factory``: whatever a function of the user's own returns."""

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
from phosphene.loaders.fitting import fill_module
from phosphene.loaders.request import RANDOM, Loaded, Request
from phosphene.loaders.weights import read_torch

__all__ = ["load"]

FIX = "Is it a file of what the factory builds? What that is can be stated by arguments."


def load(request: Request, schemes: Iterable[str] = ()) -> Loaded:
    """The model that a factory returns; the current directory is importable, as with ``python -m``.

    Parameters
    ----------
    request : Request
        Its name is ``package.module:factory``.
    schemes : iterable of str
        Names that may have been meant.

    Returns
    -------
    Loaded

    Raises
    ------
    InvalidParameter
        When there is no such module or function, or weights are asked for that a factory does not have.
    ModelFailed
        When the module or the factory raises; the cause is chained.
    CorruptWeights
        When a weights file cannot be read or does not fit.
    """
    if request.weights == RANDOM:
        raise InvalidParameter(
            "weights", allowed="None or a file for a factory, which makes its own", received=request.weights,
            fix="Leave it out.",
        )  # fmt: skip
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
    if request.file is None:
        return Loaded(model)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        arrays, notes = read_torch(request.file, model.state_dict())
        fill_module(model, arrays, str(request.file), FIX)
        return Loaded(model, notes=notes)
    if isinstance(model, Network) or "jax" not in sys.modules:
        raise InvalidParameter(
            "weights", allowed="None for what this factory returns", received=str(request.file),
            fix="Load them in the factory.",
        )  # fmt: skip
    from phosphene.loaders.jax_weights import fill_jax

    return Loaded(fill_jax(model, request.file))


def _found(name: str, schemes: Iterable[str]) -> Any:
    """The object of that name."""
    module_name, _, attribute = name.partition(":")
    target: Any = _module(name, module_name, schemes)
    for part in attribute.split("."):
        if not hasattr(target, part):
            near = nearest(part, [known for known in dir(target) if not known.startswith("_")])
            raise InvalidParameter(
                "name", allowed=f"a factory in {module_name}", received=name,
                fix=f"There is no {part!r} in it." + (f" Did you mean {near}?" if near else ""),
            )  # fmt: skip
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
            "name", allowed="PACKAGE.MODULE:FACTORY with a module that can be imported from here", received=name,
            fix=(f"Did you mean {near}? " if near else "") + f"There is no module {error.name!r} in {os.getcwd()} or installed.",
        ) from error  # fmt: skip
    except Exception as error:
        raise _failed(name, module_name, error) from error


def _failed(name: str, module_name: str, error: Exception) -> ModelFailed:
    return ModelFailed(f"{name}: importing {module_name} raised {type(error).__name__}: {error}")


def _made(request: Request, target: Any) -> Any:
    """What the factory returns; an object that is a model already is taken as it is."""
    if not (inspect.isroutine(target) or inspect.isclass(target) or isinstance(target, functools.partial)):
        if request.arguments:
            raise InvalidParameter(
                "arguments", allowed=f"none, since {request.name} is no function", received=dict(request.arguments),
                fix="Leave them out.",
            )  # fmt: skip
        return target
    try:
        model = target(**request.arguments)
    except PhospheneError:
        raise
    except Exception as error:
        raise ModelFailed(
            f"the factory {request.name} raised {type(error).__name__}: {error}. It is called with `arguments` "
            f"({', '.join(request.arguments) or 'none were given'}) and returns a model."
        ) from error
    if model is None:
        raise ModelFailed(f"the factory {request.name} returned None, not a model. Is a return statement missing?")
    return model
