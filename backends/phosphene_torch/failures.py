"""Error messages for a user's model that raises: its cause, and what to do about it."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

from phosphene.errors import ModelFailed
from phosphene.failures import concerns_shapes, model_failed
from phosphene.interface import Interface
from phosphene_torch.inputs import missing, takes

__all__ = ["failed"]

MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory", re.IGNORECASE)
DEVICES = re.compile(r"same device|different devices?|from the '\w+' backend|on the '\w+' (backend|device)")
PRECISIONS = re.compile(r"same dtype|expected scalar type|should be the same|dtype|Float and|Double and")
NARROW = {torch.float16: ("half", '"float32" (or "bfloat16")'), torch.bfloat16: ("bfloat16", '"float32"')}


def failed(
    name: str,
    model: nn.Module,
    error: Exception,
    *,
    what: str,
    shape: tuple[int, ...],
    interface: Interface,
    device: torch.device,
    dtype: torch.dtype,
) -> ModelFailed:
    """Return the error for an exception of the model, with advice on how to fix it.

    Parameters
    ----------
    name : str
        Name of the network.
    model : nn.Module
    error : Exception
        What the model raised.
    what : str
        What it was run on: ``"a grey image"``.
    shape : tuple of int
        Shape of the images in the model's layout, (N, C, H, W).
    interface : Interface
        How the model is called.
    device : torch.device
        Device of the computation.
    dtype : torch.dtype
        Precision of the computation.

    Returns
    -------
    ModelFailed
    """
    wanted = missing(model, interface.inputs)
    if wanted and (
        isinstance(error, TypeError) or "missing value for argument" in str(error)
    ):  # Python, or TorchScript
        listed = " and ".join(repr(argument) for argument in wanted)
        return ModelFailed(
            f"{name} takes more than images: {listed} {'was' if len(wanted) == 1 else 'were'} not given. Pass constants by name, "
            f"each for one image, with inputs={{{_example(wanted)}}}, or compute all arguments from the images with "
            "inputs=lambda x: {...}."
        )
    if dtype in NARROW and device.type == "cpu" and NARROW[dtype][0] in str(error).lower():
        return ModelFailed(
            f"{name} raised {type(error).__name__} in {str(dtype).removeprefix('torch.')}: {error}. The CPU does not support all "
            f"operations in that precision: use another one with dtype={NARROW[dtype][1]}."
        )
    return model_failed(
        name,
        error,
        doing=f"on {what} of shape {shape} (N, C, H, W)",
        advice=_advice(model, error, shape, interface, device, dtype),
    )


def _advice(
    model: nn.Module,
    error: Exception,
    shape: tuple[int, ...],
    interface: Interface,
    device: torch.device,
    dtype: torch.dtype,
) -> str:
    """Return what to do about the likely cause of an exception; empty if it is not known."""
    text = str(error)
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and MEMORY.search(text)):
        return f"The memory of {device} is not enough: use a smaller batch size or size, or another device."
    if isinstance(error, NotImplementedError):
        if _without_forward(model):
            return (
                f"{type(model).__name__} has no forward pass: wrap the module that takes the images, "
                "not one that only holds others."
            )
        return f"What the message names is not implemented by the model, or not by PyTorch on {device} for {_named(dtype)}."
    if isinstance(error, OSError):
        return "The model opens a file, or a connection, when it runs: make sure that it is there."
    if isinstance(error, RuntimeError) and DEVICES.search(text):
        return (
            f"The images are on {device}: the model may hold a tensor that is neither a parameter nor a buffer on another device. "
            "Use register_buffer for it, or leave device= out."
        )
    if isinstance(error, RuntimeError) and PRECISIONS.search(text) and not concerns_shapes(error):
        return (
            f"The images are {_named(dtype)}: the model may make tensors of another precision. Use dtype= of ph.wrap."
        )
    if concerns_shapes(error):
        _, channels, height, width = shape
        return (
            f"Check size={(height, width)} and channels={channels}; a network with a fixed input size takes only that size."
            f"{_about_arguments(model, interface.inputs)}"
        )
    about_arguments = isinstance(error, (ValueError, TypeError, AttributeError))
    return _about_arguments(model, interface.inputs).strip() if about_arguments else ""


def _without_forward(model: nn.Module) -> bool:
    return getattr(type(model), "forward", None) is nn.Module.forward


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _example(names: list[str]) -> str:
    return ", ".join(f'"{name}": ...' for name in names)


def _about_arguments(model: nn.Module, inputs: Any) -> str:
    if inputs is not None:
        return " Arrays in inputs are for one image, without a batch axis." if not callable(inputs) else ""
    arguments = takes(model)
    return f" It takes {arguments}: pass all except the images with inputs={{...}}." if "," in arguments else ""
