"""Reading the weights that come with the package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import CorruptWeights, InvalidParameter, nearest
from phosphene.specimen.architecture import ARCHITECTURES, Architecture, parameter_shapes

__all__ = ["check", "load", "metadata", "path_of"]


def path_of(name: str) -> Path:
    """Where the weights of that name lie in the package."""
    return Path(__file__).parent / "parameters" / f"{name}.safetensors"


def load(name: str, path: str | Path | None = None) -> tuple[Architecture, dict[str, NDArray[Any]]]:
    """An embedded network's architecture and weights.

    Parameters
    ----------
    name : str
        One of `ARCHITECTURES`.
    path : str or Path, optional
        Another file than the package's own.

    Returns
    -------
    Architecture
    dict of str to numpy.ndarray
        In PyTorch's names and layout.

    Raises
    ------
    InvalidParameter
        For an unknown name.
    CorruptWeights
        When the file cannot be read or does not fit.
    """
    architecture = _named(name)
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    source = Path(path) if path is not None else path_of(name)
    try:
        weights = load_file(source)
    except (OSError, SafetensorError, ValueError) as error:
        raise CorruptWeights(str(source), f"cannot be read ({error}). {_remedy(path)}") from error
    check(architecture, weights, str(source))
    return architecture, weights


def metadata(name: str, path: str | Path | None = None) -> dict[str, str]:
    """What the file says of itself: name, classes, seed, accuracy on fresh crops and on the strip, versions.

    Parameters and errors are those of `load`; the weights are not read.
    """
    _named(name)
    from safetensors import SafetensorError, safe_open

    source = Path(path) if path is not None else path_of(name)
    try:
        with safe_open(source, framework="np") as opened:
            return dict(opened.metadata() or {})
    except (OSError, SafetensorError, ValueError) as error:
        raise CorruptWeights(str(source), f"cannot be read ({error}). {_remedy(path)}") from error


def check(architecture: Architecture, weights: Mapping[str, NDArray[Any]], source: str) -> None:
    """Hold weights against an architecture: every array there, of its shape, real and finite.

    Parameters
    ----------
    architecture : Architecture
    weights : mapping of str to numpy.ndarray
    source : str
        Where they are from; for the message.

    Raises
    ------
    CorruptWeights
        Naming the arrays that are missing or superfluous, or the first that does not fit.
    """
    wanted = dict(parameter_shapes(architecture))
    missing, superfluous = sorted(set(wanted) - set(weights)), sorted(set(weights) - set(wanted))
    if missing or superfluous:
        raise CorruptWeights(
            source,
            f"missing {_listed(missing)}, superfluous {_listed(superfluous)}; is it a file of {architecture.name!r}?",
        )
    for key, shape in wanted.items():
        array = np.asarray(weights[key])
        if array.shape != shape:
            raise CorruptWeights(source, f"{key} has shape {array.shape}, {architecture.name!r} wants {shape}")
        if not np.issubdtype(array.dtype, np.floating) or not np.all(np.isfinite(array)):
            raise CorruptWeights(source, f"{key} holds NaN, infinity or no real numbers")


def _named(name: str) -> Architecture:
    if name not in ARCHITECTURES:
        near = nearest(name, ARCHITECTURES)
        fix = f"Did you mean {near}?" if near else ""
        raise InvalidParameter("name", allowed=", ".join(map(repr, ARCHITECTURES)), received=name, fix=fix)
    return ARCHITECTURES[name]


def _remedy(path: object) -> str:
    return "Install the package again." if path is None else "Train it again, or leave the path out."


def _listed(keys: list[str], most: int = 4) -> str:
    shown = ", ".join(keys[:most]) or "nothing"
    return shown if len(keys) <= most else f"{shown} and {len(keys) - most} more"
