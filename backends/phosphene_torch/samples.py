"""A few values of each activation, by which two passes of a model are compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from phosphene.types import Floats

__all__ = ["Compared", "sample"]

VALUES = 256
"""Largest number of values of an activation that are compared."""

SHARE = 0.02
"""Share of the difference between two images above which a value counts as changed."""

ROUNDING = 100
"""Relative difference, in units of the precision, up to which a value counts as unchanged: convolutions and products of matrices
are summed in another order for another number of images."""


def sample(tensor: torch.Tensor, axis: int = 0, start: int = 0, count: int | None = None) -> torch.Tensor | None:
    """Copy at most `VALUES` values, evenly spaced along each axis, of a tensor or of some of its rows.

    Parameters
    ----------
    tensor : torch.Tensor
    axis : int, default 0
        The axis of `start` and `count`.
    start : int, default 0
        First entry along `axis`.
    count : int, optional
        Number of entries along `axis` (default: all).

    Returns
    -------
    torch.Tensor or None
        None for a tensor that cannot be sliced, or without values.
    """
    with torch._C.DisableTorchFunction():
        shape = list(tensor.shape)
        if count is not None:
            shape[axis] = count
        if 0 in shape:
            return None
        slices: list[slice] = [slice(None)] * len(shape)
        left = float(VALUES)
        for place, index in enumerate(sorted(range(len(shape)), key=shape.__getitem__)):
            taken = max(1, min(shape[index], int(left ** (1 / (len(shape) - place)))))
            step = -(-shape[index] // taken)
            left /= -(-shape[index] // step)
            first = start if index == axis else 0
            slices[index] = slice(first, first + shape[index], step)
        return tensor.detach()[tuple(slices)].clone()


@dataclass
class Compared:
    """Values of activations in two passes, and in one over another image.

    Attributes
    ----------
    one, two, other : dict of str to torch.Tensor
        By name of the activation.
    """

    one: dict[str, torch.Tensor] = field(default_factory=dict)
    two: dict[str, torch.Tensor] = field(default_factory=dict)
    other: dict[str, torch.Tensor] = field(default_factory=dict)

    def add(self, name: str, one: torch.Tensor | None, two: torch.Tensor | None, other: torch.Tensor | None) -> None:
        """Add an activation whose samples have one shape."""
        if one is not None and two is not None and other is not None and one.shape == two.shape == other.shape:
            self.one[name], self.two[name], self.other[name] = one, two, other

    def changed(self) -> list[str]:
        """Return the names of the activations that differ between the two passes, in order.

        A difference counts if it is more than rounding, and not small beside the difference between the images.
        """
        names = list(self.one)
        if not names:
            return []
        one, two, other = (_joined(values) for values in (self.one, self.two, self.other))
        starts = np.cumsum([0, *(self.one[name].numel() for name in names[:-1])])
        precisions = np.array([torch.finfo(self.one[name].dtype).eps for name in names])
        with np.errstate(invalid="ignore"):
            wrong, apart, size = (
                np.maximum.reduceat(np.abs(values), starts) for values in (two - one, other - one, one)
            )
            # Comparisons with NaN are false: what is not finite is reported elsewhere.
            found = wrong > SHARE * apart + ROUNDING * precisions * size
        return [name for name, changed in zip(names, found, strict=True) if changed]


def _joined(values: dict[str, torch.Tensor]) -> Floats:
    def parts() -> Iterator[torch.Tensor]:
        for value in values.values():
            yield value.reshape(-1).to("cpu" if value.device.type == "mps" else value.device, torch.float64)

    devices = {value.device for value in values.values()}
    if len(devices) > 1:
        return np.concatenate([part.cpu().numpy() for part in parts()])
    joined: Floats = torch.cat(list(parts())).cpu().numpy()
    return joined
