"""Device and precision of a model, and contexts that preserve random states, gradients and exclusive access."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator

import torch
from torch import nn

from phosphene.errors import InvalidParameter

__all__ = [
    "alone",
    "constant",
    "device_named",
    "dtype_named",
    "generator_states",
    "in_training",
    "own_dtype",
    "random_state",
]

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}

LOCKS: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()
GUARD = threading.Lock()


def alone(model: nn.Module) -> threading.RLock:
    """Return the lock of a model, whose hooks, mode and gradients are shared by all threads that call it."""
    with GUARD:
        return LOCKS.setdefault(model, threading.RLock())


def device_named(name: str) -> torch.device:
    """Return a device of this machine; raise `InvalidParameter` if there is none of that name."""
    choices = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    choices += ["mps"] if torch.backends.mps.is_available() else []
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError, ValueError):
        device = None
    if device is not None and device.type == "cuda" and device.index is None and "cuda:0" in choices:
        device = torch.device("cuda", torch.cuda.current_device())
    if device is None or str(device).removesuffix(":0" if device.type != "cuda" else "") not in choices:
        allowed = " or ".join(repr(choice) for choice in choices)
        raise InvalidParameter("device", allowed=allowed, received=name, fix="These are the devices of this machine.")
    # "mps" and "mps:0" are the same device but compare unequal; a tensor has the canonical one.
    return torch.empty(0, device=device).device


def dtype_named(name: str) -> torch.dtype:
    """Return a floating dtype; raise `InvalidParameter` for another name."""
    if name not in DTYPES:
        allowed = " or ".join(repr(known) for known in DTYPES)
        raise InvalidParameter("dtype", allowed=allowed, received=name, fix="For example dtype='float32'.")
    return DTYPES[name]


def own_dtype(dtypes: set[torch.dtype]) -> torch.dtype:
    """Return the precision of a model's parameters; float32 if there are several, or an unsupported one."""
    known = dtypes & set(DTYPES.values())
    return known.pop() if len(dtypes) == 1 and known else torch.float32


def generator_states(device: torch.device) -> list[torch.Tensor]:
    """Return the state of the host's random generator, and of that of `device` if it has one of its own."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    elif device.type == "mps":
        states.append(torch.mps.get_rng_state())
    return states


@contextlib.contextmanager
def random_state(device: torch.device) -> Iterator[None]:
    """A context that restores the random states of the host and of `device` on exit."""
    host, *own = generator_states(device)
    try:
        yield
    finally:
        torch.set_rng_state(host)
        for state in own:
            if device.type == "cuda":
                torch.cuda.set_rng_state(state, device)
            else:
                torch.mps.set_rng_state(state)


def in_training(model: nn.Module) -> list[nn.Module]:
    """Return the modules in training mode; called at every step, and five times as fast as with module names."""
    found, waiting = [], [model]
    while waiting:
        module = waiting.pop()
        if getattr(module, "training", False):  # a frozen TorchScript module has no mode
            found.append(module)
        waiting.extend(child for child in module._modules.values() if child is not None)
    return found


@contextlib.contextmanager
def constant(model: nn.Module) -> Iterator[None]:
    """A context in which parameters need no gradients, so that less is kept for the backward pass."""
    frozen = []
    try:
        # Raises inside torch.func, which does not need it.
        with contextlib.suppress(RuntimeError):
            for parameter in model.parameters():
                if parameter.requires_grad and not parameter.is_inference():
                    parameter.requires_grad_(False)
                    frozen.append(parameter)
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
