"""Presets: published recipes by name, each a bundle of parameterization, transforms, regularizers, optimizer and steps.

Any part that is given to `phosphene.render` beside a preset replaces the preset's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from phosphene.errors import InvalidParameter, nearest
from phosphene.optimizers import Optimizer, adam, sgd
from phosphene.parameterizations import Parameterization, fourier, pixel
from phosphene.penalties import Penalty, total_variation
from phosphene.projections import Projection
from phosphene.transforms import Transform, jitter, pad, rotate, scale
from phosphene.types import Size

__all__ = ["Preset", "preset_named"]


@dataclass(frozen=True)
class Preset:
    """A recipe.

    Attributes
    ----------
    parameterization : Parameterization
    transforms : tuple of Transform
    regularizers : tuple of Penalty or Projection
    optimizer : Optimizer
    steps : int
    source : str
        Where it was published.
    """

    parameterization: Parameterization
    transforms: tuple[Transform, ...]
    regularizers: tuple[Penalty | Projection, ...]
    optimizer: Optimizer
    steps: int
    source: str


def preset_named(name: str, size: Size) -> Preset:
    """The recipe of that name, for images of `size`.

    Parameters
    ----------
    name : str
        "default", "lucid" or "plain".
    size : (int, int)
        Some recipes scale their distances with it.

    Returns
    -------
    Preset

    Raises
    ------
    InvalidParameter
        When there is none of that name.
    """
    if name not in _PRESETS:
        near = nearest(name, _PRESETS)
        raise InvalidParameter(
            "preset", allowed=", ".join(repr(known) for known in _PRESETS), received=name,
            fix=f"Did you mean {near}?" if near else "",
        )  # fmt: skip
    return _PRESETS[name](size)


def _default(size: Size) -> Preset:
    side = min(size)
    return Preset(
        parameterization=fourier(decay=1.3),
        transforms=(jitter(max(1, side // 8)), scale(0.8, 1.2), rotate(10.0)),
        regularizers=(total_variation(5.0),),
        optimizer=adam(0.05),
        steps=160,
        source="phosphene's own",
    )


def _lucid(size: Size) -> Preset:
    factors = [1 + (index - 5) / 50.0 for index in range(11)]
    angles = [*range(-10, 11), 0, 0, 0, 0, 0]
    return Preset(
        parameterization=fourier(decay=1.0),
        transforms=(pad(12), jitter(4), scale(factors), rotate(angles), jitter(2)),
        regularizers=(),
        optimizer=adam(0.05),
        steps=512,
        source="lucid (Olah et al. 2017)",
    )


def _plain(size: Size) -> Preset:
    return Preset(
        parameterization=pixel(),
        transforms=(),
        regularizers=(),
        optimizer=sgd(1.0),
        steps=64,
        source="Erhan et al. 2009, unregularized: the baseline of what not to trust",
    )


_PRESETS: dict[str, Callable[[Size], Preset]] = {"default": _default, "lucid": _lucid, "plain": _plain}
