"""Frames of films."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handed_over import floats, write_film
from phosphene.backend import InputSpec
from phosphene.data.in_memory import read_images
from phosphene.data.sources import source_of
from phosphene.errors import CorruptFile, InvalidParameter, MissingDependency

av = pytest.importorskip("av")

SIZE = (48, 64)
SPEC = InputSpec(size=SIZE, channels=3)


def frames(count: int = 37) -> Any:
    """Each frame has its number in six squares, and a green corner on the top left."""
    images = np.zeros((count, *SIZE, 3), np.uint8)
    for bit in range(6):
        images[np.arange(count) >> bit & 1 == 1, 32:40, 8 * bit : 8 * bit + 8] = 255
    images[:, :24, :32, 1] = 255
    return images


def numbers(images: Any) -> list[int]:
    """The number of each frame, by its squares."""
    return [sum((image[36, 8 * bit + 4, 0] > image.max() / 2) << bit for bit in range(6)) for image in images]


KINDS = {
    "a.mp4": ("libx264", {"g": "8", "bf": "2"}),
    "b.mkv": ("libx264", {"g": "8", "bf": "2"}),
    "c.avi": ("mpeg4", {"g": "8"}),
    "d.webm": ("libvpx-vp9", {"g": "8"}),
    "e.mpg": ("mpeg2video", {"g": "8", "bf": "2"}),
    "f.ts": ("libx264", {"g": "8", "bf": "2"}),
}


@pytest.mark.parametrize("name", KINDS)
def test_all_frames_in_order_and_any_of_them(name: str, tmp_path: Path) -> None:
    codec, options = KINDS[name]
    if codec not in av.codecs_available:
        pytest.skip(f"FFmpeg has no {codec}")
    write_film(tmp_path / name, frames(), codec, "yuv420p", **options)
    source = source_of(tmp_path / name, SPEC)
    assert len(source) == 37 and source.of_files
    whole = read_images(tmp_path / name, SPEC)
    assert numbers(whole) == list(range(37))
    for index in (30, 3, 36, 0, 17):
        np.testing.assert_array_equal(source.image(index), np.round(whole[index] * 255))
    assert numbers(source.some([2, 9, 10, 31], None)) == [2, 9, 10, 31]  # type: ignore[arg-type]
    assert numbers(source.each(35, None)) == [35, 36]


def test_a_count_ends_the_decoding(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mkv", frames(9))
    assert len(source_of(tmp_path / "a.mkv", SPEC, count=4)) == 4
    np.testing.assert_array_equal(read_images(tmp_path / "a.mkv", SPEC, count=4), floats(frames(4)))
    with pytest.raises(InvalidParameter, match="count: expected at most 9"):
        source_of(tmp_path / "a.mkv", SPEC, count=10)


def test_a_film_that_was_turned_is_turned_back(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mp4", frames(3), "mpeg4", "yuv420p")
    content = bytearray((tmp_path / "a.mp4").read_bytes())
    matrix = content.index(b"tkhd") + 44
    quarter = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]  # what a telephone writes that was held upright
    content[matrix : matrix + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in quarter)
    (tmp_path / "a.mp4").write_bytes(content)
    turned = read_images(tmp_path / "a.mp4", InputSpec(size=SIZE[::-1], channels=3))
    assert turned.shape == (3, 64, 48, 3)
    corners = turned[0, [4, 4, -4, -4], [4, -4, 4, -4], 1] > 0.5
    assert corners.tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    "content", [b"#EXTM3U\nhttp://host/film", b"ffconcat version 1.0\nfile /etc/passwd", b"", b"\0" * 99]
)
def test_lists_of_other_files_are_never_opened(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(CorruptFile, match="does not begin like one of a format that is read"):
        source_of(tmp_path / "a.mp4", SPEC)


def test_a_film_that_is_damaged_or_cut_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_film(tmp_path / "a.mp4", frames(), "mpeg4", "yuv420p")
    content = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptFile, match="cannot be read as a film"):
        source_of(tmp_path / "a.mp4", SPEC)
    write_film(tmp_path / "b.mkv", frames())
    content = (tmp_path / "b.mkv").read_bytes()
    (tmp_path / "b.mkv").write_bytes(content[: len(content) // 3])
    with caplog.at_level(logging.WARNING, "phosphene"):
        assert len(source_of(tmp_path / "b.mkv", SPEC)) < 37
    assert "it may be cut off" in caplog.text


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_film(tmp_path / "a.mkv", frames(2))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingDependency, match=r"av is not installed.*phosphene\[data\]"):
        source_of(tmp_path / "a.mkv", SPEC)
