"""Temporary hooks on all modules of a model: the values they return, and which modules are running."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

__all__ = ["returning", "running"]


@contextlib.contextmanager
def returning(model: nn.Module, note: Callable[[str, str, nn.Module, Any, Any], None]) -> Iterator[None]:
    """A context in which `note` is called with the return value of every module call.

    All calls are counted, also those without an activation, in the same way as when layers are read.
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
        for path, module in model.named_modules():
            if path:
                handles.append(module.register_forward_hook(hook_of(path)))
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
        for path, module in model.named_modules():
            handles.append(module.register_forward_pre_hook(entered(path)))
            handles.append(module.register_forward_hook(left(path)))
        yield stack
    finally:
        for handle in handles:
            handle.remove()
