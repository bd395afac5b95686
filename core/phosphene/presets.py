"""Presets: published recipes by name, each a bundle of parameterization, transforms, regularizers, optimizer and steps.

Any part that is given to `phosphene.render` beside a preset replaces the preset's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from phosphene.backend import Rule
from phosphene.errors import InvalidParameter, nearest
from phosphene.optimizers import Optimizer, adam, cosine, nadam, sgd
from phosphene.parameterizations import Parameterization, fourier, maco, pixel
from phosphene.penalties import Penalty, total_variation
from phosphene.projections import Projection
from phosphene.transforms import Transform, colour, crop, jitter, noise, pad, resize, roll, rotate, scale
from phosphene.types import Size

__all__ = ["Preset", "preset_named", "preset_names"]


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
    differs : str
        Where this is not what was published, and why.
    views : int
        Draws of the transforms a step, over which the objective is averaged; each is a gradient evaluation.
    rule : Rule, optional
        Backward rule of all steps; the network's own when absent.
    """

    parameterization: Parameterization
    transforms: tuple[Transform, ...]
    regularizers: tuple[Penalty | Projection, ...]
    optimizer: Optimizer
    steps: int
    source: str
    differs: str = ""
    views: int = 1
    rule: Rule | None = None


def preset_names() -> tuple[str, ...]:
    """Of all recipes."""
    return tuple(_PRESETS)


def preset_named(name: str, size: Size, seen: Size) -> Preset:
    """The recipe of that name, for images of `size`.

    Parameters
    ----------
    name : str
        One of `preset_names`.
    size : (int, int)
        Some recipes scale their distances with it.
    seen : (int, int)
        The network's own size, to which some recipes bring the image.

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
    return _PRESETS[name](size, seen)


def _default(size: Size, seen: Size) -> Preset:
    side = min(size)
    return Preset(
        parameterization=fourier(decay=1.3),
        transforms=(jitter(max(1, side // 16)), scale(0.9, 1.1), rotate(10.0)),
        regularizers=(total_variation(4.0),),
        # Gradients grow while a unit wakes: a second moment that remembers a thousand steps would lag behind for the whole run.
        optimizer=adam(0.1, 0.9, 0.99),
        steps=168,
        source="phosphene's own",
    )


def _lucid(size: Size, seen: Size) -> Preset:
    factors = [1 + (index - 5) / 50.0 for index in range(11)]
    angles = [*range(-10, 11), 0, 0, 0, 0, 0]
    return Preset(
        parameterization=fourier(decay=1.0),
        transforms=(pad(12), jitter(4), scale(factors), rotate(angles), jitter(2)),
        regularizers=(),
        optimizer=adam(0.05),
        steps=512,
        source="lucid (Olah et al. 2017)",
        differs="A draw a picture, not one for the whole batch. Dead units are woken one by one, with the best position first.",
    )


def _lucent(size: Size, seen: Size) -> Preset:
    recipe = _lucid(size, seen)
    return replace(
        recipe,
        transforms=(*recipe.transforms, resize(seen)),
        source="Lucent 0.1.8, lucid's recipe brought to the network's own size",
    )


def _captum(size: Size, seen: Size) -> Preset:
    return Preset(
        parameterization=fourier(decay=1.0, spread=0.02),
        transforms=(pad(16), jitter(8), scale([1.0, 0.975, 1.025, 0.95, 1.05])),
        regularizers=(),
        optimizer=adam(0.025),
        steps=512,
        source="captum.optim (captum pull request 1545)",
        differs="What lies outside the image is mid-grey, where captum reflects the image at its border.",
    )


def _maco(size: Size, seen: Size) -> Preset:
    return Preset(
        parameterization=maco(),
        transforms=(crop(0.5, 0.05, deviation=0.05, spread=0.15), resize(seen), noise(0.08)),
        regularizers=(),
        optimizer=nadam(1.0),
        steps=256,
        source="MaCo (Fel et al. 2023), as in xplique",
        differs="The spectrum falls as 1 / f unless statistics are given; the uniform part of the noise is left out.",
        views=32,
    )


def _vit(size: Size, seen: Size) -> Preset:
    steps = 400
    return Preset(
        parameterization=pixel(0.5, uniform=True),
        transforms=(roll(min(32, min(size) // 4)), colour(0.25, 0.25), noise(0.5, 0.0)),
        # Published as the Euclidean norm of all differences of a channel; a penalty here is their mean.
        regularizers=(total_variation(0.0005 * (size[0] * size[1]) ** 0.5),),
        optimizer=adam(0.1, 0.5, 0.99, schedule=cosine(steps)),
        steps=steps,
        source="What do Vision Transformers Learn? (Ghiasi et al. 2022)",
        differs="Colours are moved with a deviation of 0.25, not of 1.",
    )


def _deepdream(size: Size, seen: Size) -> Preset:
    return Preset(
        parameterization=pixel(),
        transforms=(jitter(min(32, min(size) // 4)),),
        regularizers=(),
        optimizer=sgd(1.5 / 255, normalize=True),
        steps=10,
        source="DeepDream (Mordvintsev et al. 2015), one octave",
        differs="The border is mid-grey where the original rolls the image. ph.dream goes through the octaves.",
    )


def _plain(size: Size, seen: Size) -> Preset:
    return Preset(
        parameterization=pixel(),
        transforms=(),
        regularizers=(),
        optimizer=sgd(1.0),
        steps=64,
        source="Erhan et al. 2009, unregularized: the baseline of what not to trust",
    )


_PRESETS: dict[str, Callable[[Size, Size], Preset]] = {
    "default": _default,
    "lucid": _lucid,
    "lucent": _lucent,
    "captum": _captum,
    "maco": _maco,
    "vit": _vit,
    "deepdream": _deepdream,
    "plain": _plain,
}
