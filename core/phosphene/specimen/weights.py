"""Read the weights of the embedded networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import CorruptWeights
from phosphene.kit.checks import choice
from phosphene.kit.documents import DAMAGE
from phosphene.kit.places import given_path
from phosphene.kit.tensors import check_tensors
from phosphene.specimen.architecture import ARCHITECTURES, Architecture, parameter_shapes

__all__ = ["check", "load", "metadata", "path_of"]


def path_of(name: str) -> Path:
    """Return the path of an embedded network's weights."""
    return Path(__file__).parent / "parameters" / f"{name}.safetensors"


def load(name: str, path: str | Path | None = None) -> tuple[Architecture, dict[str, NDArray[Any]]]:
    """Return the architecture and the weights of an embedded network.

    Parameters
    ----------
    name : str
        One of `ARCHITECTURES`.
    path : str or Path, optional
        Weights file (default: the one in the package).

    Returns
    -------
    Architecture
    dict of str to numpy.ndarray
        Weights with PyTorch's names and layout.

    Raises
    ------
    InvalidParameter
        If the name is unknown.
    CorruptWeights
        If the file cannot be read or does not fit the architecture.
    """
    architecture = _named(name)
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    source = given_path(path) if path is not None else path_of(name)
    try:
        check_tensors(source)
        weights = load_file(source)
    except (*DAMAGE, SafetensorError) as error:
        raise CorruptWeights(str(source), f"cannot be read ({error}). {_remedy(path)}") from error
    check(architecture, weights, str(source))
    return architecture, weights


def metadata(name: str, path: str | Path | None = None) -> dict[str, str]:
    """Return the metadata of a weights file: name, classes, seed, accuracy on fresh crops and on the strip, versions.

    Parameters and errors are those of `load`. The weights are not read.
    """
    _named(name)
    from safetensors import SafetensorError, safe_open

    source = given_path(path) if path is not None else path_of(name)
    try:
        check_tensors(source)
        with safe_open(source, framework="np") as opened:
            return dict(opened.metadata() or {})
    except (*DAMAGE, SafetensorError) as error:
        raise CorruptWeights(str(source), f"cannot be read ({error}). {_remedy(path)}") from error


def check(architecture: Architecture, weights: Mapping[str, NDArray[Any]], source: str) -> None:
    """Check that all arrays of an architecture are present, of the right shape, real and finite.

    Parameters
    ----------
    architecture : Architecture
    weights : mapping of str to numpy.ndarray
    source : str
        Where the weights are from, for the error message.

    Raises
    ------
    CorruptWeights
        With the names of arrays that are missing or unexpected, or the first one that does not fit.
    """
    wanted = dict(parameter_shapes(architecture))
    missing, superfluous = sorted(set(wanted) - set(weights)), sorted(set(weights) - set(wanted))
    if missing or superfluous:
        raise CorruptWeights(
            source,
            f"missing: {_listed(missing)}; unexpected: {_listed(superfluous)}. Is it a file of {architecture.name!r}?",
        )
    for key, shape in wanted.items():
        array = np.asarray(weights[key])
        if array.shape != shape:
            raise CorruptWeights(source, f"{key} has shape {array.shape}, but {architecture.name!r} needs {shape}")
        if not np.issubdtype(array.dtype, np.floating) or not np.all(np.isfinite(array)):
            raise CorruptWeights(source, f"{key} contains NaN, infinity or values that are not floats")


def _named(name: str) -> Architecture:
    return ARCHITECTURES[choice("name", name, ARCHITECTURES)]


def _remedy(path: object) -> str:
    return "Reinstall the package." if path is None else "Train it again, or leave the path out."


def _listed(keys: list[str], most: int = 4) -> str:
    shown = ", ".join(keys[:most]) or "nothing"
    return shown if len(keys) <= most else f"{shown} and {len(keys) - most} more"
