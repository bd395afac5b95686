"""Where a model can be timed: backends, devices and precisions, and the memory that a framework tells of."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from phosphene.backend import Network, backend_for, backend_named, backend_names
from phosphene.errors import InvalidParameter, MissingBackend, MixedBackends
from phosphene.loaders import load
from phosphene.wrapping import wrap

__all__ = ["DTYPES", "memory", "networks_of"]

DTYPES = ("float32", "bfloat16", "float16", "float64")

Place = tuple[str, str | None, str | None]
"""Backend, device and precision."""


def networks_of(
    model: Any,
    backends: Sequence[str] | None,
    devices: Sequence[str] | None,
    dtypes: Sequence[str] | None,
    options: Mapping[str, Any],
) -> tuple[dict[tuple[str, str, str], Network], list[tuple[Place, Exception]]]:
    """The model on each combination, and what stood in the way of the others."""
    if isinstance(model, Network):
        for name, value in {"backends": backends, "devices": devices, "dtypes": dtypes, "options": options}.items():
            if value:
                raise InvalidParameter(
                    name, allowed="nothing for a Network, which is timed as it is", received=value,
                    fix="Give the model itself, or its name, and they are compared.",
                )  # fmt: skip
        return {(model.backend.name, model.device, model.dtype): model}, []
    named = isinstance(model, str)
    if not named and "size" not in options:
        raise InvalidParameter(
            "options", allowed="the height and width that the model takes", received=dict(options),
            fix='options={"size": 224}, for example.',
        )  # fmt: skip
    owner = None if named else backend_for(model).name
    networks: dict[tuple[str, str, str], Network] = {}
    refused: list[tuple[Place, Exception]] = []
    for backend in backends or backend_names():
        try:
            if owner not in (None, backend):
                raise MixedBackends(f"The model is one of {owner}.")
            backend_named(backend)
            places = list(devices or _devices(backend))
        except (MissingBackend, MixedBackends) as error:
            refused.append(((backend, None, None), error))
            continue
        for device, dtype in itertools.product(places, dtypes or DTYPES[:3]):
            if dtypes is None and dtype == "float16" and device == "cpu":
                continue
            where: dict[str, Any] = {"backend": backend, "device": device, "dtype": dtype, **options}
            try:
                network = load(model, **where) if named else wrap(model, **where)
                networks[backend, network.device, network.dtype] = network
            except Exception as error:  # noqa: BLE001  what a framework says of a device or a precision is the row's reason
                if isinstance(error, MixedBackends) or getattr(error, "parameter", "") in ("backend", "name"):
                    refused.append(((backend, None, None), error))
                    break
                refused.append(((backend, device, dtype), error))
    # What is said of the model itself comes before what is said of a backend that does not have it.
    refused.sort(key=lambda item: isinstance(item[1], MissingBackend | MixedBackends))
    return networks, refused


def _devices(backend: str) -> list[str | None]:
    """The CPU and the first device of every other kind; of a backend that is not ours, the model's own."""
    if backend == "torch":
        import torch

        cuda, metal = torch.cuda.is_available(), torch.backends.mps.is_available()
        return ["cpu", *(["cuda:0"] if cuda else []), *(["mps"] if metal else [])]
    if backend == "jax":
        import jax

        other = dict.fromkeys(device.platform for device in jax.local_devices() if device.platform != "cpu")
        return ["cpu", *(f"{name}:{jax.local_devices(backend=name)[0].id}" for name in other)]
    return [None]


def memory(network: Network, *, reset: bool = False) -> tuple[int, int] | None:
    """Bytes that the framework holds on the network's device, and the most since the start (PyTorch: since `reset`)."""
    name = network.backend.name
    if name == "torch" and network.device.startswith("cuda"):
        import torch

        if reset:
            torch.cuda.reset_peak_memory_stats(network.device)
        return torch.cuda.memory_allocated(network.device), torch.cuda.max_memory_allocated(network.device)
    if name == "jax":
        import jax

        kind, _, index = network.device.partition(":")
        for device in jax.local_devices(backend=kind):
            told = device.memory_stats() if device.id == int(index or 0) else None
            if told and "peak_bytes_in_use" in told:
                return int(told["bytes_in_use"]), int(told["peak_bytes_in_use"])
    return None
