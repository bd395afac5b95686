"""Saving and loading of results: a PNG that carries its own settings, or an exact archive. Written whole or not at all."""

from __future__ import annotations

import io
import json
import logging
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.errors import CorruptFile, InvalidParameter
from phosphene.results import Attribution, Embedding, Renders, Units, as_picture, from_picture
from phosphene.writing import check_writable, write_whole

__all__ = [
    "check_result_path",
    "check_writable",
    "figure_bytes",
    "grid_png",
    "load_renders",
    "png_bytes",
    "read_image",
    "save_animation",
    "save_attribution",
    "save_embedding",
    "save_figure",
    "save_renders",
    "save_units",
    "write_whole",
]

LOG = logging.getLogger("phosphene.files")

FORMAT = 1
MOST_TEXT = 1_000_000
"""Characters of settings that a PNG may carry; Pillow reads 2^20 and no more."""

KEY = "phosphene"
GAP = 2
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


def read_image(path: str | Path, size: int | None = None) -> NDArray[np.float32]:
    """A picture file as RGB ``(H, W, 3)`` in [0, 1]; with `size`, its central square at that many pixels a side.

    Raises
    ------
    CorruptFile
        When it is no picture, or a damaged one.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    except FileNotFoundError:
        raise
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise CorruptFile(str(path), f"no picture that can be read ({error})") from error
    if size is not None:
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
    pixels: NDArray[np.float32] = np.asarray(picture, np.float32) / np.float32(255)
    return pixels


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
    frames = [_picture(_grid(images / np.float32(255))[0]) for images in renders.snapshots]
    each = max(20, round(1000 * seconds / len(frames)))  # browsers slow down what is faster
    times = [each] * (len(frames) - 1) + [each + round(250 * seconds)]
    buffer = io.BytesIO()
    kind = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG"}[target.suffix]
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], duration=times, loop=0)
    write_whole(target, buffer.getvalue())
    return target


def save_figure(draw: Callable[[], Any], path: str | Path) -> Path:
    """What `draw` makes, a matplotlib figure, in a ``.png``, ``.svg`` or ``.pdf``.

    Raises
    ------
    InvalidParameter
        For another ending.
    UnwritablePath
        When it cannot be written; nothing is drawn then.
    """
    target = Path(path)
    if target.suffix not in (".png", ".svg", ".pdf"):
        raise InvalidParameter(
            "path",
            allowed="a name that ends in .png, .svg or .pdf",
            received=str(path),
            fix="A figure is one of these.",
        )
    check_writable(target)
    write_whole(target, figure_bytes(draw(), target.suffix[1:]))
    return target


def save_units(found: Units, path: str | Path) -> Path:
    """See `Units.save`."""
    target = Path(path)
    if target.suffix not in (".csv", ".html"):
        return save_figure(found.plot, target)
    check_writable(target)
    if target.suffix == ".csv":
        text = found.table()
    else:
        from phosphene.pages.units import units_page

        text = units_page(found)
    write_whole(target, text.encode())
    return target


def save_embedding(found: Embedding, path: str | Path, labels: ArrayLike | None, **options: Any) -> Path:
    """See `Embedding.save`."""
    target = Path(path)
    if target.suffix != ".npz":
        return save_figure(lambda: found.plot(labels, **options), target)
    check_writable(target)
    words = {
        name: getattr(found, name)
        for name in ("method", "source", "layer", "trustworthiness", "neighbours", "settings")
    }
    arrays: dict[str, Any] = {} if labels is None else {"labels": np.asarray(labels)}
    buffer = io.BytesIO()
    metadata = np.asarray(json.dumps({"format": FORMAT, **words}))
    np.savez_compressed(buffer, points=found.points, variance=found.variance, metadata=metadata, **arrays)
    write_whole(target, buffer.getvalue())
    return target


def save_attribution(found: Attribution, path: str | Path) -> Path:
    """See `Attribution.save`."""
    target = Path(path)
    if target.suffix != ".npz":
        return save_figure(found.plot, target)
    check_writable(target)
    arrays: dict[str, Any] = {name: getattr(found, name) for name in ("images", "raw", "maps", "values")}
    for kind in ("scores", "curves", "sanity"):
        arrays |= {f"{kind}/{name}": value for name, value in getattr(found, kind).items()}
    kept = ("labels", "method", "source", "signed", "layer", "coverage", "settings")
    words = {"format": FORMAT, **{name: getattr(found, name) for name in kept}}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays, metadata=np.asarray(json.dumps(words)))
    write_whole(target, buffer.getvalue())
    return target


def figure_bytes(figure: Any, kind: str) -> bytes:
    """A matplotlib figure as the bytes of a "png", "svg" or "pdf"; equal figures give equal bytes."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    # Dates, and the salt of SVG's identifiers, would differ each time.
    undated = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with mpl.rc_context({"svg.hashsalt": "phosphene"}):
        figure.savefig(buffer, format=kind, dpi=200, metadata=undated)
    return buffer.getvalue()


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
    except (OSError, EOFError, KeyError, ValueError, TypeError, IndexError, zipfile.BadZipFile, SyntaxError) as error:
        raise CorruptFile(str(source), f"not a result of phosphene, or damaged ({error})") from error


def png_bytes(image: NDArray[np.floating[Any]]) -> bytes:
    """An image ``(H, W, C)`` in [0, 1] as the bytes of a PNG; channels that are no colours stand side by side."""
    buffer = io.BytesIO()
    _picture(as_picture(image)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def grid_png(images: NDArray[np.floating[Any]]) -> bytes:
    """Images ``(N, H, W, C)`` in a near-square grid as the bytes of a PNG."""
    return png_bytes(_grid(images)[0])


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

    picture, columns = _grid(renders.images)
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
    _picture(picture).save(buffer, "PNG", pnginfo=info)
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


def _grid(images: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float32], int]:
    images = np.stack([as_picture(image) for image in images])
    count, height, width, channels = images.shape
    columns = max(1, math.ceil(math.sqrt(count)))
    rows = max(1, math.ceil(count / columns))
    canvas = np.ones((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), np.float32)
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + GAP), (index % columns) * (width + GAP)
        canvas[top : top + height, left : left + width] = image
    return canvas, columns


def _picture(image: NDArray[np.floating[Any]]) -> Any:
    from PIL import Image

    pixels = np.round(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)
    if pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    return Image.fromarray(pixels)
