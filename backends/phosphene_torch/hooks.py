"""Temporary hooks on all modules of a model: the values they return, and which modules are running."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

__all__ = ["aliases", "named_modules", "plain_path", "returning", "running", "submodule"]

COMPILED = "_orig_mod"
"""Under this name ``torch.compile`` keeps a module in the one that it returns."""


def named_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules of a model with their paths, those that were compiled as if they were not.

    A module that ``torch.compile`` returns only calls the one that it holds, and has no layer of its own.
    """
    for path, module in model.named_modules():
        if COMPILED not in module._modules:
            yield plain_path(path), module


def aliases(model: nn.Module) -> dict[str, str]:
    """Return the other paths of modules that a model holds under several names, each with the path of `named_modules`."""
    first: dict[nn.Module, str] = {module: path for path, module in named_modules(model)}
    every = ((plain_path(path), module) for path, module in model.named_modules(remove_duplicate=False))
    return {path: first[module] for path, module in every if module in first and path != first[module]}


def plain_path(path: str) -> str:
    """Return the path that a module, parameter or buffer would have if no module were compiled."""
    return ".".join(part for part in path.split(".") if part != COMPILED) if COMPILED in path else path


def submodule(model: nn.Module, path: str) -> nn.Module:
    """Return the module with a path of `named_modules`."""
    module = model
    for part in path.split(".") if path else ():
        module = _held(_inner(module), part)
    return _inner(module)


def _inner(module: nn.Module) -> nn.Module:
    return _inner(_held(module, COMPILED)) if COMPILED in module._modules else module


def _held(module: nn.Module, name: str) -> nn.Module:
    found: nn.Module = module._modules[name]  # type: ignore[assignment]
    return found


@contextlib.contextmanager
def returning(model: nn.Module, note: Callable[[str, str, nn.Module, Any, Any], None]) -> Iterator[None]:
    """A context in which `note` is called with the return value of every module call.

    All calls are counted, also those without an activation, in the same way as when layers are read. Hooks are added by the
    method of `nn.Module`, since TorchScript modules hide theirs, although they run hooks when Python calls them.
    """
    calls: Counter[str] = Counter()
    handles = []

    def hook_of(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            call = calls[path]
            calls[path] += 1
            note(path if call == 0 else f"{path}#{call}", path, module, inputs, output)

        return hook

    try:
        for path, module in named_modules(model):
            if path:
                handles.append(nn.Module.register_forward_hook(module, hook_of(path)))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def running(model: nn.Module) -> Iterator[list[str]]:
    """A context with a list of the paths of the running modules, the innermost last, which hooks keep up to date."""
    stack: list[str] = []

    def entered(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any) -> None:
            stack.append(path)

        return hook

    def left(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            # Also removes modules that were left by a caught exception.
            while stack and stack.pop() != path:
                pass

        return hook

    handles: list[Any] = []
    try:
        for path, module in named_modules(model):
            handles.append(nn.Module.register_forward_pre_hook(module, entered(path)))
            handles.append(nn.Module.register_forward_hook(module, left(path)))
        yield stack
    finally:
        for handle in handles:
            handle.remove()
