"""A map as a picture: icons in their cells, sized by the number of points, over the density of the points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.cells import Level
from phosphene.atlas.icon_set import Icons
from phosphene.errors import InvalidParameter, said
from phosphene.kit.checks import integer, share
from phosphene.types import Floats

__all__ = ["PictureSettings", "cell_icons", "cropped", "map_picture", "seen_part"]

INK = (84, 110, 150)
"""Colour of the density, visible on light and dark backgrounds."""

HELD = 0.98
"""Share of the structure of an icon that its crop must contain."""


@dataclass(frozen=True)
class PictureSettings:
    """Settings of the picture of a map.

    Attributes
    ----------
    cell : int, default 48
        Side of a cell in pixels.
    crop : float, optional
        Central share of an icon's side that is shown, in (0, 1]. Outside the receptive field of its position, an icon is empty
        (default: measured, see `seen_part`).
    smallest : float, default 0.62
        Side of the icon of the sparsest cell relative to the cell, in (0, 1]; the icon of the densest cell fills it.
    """

    cell: int = 48
    crop: float | None = None
    smallest: float = 0.62

    def __post_init__(self) -> None:
        integer("cell", self.cell, minimum=4)
        for name in ("crop", "smallest"):
            value = getattr(self, name)
            if value is not None:
                share(name, value, zero=False, example=PictureSettings.smallest)


def seen_part(images: NDArray[np.uint8]) -> float:
    """Central share of the side of icons that contains nearly all of their structure.

    Parameters
    ----------
    images : (N, H, W, C) uint8

    Returns
    -------
    float
        The smallest of 0.3, 0.32, ... that contains 98% of the squared differences of adjacent pixels in the median icon; 1 for
        icons without structure.
    """
    if not len(images) or min(images.shape[1:3]) < 2:
        return 1.0
    values = images.astype(np.float32)
    squares = (np.diff(values, axis=1)[:, :, :-1] ** 2 + np.diff(values, axis=2)[:, :-1] ** 2).sum(axis=3)
    total = squares.sum(axis=(1, 2))
    squares, total = squares[total > 0], total[total > 0]
    for crop in np.arange(0.3, 1.0, 0.02).tolist() if len(total) else []:
        inside = cropped(squares[..., None], crop).sum(axis=(1, 2, 3))
        if float(np.median(inside / total)) >= HELD:
            return float(round(crop, 2))
    return 1.0


def cropped(images: NDArray[Any], crop: float) -> NDArray[Any]:
    """The centre of images ``(N, H, W, C)``, with `crop` times each side."""
    height, width = images.shape[1:3]
    high, wide = max(1, round(height * crop)), max(1, round(width * crop))
    top, left = (height - high) // 2, (width - wide) // 2
    return images[:, top : top + high, left : left + wide]


def cell_icons(level: Level, icons: Icons) -> NDArray[np.int64]:
    """Index of the icon of each cell, ``(M,)``: that of its largest group; -1 for cells without one."""
    found = np.full(len(level.counts), -1, np.int64)
    sizes = np.diff(level.group_starts)[icons.groups]
    order = np.argsort(sizes, kind="stable")
    found[level.group_cells[icons.groups[order]]] = order
    return found


def map_picture(
    points: Floats, level: Level, icons: Icons | None = None, settings: PictureSettings | None = None
) -> NDArray[np.uint8]:
    """Draw a map as a picture with transparent background.

    Parameters
    ----------
    points : (N, 2)
        Coordinates in which the map's frame is the unit square.
    level : Level
    icons : Icons, optional
        Icons of the level (default: only the density is drawn).
    settings : PictureSettings, optional

    Returns
    -------
    numpy.ndarray (S, S, 4) uint8
        The first coordinate grows to the right, the second downwards, as do columns and rows of cells.

    Raises
    ------
    InvalidParameter
        For icons that have neither 1 nor 3 channels.
    """
    settings = settings or PictureSettings()
    side = level.size * settings.cell
    canvas = np.zeros((side, side, 4), np.uint8)
    canvas[..., :3] = INK
    canvas[..., 3] = np.round(255 * 0.6 * _resized(density(points, max(24, 4 * level.size)), side))
    if icons is None or not len(icons):
        return canvas
    if icons.images.shape[-1] not in (1, 3):
        raise InvalidParameter(
            "icons",
            allowed="icons with 1 or 3 channels (grey or colour)",
            received=said(f"{icons.images.shape[-1]} channels"),
            fix="Draw the map without icons.",
        )
    images = cropped(icons.images, seen_part(icons.images) if settings.crop is None else settings.crop)
    logarithms = np.log1p(level.counts.astype(np.float64))
    low, high = logarithms[level.kept].min(initial=np.inf), logarithms.max()
    shares = np.clip((logarithms - low) / (high - low), 0, 1) if high > low else np.ones(len(logarithms))
    for cell, icon in enumerate(cell_icons(level, icons).tolist()):
        if icon >= 0:
            width = max(2, round(settings.cell * (settings.smallest + (1 - settings.smallest) * shares[cell])) - 1)
            top, left = (level.cells[cell] * settings.cell + (settings.cell - width) // 2).tolist()
            _lay(canvas[top : top + width, left : left + width], _picture(images[icon], width))
    return canvas


def density(points: Floats, side: int) -> Floats:
    """Smoothed logarithmic density of the points on a grid ``(side, side)``, from 0 to 1."""
    counts, _, _ = np.histogram2d(points[:, 1], points[:, 0], bins=side, range=[[0, 1], [0, 1]])
    reach = np.arange(-4, 5)
    kernel = np.exp(-(reach**2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    for _ in range(2):
        counts = np.apply_along_axis(np.convolve, 0, counts, kernel, mode="same").T
    found = np.log1p(counts / max(1e-9, float(np.median(counts[counts > 1e-3])) if (counts > 1e-3).any() else 1.0))
    return np.asarray(found / max(1e-9, float(np.percentile(found, 99.5))), np.float64).clip(0, 1)


def _resized(values: Floats, side: int) -> Floats:
    from PIL import Image

    found = Image.fromarray(values.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(found, np.float64).clip(0, 1)


def _picture(image: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    from PIL import Image

    found = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).convert("RGB")
    return np.asarray(found.resize((width, width), Image.Resampling.LANCZOS))


def _lay(canvas: NDArray[np.uint8], picture: NDArray[np.uint8]) -> None:
    """Blend a picture with round corners onto a canvas."""
    side = len(picture)
    radius = min(side / 2, max(1.0, side * 0.12))
    away = np.maximum(np.abs(np.arange(side) - (side - 1) / 2) - (side / 2 - radius), 0)
    alpha = np.clip(radius + 0.5 - np.hypot(away[:, None], away[None]), 0, 1)[..., None]
    ground = canvas[..., 3:] / 255.0
    total = alpha + ground * (1 - alpha)
    mixed = (picture * alpha + canvas[..., :3] * ground * (1 - alpha)) / np.maximum(total, 1e-6)
    canvas[..., :3], canvas[..., 3:] = np.round(mixed), np.round(255 * total)
