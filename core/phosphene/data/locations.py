"""Image sources named by a path: image files, and crops of the photographs that come with other packages."""

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
"""Extensions of the image files that are read from a folder."""

SMALLEST = 16
"""Smallest side of a crop in pixels; networks with a smaller input get the centre of it."""

SKIP = "With on_error='skip' it is skipped and counted."


@dataclass(frozen=True)
class FileSource(Source):
    """Image files; each is cropped to the aspect ratio of `size` about its centre, then resized."""

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
                f"too large to be opened: it may be a decompression bomb ({error}). {SKIP} If you trust the file, resize it, "
                "or raise PIL.Image.MAX_IMAGE_PIXELS.",
            ) from error
        except Exception as error:
            # Decoders share no exception for damaged files: OSError, SyntaxError, struct.error, zlib.error, EOFError and others.
            raise CorruptFile(str(path), f"cannot be read as an image ({error}). {SKIP}") from error
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
    """Crops of the photographs; cut to the centre for a network with non-square input, and averaged to grey for one channel."""

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
    """Open the image source at a path.

    Parameters
    ----------
    place : str or Path
        A folder (searched recursively), an image file, a text file with one path per line, or ``photos:N[:SEED]``.
    size : (int, int)
        Height and width of the network's input, in pixels.
    channels : int, default 3

    Returns
    -------
    Source

    Raises
    ------
    InvalidParameter
        When nothing exists at the path, or it holds no images.
    CorruptFile
        When the file is neither an image nor text.
    """
    if isinstance(place, str) and place.partition(":")[0] in ("photos", "photos-shortcut"):
        return CropSource(parse(place, size=max(*size, SMALLEST)), size, channels)
    path = Path(place).expanduser()
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file())
        what = f"a folder with images ({', '.join(sorted(ENDINGS))})"
    elif path.is_file() and path.suffix.lower() in ENDINGS:
        found, what = [path], ""
    elif path.is_file():
        try:
            lines = [line.strip() for line in path.read_text().splitlines()]
        except UnicodeDecodeError as error:
            raise CorruptFile(str(path), "neither an image nor a text file of paths") from error
        found = [path.parent / line for line in lines if line and not line.startswith("#")]
        what = "a text file with one path per line"
        for file in found:
            if not file.is_file():
                raise InvalidParameter(
                    "images", allowed=what, received=str(path), fix=f"It lists {file}, which is not a file."
                )
    else:
        raise InvalidParameter(
            "images",
            allowed="a folder, an image file, a text file of paths, or photos:N",
            received=str(place),
            fix="Nothing exists at that path: check its spelling and the working directory.",
        )
    if not found:
        raise InvalidParameter("images", allowed=what, received=str(path), fix="It holds no images: check the path.")
    return FileSource(tuple(found), size, channels)
