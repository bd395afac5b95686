"""The tensors of a module's return value: find the main one and the others, and replace them."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import torch

from phosphene.errors import InvalidParameter, said

__all__ = [
    "Keys",
    "choices",
    "index_of",
    "main_tensor",
    "part_at",
    "parts",
    "replace_main",
    "replace_part",
    "several",
    "stated_output",
    "suffix",
    "the_output",
]

Keys: TypeAlias = tuple[str | int, ...]
"""Where a tensor is in a return value: a key, field or index, and those inside of it."""

DEEPEST = 3
"""Number of containers inside each other that are searched for tensors."""

SEGMENTATION = frozenset({"out", "aux"})
"""Keys of the output of torchvision's segmentation models: scores, and scores of an auxiliary head."""


def parts(output: Any) -> dict[str | int, Any]:
    """Return the parts of an output by key, field or index; empty for a tensor and for objects without parts."""
    if isinstance(output, Mapping):
        return dict(output.items())
    if isinstance(output, (tuple, list)):
        return dict(zip(getattr(output, "_fields", range(len(output))), output, strict=True))
    if dataclasses.is_dataclass(output):
        return {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
    return {}


def main_tensor(output: Any) -> torch.Tensor | None:
    """Return the main tensor of an output: itself, its ``logits``, or its first floating tensor; None if there is none."""
    if isinstance(output, torch.Tensor):
        return output
    logits = _logits(output)
    if logits is not None:
        return logits
    return next((item for item in parts(output).values() if _floating(item)), None)


def several(output: Any) -> dict[Keys, torch.Tensor]:
    """Return all floating tensors in an output with containers inside each other, each tensor once; empty for a tensor."""
    found: dict[Keys, torch.Tensor] = {}
    for keys, tensor in _walked(output, ()):
        if not any(tensor is other for other in found.values()):
            found[keys] = tensor
    return found


def index_of(tensor: torch.Tensor | None, output: Any) -> str:
    """Return the suffix of the part of an output that is `tensor`, such as ``'["out"]'``; empty if there is none."""
    return next((suffix(keys) for keys, other in _walked(output, ()) if other is tensor), "")


def suffix(keys: Keys) -> str:
    """Return how a part is written behind the path of a layer: ``[1]``, ``["out"]``, ``[1][0]``."""
    return "".join(f"[{json.dumps(key, ensure_ascii=False) if isinstance(key, str) else key}]" for key in keys)


def part_at(output: Any, keys: Keys) -> torch.Tensor | None:
    """Return the floating tensor at a place in an output, or None if there is none."""
    for key in keys:
        output = parts(output).get(key)
    return output if _floating(output) else None


def replace_part(output: Any, keys: Keys, tensor: torch.Tensor) -> Any:
    """Return `output` with the tensor at a place in it replaced."""
    if not keys:
        return tensor
    key, *rest = keys
    return _replaced(output, {key: replace_part(parts(output)[key], tuple(rest), tensor)})


def replace_main(output: Any, tensor: torch.Tensor) -> Any:
    """Return `output` with its main tensor replaced."""
    if isinstance(output, torch.Tensor):
        return tensor
    old = main_tensor(output)
    if not parts(output):
        # A copy keeps the other content of the object.
        result = copy.copy(output)
        result.logits = tensor
        return result
    return _replaced(output, {key: tensor for key, value in parts(output).items() if value is old})


def _replaced(output: Any, changes: Mapping[Any, Any]) -> Any:
    if isinstance(output, Mapping):
        # A copy keeps the other content of the container, such as the attributes of a Hugging Face output.
        result: Any = copy.copy(output)
        for key, value in changes.items():
            result[key] = value
        return result
    if hasattr(output, "_replace"):
        return output._replace(**changes)
    if isinstance(output, (tuple, list)):
        return type(output)([changes.get(index, item) for index, item in enumerate(output)])
    return dataclasses.replace(output, **changes)


def _walked(output: Any, keys: Keys) -> Iterator[tuple[Keys, torch.Tensor]]:
    for key, item in parts(output).items():
        if not isinstance(key, (str, int)) or isinstance(key, bool):
            continue
        if _floating(item):
            yield (*keys, key), item
        elif len(keys) + 1 < DEEPEST and not isinstance(item, torch.Tensor):
            yield from _walked(item, (*keys, key))


def the_output(output: Any) -> torch.Tensor | None:
    """Return the tensor of a model's return value that is unambiguously the output, if there is one."""
    if isinstance(output, torch.Tensor):
        return output
    logits = _logits(output)
    if logits is not None:
        return logits
    named: dict[Any, Any] = {key: item for key, item in parts(output).items() if _floating(item)}
    plain = "out" if len(named) > 1 and named.keys() <= SEGMENTATION else next(iter(named), None)
    found: torch.Tensor | None = named.get(plain) if plain == "out" or len(named) == 1 else None
    return found


def stated_output(stated: str | int | Callable[[Any], Any], output: Any, network: str) -> torch.Tensor:
    """Return the part of a model's return value that the user stated.

    Raises
    ------
    InvalidParameter
        If there is no such part, or it is not a floating tensor.
    """
    if callable(stated):
        found = stated(output)
        if not _floating(found):
            raise InvalidParameter(
                "output",
                allowed=f"a function that returns one floating tensor from the output of {network}",
                received=said(f"one that returned {_described(found)}"),
                fix=f"It is called with {choices(output)}.",
            )
        return found  # type: ignore[no-any-return]
    found = _part(stated, output)
    if not _floating(found):
        raise InvalidParameter(
            "output",
            allowed=f"a floating tensor in the output of {network}",
            received=stated,
            fix=f"The model returns {choices(output)}.",
        )
    return found  # type: ignore[no-any-return]


def choices(output: Any) -> str:
    """Describe the tensors in an output."""
    if isinstance(output, torch.Tensor):
        return f"one {_described(output)}"
    kind = f"a {type(output).__name__}"
    named = ", ".join(str(key) for key, item in parts(output).items() if _floating(item))
    return f"{kind} with the tensors {named}" if named else f"{kind} without floating tensors at its top level"


def _part(stated: str | int, output: Any) -> Any:
    named = parts(output)
    if stated in named:
        return named[stated]
    if isinstance(stated, str):
        return getattr(output, stated, None)
    values = list(named.values())
    return values[stated] if -len(values) <= stated < len(values) else None


def _logits(output: Any) -> torch.Tensor | None:
    found = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    return found if isinstance(found, torch.Tensor) else None


def _floating(item: Any) -> bool:
    return isinstance(item, torch.Tensor) and item.is_floating_point()


def _described(item: Any) -> str:
    if isinstance(item, torch.Tensor):
        return f"tensor of {str(item.dtype).removeprefix('torch.')} and shape {tuple(item.shape)}"
    return f"a {type(item).__name__}"
