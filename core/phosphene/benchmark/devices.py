"""Where a model can be timed: backends, devices and precisions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from phosphene.backend import Network, backend_for, backend_named, backend_names
from phosphene.errors import InvalidParameter, MissingBackend, MixedBackends
from phosphene.kit.checks import is_network
from phosphene.loaders import load
from phosphene.wrapping import wrap

__all__ = ["DTYPES", "networks_of"]

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
    if is_network(model):
        for name, value in {"backends": backends, "devices": devices, "dtypes": dtypes, "options": options}.items():
            if value:
                raise InvalidParameter(
                    name,
                    allowed="nothing for a Network, which is timed as it is",
                    received=value,
                    fix="Give the model itself, or its name, and they are compared.",
                )
        return {(model.backend.name, model.device, model.dtype): model}, []
    named = isinstance(model, str)
    if not named and "size" not in options:
        raise InvalidParameter(
            "options",
            allowed="the height and width that the model takes",
            received=dict(options),
            fix='options={"size": 224}, for example.',
        )
    owner = None if named else backend_for(model).name
    networks: dict[tuple[str, str, str], Network] = {}
    refused: list[tuple[Place, Exception]] = []
    for backend in backends or backend_names():
        try:
            if owner not in (None, backend):
                raise MixedBackends(f"The model is one of {owner}.")
            known = backend_named(backend).devices()
            places: list[str | None] = list(devices or known) or [None]  # None: the model's own device
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
