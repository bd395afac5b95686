"""Error messages for a user's model that raises on a grey image."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from phosphene.errors import ModelFailed
from phosphene.interface import InputSpec, Interface
from phosphene.types import Size
from phosphene_torch.inputs import missing, takes

__all__ = ["failed"]


def failed(
    name: str,
    model: nn.Module,
    error: Exception,
    *,
    size: Size,
    input: InputSpec,
    interface: Interface,
    device: torch.device,
    dtype: torch.dtype,
) -> ModelFailed:
    """Return the error for an exception of the model, with advice on how to fix it."""
    wanted = missing(model, interface.inputs)
    if wanted and isinstance(error, TypeError):
        listed = " and ".join(repr(argument) for argument in wanted)
        return ModelFailed(
            f"{name} takes more than images: {listed} {'was' if len(wanted) == 1 else 'were'} not given. Pass constants by name, "
            f"each for one image, with inputs={{{_example(wanted)}}}, or compute all arguments from the images with "
            "inputs=lambda x: {...}."
        )
    narrow = {torch.float16: ("half", '"float32" (or "bfloat16")'), torch.bfloat16: ("bfloat16", '"float32"')}
    if dtype in narrow and device.type == "cpu" and narrow[dtype][0] in str(error).lower():
        return ModelFailed(
            f"{name} raised {type(error).__name__} in {str(dtype).removeprefix('torch.')}: {error}. The CPU does not support all "
            f"operations in that precision: use another one with dtype={narrow[dtype][1]}."
        )
    native = (1, input.channels, *size)
    return ModelFailed(
        f"{name} raised {type(error).__name__} on a grey image of shape {native} (N, C, H, W): {error}. "
        f"Check size={size}, channels={input.channels} and range={input.range}; a network with a fixed input "
        f"size takes only that size.{_about_arguments(model, interface.inputs)}"
    )


def _example(names: list[str]) -> str:
    return ", ".join(f'"{name}": ...' for name in names)


def _about_arguments(model: nn.Module, inputs: Any) -> str:
    if inputs is not None:
        return " Arrays in inputs are for one image, without a batch axis." if not callable(inputs) else ""
    arguments = takes(model)
    return f" It takes {arguments}: pass all except the images with inputs={{...}}." if "," in arguments else ""
