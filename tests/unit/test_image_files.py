"""Image files are told by their content and never run; what is no image, damaged or too large is named."""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, features

from image_contents import (
    CONTENT,
    RAMPS,
    WRITTEN,
    png,
    saved,
)
from phosphene.data import formats
from phosphene.data.formats import image_files, is_image, is_image_file
from phosphene.data.items import Conversion
from phosphene.data.locations import FileSource, source_at
from phosphene.data.pixels import decoded, from_pillow
from phosphene.errors import CorruptFile, InvalidImages, InvalidParameter


@pytest.mark.parametrize("name", ["picture", "picture.jfif", "picture.txt", "picture.eps", "right", "picture.PNG"])
@pytest.mark.parametrize("kind", WRITTEN)
def test_the_format_is_told_by_the_content(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / (WRITTEN[kind] if name == "right" else name)
    Image.fromarray(CONTENT).save(path, kind)
    truth = np.asarray(Image.open(path, formats=[kind]).convert("RGB"))
    np.testing.assert_array_equal(decoded(path), truth)
    np.testing.assert_array_equal(decoded(str(path)), truth)
    np.testing.assert_array_equal(decoded(path.read_bytes()), truth)
    np.testing.assert_array_equal(from_pillow(Image.open(path)), truth)
    np.testing.assert_array_equal(source_at(path, Conversion(truth.shape[:2], 3)).image(0), truth)
    with open(path, "rb") as file:
        file.seek(3)
        np.testing.assert_array_equal(decoded(file), truth)
        assert not file.closed
    assert is_image(path)


@pytest.mark.parametrize("reading", ["ImageTk", "pipe"])
def test_a_stream_that_cannot_be_gone_back_in(reading: str) -> None:
    content = saved(Image.fromarray(CONTENT), "PNG")
    if reading == "pipe":
        read, write = os.pipe()
        threading.Thread(target=lambda: (os.write(write, content[:60000]), os.close(write))).start()
        with os.fdopen(read, "rb") as stream:
            np.testing.assert_array_equal(decoded(stream), CONTENT)
    else:
        stream = io.BytesIO(content)
        stream.seekable = lambda: False  # type: ignore[method-assign]
        np.testing.assert_array_equal(decoded(stream), CONTENT)


@pytest.mark.parametrize("source", [None, 3, io.StringIO("x"), ["a.png"], object()])
def test_what_is_no_file_at_all(source: Any) -> None:
    with pytest.raises(InvalidParameter, match="source: expected the path of an image file"):
        decoded(source)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 0}, "channels: expected an integer"),
        ({"channels": 1.0}, "channels: expected an integer"),
        ({"size": "224"}, "size: expected"),
        ({"size": (0, 5)}, "size: expected"),
        ({"fit": "pad"}, r"fit: expected a Fit, got 'pad'. For example Fit\('pad'\)"),
        ({"background": 255}, "background: expected"),
        ({"background": (0.5, 0.5)}, "background: expected a grey, or red, green and blue"),
    ],
)
def test_arguments(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    with pytest.raises(InvalidParameter, match=message):
        decoded(tmp_path / "x.png", **arguments)
    with pytest.raises(InvalidParameter, match=message):
        from_pillow(Image.new("RGB", (4, 4)), **arguments)


EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n%%EndProlog\n0 0 8 8 rectfill\nshowpage\n%%EOF\n"
)


