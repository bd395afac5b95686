"""Images at a place: picture files, and crops of the photographs that come with two packages."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.data.crops import Crops, parse
from phosphene.data.source import Source
from phosphene.errors import CorruptFile, InvalidParameter
from phosphene.types import Size

__all__ = ["ENDINGS", "CropSource", "FileSource", "source_at"]

ENDINGS = frozenset(".bmp .gif .jpeg .jpg .png .ppm .tif .tiff .webp".split())
"""Endings of the files that are taken from a folder."""

SMALLEST = 16
"""Pixels a side below which no crop is cut; for a smaller network the middle of one is taken."""

SKIP = "With on_error='skip' it is left out, and counted."


@dataclass(frozen=True)
class FileSource(Source):
    """Picture files, each brought to `size`: its central part of these proportions, resized."""

    paths: tuple[Path, ...]
    size: Size
    channels: int

    def __len__(self) -> int:
        return len(self.paths)

    def image(self, index: int) -> NDArray[Any]:
        from PIL import Image, ImageOps

        path = self.paths[index]
        try:
            with Image.open(path) as opened:
                picture = ImageOps.exif_transpose(opened).convert("L" if self.channels == 1 else "RGB")
                picture = ImageOps.fit(picture, (self.size[1], self.size[0]), Image.Resampling.LANCZOS)
        except Image.DecompressionBombError as error:
            raise CorruptFile(
                str(path),
                f"too large to be opened: it may be a decompression bomb ({error}). {SKIP} If you trust it, make it smaller first, "
                "or raise PIL.Image.MAX_IMAGE_PIXELS.",
            ) from error
        except Exception as error:
            # Decoders have no one exception for damage: OSError, SyntaxError, struct.error, zlib.error, EOFError and others.
            raise CorruptFile(str(path), f"no picture that can be read ({error}). {SKIP}") from error
        pixels = np.asarray(picture)
        return pixels[..., None] if pixels.ndim == 2 else pixels

    def identity(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for path in self.paths:
            state = os.stat(path)
            digest.update(f"{path.name}|{state.st_size}|{state.st_mtime_ns}\n".encode())
        return f"{len(self.paths)} files {self.size} {self.channels} {digest.hexdigest()}"

    def name(self, index: int) -> str:
        return str(self.paths[index])

    def part(self, index: int) -> tuple[Source, int]:
        return FileSource((self.paths[index],), self.size, self.channels), 0


@dataclass(frozen=True)
class CropSource(Source):
    """Crops of the photographs; for a network whose images are no squares, or grey, the middle of each."""

    crops: Crops
    size: Size
    channels: int

    def __len__(self) -> int:
        return len(self.crops)

    def image(self, index: int) -> NDArray[Any]:
        whole = self.crops[index][0]
        top, left = ((side - wanted) // 2 for side, wanted in zip(whole.shape, self.size, strict=False))
        cut = whole[top : top + self.size[0], left : left + self.size[1]]
        return cut.mean(axis=-1, keepdims=True) if self.channels == 1 else cut

    def identity(self) -> str:
        return f"{self.crops!r} {self.size} {self.channels}"


def source_at(place: str | Path, size: Size, channels: int = 3) -> Source:
    """The images at a place.

    Parameters
    ----------
    place : str or Path
        A folder, searched to the bottom; a picture; a text file with a path on each line; or ``photos:N[:SEED]``.
    size, channels : (int, int), int
        What the network takes.

    Returns
    -------
    Source

    Raises
    ------
    InvalidParameter
        When there is nothing at that place.
    """
    if isinstance(place, str) and place.partition(":")[0] in ("photos", "photos-shortcut"):
        return CropSource(parse(place, size=max(*size, SMALLEST)), size, channels)
    path = Path(place).expanduser()
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file())
        what = f"a folder with pictures ({', '.join(sorted(ENDINGS))})"
    elif path.is_file() and path.suffix.lower() in ENDINGS:
        found, what = [path], ""
    elif path.is_file():
        try:
            lines = [line.strip() for line in path.read_text().splitlines()]
        except UnicodeDecodeError as error:
            raise CorruptFile(str(path), "neither a picture nor a text file of paths") from error
        found = [path.parent / line for line in lines if line and not line.startswith("#")]
        what = "a text file with a path on each line"
        for file in found:
            if not file.is_file():
                raise InvalidParameter(
                    "images", allowed=what, received=str(path), fix=f"There is no file {file}, which it names."
                )
    else:
        raise InvalidParameter(
            "images", allowed="a folder, a picture, a text file of paths or photos:N", received=str(place),
            fix="There is nothing at that place.",
        )  # fmt: skip
    if not found:
        raise InvalidParameter("images", allowed=what, received=str(path), fix="There is none in it.")
    return FileSource(tuple(found), size, channels)
