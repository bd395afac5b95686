"""Files of `Renders` beside its archive: a PNG that carries its settings, and an animation."""

from __future__ import annotations

import io
import json
import logging
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import InvalidParameter
from phosphene.kit.archives import corrupt
from phosphene.kit.checks import number
from phosphene.kit.documents import DAMAGE, json_from, open_regular
from phosphene.kit.pictures import GAP, from_picture, grid_of, panel_shape, pillow
from phosphene.kit.places import given_path, readable_file
from phosphene.kit.records import Arrays, Between, rebuilt
from phosphene.kit.writing import check_writable, write_whole
from phosphene.rendering.result import Renders

__all__ = ["KEY", "picture_words", "read_png", "save_animation", "settings_png"]

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

MOST_SIDE = 1 << 20
"""Pixels of a side, channels and images of a picture."""

MOST_RATIO = 1100
"""Bytes of pixels for each byte of a PNG; its compression reaches 1032."""

Side = Annotated[int, Between(1, MOST_SIDE)]


LONGEST = 65.0
"""Most seconds that a picture can stay: files hold 16 bits of milliseconds."""


def save_animation(renders: Renders, path: str | Path, seconds: float) -> Path:
    """Write the snapshots of an ascent as an animation; see `Renders.animate`."""
    target = given_path(path)
    if target.suffix not in (".gif", ".webp", ".png"):
        raise InvalidParameter(
            "path",
            allowed="a name that ends in .gif, .webp or .png",
            received=str(target),
            fix="A .gif plays anywhere.",
        )
    if renders.snapshots is None:
        raise InvalidParameter(
            "snapshots",
            allowed="a result with snapshots",
            received=renders.snapshots,
            fix="Make it with ph.render(..., snapshots=24).",
        )
    longest = LONGEST / (1 / len(renders.snapshots) + 0.25)
    seconds = number("seconds", seconds, minimum=0.0, maximum=longest, open_minimum=True, example=4.0)
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
        "scores": {name: _numbers(score) for name, score in renders.scores.items()},
        "settings": _finite(dict(renders.settings)),
        "seconds": renders.seconds,
        "compile_seconds": renders.compile_seconds,
        "layout": {"shape": list(renders.images.shape), "columns": columns, "gap": GAP},
    }
    for name in _NUMBERS:
        metadata[name] = _numbers(getattr(renders, name))
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


def _numbers(values: Any) -> Any:
    """Numbers for JSON, which has no NaN; a history has NaN where a target made no step."""
    array = np.asarray(values, np.float64)
    return np.where(np.isfinite(array), array.astype(object), None).tolist()  # type: ignore[call-overload]


def _finite(value: Any) -> Any:
    """Settings for JSON, in which numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_png(path: str | Path) -> Renders:
    """Read a PNG that `settings_png` made; see `Renders.load`."""
    from PIL import Image

    path = readable_file(path)
    try:
        with open_regular(path) as stream, Image.open(stream, formats=["PNG"]) as opened:
            words = _words(opened)
            if type(words["format"]) is not int or not 1 <= words["format"] <= FORMAT:
                raise ValueError(
                    f"it is in format {words['format']!r:.40}, and this version reads formats up to {FORMAT}; update phosphene"
                )
            layout = rebuilt(Layout, words.pop("layout"), {})
            layout.check(opened.size, opened.mode, os.fstat(stream.fileno()).st_size)
            images = _cut(np.asarray(opened, np.float32) / np.float32(255), layout)
        arrays: Arrays = {"images": images}
        if words.get("history") == []:  # an empty list has lost its width
            arrays["history"] = np.empty((0, len(images)))
        return rebuilt(Renders, {**words, **{name: name for name in arrays}, **dict.fromkeys(_LEFT_OUT)}, arrays)
    except FileNotFoundError:
        raise
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise corrupt(path, Renders, error) from error


def picture_words(path: str | Path) -> dict[str, Any]:
    """The text of a PNG as plain Python, unchecked, without its pixels.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError and others of `phosphene.kit.documents.DAMAGE`
        When it is no PNG of phosphene, or damaged.
    """
    from PIL import Image

    with open_regular(path) as stream, Image.open(stream, formats=["PNG"]) as opened:
        return _words(opened)


def _words(opened: Any) -> dict[str, Any]:
    text = opened.info.get(KEY)
    if not isinstance(text, str):
        raise ValueError("this picture carries no settings")
    words = json_from(text)
    if not isinstance(words, dict):
        raise ValueError("its text is not that of phosphene")
    return words


@dataclass(frozen=True)
class Layout:
    """How images are arranged in one picture."""

    shape: tuple[Annotated[int, Between(0, MOST_SIDE)], Side, Side, Side]
    """Images, height, width, channels."""
    columns: Side
    gap: Annotated[int, Between(0, MOST_SIDE)]

    @property
    def panel(self) -> tuple[int, int, int]:
        """Height, width and channels of the picture of one image."""
        height, width, channels = self.shape[1:]
        return panel_shape(height, width, channels)

    def check(self, size: tuple[int, int], mode: str, bytes_of_file: int) -> None:
        """Raise ValueError unless a picture of this width and height is one of such images, before its pixels are read."""
        count, (high, wide, shown) = self.shape[0], self.panel
        rows = max(1, -(-count // self.columns))
        wanted = (self.columns * (wide + self.gap) - self.gap, rows * (high + self.gap) - self.gap)
        if (
            size != wanted
            or mode != {1: "L", 3: "RGB"}[shown]
            or count * math.prod(self.shape[1:]) > math.prod(size) * 3
        ):
            raise ValueError(f"images of shape {self.shape} do not fit its pixels")
        if math.prod(size) * shown > MOST_RATIO * bytes_of_file:
            raise ValueError(f"its {size[0]:,} x {size[1]:,} pixels are more than its bytes can hold")


def _cut(pixels: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """Cut a grid of pictures into its images."""
    count, height, width, channels = layout.shape
    columns, gap, (high, wide, shown) = layout.columns, layout.gap, layout.panel
    pixels = pixels.reshape(*pixels.shape[:2], -1)[..., :shown]
    images = np.empty(layout.shape, np.float32)
    for index in range(count):
        top, left = (index // columns) * (high + gap), (index % columns) * (wide + gap)
        images[index] = from_picture(pixels[top : top + high, left : left + wide], (height, width, channels))
    return images
