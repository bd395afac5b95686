"""Files of `Renders` beside its archive: a PNG that carries its settings, and an animation."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import InvalidParameter
from phosphene.kit.archives import DAMAGE, corrupt, rebuilt
from phosphene.kit.checks import number
from phosphene.kit.pictures import GAP, as_picture, from_picture, grid_of, pillow
from phosphene.kit.writing import check_writable, write_whole
from phosphene.rendering.result import Renders

__all__ = ["KEY", "read_png", "save_animation", "settings_png"]

LOG = logging.getLogger("phosphene")

KEY = "phosphene"
"""Key of the PNG's text chunk."""

FORMAT = 1
"""Version of that text."""

MOST_TEXT = 1_000_000
"""Characters of settings in a PNG; Pillow reads at most 2^20."""

_WORDS = ("settings", "seconds", "compile_seconds")
_NUMBERS = ("values", "history", "steps", "awake_at")
_LEFT_OUT = ("snapshots", "opacity", "parameters")
"""Fields that no PNG carries."""


def save_animation(renders: Renders, path: str | Path, seconds: float) -> Path:
    """Write the snapshots of an ascent as an animation; see `Renders.animate`."""
    target = Path(path)
    if target.suffix not in (".gif", ".webp", ".png"):
        raise InvalidParameter(
            "path", allowed="a name that ends in .gif, .webp or .png", received=str(path), fix="A .gif plays anywhere."
        )
    if renders.snapshots is None:
        raise InvalidParameter(
            "snapshots",
            allowed="a result with snapshots",
            received=renders.snapshots,
            fix="Make it with ph.render(..., snapshots=24).",
        )
    seconds = number("seconds", seconds, minimum=0.0, open_minimum=True, example=4.0)
    check_writable(target)
    frames = [pillow(grid_of(images / np.float32(255))[0]) for images in renders.snapshots]
    each = max(20, round(1000 * seconds / len(frames)))  # browsers slow down shorter frames
    times = [each] * (len(frames) - 1) + [each + round(250 * seconds)]
    buffer = io.BytesIO()
    kind = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG"}[target.suffix]
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], duration=times, loop=0)
    write_whole(target, buffer.getvalue())
    return target


def settings_png(renders: Renders) -> bytes:
    """Encode the pictures as one 8-bit PNG, with the settings and all numbers in its text."""
    from PIL.PngImagePlugin import PngInfo

    picture, columns = grid_of(renders.images)
    metadata: dict[str, Any] = {
        "format": FORMAT,
        "labels": list(renders.labels),
        "status": list(renders.status),
        "scores": {name: np.asarray(score).tolist() for name, score in renders.scores.items()},
        "settings": dict(renders.settings),
        "seconds": renders.seconds,
        "compile_seconds": renders.compile_seconds,
        "layout": {"shape": list(renders.images.shape), "columns": columns, "gap": GAP},
    }
    for name in _NUMBERS:
        values = np.asarray(getattr(renders, name), np.float64)
        # JSON has no NaN; history has NaN where a target made no step.
        metadata[name] = np.where(np.isfinite(values), values.astype(object), None).tolist()  # type: ignore[call-overload]
    text = json.dumps(metadata)
    if len(text) > MOST_TEXT:
        # The history is most of the text: it is rounded, and left out if that is not enough.
        metadata["history"] = [[None if v is None else float(f"{v:.4g}") for v in row] for row in metadata["history"]]
        text = json.dumps(metadata)
    if len(text) > MOST_TEXT:
        LOG.warning(
            "the history of %d pictures is too long for a PNG and is left out: save as .npz to keep it", len(renders)
        )
        text = json.dumps({**metadata, "history": np.empty((0, len(renders))).tolist()})
    info = PngInfo()
    info.add_itxt(KEY, text, zip=True)
    buffer = io.BytesIO()
    pillow(picture).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def read_png(path: str | Path) -> Renders:
    """Read a PNG that `settings_png` made; see `Renders.load`."""
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as opened:
            text = opened.text.get(KEY)  # type: ignore[attr-defined]
            if text is None:
                raise ValueError("this picture carries no settings")
            metadata = json.loads(text)
            if type(metadata["format"]) is not int or metadata["format"] > FORMAT:
                raise ValueError(
                    f"it is in format {metadata['format']}, and this version reads formats up to {FORMAT}; update phosphene"
                )
            pixels = np.asarray(opened, np.float32) / 255.0
        layout = metadata.pop("layout")
        images = _cut(pixels, tuple(layout["shape"]), layout["columns"], layout["gap"])
        history = np.asarray(metadata["history"], np.float64)
        history = history if history.size else np.empty((0, len(images)))  # an empty list has lost its width
        words = {**metadata, "images": "images", "history": "history", **dict.fromkeys(_LEFT_OUT)}
        return rebuilt(Renders, words, {"images": images, "history": history})
    except FileNotFoundError:
        raise
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise corrupt(path, Renders, error) from error


def _cut(pixels: NDArray[np.float32], shape: tuple[int, ...], columns: int, gap: int) -> NDArray[np.float32]:
    """Cut a grid of pictures into images of `shape`, if it is the grid of such images."""
    count, height, width, channels = shape
    if min(height, width, channels, columns) < 1 or min(count, gap) < 0 or height * width * channels > pixels.size:
        raise ValueError(f"images of shape {shape} do not fit its pixels")
    high, wide, shown = as_picture(np.zeros(shape[1:], np.float32)).shape
    rows = max(1, -(-count // columns))
    if pixels.shape[:2] != (rows * (high + gap) - gap, columns * (wide + gap) - gap):
        raise ValueError(f"images of shape {shape} do not fit its pixels")
    pixels = pixels.reshape(*pixels.shape[:2], -1)[..., :shown]
    images = np.empty(shape, np.float32)
    for index in range(count):
        top, left = (index // columns) * (high + gap), (index % columns) * (wide + gap)
        images[index] = from_picture(pixels[top : top + high, left : left + wide], (height, width, channels))
    return images
