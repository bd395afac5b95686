"""Presets: recipes known by name, most of them published.

Any part that is given to `phosphene.render` beside a preset replaces the preset's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from phosphene.kit.checks import choice
from phosphene.optimizers import adam, cosine, nadam, sgd
from phosphene.parameterizations import fourier, maco, pixel
from phosphene.regularizers.penalties import total_variation
from phosphene.rendering.recipe import Recipe
from phosphene.transforms import colour, crop, jitter, noise, pad, resize, roll, rotate, scale
from phosphene.types import Size

__all__ = ["preset_named", "preset_names"]


def preset_names() -> tuple[str, ...]:
    """Names of all presets."""
    return tuple(_PRESETS)


def preset_named(name: str, size: Size, native: Size) -> Recipe:
    """The recipe of that name, for images of `size`.

    Parameters
    ----------
    name : str
        One of `preset_names`.
    size : (int, int)
        Height and width of the image in pixels, with which some recipes scale their distances.
    native : (int, int)
        The network's native input size, to which some recipes resize the image.

    Returns
    -------
    Recipe

    Raises
    ------
    InvalidParameter
        If there is no preset of that name.
    """
    return _PRESETS[choice("preset", name, _PRESETS)](size, native)


def _default(size: Size, native: Size) -> Recipe:
    side = min(size)
    return Recipe(
        parameterization=fourier(decay=1.3),
        transforms=(jitter(max(1, side // 16)), scale(0.9, 1.1), rotate(10.0)),
        regularizers=(total_variation(4.0),),
        # Gradients grow while a dead unit wakes: a second moment over a thousand steps would lag behind for the whole run.
        optimizer=adam(0.1, 0.9, 0.99),
        steps=168,
        source="phosphene's own",
    )


def _lucid(size: Size, native: Size) -> Recipe:
    factors = [1 + (index - 5) / 50.0 for index in range(11)]
    angles = [*range(-10, 11), 0, 0, 0, 0, 0]
    return Recipe(
        parameterization=fourier(decay=1.0),
        transforms=(pad(12), jitter(4), scale(factors), rotate(angles), jitter(2)),
        regularizers=(),
        optimizer=adam(0.05),
        steps=512,
        source="lucid (Olah et al. 2017)",
        differs="Random transforms are per picture, not per batch. Dead units are woken one by one, with the best position first.",
    )


def _lucent(size: Size, native: Size) -> Recipe:
    recipe = _lucid(size, native)
    return replace(
        recipe,
        transforms=(*recipe.transforms, resize(native)),
        source="Lucent 0.1.8, lucid's recipe brought to the network's own size",
    )


def _captum(size: Size, native: Size) -> Recipe:
    return Recipe(
        parameterization=fourier(decay=1.0, spread=0.02),
        transforms=(pad(16), jitter(8), scale([1.0, 0.975, 1.025, 0.95, 1.05])),
        regularizers=(),
        optimizer=adam(0.025),
        steps=512,
        source="captum.optim (captum pull request 1545)",
        differs="Pixels outside the image are mid-grey, where captum reflects the image at its border.",
    )


def _maco(size: Size, native: Size) -> Recipe:
    return Recipe(
        parameterization=maco(),
        transforms=(crop(0.5, 0.05, deviation=0.05, spread=0.15), resize(native), noise(0.08)),
        regularizers=(),
        optimizer=nadam(1.0),
        steps=256,
        source="MaCo (Fel et al. 2023), as in xplique",
        differs="The spectrum falls as 1 / f unless statistics are given; the uniform part of the noise is left out.",
        views=32,
    )


def _vit(size: Size, native: Size) -> Recipe:
    steps = 400
    return Recipe(
        parameterization=pixel(0.5, uniform=True),
        transforms=(roll(min(32, min(size) // 4)), colour(0.25, 0.25), noise(0.5, 0.0)),
        # Published as the Euclidean norm of all differences of a channel; the penalty here is their mean.
        regularizers=(total_variation(0.0005 * (size[0] * size[1]) ** 0.5),),
        optimizer=adam(0.1, 0.5, 0.99, schedule=cosine(steps)),
        steps=steps,
        source="What do Vision Transformers Learn? (Ghiasi et al. 2022)",
        differs="Colours are shifted with a standard deviation of 0.25, not 1.",
    )


def _deepdream(size: Size, native: Size) -> Recipe:
    return Recipe(
        parameterization=pixel(),
        transforms=(jitter(min(32, min(size) // 4)),),
        regularizers=(),
        optimizer=sgd(1.5 / 255, normalize=True),
        steps=10,
        source="DeepDream (Mordvintsev et al. 2015), one octave",
        differs="The border is mid-grey where the original rolls the image. ph.dream goes through the octaves.",
    )


def _plain(size: Size, native: Size) -> Recipe:
    return Recipe(
        parameterization=pixel(),
        transforms=(),
        regularizers=(),
        optimizer=sgd(1.0),
        steps=64,
        source="Erhan et al. 2009, unregularized: a baseline whose pictures are not to be trusted",
    )


_PRESETS: dict[str, Callable[[Size, Size], Recipe]] = {
    "default": _default,
    "lucid": _lucid,
    "lucent": _lucent,
    "captum": _captum,
    "maco": _maco,
    "vit": _vit,
    "deepdream": _deepdream,
    "plain": _plain,
}