@pytest.fixture
def ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for Ghostscript, first on the path, that leaves a mark when it is started."""
    mark, folder = tmp_path / "started", tmp_path / "programs"
    folder.mkdir()
    for name in ("gs", "gswin32c", "gswin64c", "djpeg", "ps2pdf", "inkscape"):
        (folder / name).write_text(f"#!/bin/sh\ntouch {mark}\nexit 1\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None, raising=False)
    (tmp_path / "control.eps").write_bytes(EPS)
    with Image.open(tmp_path / "control.eps") as opened, pytest.raises(subprocess.CalledProcessError):
        opened.load()
    assert mark.exists(), "Pillow itself does not start the stand-in: this test would prove nothing"
    mark.unlink()
    return mark


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
@pytest.mark.parametrize("name", ["cat.jpg", "cat.png", "cat.eps", "cat", "cat.tiff"])
def test_a_program_in_postscript_never_starts_another(tmp_path: Path, ghostscript: Path, name: str) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    path = folder / name
    path.write_bytes(EPS)
    for read in (
        lambda: decoded(path),
        lambda: decoded(path, size=8),
        lambda: decoded(EPS),
        lambda: decoded(io.BytesIO(EPS), channels=1),
        lambda: FileSource((path,), Conversion((8, 8), 3)).image(0),
    ):
        with pytest.raises(CorruptFile, match="a PostScript program"):
            read()
    with (
        Image.open(path) as opened,
        pytest.raises(InvalidImages, match="a file of EPS that is opened and not yet read"),
    ):
        from_pillow(opened)
    assert not is_image(path)
    assert image_files(folder) == ((path,) if path.suffix in (".jpg", ".png", ".tiff") else ())
    assert not ghostscript.exists()


def test_a_decoder_of_another_package_is_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    Image.init()
    for name in ("PNG", "OTHER"):
        monkeypatch.setitem(
            Image.OPEN, name, (lambda *arguments: asked.append(b""), lambda prefix: asked.append(prefix) or True)
        )
    assert "PNG" not in formats.formats()
    with pytest.raises(CorruptFile):
        decoded(saved(Image.fromarray(CONTENT), "PNG"))
    with pytest.raises(CorruptFile):
        decoded(b"OTHER and more")
    assert not asked


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a pointer of Git LFS"),
        (b"<!DOCTYPE html><html></html>", "a page of HTML, perhaps from a failed download"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b"\0\0\0\x18ftypheic\0\0\0\0heicmif1", "a HEIC picture"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "damaged"),
        (b"some words", "its content is none of JPEG, PNG"),
    ],
)
def test_what_is_no_image_is_named(content: bytes, message: str) -> None:
    with pytest.raises(CorruptFile, match=f"image: cannot be read as an image.*{message}"):
        decoded(content)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO here")
@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize(
    ("kind", "message"), [("fifo", "a FIFO"), ("socket", "a socket"), ("device", "a device"), ("folder", "a folder")]
)
def test_only_regular_files_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, message: str, linked: bool
) -> None:
    monkeypatch.chdir(tmp_path)  # the address of a socket is short
    path = Path("odd.png")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.close()
    elif kind == "device":
        path = Path("/dev/zero")
    else:
        path.mkdir()
    if linked:
        Path("link.png").symlink_to(path)
        path = Path("link.png")
    with pytest.raises(CorruptFile, match=f"{path}: {message}, and not an image file"):
        decoded(path)
    with pytest.raises(CorruptFile, match="on_error='skip'"):
        FileSource((path,), Conversion((8, 8), 3)).image(0)
    assert not is_image_file(path) and not is_image(path)


def test_a_name_that_becomes_a_fifo_while_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no FIFO here")
    path, other, before = tmp_path / "x.png", tmp_path / "y", os.stat
    Image.new("RGB", (4, 4)).save(path)
    regular = before(path)
    os.mkfifo(other)
    monkeypatch.setattr(formats.os, "stat", lambda name, **rest: regular if name == other else before(name, **rest))
    with pytest.raises(CorruptFile, match="a FIFO"):
        decoded(other)


def test_paths_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        decoded(tmp_path / "missing.png")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    for path in (tmp_path / "round", "a\0b", "x" * 5000):
        with pytest.raises(CorruptFile, match="cannot be opened"):
            decoded(path)


def bomb(kind: str) -> bytes:
    if kind == "PNG":
        return png(np.zeros((1, 1), np.uint8), 0, 8).replace(
            struct.pack(">II", 1, 1), struct.pack(">II", 12_000, 12_000)
        )
    if kind == "BMP":
        content = bytearray(saved(Image.new("1", (8, 8)), "BMP"))
        content[18:26] = struct.pack("<II", 100_000, 100_000)
        return bytes(content)
    return b"P4 60000 60000\n" + bytes(64)


@pytest.mark.parametrize("unbounded", [False, True])
@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM"])
def test_a_bomb_is_refused_before_it_takes_memory(monkeypatch: pytest.MonkeyPatch, kind: str, unbounded: bool) -> None:
    content = bomb(kind)
    if kind == "PNG":  # the checksum of the header is wrong now
        header = content[12:29]
        content = content[:29] + struct.pack(">I", zlib.crc32(header)) + content[33:]
    before = None if unbounded else Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", before)
    with pytest.raises(CorruptFile, match=r"too large to be opened.*at most 134,217,728 pixels are read.*resize it"):
        decoded(content, size=8)
    assert before == Image.MAX_IMAGE_PIXELS


def test_a_large_image_in_memory_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "LARGEST_PICTURE", 100)
    with pytest.raises(CorruptFile, match="11 x 10 pixels; at most 100"):
        from_pillow(Image.new("L", (10, 11)))
    assert from_pillow(Image.new("L", (10, 10))).shape == (10, 10, 3)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("kind", WRITTEN)
def test_a_truncated_file_is_named(tmp_path: Path, kind: str, part: float) -> None:
    content = saved(Image.fromarray(CONTENT), kind)
    path = tmp_path / "cut.png"
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(CorruptFile, match=r"cut\.png: cannot be read as an image"):
        decoded(path)


@pytest.mark.parametrize("kind", ["colours as floats", "colours apart", "LA of 16 bits, TIFF"])
def test_a_truncated_tiff_of_another_kind_is_named(kind: str) -> None:
    content = RAMPS[kind][0]()
    for end in (len(content) - 1, len(content) // 2, 40):
        with pytest.raises(CorruptFile, match="image: cannot be read as an image"):
            decoded(content[:end])


def test_a_tiff_of_another_kind_names_what_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    content = RAMPS["colours as floats"][0]()
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(CorruptFile, match="pip install tifffile"):
        decoded(content)


def test_damaged_files_raise_one_kind_of_error() -> None:
    random = np.random.default_rng(0)
    contents = [saved(Image.fromarray(CONTENT), kind) for kind in WRITTEN]
    contents += [RAMPS[kind][0]() for kind in ("12 bits, TIFF", "colours as floats", "16 bits, PNG", "floats, PFM")]
    for content, _ in itertools.product(contents, range(30)):
        mutated = np.frombuffer(content, np.uint8).copy()
        places = random.integers(0, min(len(mutated), random.choice([64, 10**6])), random.integers(1, 8))
        mutated[places] = random.integers(0, 256, len(places))
        with contextlib.suppress(CorruptFile):
            assert decoded(mutated.tobytes(), size=16).shape == (16, 16, 3)
        is_image(mutated.tobytes())


def animated(kind: str) -> bytes:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue")]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "MPO", *(["AVIF"] if features.check("avif") else [])])
def test_of_several_frames_the_first_is_read_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(animated(kind))
    with caplog.at_level(logging.WARNING, "phosphene"):
        for name in ("a", "b"):
            assert np.abs(decoded(tmp_path / name).astype(int) - (255, 0, 0)).max() <= 6
    assert caplog.text.count("the first frame is read") == 1
    caplog.clear()
    with caplog.at_level(logging.WARNING, "phosphene"):
        decoded(saved(Image.new("RGB", (8, 8)), "PNG"))
    assert "frame" not in caplog.text


# -- the files of a folder


def test_the_images_of_a_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = ["a.jfif", "b.avif", "c.PNG", "d", "sub/e.tiff", "sub/f", "sub/deeper/g.jpe"]
    other = ["labels.csv", "README", "notes.txt", "sub/P3 notes", "sub/BMW", "empty"]
    hidden = ["._c.png", ".DS_Store", ".cache/x.png", "__MACOSX/y.png", "sub/.hidden.jpg"]
    for name in good + other + hidden:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name in other or name == ".DS_Store":
            path.write_text("" if name == "empty" else f"{path.name} is a text")
        else:
            Image.fromarray(CONTENT).save(path, "PNG")
    with caplog.at_level(logging.WARNING, "phosphene"):
        found = image_files(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == sorted(good, key=lambda name: Path(name))
    assert len(caplog.records) == 1
    assert "6 files are not images and were left out: " in caplog.text and ", ..." in caplog.text
    assert "2 files are hidden and were left out" in caplog.text
    assert len(source_at(tmp_path, Conversion((8, 8), 3))) == len(good)


def test_a_folder_of_images_alone_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Image.fromarray(CONTENT).save(tmp_path / "a.png")
    with caplog.at_level(logging.INFO, "phosphene"):
        assert len(image_files(tmp_path)) == 1
    assert not caplog.records


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO here")
def test_a_folder_with_what_is_no_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Image.fromarray(CONTENT).save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")
    (tmp_path / "c.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "d.png").symlink_to("/dev/zero")
    (tmp_path / "e\n.txt").write_text("x")
    (tmp_path / "f.png").mkdir()
    with caplog.at_level(logging.WARNING, "phosphene"):
        assert [path.name for path in image_files(tmp_path)] == ["a.png"]
    assert r"4 files are not images and were left out: b.png, c.png, d.png, ..." in caplog.text


def test_the_error_of_a_file_in_a_folder_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"words")
    with pytest.raises(
        CorruptFile, match=r"x\.png: cannot be read as an image.*\. Calls with on_error='skip' leave it out"
    ):
        FileSource((tmp_path / "x.png", tmp_path / "y.png"), Conversion((8, 8), 3)).image(0)
    with pytest.raises(CorruptFile, match=r"y\.png.*on_error='skip'"):
        FileSource((tmp_path / "x.png", tmp_path / "y.png"), Conversion((8, 8), 3)).image(1)


@pytest.mark.skipif(shutil.which("gs") is None, reason="Ghostscript is not installed")
def test_with_ghostscript_installed_it_is_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    before = subprocess.Popen.__init__

    def record(self: Any, arguments: Any, *rest: Any, **options: Any) -> None:
        started.append(arguments)
        before(self, arguments, *rest, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", record)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None, raising=False)
    (tmp_path / "cat.jpg").write_bytes(EPS)
    with Image.open(tmp_path / "cat.jpg") as opened:
        opened.load()
    assert any("gs" in str(arguments) for arguments in started)
    started.clear()
    with pytest.raises(CorruptFile, match="a PostScript program"):
        decoded(tmp_path / "cat.jpg")
    assert not started


def test_names_that_cannot_be_printed_are_escaped(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\n.png"
    path.write_bytes(b"words")
    with pytest.raises(CorruptFile) as raised:
        FileSource((path,), Conversion((8, 8), 3)).image(0)
    assert str(raised.value).isprintable() and str(raised.value).count("a\\x1b[31m\\n.png") == 1
