"""Provenance of a result: network, weights, versions and seed."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from phosphene.backend import Network
from phosphene.types import Size

__all__ = ["describe"]


def describe(network: Network, seed: int, canvas: Size) -> dict[str, Any]:
    """Describe what a run was made with, as plain JSON."""
    versions = {"python": platform.python_version()}
    for package in ("phosphene", "numpy", network.backend.name):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "unknown"
    return {
        "network": network.name,
        "backend": network.backend.name,
        "device": network.device,
        "dtype": network.dtype,
        "fingerprint": network.fingerprint(),
        "size": list(canvas),
        "seed": seed,
        "versions": versions,
    }
