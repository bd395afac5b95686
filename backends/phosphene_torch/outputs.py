"""What a module returns: which tensor it means, and the same with that tensor replaced."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch

from phosphene.errors import InvalidParameter, said

__all__ = ["choices", "main_tensor", "parts", "replace_main", "stated_output", "the_output"]

SEGMENTATION = frozenset({"out", "aux"})
"""What torchvision's segmentation models return: scores, and those of an auxiliary head."""


def parts(output: Any) -> dict[str | int, Any]:
    """What is in an output, by key, field or place; empty for a tensor and for what has no parts."""
    if isinstance(output, Mapping):
        return dict(output.items())
    if isinstance(output, (tuple, list)):
        return dict(zip(getattr(output, "_fields", range(len(output))), output, strict=True))
    if dataclasses.is_dataclass(output):
        return {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
    return {}


def main_tensor(output: Any) -> torch.Tensor | None:
    """The tensor that an output means: itself, its ``logits``, or the first floating tensor in it; None when there is none."""
    if isinstance(output, torch.Tensor):
        return output
    logits = _logits(output)
    if logits is not None:
        return logits
    return next((item for item in parts(output).values() if _floating(item)), None)


def replace_main(output: Any, tensor: torch.Tensor) -> Any:
    """`output`, rebuilt as what it was, with its main tensor replaced."""
    if isinstance(output, torch.Tensor):
        return tensor
    old = main_tensor(output)
    changed = [key for key, value in parts(output).items() if value is old]
    if isinstance(output, Mapping) or not parts(output):
        # A copy keeps what else the container has: the attributes of a Hugging Face output, which are its items too.
        result = copy.copy(output)
        for key in changed:
            result[key] = tensor
        if not parts(output):
            result.logits = tensor
        return result
    if hasattr(output, "_replace"):
        return output._replace(**{str(key): tensor for key in changed})
    if isinstance(output, (tuple, list)):
        return type(output)([tensor if item is old else item for item in output])
    return dataclasses.replace(output, **{str(key): tensor for key in changed})


def the_output(output: Any) -> torch.Tensor | None:
    """The one tensor of a model's return value that is plainly the output, if there is one."""
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
    """The part of a model's return value that the user named.

    Raises
    ------
    InvalidParameter
        When there is no such part, or it is no floating tensor.
    """
    if callable(stated):
        found = stated(output)
        if not _floating(found):
            raise InvalidParameter(
                "output", allowed=f"a function that makes one floating tensor of what {network} returns",
                received=said(f"one that returned {_described(found)}"), fix=f"It is given {choices(output)}.",
            )  # fmt: skip
        return found  # type: ignore[no-any-return]
    found = _part(stated, output)
    if not _floating(found):
        raise InvalidParameter(
            "output", allowed=f"a part of what {network} returns that is a floating tensor", received=stated,
            fix=f"It returns {choices(output)}.",
        )  # fmt: skip
    return found  # type: ignore[no-any-return]


def choices(output: Any) -> str:
    """What there is in an output to choose from, in words."""
    if isinstance(output, torch.Tensor):
        return f"one {_described(output)}"
    kind = f"a {type(output).__name__}"
    named = ", ".join(str(key) for key, item in parts(output).items() if _floating(item))
    return f"{kind} with the tensors {named}" if named else f"{kind} without tensors of floats at its top"


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
