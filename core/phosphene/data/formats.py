"""Which files are images: formats that are opened, by content and never by ending, and the image files of a folder.

Only formats in `FORMATS` are opened, by the decoders of Pillow itself. Others are never tried: some start another program (EPS is
run by Ghostscript), and decoders that other packages register are not known here.
"""

from __future__ import annotations

import io
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from phosphene.errors import CorruptFile, InvalidParameter

__all__ = [
    "ENDINGS",
    "FORMATS",
    "LARGEST_PICTURE",
    "Source",
    "check_size",
    "image_files",
    "is_image",
    "is_image_file",
    "opened",
    "regular",
    "shown",
    "stream_of",
]

LOG = logging.getLogger("phosphene")

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF", "MPO")
"""The formats of image files that are opened, by the names of Pillow; AVIF where Pillow was built with it."""

ENDINGS = frozenset(".avif .bmp .gif .jfif .jpe .jpeg .jpg .mpo .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split())
"""Endings of the files that are taken for images in a folder."""

LARGEST_PICTURE = 1 << 27
"""Largest number of pixels of a picture that is decoded: about half a gigabyte in memory."""

LARGEST_FILE = 1 << 29
"""Largest number of bytes that are taken from a stream that cannot be gone back in."""

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]
"""An image file: its path, its content, or a binary file object that is open."""

_WEAK = frozenset(("BMP", "PPM"))
"""Formats that begin with two letters, as a text may as well: more than the beginning is looked at."""

_OTHERS = (
    (b"%!PS", "a PostScript program (EPS)", "Such files are never run: save the picture as a PNG."),
    (b"\xc5\xd0\xd3\xc6", "a PostScript program (EPS)", "Such files are never run: save the picture as a PNG."),
    (b"%PDF", "a PDF document", "Save the picture as a PNG."),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself", "Fetch the file: git lfs pull."),
    (b"<svg", "an SVG drawing", "Save the picture as a PNG."),
    (b"<?xml", "an XML document, perhaps an SVG drawing", "Save the picture as a PNG."),
    (b"<!doctype", "a page of HTML, perhaps from a failed download", "Download the picture again."),
    (b"<html", "a page of HTML, perhaps from a failed download", "Download the picture again."),
    (b"\x93numpy", "a NumPy array", "Load it with numpy.load, and pass the array."),
    (b"pk\x03\x04", "a zip archive", "Unpack it first."),
)


def formats() -> list[str]:
    """The formats of `FORMATS` that this Pillow decodes itself."""
    from PIL import Image

    Image.init()
    return [name for name in FORMATS if name in Image.OPEN and Image.OPEN[name][0].__module__.startswith("PIL.")]


