"""Frames of a film: decoded by PyAV, of formats that are told by the beginning of the file."""

from __future__ import annotations

import bisect
import itertools
import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from phosphene.data.file_places import Place
from phosphene.data.formats import check_size
from phosphene.data.items import Conversion
from phosphene.data.source import Source
from phosphene.errors import CorruptFile, MissingDependency, PhospheneError

__all__ = ["ENDINGS", "FilmSource", "is_film", "source_of_film"]

ENDINGS = frozenset(".3gp .avi .flv .m4v .mkv .mov .mp4 .mpeg .mpg .ogv .ts .webm .wmv".split())
"""Endings of the files that are taken for films."""

_BEGINNINGS = (
    (0, b"\x1aE\xdf\xa3", "matroska"),
    (8, b"AVI ", "avi"),
    (0, b"\x00\x00\x01\xba", "mpeg"),
    (0, b"OggS", "ogg"),
    (0, b"FLV", "flv"),
    (0, b"0&\xb2u", "asf"),
    (0, b"G", "mpegts"),
    *((4, kind, "mov") for kind in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),
)


_SOUGHT = ("mov", "matroska", "avi")
"""Formats with an index, in which a frame is found by its time; others are decoded from their beginning."""

LOG = logging.getLogger("phosphene")


@dataclass(frozen=True)
class FilmSource(Source):
    """All frames of a film, or the first of them.

    Attributes
    ----------
    place : Place
    form : str
        The format of the file, by FFmpeg's name.
    moments : tuple of int
        Presentation time of each frame, in the units of the film.
    keys : tuple of int
        Indices of the frames that can be decoded without those before them; only 0 where frames are not found by their times.
    conversion : Conversion
    """

    place: Place
    form: str
    moments: tuple[int, ...]
    keys: tuple[int, ...]
    conversion: Conversion

    def __len__(self) -> int:
        return len(self.moments)

    @property
    def of_files(self) -> bool:
        return self.place.dated

    def image(self, index: int) -> NDArray[Any]:
        found = next(self.some([index], None))
        if isinstance(found, CorruptFile):
            raise found
        return found

    def some(self, numbers: Iterable[int], executor: Executor | None) -> Iterator[NDArray[Any] | CorruptFile]:
        # A frame needs those before it, so they are decoded here, in order; FFmpeg has threads of its own.
        with _opened(self.place, self.form) as container:
            stream = container.streams.video[0]
            frames: Iterator[tuple[int, Any]] = enumerate(container.decode(stream))
            at = 0
            for number in numbers:
                key = self.keys[bisect.bisect_right(self.keys, number) - 1]
                if key > at:
                    container.seek(self.moments[key], stream=stream)
                    frames = self._numbered(container.decode(stream))
                place, frame = next((found for found in frames if found[0] >= number), (-1, None))
                if place != number:
                    yield CorruptFile(self.name(number), "the film ends before it, or was written anew")
                    return
                at = number + 1
                yield self.conversion.image(_picture(frame, self.name(number)), self.name(number))

    def _numbered(self, frames: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        for frame in frames:
            yield bisect.bisect_left(self.moments, frame.pts), frame

    def name(self, index: int) -> str:
        return f"{self.place.name}: frame {index}"

    def identity(self) -> str:
        rule = self.conversion
        return f"{len(self)} frames of {self.place.stamp()} {rule.size} {rule.channels} {rule.fit}"


def is_film(name: str) -> bool:
    """Whether a file is taken for a film, by its name."""
    return any(name.lower().endswith(ending) for ending in ENDINGS)


def source_of_film(place: Place, conversion: Conversion, count: int | None = None) -> FilmSource:
    """Count the frames of a film, by decoding them: what files say of their number is often missing or wrong.

    Parameters
    ----------
    place : Place
    conversion : Conversion
    count : int, optional
        Frames that are wanted, from the first on; others are not decoded (default: all).

    Returns
    -------
    FilmSource

    Raises
    ------
    MissingDependency
        Without PyAV.
    CorruptFile
        For a file that is no film of these formats, is damaged, or has no frames.
    """
    with place.open() as stream:
        beginning = stream.read(16)
    forms = [form for start, kind, form in _BEGINNINGS if beginning[start : start + len(kind)] == kind]
    if not forms:
        raise CorruptFile(place.name, "cannot be read as a film: it does not begin like one of a format that is read")
    moments: list[Any] = []
    keys: list[int] = []
    with _opened(place, forms[0]) as container:
        for frame in container.decode(container.streams.video[0]):
            if frame.key_frame:
                keys.append(len(moments))
            moments.append(frame.pts)
            if len(moments) == count:
                break
        else:
            if moments:
                _say_early_end(place, container, frame)
    if not moments:
        raise CorruptFile(place.name, "a film without frames")
    ordered = (
        forms[0] in _SOUGHT
        and all(isinstance(moment, int) for moment in moments)
        and all(before < after for before, after in itertools.pairwise(moments))
    )
    return FilmSource(
        place,
        forms[0],
        tuple(moments) if ordered else tuple(range(len(moments))),
        tuple(keys) if ordered and keys[:1] == [0] else (0,),
        conversion,
    )


def _say_early_end(place: Place, container: Any, frame: Any) -> None:
    """FFmpeg takes a file that is cut off for one that ends there."""
    stated, end = (container.duration or 0) / 1e6, frame.time or 0.0
    if stated > end / 0.9 + 1:
        LOG.warning("%s: its pictures end after %.1f of %.1f seconds; it may be cut off", place.name, end, stated)


@contextmanager
def _opened(place: Place, form: str) -> Iterator[Any]:
    """A film that is open; its format is given, since those that FFmpeg would guess name other files and addresses."""
    try:
        import av
    except ImportError as error:
        raise MissingDependency("av", "data") from error
    try:
        with place.open() as stream, av.open(stream, format=form) as container:
            if not container.streams.video:
                raise CorruptFile(place.name, "a file without pictures: it holds sound only")
            video = container.streams.video[0]
            check_size(place.name, (video.codec_context.height, video.codec_context.width))
            video.thread_type = "AUTO"
            yield container
    except PhospheneError:
        raise
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
        raise CorruptFile(place.name, f"cannot be read as a film ({error})") from error


def _picture(frame: Any, name: str) -> Any:
    check_size(name, (frame.height, frame.width))
    picture = frame.to_image()
    turned = getattr(frame, "rotation", 0) or 0
    return picture.rotate(turned, expand=True) if turned % 360 else picture
