"""What was found about a module, and what of it the user is told."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator

from torch import nn

from phosphene.findings import Findings
from phosphene.layers import OUTPUT
from phosphene_torch.discovery import Found
from phosphene_torch.hooks import aliases
from phosphene_torch.placement import in_training
from phosphene_torch.unread import inside_programs, why_only_output

__all__ = ["findings_of", "notices"]

SHOWN = 5
"""Number of layers that a warning lists."""


def findings_of(model: nn.Module, found: Found) -> Findings:
    """Return what was found about a model."""
    notes = []
    if not found.depends.seeded:
        notes.append("two runs from one seed differ: the model draws from a generator of its own, or keeps a state")
    if found.alone is not None:
        notes.append(f"it does not take two images at once: {type(found.alone).__name__}: {found.alone}")
    return Findings(
        training=bool(in_training(model)),
        memory=found.memory,
        mixes_images=bool(found.depends.batch),
        random=bool(found.depends.draws),
        guessed=found.guessed,
        unread={**found.unread, **{path: why for path, why in inside_programs(model).items() if path in found.unread}},
        aliases=aliases(model),
        notes=tuple(notes),
    )


def notices(name: str, model: nn.Module, found: Found, findings: Findings) -> Iterator[str]:
    """Yield what the user should know about a model, as warnings."""
    if findings.mixes_images:
        yield _mixes(name, model, found)
    elif findings.training:
        yield f"{name} is in training mode: it is read in evaluation mode, and its mode is not changed."
    if not found.depends.seeded:
        yield _unseeded(name, found)
    if found.returns:
        parts = [path for path in found.parts if found.parts[path][0] == OUTPUT]
        yield (
            f"{name} returns {found.returns}: the part that is the output is ambiguous, so there is no layer {OUTPUT!r}. "
            "Name it with ph.wrap(..., output=...), as a key, an index, or a function of the return value. "
            + (f"Its parts are the layers {_listed(parts)}, and all others can be read." if parts else "")
            + ("" if parts else "All other layers can be read.")
        )
    elif all(path.partition("[")[0] == OUTPUT for path in found.layers):
        yield f"{name}: no inner layer could be read, because {why_only_output(model)}. Only {OUTPUT!r} is a layer."
    if found.guessed:
        example = json.dumps(found.guessed[0], ensure_ascii=False)
        yield (
            f"{name}: the channel axis was guessed for {len(found.guessed)} of its {len(found.layers)} layers "
            f"({_listed(found.guessed)}), and for layers that depend on them. State it by path or pattern, for example "
            f"ph.wrap(..., channel_axis={{{example}: -1}}): -1 for channel-last, 1 for channel-first."
        )


def _mixes(name: str, model: nn.Module, found: Found) -> str:
    first = found.depends.batch[0]
    where = f"{first!r} ({found.layers[first].kind})" if first in found.layers else repr(first)
    flags = _flags(model)
    if flags:
        stated = ", ".join(f'"{flag}": {not default}' for flag, default in flags.items())
        fix = (
            f"Such an argument of the model may switch it: {', '.join(flags)}. State it for evaluation, for example with "
            f"ph.wrap(..., inputs={{{stated}}})."
        )
    else:
        fix = "See how that module normalises: it has to use its running statistics, or those of each image."
    return (
        f"{name}: an image's activations depend on the other images of its batch, from layer {where} on. Although the model is "
        f"run in evaluation mode, it uses statistics of the batch, as in training mode, so every result depends on which images "
        f"are computed together. {fix}"
    )


def _unseeded(name: str, found: Found) -> str:
    first = found.depends.draws[0]
    return (
        f"{name} gives other values each time it runs, from layer {first!r} on, also from one seed: it draws from a generator of "
        "its own, or keeps a state. Results cannot be repeated."
    )


def _flags(model: nn.Module) -> dict[str, bool]:
    """Return the arguments of a model that are true or false, and the value that each one has."""
    try:
        parameters = inspect.signature(model.forward).parameters
    except (TypeError, ValueError):
        return {}
    return {
        name: parameter.default is True
        for name, parameter in parameters.items()
        if isinstance(parameter.default, bool) or parameter.annotation in (bool, "bool")
    }


def _listed(paths: list[str] | tuple[str, ...]) -> str:
    return ", ".join(paths[:SHOWN]) + (", ..." if len(paths) > SHOWN else "")
