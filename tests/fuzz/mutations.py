"""Ways to damage a file: bits, lengths, fields of its JSON, entries of its archive, and what stands in its place."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["mutate", "restore"]

HOLE = "@@hole@@"
RAW = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "9" * 6000,
    "-" + "9" * 300,
    "[" * 5000 + "]" * 5000,
    '{"a":1,"a":2}',
    "01",
    "",
)
ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    "x",
    "",
    [],
    {},
    -1,
    0,
    1,
    2**31,
    2**63,
    10**30,
    1e308,
    -0.5,
    1.5,
    [[]],
    "\ud800",
    "9",
)
LARGEST = 1 << 33


def mutate(path: Path, form: str, others: list[bytes], draw: random.Random) -> str:
    """Damage the file and return what was done to it.

    Parameters
    ----------
    path : Path
    form : "json", "npz", "png", "safetensors", "zarr chunk" or "bytes"
        What is known of its inside.
    others : list of bytes
        Contents of other files, to stand in its place.
    draw : random.Random
    """
    content = path.read_bytes()
    chance = draw.random()
    if chance < 0.03:
        return _replaced(path, draw)
    inside = INSIDE.get(form)
    if inside is not None and chance < 0.65:
        done, made = inside(content, draw)
    elif chance < 0.7:
        done, made = "swapped", draw.choice(others)
    else:
        done, made = _bytes(content, draw)
    path.write_bytes(made)
    return done


def restore(path: Path, content: bytes) -> None:
    """Put the file back."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    elif os.path.lexists(path):
        path.unlink()
    path.write_bytes(content)


def _replaced(path: Path, draw: random.Random) -> str:
    """Something that is no file, or a file that is nothing but long."""
    how = draw.choice(("pipe", "folder", "circle", "device", "nothing", "sparse", "longer"))
    if how == "longer":
        os.truncate(path, LARGEST)
        return how
    path.unlink()
    if how == "pipe":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
    elif how == "circle":
        path.symlink_to(path)
    elif how == "device":
        path.symlink_to("/dev/zero")
    elif how == "sparse":
        path.touch()
        os.truncate(path, LARGEST)
    return how


