"""Why modules of a model cannot be read: they are compiled programs, or there are none."""

from __future__ import annotations

import torch
import torch.fx
from torch import nn
from torch.jit._trace import TracedModule

from phosphene_torch.hooks import named_modules

__all__ = ["inside_programs", "why_only_output"]

READ_EARLIER = "wrap the model from before it was {done}"


def why_only_output(model: nn.Module) -> str:
    """Return why a model has no inner layer that can be read, as a clause that follows "because".

    Parameters
    ----------
    model : nn.Module
        A model of which only the return value was found.

    Returns
    -------
    str
        Such as ``"it is a TorchScript program, whose modules do not run in Python: wrap the model from before it was scripted"``.
    """
    program = _program(model)
    if program:
        return f"it is {program}"
    modules = [(path, module) for path, module in named_modules(model) if path]
    if not modules:
        return "it has no submodules, and a layer is what a submodule returns"
    programs = [(path, reason) for path, module in modules if (reason := _program(module))]
    if programs:
        path, reason = programs[0]
        return f"{path!r} is {reason}"
    return "none of its submodules runs when the model is called and returns a floating tensor with one row per image"


def inside_programs(model: nn.Module) -> dict[str, str]:
    """Return the paths of all modules inside compiled programs, which cannot be read, and the reason for each.

    A program inside of a model can be read itself, as one layer.
    """
    found: dict[str, str] = {}
    holders: list[tuple[str, str]] = []
    for path, module in named_modules(model):
        holder = next((item for item in holders if not item[0] or path.startswith(f"{item[0]}.")), None)
        if holder is not None:
            found[path] = f"inside {repr(holder[0]) + ', ' if holder[0] else ''}{holder[1]}"
        elif reason := _program(module):
            holders.append((path, reason))
    return found


def _program(module: nn.Module) -> str:
    """Describe a module whose inner modules do not run; empty for one whose do."""
    if isinstance(module, TracedModule):
        return f"a traced program, whose modules do not run in Python: {READ_EARLIER.format(done='traced')}"
    if isinstance(module, torch.jit.ScriptModule):
        return f"a TorchScript program, whose modules do not run in Python: {READ_EARLIER.format(done='scripted')}"
    if isinstance(module, torch.fx.GraphModule) and not _calls_modules(module):
        return f"a graph of operations that calls no modules: {READ_EARLIER.format(done='exported')}"
    return ""


def _calls_modules(module: torch.fx.GraphModule) -> bool:
    """Whether a graph calls a module other than one that only checks its inputs, as an exported program's does."""
    called = [str(node.target) for node in module.graph.nodes if node.op == "call_module"]
    return any(target != "_guards_fn" for target in called)
