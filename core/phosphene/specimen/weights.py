"""Reading the weights that come with the package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import CorruptWeights, InvalidParameter
from phosphene.specimen.architecture import ARCHITECTURES, Architecture, parameter_shapes

__all__ = ["check", "load", "metadata", "path_of"]


def path_of(name: str) -> Path:
    """Where the weights of that name lie."""
    return Path(__file__).parent / "parameters" / f"{name}.safetensors"


def load(name: str, path: Path | None = None) -> tuple[Architecture, dict[str, NDArray[Any]]]:
    """An embedded network's architecture and weights.

    Parameters
    ----------
    name : str
        One of `ARCHITECTURES`.
    path : Path, optional
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
    if name not in ARCHITECTURES:
        raise InvalidParameter("name", allowed=", ".join(map(repr, ARCHITECTURES)), received=name, fix="")
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    source = path or path_of(name)
    try:
        weights = load_file(source)
    except (OSError, SafetensorError, ValueError) as error:
        raise CorruptWeights(str(source), f"cannot be read ({error}). Install the package again.") from error
    check(ARCHITECTURES[name], weights, str(source))
    return ARCHITECTURES[name], weights


def metadata(name: str) -> dict[str, str]:
    """What the file says of itself: seed, accuracy, versions."""
    from safetensors import safe_open

    with safe_open(path_of(name), framework="np") as opened:
        return dict(opened.metadata() or {})


def check(architecture: Architecture, weights: Mapping[str, NDArray[Any]], source: str) -> None:
    """Hold weights against an architecture: every array there, of its shape, finite.

    Raises
    ------
    CorruptWeights
        Naming the arrays that are missing, superfluous or of another shape.
    """
    wanted = dict(parameter_shapes(architecture))
    missing, extra = sorted(set(wanted) - set(weights)), sorted(set(weights) - set(wanted))
    if missing or extra:
        raise CorruptWeights(source, f"missing {missing or 'nothing'}, superfluous {extra or 'nothing'}")
    for key, shape in wanted.items():
        if weights[key].shape != shape:
            raise CorruptWeights(source, f"{key} has shape {weights[key].shape}, {architecture.name} wants {shape}")
        if not np.all(np.isfinite(weights[key])):
            raise CorruptWeights(source, f"{key} holds NaN or infinity")