def _bytes(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    made = bytearray(content)
    how = draw.choice(("flip", "flip", "flip", "cut", "zeros", "noise", "longer", "empty", "twice", "shifted"))
    place = draw.randrange(len(made) or 1)
    length = draw.choice((1, 2, 4, 8, 64))
    if how == "flip":
        for _ in range(draw.choice((1, 1, 2, 8))):
            if made:
                made[draw.randrange(len(made))] ^= 1 << draw.randrange(8)
    elif how == "cut":
        del made[place:]
    elif how == "zeros":
        made[place : place + length] = bytes(min(length, len(made) - place))
    elif how == "noise":
        made[place : place + length] = draw.randbytes(min(length, len(made) - place))
    elif how == "longer":
        made += draw.choice((b"\0", b" ", draw.randbytes(100), bytes(100_000)))
    elif how == "empty":
        made.clear()
    elif how == "twice":
        made += content
    else:
        made[place:place] = draw.randbytes(length)
    return how, bytes(made)


def _nodes(value: Any) -> list[tuple[Any, Any]]:
    """Every place of a document: the container and the key."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, item in items:
        found += [(value, key), *_nodes(item)]
    return found


def _json(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    value = json.loads(content)
    places = _nodes(value)
    if not places:
        return "odd", json.dumps(draw.choice(ODD)).encode()
    where, key = draw.choice(places)
    how = draw.choice(("odd", "odd", "odd", "raw", "gone", "added", "near", "swapped", "all", "deep"))
    raw = None
    if how == "odd":
        where[key] = draw.choice(ODD)
    elif how == "raw":
        where[key], raw = HOLE, draw.choice(RAW)
    elif how == "gone":
        del where[key]
    elif how == "added":
        if isinstance(where, dict):
            where[draw.choice(("new", "format", "kind", "..", "", "x" * 1000))] = draw.choice(ODD)
        else:
            where.insert(0, draw.choice(ODD))
    elif how == "near" and type(where[key]) in (int, float):
        where[key] += draw.choice((-1, 1, 1000, -1000, 10**12))
    elif how == "swapped":
        other, place = draw.choice(places)
        try:
            where[key], other[place] = other[place], where[key]
            json.dumps(value)
        except (ValueError, LookupError):  # one is inside the other
            return "odd", json.dumps(draw.choice(ODD)).encode()
    elif how == "all":
        value = draw.choice(ODD)
    elif how == "deep":
        for _ in range(draw.choice((50, 500))):
            where[key] = [where[key]]
    text = json.dumps(value)
    return how, (text if raw is None else text.replace(json.dumps(HOLE), raw)).encode()


def _member(content: bytes) -> tuple[str, np.ndarray[Any, Any] | None]:
    stream = io.BytesIO(content)
    try:
        array = np.load(stream, allow_pickle=False)
    except ValueError:
        return "", None
    return "", array


def _npy(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """An array whose header or dtype is another."""
    how = draw.choice(("shape", "dtype", "object", "header", "values", "flip"))
    array = _member(content)[1]
    if array is None or how == "flip":
        return _bytes(content, draw)
    if how == "dtype":
        kinds = ("float64", "float16", "int64", "uint8", "U7", "bool", "complex64", "M8[s]", "S3", ">f4")
        array = np.zeros(array.shape, draw.choice(kinds))
    elif how == "shape":
        array = np.resize(array, draw.choice(((), (1,), (0, 5), (3, 1, 2), (*array.shape, 2), array.shape[1:])))
    elif how == "values" and array.dtype.kind in "fiu":
        array = array.copy()
        extremes = (0, -1, 2**31 - 1) if array.dtype.kind != "f" else (np.nan, np.inf, -1e30)
        if array.size:
            array.flat[draw.randrange(array.size)] = np.asarray(draw.choice(extremes)).astype(array.dtype)
    elif how in ("object", "header"):
        words = draw.choice(
            (
                "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
                "{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }",
                "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 3), }",
                "{'descr': '<U1000000000', 'fortran_order': False, 'shape': (), }",
                "{'descr': '<f8', 'fortran_order': True, 'shape': (0, 99999999999999999999), }",
                "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }",
                "[" * 200,
                "__import__('os')",
            )
        )
        text = words.ljust(118)[:117] + "\n" if len(words) < 118 else words
        return how, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + content[128:]
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return how, stream.getvalue()


def _npz(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    name = draw.choice(list(members))
    if "metadata.npy" in members and draw.random() < 0.5:
        name = "metadata.npy"
    how, method = (
        draw.choice(("inside", "inside", "inside", "inside", "gone", "renamed", "swapped", "extra", "packed", "twice")),
        8,
    )
    if how == "inside" and name == "metadata.npy":
        text = str(np.load(io.BytesIO(members[name]), allow_pickle=False))
        how, made = _json(text.encode(), draw)
        stream = io.BytesIO()
        np.save(stream, np.asarray(made.decode()))
        members[name] = stream.getvalue()
    elif how == "inside":
        how, members[name] = _npy(members[name], draw)
    elif how == "gone":
        del members[name]
    elif how == "renamed":
        members[draw.choice(("other.npy", "../x.npy", "_", "metadata.npy", "plain"))] = members.pop(name)
    elif how == "swapped":
        members[name] = draw.choice(list(members.values()))
    elif how == "extra":
        members["extra.npy"] = bytes(10)
    elif how == "packed":
        method = draw.choice((zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_STORED))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for key, value in members.items():
            archive.writestr(key, value)
        if how == "twice":
            archive.writestr("z" + name, members[name])
    made = stream.getvalue()
    return how, made


def _png(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """A picture with other text, other pixels or another size."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    with Image.open(io.BytesIO(content)) as opened:
        opened.load()
        text, picture = opened.info["phosphene"], opened.copy()
    how = draw.choice(("text", "text", "text", "size", "mode", "header"))
    if how == "text":
        how, made = _json(text.encode(), draw)
        text = made.decode()
    elif how == "size":
        picture = picture.resize((draw.choice((1, 5, 999)), draw.choice((1, 7, 888))))
    elif how == "mode":
        picture = picture.convert(draw.choice(("L", "P", "RGBA", "1", "LA", "I;16")) if picture.mode == "L" else "L")
    info = PngInfo()
    info.add_itxt("phosphene", text, zip=draw.random() < 0.5)
    stream = io.BytesIO()
    picture.save(stream, "PNG", pnginfo=info)
    found = bytearray(stream.getvalue())
    if how == "header":  # a size that the pixels do not have, with the right checksum
        import zlib

        found[16:24] = struct.pack(">II", draw.choice((1, 12, 10_000)), draw.choice((1, 9, 10_000)))
        found[29:33] = struct.pack(">I", zlib.crc32(bytes(found[12:29])))
    return how, bytes(found)


def _safetensors(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    (length,) = struct.unpack("<Q", content[:8])
    if draw.random() < 0.2:
        return "length", struct.pack("<Q", draw.choice((0, 1, length + 1, 10**9, 2**63))) + content[8:]
    how, made = _json(content[8 : 8 + length], draw)
    return how, struct.pack("<Q", len(made)) + made + content[8 + length :]


def _chunk(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """Other values, or other lengths, compressed without a fault."""
    from numcodecs import Zstd

    plain = bytearray(Zstd().decode(content))
    how = draw.choice(("values", "short", "long", "bomb", "frames"))
    if how == "values":
        plain[draw.randrange(len(plain))] ^= 1 << draw.randrange(8)
    elif how == "short":
        del plain[draw.randrange(len(plain)) :]
    elif how == "long":
        plain += bytes(draw.choice((1, len(plain))))
    elif how == "bomb":
        plain = bytearray(1 << 26)
    made = bytes(Zstd(level=1).encode(bytes(plain)))
    return how, made + made if how == "frames" else made


INSIDE: dict[str, Callable[[bytes, random.Random], tuple[str, bytes]]] = {
    "json": _json,
    "npz": _npz,
    "png": _png,
    "safetensors": _safetensors,
    "zarr chunk": _chunk,
}
