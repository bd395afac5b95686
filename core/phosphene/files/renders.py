"""Pictures of an ascent: a PNG that carries its own settings, an exact archive, an animation. Written whole or not at all."""

from __future__ import annotations

import io
import json
import logging
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import CorruptFile, InvalidParameter
from phosphene.files.pictures import GAP, grid_of, pillow
from phosphene.results import Renders, as_picture, from_picture
from phosphene.writing import check_writable, write_whole

__all__ = ["KEY", "check_result_path", "load_renders", "save_animation", "save_renders"]

LOG = logging.getLogger("phosphene.files")

FORMAT = 1
MOST_TEXT = 1_000_000
"""Characters of settings that a PNG may carry; Pillow reads 2^20 and no more."""

KEY = "phosphene"
_ARRAYS = ("images", "values", "history", "steps", "awake_at")
_EXTRAS = ("snapshots", "opacity", "parameters")
"""Arrays that a result may lack, and that no PNG carries."""


def check_result_path(path: str | Path) -> Path:
    """`path` as a place where a result can be saved: its ending and its folder, before any work is done.

    Raises
    ------
    InvalidParameter
        When it ends neither in .png nor in .npz.
    UnwritablePath
        When it cannot be written.
    """
    if Path(path).suffix not in (".png", ".npz"):
        raise InvalidParameter(
            "path", allowed="a name that ends in .png or .npz", received=str(path), fix="Use .npz to keep every bit."
        )
    return check_writable(path)


def save_renders(renders: Renders, path: str | Path) -> Path:
    """See `Renders.save`."""
    target = check_result_path(path)
    if target.suffix == ".png":
        write_whole(target, _png_with_metadata(renders))
    else:
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {name: getattr(renders, name) for name in _ARRAYS}
        arrays |= {name: value for name in _EXTRAS if (value := getattr(renders, name)) is not None}
        np.savez_compressed(buffer, **arrays, metadata=np.asarray(json.dumps(_metadata(renders))))
        write_whole(target, buffer.getvalue())
    return target


def save_animation(renders: Renders, path: str | Path, seconds: float) -> Path:
    """See `Renders.animate`."""
    target = Path(path)
    if target.suffix not in (".gif", ".webp", ".png"):
        raise InvalidParameter(
            "path", allowed="a name that ends in .gif, .webp or .png", received=str(path), fix="A .gif plays anywhere."
        )
    if renders.snapshots is None:
        raise InvalidParameter(
            "snapshots", allowed="a result with snapshots", received=renders.snapshots,
            fix="Make it with ph.render(..., snapshots=24).",
        )  # fmt: skip
    if not isinstance(seconds, (int, float)) or not 0 < seconds < float("inf"):
        raise InvalidParameter("seconds", allowed="a positive number", received=seconds, fix="seconds=4")
    check_writable(target)
    frames = [pillow(grid_of(images / np.float32(255))[0]) for images in renders.snapshots]
    each = max(20, round(1000 * seconds / len(frames)))  # browsers slow down what is faster
    times = [each] * (len(frames) - 1) + [each + round(250 * seconds)]
    buffer = io.BytesIO()
    kind = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG"}[target.suffix]
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], duration=times, loop=0)
    write_whole(target, buffer.getvalue())
    return target


def load_renders(path: str | Path) -> Renders:
    """See `Renders.load`."""
    source = Path(path)
    try:
        if source.suffix == ".npz":
            with source.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                metadata = json.loads(str(archive["metadata"]))
                arrays = {name: archive[name] for name in (*_ARRAYS, *_EXTRAS) if name in _ARRAYS or name in archive}
            return _assemble(metadata, arrays)
        return _from_png(source)
    except FileNotFoundError:
        raise
    except (
        *(OSError, EOFError, KeyError, ValueError, TypeError, IndexError, SyntaxError, RuntimeError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        raise CorruptFile(str(source), f"not a result of phosphene, or damaged ({error})") from error


def _metadata(renders: Renders) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "labels": list(renders.labels),
        "status": list(renders.status),
        "scores": {name: np.asarray(score).tolist() for name, score in renders.scores.items()},
        "settings": dict(renders.settings),
        "seconds": renders.seconds,
        "compile_seconds": renders.compile_seconds,
    }


def _assemble(metadata: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Renders:
    if metadata["format"] > FORMAT:
        raise ValueError(f"written in format {metadata['format']}, this version reads up to {FORMAT}")
    return Renders(
        images=np.asarray(arrays["images"], np.float32),
        values=arrays["values"],
        history=arrays["history"],
        labels=tuple(metadata["labels"]),
        status=tuple(metadata["status"]),
        steps=arrays["steps"],
        awake_at=arrays["awake_at"],
        scores={name: np.asarray(score) for name, score in metadata["scores"].items()},
        settings=metadata["settings"],
        seconds=metadata["seconds"],
        compile_seconds=metadata["compile_seconds"],
        **{name: arrays[name] for name in _EXTRAS if name in arrays},
    )


def _png_with_metadata(renders: Renders) -> bytes:
    from PIL.PngImagePlugin import PngInfo

    picture, columns = grid_of(renders.images)
    metadata = _metadata(renders)
    metadata["layout"] = {"shape": list(renders.images.shape), "columns": columns, "gap": GAP}
    for name in _ARRAYS[1:]:
        values = np.asarray(getattr(renders, name), np.float64)
        # JSON knows no NaN; history has NaN where a target made no step.
        metadata[name] = np.where(np.isfinite(values), values.astype(object), None).tolist()  # type: ignore[call-overload]
    text = json.dumps(metadata)
    if len(text) > MOST_TEXT:
        # Readers of PNG refuse more text than that: the history, which is most of it, is rounded, and then left out.
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


def _from_png(source: Path) -> Renders:
    from PIL import Image

    with Image.open(source) as opened:
        opened.load()
        text = getattr(opened, "text", {}).get(KEY)
        if text is None:
            raise ValueError("this picture carries no settings")
        metadata = json.loads(text)
        pixels = np.asarray(opened, np.float32) / 255.0
    layout = metadata["layout"]
    count, *shape = layout["shape"]
    height, width, channels = as_picture(np.zeros(shape)).shape
    pixels = pixels.reshape(*pixels.shape[:2], -1)[..., :channels]
    images = np.empty((count, *shape), np.float32)
    for index in range(count):
        top = (index // layout["columns"]) * (height + layout["gap"])
        left = (index % layout["columns"]) * (width + layout["gap"])
        images[index] = from_picture(pixels[top : top + height, left : left + width], tuple(shape))
    arrays: dict[str, NDArray[Any]] = {"images": images}
    for name in _ARRAYS[1:]:
        arrays[name] = np.asarray(metadata[name], np.float64)
    arrays["history"] = arrays["history"].reshape(-1, count)  # none at all has lost its width
    arrays["steps"], arrays["awake_at"] = arrays["steps"].astype(np.int64), arrays["awake_at"].astype(np.int64)
    return _assemble(metadata, arrays)
