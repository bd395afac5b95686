"""Export of icons as sprite sheets: a few large PNG files and a JSON index."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.atlas import Atlas
from phosphene.atlas.cells import Level
from phosphene.atlas.icon_set import Icons
from phosphene.errors import InvalidParameter, nearest, said
from phosphene.kit.checks import LARGEST_SIDE, integer, listed, names
from phosphene.kit.places import given_path
from phosphene.kit.writing import check_writable, write_whole

__all__ = ["FORMAT", "INDEX", "SIDE", "export_sheets", "pack"]

FORMAT = 1
"""Version of the index."""

INDEX = "index.json"

SIDE = 2048
"""Maximum side of a sheet in pixels: all graphics cards support textures of this size."""


def pack(images: NDArray[np.uint8], side: int = SIDE) -> tuple[list[NDArray[np.uint8]], NDArray[np.int32]]:
    """Pack images of one size, row by row, into as few sheets as possible.

    Parameters
    ----------
    images : (N, H, W, C) uint8
    side : int, default 2048
        Maximum side of a sheet in pixels.

    Returns
    -------
    sheets : list of (h, w, C) uint8
        Each as large as its images need.
    places : (N, 3) int32
        Sheet of each image, and the column and row of its upper left pixel.

    Raises
    ------
    InvalidParameter
        For images larger than a sheet, and for arrays that are not images.
    """
    side = integer("side", side, minimum=1)
    if images.ndim != 4 or images.dtype != np.uint8:
        raise InvalidParameter(
            "images",
            allowed="a uint8 array of shape (N, H, W, C)",
            received=said(f"shape {images.shape}, {images.dtype}"),
            fix="Convert floats in [0, 1] by np.round(255 * images).astype(np.uint8).",
        )
    count, height, width, channels = images.shape
    if count and max(height, width) > side:
        raise InvalidParameter(
            "side",
            allowed=f"at least {max(height, width)}, since an icon has {height} x {width} pixels",
            received=side,
            fix=f"For example side={max(SIDE, height, width)}.",
        )
    across, down = side // max(1, width), side // max(1, height)
    number = np.arange(count)
    sheet, rest = number // (across * down), number % (across * down)
    places = np.stack([sheet, rest % across * width, rest // across * height], axis=1).astype(np.int32)
    sheets = []
    for first in range(0, count, across * down):
        part = images[first : first + across * down]
        wide, high = min(across, len(part)), -(-len(part) // across)
        canvas = np.zeros((high * height, wide * width, channels), np.uint8)
        for image, (_, left, top) in zip(part, places[first : first + len(part)].tolist(), strict=True):
            canvas[top : top + height, left : left + width] = image
        sheets.append(canvas)
    return sheets, places


def export_sheets(atlas: Atlas, folder: str | Path, *, layers: Sequence[str] | None = None, side: int = SIDE) -> Path:
    """Write the icons of all levels as sheets (PNG), with an index (JSON) of their places and fidelities.

    Parameters
    ----------
    atlas : Atlas
        An atlas with icons.
    folder : str or Path
        Output folder; existing sheets of the same names are overwritten.
    layers : sequence of str, optional
        Layers to export (default: all with icons).
    side : int, default 2048
        Maximum side of a sheet in pixels.

    Returns
    -------
    Path
        Path of the index.

    Raises
    ------
    InvalidParameter
        For layers without icons, icons that have neither 1 nor 3 channels, and sheets smaller than an icon.
    UnwritablePath
        When the folder cannot be written.
    """
    integer("side", side, minimum=1, maximum=LARGEST_SIDE)
    folder = given_path(folder, "folder")
    there = [layer for layer in atlas.layers if _levels(atlas, layer)]
    chosen = there if layers is None else list(names("layers", layers, fix="`Atlas.layers` lists them."))
    for layer in chosen:
        if layer not in there:
            near = nearest(layer, there)
            raise InvalidParameter(
                "layers",
                allowed=listed(there) if there else "a layer with icons",
                received=layer,
                fix=f"Did you mean {near}?" if near else "Draw its icons first: phosphene.atlas.draw_icons.",
            )
    if not chosen:
        raise InvalidParameter(
            "layers",
            allowed="a layer with icons",
            received=said("none"),
            fix="Draw icons first: phosphene.atlas.draw_icons.",
        )
    place = check_writable(given_path(folder, "folder") / INDEX)
    index: dict[str, Any] = {"format": FORMAT, "atlas": atlas.identity, "classes": list(atlas.classes), "layers": {}}
    for layer in chosen:
        index["layers"][layer] = {
            str(level.size): _write(place.parent, layer, level, atlas.icons(layer, level.size), side)
            for level in _levels(atlas, layer)
        }
    # Written last, so that an index never refers to missing sheets.
    write_whole(place, json.dumps(index).encode())
    return place


def _levels(atlas: Atlas, layer: str) -> list[Level]:
    names = atlas.steps.names
    if f"grid.{layer}" not in names:
        return []
    levels = atlas.grid(layer).levels
    return [level for level in levels if any(name.startswith(f"icons.{layer}.{level.size}.") for name in names)]


def _write(folder: Path, layer: str, level: Level, icons: Icons, side: int) -> dict[str, Any]:
    sheets, places = pack(icons.images, side)
    files = []
    for number, sheet in enumerate(sheets):
        files.append(f"{quote(layer, safe='')}.{level.size}.{number:04d}.png")
        write_whole(folder / files[-1], _png(sheet))
    cells = level.group_cells[icons.groups]
    return {
        "icon": list(icons.images.shape[1:3]),
        "sheets": files,
        "groups": icons.groups.tolist(),
        "cells": level.cells[cells].tolist(),
        "points": np.diff(level.group_starts)[icons.groups].tolist(),
        "places": places.tolist(),
        "fidelity": [round(value, 4) for value in icons.fidelity.tolist()],
    }


def _png(sheet: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    if sheet.shape[-1] not in (1, 3):
        raise InvalidParameter(
            "atlas",
            allowed="icons with 1 or 3 channels (grey or colour)",
            received=said(f"{sheet.shape[-1]} channels"),
            fix="Read these icons by atlas.icons(layer, size).images instead.",
        )
    stream = io.BytesIO()
    Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet).save(stream, "PNG", optimize=True)
    return stream.getvalue()