def regular(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a regular file for reading.

    What is no regular file is refused before it is opened: opening a FIFO waits for a writer, and opening a device may start it.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    CorruptFile
        For a folder, FIFO, socket or device, also behind a link, and for a file that cannot be opened.
    """
    name = shown(os.fspath(path))
    try:
        _refuse_others(name, os.stat(path).st_mode)
        # The name may stand for something else by now: opened without waiting, and looked at again.
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
        try:
            _refuse_others(name, os.fstat(file.fileno()).st_mode)
        except BaseException:
            file.close()
            raise
    except (FileNotFoundError, CorruptFile):
        raise
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        raise CorruptFile(name, f"cannot be opened ({cause})") from error
    return file


@contextmanager
def opened(source: Source, name: str) -> Iterator[Any]:
    """Open an image file of an allowed format; only its header is read.

    Parameters
    ----------
    source : str, PathLike, bytes or binary file object
        A file object is read from its beginning, and stays open.
    name : str
        How messages call it.

    Yields
    ------
    PIL.ImageFile.ImageFile

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    CorruptFile
        When it is no regular file, not an image of an allowed format, or larger than `LARGEST_PICTURE`.
    InvalidParameter
        When `source` is none of these.
    """
    from PIL import Image, UnidentifiedImageError

    with stream_of(source) as stream:
        try:
            picture = Image.open(stream, formats=formats())
        except Image.DecompressionBombError as error:
            raise _too_large(name, str(error).rstrip("."), ", or raise PIL.Image.MAX_IMAGE_PIXELS") from error
        except UnidentifiedImageError as error:
            stream.seek(0)
            raise CorruptFile(name, _not_an_image(stream.read(64))) from error
        except Exception as error:
            # Decoders share no exception for damaged headers.
            raise CorruptFile(name, f"cannot be read as an image ({error})") from error
        with picture:
            check_size(name, picture.size[::-1])
            yield picture


def check_size(name: str, size: tuple[int, ...]) -> None:
    """Raise `CorruptFile` for a picture of more than `LARGEST_PICTURE` pixels, or of none."""
    height, width = size
    if height < 1 or width < 1:
        raise CorruptFile(name, f"a picture of {height} x {width} pixels")
    if height * width > LARGEST_PICTURE:
        raise _too_large(name, f"{height:,} x {width:,} pixels")


def is_image(source: Source) -> bool:
    """Whether a file begins like an image of an allowed format, whatever its name; its pixels are not decoded.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    """
    try:
        with stream_of(source) as stream:
            likely = _likely(stream.read(16))
            if likely - _WEAK:
                return True
            if not likely:
                return False
            stream.seek(0)
            with opened(stream, ""):
                return True
    except CorruptFile:
        return False


def is_image_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file in a folder is taken for an image: by its ending, or by its content if it has none.

    Hidden files, and what is no regular file, are none. Files with the ending of an image are not opened.
    """
    path = Path(path)
    try:
        if hidden(path.name) or not stat.S_ISREG(os.stat(path).st_mode):
            return False
        return path.suffix.lower() in ENDINGS or (not path.suffix and is_image(path))
    except (OSError, ValueError):
        return False


def image_files(folder: str | os.PathLike[str]) -> tuple[Path, ...]:
    """The image files of a folder and its subfolders, sorted; what is left out is counted and logged.

    Hidden files and folders, such as ``.DS_Store``, ``._cat.png`` and ``__MACOSX``, are passed over.

    Parameters
    ----------
    folder : str or PathLike

    Returns
    -------
    tuple of Path
    """
    images: list[Path] = []
    others: list[Path] = []
    unseen = 0
    for parent, folders, names in os.walk(folder):
        unseen += sum(Path(name).suffix.lower() in ENDINGS for name in names if hidden(name))
        folders[:] = [name for name in folders if not hidden(name)]
        for name in names:
            if not hidden(name):
                path = Path(parent, name)
                (images if is_image_file(path) else others).append(path)
    if others or unseen:
        parts = []
        if others:
            some = ", ".join(shown(path.name) for path in sorted(others)[:3]) + (", ..." if len(others) > 3 else "")
            parts.append(f"{_left_out(len(others), 'is not an image', 'are not images')}: {some}")
        if unseen:
            parts.append(_left_out(unseen, "is hidden", "are hidden"))
        LOG.warning("%s: %s", shown(os.fspath(folder)), "; ".join(parts))
    return tuple(sorted(images))


def hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or holds what an archive of macOS adds."""
    return name.startswith(".") or name == "__MACOSX"


def shown(name: str) -> str:
    """A name as messages show it: letters that cannot be printed are escaped."""
    return name if name.isprintable() else ascii(name)[1:-1]


@contextmanager
def stream_of(source: Source) -> Iterator[IO[bytes]]:
    """The content of an image file as a stream that can be gone back in; a file object of the user stays open."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield io.BytesIO(source)
    elif isinstance(source, (str, os.PathLike)):
        with regular(source) as stream:
            yield stream
    else:
        yield _seekable(source)


def _seekable(source: Any) -> IO[bytes]:
    try:
        if isinstance(source.read(0), bytes):
            if source.seekable():
                source.seek(0)
                return source  # type: ignore[no-any-return]
            content = source.read(LARGEST_FILE + 1)
            if len(content) <= LARGEST_FILE:
                return io.BytesIO(content)
            name = getattr(source, "name", "image")
            raise CorruptFile(str(name), f"more than {LARGEST_FILE:,} bytes in a stream that cannot be gone back in")
    except (AttributeError, TypeError, io.UnsupportedOperation):
        pass
    raise InvalidParameter(
        "source",
        allowed="the path of an image file, its content as bytes, or a binary file object",
        received=source,
        fix="For example open(path, 'rb').",
    )


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))


def _refuse_others(path: str, mode: int) -> None:
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    if not stat.S_ISREG(mode):
        kind = next((what for test, what in kinds if test(mode)), "no regular file")
        raise CorruptFile(path, f"{kind}, and not an image file. Only regular files are opened")


def _likely(prefix: bytes) -> frozenset[str]:
    """The formats whose files begin like this."""
    from PIL import Image

    likely = set()
    for name in formats():
        accept = Image.OPEN[name][1]
        if accept is not None and accept(prefix) is True:
            likely.add(name)
    return frozenset(likely)


def _not_an_image(prefix: bytes) -> str:
    if not prefix:
        return "cannot be read as an image: the file is empty"
    begins = prefix.lstrip().lower()
    for beginning, what, advice in _OTHERS:
        if begins.startswith(beginning.lower()):
            return f"cannot be read as an image: it is {what}. {advice}"
    if prefix[4:8] == b"ftyp":
        return "cannot be read as an image: it is a HEIC picture or a film. Save it as a JPEG or a PNG"
    if _likely(prefix[:16]):
        return "cannot be read as an image: it begins like one, but is damaged or of a kind that Pillow does not know"
    return f"cannot be read as an image: its content is none of {', '.join(formats())}"


def _too_large(name: str, detail: str, otherwise: str = "") -> CorruptFile:
    return CorruptFile(
        name,
        f"too large to be opened: it may be a decompression bomb ({detail}; at most {LARGEST_PICTURE:,} pixels are read). "
        f"If you trust the file, resize it with another program or cut it into parts{otherwise}",
    )


def _left_out(count: int, one: str, many: str) -> str:
    return f"1 file {one} and was left out" if count == 1 else f"{count:,} files {many} and were left out"
